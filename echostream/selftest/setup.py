"""What is to be tested: a card and two pins, as typed or as a channel's configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from echostream.audio.ports import Side
from echostream.config.findings import Finding, InvalidConfig, shown
from echostream.config.models import NO_CARD, Channel, Config
from echostream.errors import ConfigError

CONFIGURATIONS: Final = (Path("config.json"), Path("/etc/echostream/config.json"))
"""Where the gateway's own is, if none is named."""
Simulate = Literal["missing", "all"]

_MADE_UP: Final = "selftest"
_MADE_UP_PINS: Final = (12, 20)


@dataclass(frozen=True, slots=True)
class KeyWire:
    """The wire: from a keyed line (a pin, or GPIO3 of a CM108-type card) to a pin that is read."""

    out_pin: int | None
    cm108: str | None
    in_pin: int
    active_low: bool = False

    @property
    def out(self) -> str:
        return f"BCM {self.out_pin}" if self.cm108 is None else f"GPIO3 of card {self.cm108}"

    @property
    def into(self) -> str:
        return f"BCM {self.in_pin}"


@dataclass(frozen=True, slots=True)
class Setup:
    """card: None where only the wire is tested. wire: None without one; why_no_wire says so."""

    name: str
    card: str | None
    side: Side = "mono"
    chip: str = "auto"
    wire: KeyWire | None = None
    why_no_wire: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The call, as typed."""

    channel: str | None = None
    config: Path | None = None
    card: str | None = None
    out_pin: int | None = None
    in_pin: int | None = None
    simulate: Simulate | None = None
    quick: bool = False


def setup_of(asked: Asked) -> Setup:
    """ConfigError where it is not clear what is meant."""
    if asked.channel is None and asked.config is None and (asked.card or asked.simulate == "all"):
        return _without_configuration(asked)
    config = read_config(asked.config)
    channel = channel_of(config, asked.channel)
    wire, why = _wire(asked, channel)
    card = asked.card or (channel.card if channel.card != NO_CARD else None)
    return Setup(channel.id, card, channel.side, config.gpio.chip, wire, why)


def read_config(path: Path | None) -> Config:
    """The configuration that is named, or else the gateway's own. ConfigError."""
    from echostream.config.load import load_config

    return load_config(config_path(path)).config


def config_path(path: Path | None) -> Path:
    """The file that is named, or else the gateway's own. ConfigError."""
    chosen = path or next((one for one in CONFIGURATIONS if one.exists()), None)
    if chosen is None:
        places = " and ".join(str(one) for one in CONFIGURATIONS)
        raise ConfigError(f"no configuration at {places}: name one with --config")
    return chosen


def channel_of(config: Config, channel_id: str | None) -> Channel:
    """The channel that is named; without a name the first one that has a card. ConfigError lists them."""
    if channel_id is None:
        found = next((one for one in config.channels if one.card != NO_CARD), None)
    else:
        found = next((one for one in config.channels if one.id == channel_id), None)
    if found is None:
        there = ", ".join(one.id for one in config.channels) or "none"
        finding = Finding("channels", shown(channel_id or "none with a card"), f"one of: {there}", "")
        raise InvalidConfig("the configuration", [finding])
    return found


def _without_configuration(asked: Asked) -> Setup:
    made_up = asked.simulate == "all"
    card = asked.card or _MADE_UP
    out_pin, in_pin = asked.out_pin, asked.in_pin
    if made_up and out_pin is None and in_pin is None:
        out_pin, in_pin = _MADE_UP_PINS
    if out_pin is None or in_pin is None:
        return Setup(card, card, why_no_wire="neither CHANNEL nor --out-pin and --in-pin say which pins")
    return Setup(card, card, wire=KeyWire(out_pin, None, in_pin))


def _wire(asked: Asked, channel: Channel) -> tuple[KeyWire | None, str]:
    key = channel.key
    out_pin: int | None
    if asked.out_pin is not None:
        out_pin, cm108, active_low = asked.out_pin, None, key.active_low if key is not None else False
    elif key is not None:
        out_pin, cm108, active_low = key.pin, channel.card if key.cm108 else None, key.active_low
    else:
        return None, f"channel {channel.id} keys no radio (no key in its configuration, no --out-pin)"
    in_pin = asked.in_pin
    if in_pin is None and channel.ptt is not None:
        in_pin = channel.ptt.pin
    if in_pin is None and channel.cos is not None:
        in_pin = channel.cos.pin
    if in_pin is None:
        return None, "no pin to see it on: --in-pin N, with a wire to it"
    return KeyWire(out_pin, cm108, in_pin, active_low), ""
