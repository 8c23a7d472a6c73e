"""MQTT in the configuration: the broker, what is published, and which commands are taken."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import FilePath, Label, Port, Secret, Section, broken

TOPIC_PATTERN: Final = r"^[^+#\x00-\x1f\x7f-\x9f/][^+#\x00-\x1f\x7f-\x9f]*$"
TopicPart = Annotated[str, Field(min_length=1, max_length=128, pattern=TOPIC_PATTERN)]


class MqttTls(Section):
    """How the broker is verified, and knows the gateway. With nothing set: the system's authorities."""

    ca_file: FilePath | None = Field(default=None, examples=["/etc/echostream/broker-ca.pem"])
    """PEM file of the authorities to trust instead of the system's."""
    cert_file: FilePath | None = Field(default=None, examples=["/etc/echostream/gateway.pem"])
    """PEM file of the gateway's own certificate (AWS IoT: the thing's)."""
    key_file: FilePath | None = Field(default=None, examples=["/etc/echostream/gateway.key"])
    """PEM file of that certificate's private key."""
    server_name: str | None = None
    """Name to verify instead of `host`."""
    alpn: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, examples=["x-amzn-mqtt-ca"]
    )
    """Protocol asked for within TLS: AWS IoT takes MQTT on port 443 with "x-amzn-mqtt-ca"."""

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            field = "key_file" if self.key_file is None else "cert_file"
            broken("both cert_file and key_file, or neither", f"add {field}", field)
        return self


class MqttCommands(Section):
    """Which commands are taken from the broker. Whoever may publish there can then do this."""

    page_out: bool = False
    """Send a page on a channel."""
    volume: bool = False
    """Change a channel's output gain."""
    mute: bool = False
    """Mute a channel's microphone or loudspeaker."""
    record: bool = False
    """Record a channel now."""
    reload: bool = False
    """Read the configuration again."""


class Mqtt(Section):
    """Events to MQTT subscribers."""

    enabled: bool = False
    """Publish events."""
    host: Label = Field(default="", examples=["mqtt.example.org"])
    """The broker."""
    port: Port = 8883
    """Port of the broker."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Version of MQTT."""
    tls: MqttTls | None = MqttTls()
    """How the broker is verified; null: without TLS, for a broker on this machine or in a closed network."""
    client_id: Label = ""
    """Who the gateway is to the broker; "": gateway.id."""
    username: Label | None = None
    """User at the broker; null: none."""
    password: Secret | None = None
    """Password at the broker; null: none."""
    keep_alive_s: Annotated[int, Field(ge=5, le=1200)] = 30
    """Longest silence on the connection; after one and a half the broker publishes the last will."""
    topic_prefix: TopicPart = "echostream"
    """Everything but tone detections is below PREFIX/GATEWAY/."""
    levels_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    """Period of the levels of channels and devices; 0: never."""
    health_s: Annotated[float, Field(ge=5, le=86_400)] = 30.0
    """Period of the gateway's health."""
    home_assistant: bool = True
    """Publish discovery messages, so that Home Assistant shows each channel and device by itself."""
    home_assistant_prefix: TopicPart = "homeassistant"
    """Where Home Assistant looks for them."""
    outbox_mb: Annotated[float, Field(ge=1, le=10_000)] = 64.0
    """Most that waits on the disk for the broker, in 10^6 bytes; telemetry gives way first, alarms last."""
    commands: MqttCommands = MqttCommands()
    """Which commands are taken."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.enabled and not self.host:
            broken("the broker's name", "add host", "host")
        return self
