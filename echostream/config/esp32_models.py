"""ESP32 microphones in the configuration: who they are, and how they are served."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import GainDb, Label, Name, Port, PreRollMs, Secret, Section, broken
from echostream.config.recording_models import RecordPolicy

RateHz = Annotated[int, Field(ge=8000, le=48_000)]
SampleFormat = Literal["s16le", "u8", "f32le"]
DeviceName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class DeviceVox(Section):
    """The voice-operated valve of one device."""

    threshold_dbfs: Annotated[float, Field(ge=-90, le=0)] = -40.0
    """RMS level that opens it, after the device's gain."""
    attack_ms: Annotated[int, Field(ge=0, le=1000)] = 40
    """The level must hold for this long; the pre-roll gives it back."""
    hang_ms: Annotated[int, Field(ge=0, le=10_000)] = 800
    """It stays open for this long below the threshold."""


class DeviceDefaults(Section):
    """How a stream is read and where it goes, for devices that have no entry of their own."""

    rate_hz: RateHz = 16_000
    """Samples per second; what a hello line says comes first."""
    format: SampleFormat = "s16le"
    """Form of a sample: signed 16 bit, unsigned 8 bit, or 32-bit float, little-endian."""
    gain_db: GainDb = 0.0
    """Gain of what goes on the air; recordings keep what the device sent."""
    channel: Name | None = None
    """Id of the channel that it talks on; null: none."""
    transmit: Literal["never", "always", "vox"] = "never"
    """When it is on the air: never (it is recorded only), always (the channel's time-out timer rests while
    only such devices talk), or while somebody speaks."""
    vox: DeviceVox = DeviceVox()
    """What "vox" means for it."""
    pre_roll_ms: PreRollMs = 200
    """Audio from before the voice that is sent with it."""
    record: RecordPolicy = RecordPolicy(mode="continuous")
    """What of it is recorded, while recording.enabled is true."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.transmit != "never" and self.channel is None:
            broken("a channel to talk on", 'name a channel, or write "transmit": "never"', "channel")
        return self


class Esp32Device(DeviceDefaults):
    """One microphone that is known."""

    name: DeviceName = Field(examples=["porch"])
    """What it is called here, in its recordings, and in its hello line."""
    label: Label = Field(default="", examples=["Porch, facing the road"])
    """What people call it."""
    enabled: bool = True
    """false: it is refused."""
    address: Label | None = Field(default=None, examples=["192.0.2.17", "192.0.2.0/28"])
    """Source address, or network, of firmware that sends no hello line; null: known by its hello only."""
    token: Secret | None = None
    """Secret that its hello line must carry; null: the name is enough."""

    @model_validator(mode="after")
    def _no_disguise(self) -> Self:
        if self.token is not None and self.address is not None:
            broken(
                "either an address or a token",
                "firmware that sends a token needs no address: a stream without hello would get past it",
                "address",
            )
        return self


class Esp32(Section):
    """ESP32 microphones over TCP and UDP: who they are."""

    enabled: bool = False
    """Listen for devices."""
    bind: Label = "0.0.0.0"
    """Address of this machine to listen on."""
    tcp_port: Port = 9000
    """Port that they connect to."""
    udp_port: Port | None = 9001
    """Port of the optional datagram form; null: none."""
    announce: bool = True
    """Announce _echostream._tcp over mDNS, so that firmware finds this gateway by itself."""
    unknown: Literal["refuse", "quarantine", "accept"] = "quarantine"
    """Devices without an entry: refused, recorded apart and never on the air, or taken by `defaults`."""
    defaults: DeviceDefaults = DeviceDefaults()
    """How a device without an entry is read; where it goes only with "accept"."""
    devices: tuple[Esp32Device, ...] = Field(default=(), json_schema_extra={"maxItems": 1000})
    """The devices that are known."""


class Relay(Section):
    """How devices are served: what one may cost the others."""

    workers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that take and record streams; more than 1 when one core is full. Devices that talk on a
    channel are always served by the gateway's own process."""
    max_connections: Annotated[int, Field(ge=1, le=4000)] = 200
    """Connections at a time; a further one is refused."""
    max_per_address: Annotated[int, Field(ge=1, le=4000)] = 8
    """Connections at a time from one address that say no name or an unknown one."""
    hello_wait_ms: Annotated[int, Field(ge=50, le=5000)] = 300
    """How long the first line may take to show whether it is a hello."""
    silence_s: Annotated[float, Field(ge=2, le=3600)] = 20.0
    """A connection that sends nothing for so long is closed; the device connects again."""
    most_speed: Annotated[float, Field(ge=1.05, le=10)] = 1.5
    """How much faster than its own rate a device may send in the long run; the burst after connecting is
    free."""
    burst_s: Annotated[float, Field(ge=1, le=60)] = 5.0
    """Audio that a device may send at once: what it kept while it could not reach us."""
