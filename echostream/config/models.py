"""The configuration as frozen models. The text under each field becomes the reference and the JSON Schema.

Ranges that a single value can break are here. What takes the whole file to see (a pin used twice, two
channels on one card) is in `checks`, so that a program can build parts of a configuration without a file.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.alert_models import Alerts, Schedule
from echostream.config.base import (
    HEADER_PATTERN,
    URL_PATTERN,
    BcmPin,
    FilePath,
    FrameMs,
    GainDb,
    Label,
    Name,
    PreRollMs,
    Pull,
    Secret,
    Section,
    broken,
)
from echostream.config.esp32_models import DeviceDefaults, DeviceVox, Esp32, Esp32Device, Relay
from echostream.config.event_models import Events
from echostream.config.mqtt_models import Mqtt, MqttCommands, MqttTls
from echostream.config.recording_models import Recording, RecordPolicy
from echostream.config.s3_models import S3, S3Rule
from echostream.config.tone_models import AlertTone, ToneFilter, TonePlan

__all__ = [
    "MAX_CHANNELS",
    "NO_CARD",
    "S3",
    "AlertTone",
    "Alerts",
    "Audio",
    "Channel",
    "Config",
    "ControlServer",
    "Cos",
    "DeviceDefaults",
    "DeviceVox",
    "Esp32",
    "Esp32Device",
    "Events",
    "Gateway",
    "Gpio",
    "Key",
    "Mqtt",
    "MqttCommands",
    "MqttTls",
    "Ptt",
    "RecordPolicy",
    "Recording",
    "Relay",
    "S3Rule",
    "Schedule",
    "Secret",
    "Section",
    "Tls",
    "ToneFilter",
    "TonePlan",
    "Vox",
]

MAX_CHANNELS: Final = 16
NO_CARD: Final = "none"
"""Instead of a card's name: a channel that only network microphones talk on."""


class Gateway(Section):
    """Who this gateway is to the control server and to subscribers."""

    id: Name = Field(examples=["station-7"])
    """Unique id of this gateway (`unique_id` of the field's devices)."""
    affiliation_id: Name = Field(examples=["station-7"])
    """The id under which the control server knows this member."""
    user_name: Name = "EchoStream"
    """The name that other members see."""
    agency_name: Label = Field(default="", examples=["County Fire"])
    """The agency that other members see."""
    realtime: bool = True
    """Whether audio threads ask for SCHED_FIFO and memory is locked, where the system permits both."""


class Tls(Section):
    """How a wss:// server is verified. With nothing set: the system's certificate authorities."""

    ca_file: FilePath | None = None
    """PEM file of the authorities to trust instead of the system's."""
    fingerprint_sha256: str | None = Field(default=None, examples=["5E:1B:0A:…"])
    """SHA-256 of the server's certificate (64 hex digits, colons allowed): any other is refused."""
    server_name: str | None = None
    """Name to verify instead of the URL's host."""


class ControlServer(Section):
    """The WebSocket control server."""

    url: Annotated[str, Field(max_length=2048, pattern=URL_PATTERN)] = Field(
        examples=["wss://control.example.org/ws"]
    )
    """ws:// or wss:// address. A token belongs into `token`, not into the address."""
    protocol: Literal["v1"] = "v1"
    """Version of the protocol that the server speaks."""
    aes_key: Secret | None = Field(default=None, examples=[{"credential": "echostream-aes-key"}])
    """Pre-shared key (base64 of 32 bytes), used while the server offers "N/A"."""
    token: Secret | None = Field(default=None, examples=[{"file": "/etc/echostream/token"}])
    """Access token of deployments that ask for one; it goes into `token_header` or `token_query`."""
    token_header: Annotated[str, Field(max_length=128, pattern=HEADER_PATTERN)] | None = Field(
        default=None, examples=["Authorization"]
    )
    """Header that carries the token; the value is sent as it is."""
    token_query: Annotated[str, Field(max_length=128, pattern=HEADER_PATTERN)] | None = Field(
        default=None, examples=["access_token"]
    )
    """URL query key that carries the token."""
    tls: Tls = Tls()
    """How a wss:// server is verified."""
    keep_alive_s: Annotated[float, Field(gt=0, le=25)] = 10.0
    """Period of `connect` per channel and of the UDP heartbeat; the server drops a client after 30 s."""
    ping_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    """Period of the WebSocket ping; without a pong for as long the connection is dead."""
    reconnect_min_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """First back-off after a server that answered and then failed; doubles each time, with full jitter."""
    reconnect_max_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Longest back-off."""
    probe_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest wait between knocks on a server that does not answer at all."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.reconnect_min_s > self.reconnect_max_s:
            broken("at least reconnect_min_s", "raise it, or lower reconnect_min_s", "reconnect_max_s")
        return self


class Ptt(Section):
    """The push-to-talk button."""

    pin: BcmPin = Field(examples=[20])
    """BCM number of the GPIO line (not the number of the header pin)."""
    active_low: bool = True
    """A pressed button pulls the line to ground."""
    pull: Pull = "up"
    """Bias resistor."""


class Cos(Section):
    """Carrier-operated squelch: the radio says that it receives. A pin, or the card's own HID line."""

    pin: BcmPin | None = None
    """BCM number of the GPIO line."""
    cm108: bool = False
    """Read the volume-down line of a CM108-type card instead of a pin."""
    active_low: bool = True
    """The radio pulls the line to ground while it receives."""
    pull: Pull = "up"
    """Bias resistor."""

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        _one_of_pin_and_card(self.pin, self.cm108)
        return self


class Key(Section):
    """PTT out: keys the radio while network audio plays. A pin, or the card's own HID line."""

    pin: BcmPin | None = None
    """BCM number of the GPIO line."""
    cm108: bool = False
    """Drive GPIO3 of a CM108-type card instead of a pin."""
    active_low: bool = False
    """The line is driven low to key."""
    lead_in_ms: Annotated[int, Field(ge=0, le=2000)] = 100
    """Time between keying and the first audio: what the transmitter takes to come up."""
    hang_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    """The line stays keyed for this long after the last audio."""
    courtesy_tone: bool = False
    """A short beep before the line drops."""

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        _one_of_pin_and_card(self.pin, self.cm108)
        return self


def _one_of_pin_and_card(pin: int | None, cm108: bool) -> None:
    if (pin is not None) == cm108:
        broken("exactly one of a pin and cm108: true", "a pin of the board or the card's own line")


class Vox(Section):
    """Voice-operated valve."""

    enabled: bool = False
    """Open the valve by voice."""
    threshold_dbfs: Annotated[float, Field(ge=-90, le=0)] = -40.0
    """RMS level that opens it, after input gain."""
    attack_ms: Annotated[int, Field(ge=0, le=1000)] = 40
    """The level must hold for this long; the pre-roll gives it back."""
    hang_ms: Annotated[int, Field(ge=0, le=10_000)] = 800
    """It stays open for this long below the threshold."""


class Channel(Section):
    """One voice channel: a card, its lines, and where it goes."""

    id: Name = Field(examples=["fire-dispatch"])
    """The control server's channel id."""
    name: Label = Field(default="", examples=["Fire dispatch"])
    """What people call it."""
    enabled: bool = True
    """false keeps the entry and leaves the channel off; its pins and card are free for others."""
    card: Name = Field(examples=["usb:1-1.2", "Device", "alsa:Device", "none"])
    """ALSA id ("Device", "alsa:Device"), USB port path ("usb:1-1.2", "usb:0000:01:00.0-1.2") or an ALSA PCM
    name; never an index, which changes at every boot. `echostream devices` lists the cards. "none": a channel
    that ESP32 microphones talk on, without a card."""
    side: Literal["mono", "left", "right"] = "mono"
    """Which half of a stereo card: two channels can share one."""
    duplex: Literal["half", "full"] = "half"
    """half: nothing is played while this channel transmits."""
    input_gain_db: GainDb = 0.0
    """Gain of what the card hears; a limiter follows."""
    output_gain_db: GainDb = 0.0
    """Gain of what the card plays; a limiter follows."""
    high_pass_hz: Annotated[float, Field(ge=0, le=1000)] = 80.0
    """Corner of the input high-pass (second-order Butterworth); 0 switches it off."""
    de_emphasis: bool = False
    """Undo the transmitter's pre-emphasis on the input (discriminator audio), 6 dB per octave."""
    pre_emphasis: bool = False
    """Raise the treble of the output by 6 dB per octave (direct modulation input)."""
    ptt: Ptt | None = None
    """The push-to-talk button; null: none."""
    cos: Cos | None = None
    """The radio's squelch line as a way to open the valve; null: none."""
    vox: Vox = Vox()
    """Voice as a way to open the valve."""
    key: Key | None = None
    """PTT out, keys the radio; null: none."""
    tot_s: Annotated[float, Field(gt=0, le=3600)] = 180.0
    """Time-out timer: a transmission ends after this and stays latched until everything is released."""
    pre_roll_ms: PreRollMs | None = None
    """Overrides audio.pre_roll_ms for this channel."""


class Audio(Section):
    """What holds for the audio of every channel."""

    frame_ms: FrameMs = 20
    """Length of a captured and played frame. Packets are as long, but at least 20 ms."""
    bitrate_bps: Annotated[int, Field(ge=6_000, le=510_000)] = 24_000
    """Opus bit rate."""
    complexity: Annotated[int, Field(ge=0, le=10)] = 5
    """Opus complexity: CPU against quality."""
    fec: bool = True
    """In-band forward error correction."""
    dtx: bool = False
    """Discontinuous transmission: send next to nothing in pauses."""
    expected_loss_percent: Annotated[int, Field(ge=0, le=100)] = 10
    """What the encoder's FEC prepares for."""
    pre_roll_ms: PreRollMs = 200
    """Audio from before the key-up that is sent with it: the first syllable."""
    jitter_min_ms: Annotated[int, Field(ge=20, le=500)] = 20
    """Least depth of the jitter buffer."""
    jitter_max_ms: Annotated[int, Field(ge=20, le=1000)] = 320
    """Greatest depth of the jitter buffer; at least jitter_min_ms."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.jitter_min_ms > self.jitter_max_ms:
            broken("at least jitter_min_ms", "raise it, or lower jitter_min_ms", "jitter_max_ms")
        return self


class Gpio(Section):
    """GPIO of the board."""

    chip: Name = Field(default="auto", examples=["auto", "pinctrl-rp1", "/dev/gpiochip0"])
    """auto finds the header's chip by its label (also on a Pi 5); else a label or /dev/gpiochipN."""
    debounce_ms: Annotated[int, Field(ge=0, le=500)] = 20
    """After an edge, further ones are ignored for this long; then the level is read again."""
    reread_ms: Annotated[int, Field(ge=50, le=5000)] = 250
    """Period of the slow re-read that catches a missed edge."""


class Config(Section):
    """The whole configuration of one gateway."""

    gateway: Gateway
    """Who this gateway is to the control server and to subscribers."""
    control_server: ControlServer
    """The WebSocket control server."""
    channels: tuple[Channel, ...] = Field(json_schema_extra={"minItems": 1, "maxItems": MAX_CHANNELS})
    """The voice channels, in the order in which they are shown."""
    audio: Audio = Audio()
    """What holds for the audio of every channel."""
    gpio: Gpio = Gpio()
    """GPIO of the board."""
    tones: dict[str, TonePlan] = Field(default_factory=dict)
    """Tone plan of a channel, by channel id."""
    esp32: Esp32 = Esp32()
    """ESP32 microphones over TCP and UDP: who they are."""
    relay: Relay = Relay()
    """How devices are served: what one may cost the others."""
    mqtt: Mqtt = Mqtt()
    """Events to MQTT subscribers."""
    s3: S3 = S3()
    """Recordings to an S3 bucket."""
    recording: Recording = Recording()
    """The recorder."""
    alerts: Alerts = Alerts()
    """Messages to people."""
    events: Events = Events()
    """The event log and the daily report."""
