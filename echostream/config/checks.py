"""What takes more than one value to see: ids, pins and cards used twice, settings that contradict."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from echostream.config.alerts import advise_alerts
from echostream.config.devices import advise_devices
from echostream.config.findings import Finding, Place, Severity, masked_url, path_of, secret_like, shown
from echostream.config.models import NO_CARD, Channel, Config, ControlServer, Mqtt
from echostream.config.tone_plans import advise_plans

HEADER_PINS: Final = range(2, 28)
PULLED_UP_AT_BOOT: Final = range(9)
"""BCM lines that a Pi pulls up from power-on until somebody configures them; 9 to 27 are pulled down."""
_CARD_INDEX = re.compile(r"\d+|(plug)?(hw|dsnoop|dmix):\d+(,\d+)*|alsa:\d+", re.I)
_USB_PORT = re.compile(r"usb:(?:\d+|[\w.:-]*[A-Za-z.:][\w.:-]*)-\d+(?:\.\d+)*")
"""Bus, or the controller's address (0000:01:00.0, 1f00200000.usb), and the ports on the way."""
_LOOPBACK_NAMES: Final = ("localhost", "ip6-localhost")


class Taken:
    """What the channels accepted so far have taken: ids, pins, halves of cards, lines of cards."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._pins: dict[int, str] = {}
        self._halves: dict[tuple[str, str], int] = {}
        self._card_lines: dict[tuple[str, str], int] = {}

    def conflicts(self, index: int, channel: Channel) -> list[Finding]:
        """Why this channel cannot have what it asks for; nothing is taken yet."""
        place: Place = ("channels", index)
        if channel.id in self._ids:
            hint = f"channels[{self._ids[channel.id]}] has it; this one is left out"
            path = path_of((*place, "id"))
            return [Finding(path, shown(channel.id), "an id of its own", hint, Severity.DROPPED)]
        if not channel.enabled:
            return []
        return [*_card_name(place, channel), *self._card(place, channel), *self._lines(place, channel)]

    def _card(self, place: Place, channel: Channel) -> list[Finding]:
        if channel.card == NO_CARD:
            return _without_card(place, channel)
        card = _card_key(channel.card)
        findings = []
        for half in _overlapping(channel.side):
            if (card, half) in self._halves:
                other = self._halves[card, half]
                hint = (
                    f"channels[{other}] uses the {half} side of this card; two channels can be left and right"
                )
                field, value = ("card", channel.card) if channel.side == "mono" else ("side", channel.side)
                path = path_of((*place, field))
                findings.append(
                    Finding(path, shown(value), "a card's side of its own", hint, Severity.DROPPED)
                )
                break
        for kind, line in (("key", channel.key), ("cos", channel.cos)):
            if line is not None and line.cm108 and (card, kind) in self._card_lines:
                hint = f"channels[{self._card_lines[card, kind]}] uses this card's line; take a pin"
                path = path_of((*place, kind, "cm108"))
                findings.append(Finding(path, "true", "a line of its own", hint, Severity.DROPPED))
        return findings

    def _lines(self, place: Place, channel: Channel) -> list[Finding]:
        findings = []
        own: dict[int, str] = {}
        for kind, pin in pins(channel):
            path = path_of((*place, kind, "pin"))
            holder = self._pins.get(pin) or own.get(pin)
            if holder is not None:
                hint = f"BCM {pin} is {holder} already"
                findings.append(Finding(path, str(pin), "a pin of its own", hint, Severity.DROPPED))
            own.setdefault(pin, path)
        return findings

    def take(self, index: int, channel: Channel) -> None:
        """From now on these parts are this channel's; of a channel that is off only the id."""
        self._ids[channel.id] = index
        if not channel.enabled:
            return
        place: Place = ("channels", index)
        card = _card_key(channel.card)
        self._pins |= {pin: path_of((*place, kind, "pin")) for kind, pin in pins(channel)}
        if channel.card == NO_CARD:
            return
        self._halves[card, channel.side] = index
        for kind, line in (("key", channel.key), ("cos", channel.cos)):
            if line is not None and line.cm108:
                self._card_lines[card, kind] = index


def pins(channel: Channel) -> list[tuple[str, int]]:
    """The GPIO lines of a channel: ("ptt", 20), ("key", 12)."""
    lines = (("ptt", channel.ptt), ("cos", channel.cos), ("key", channel.key))
    return [(kind, line.pin) for kind, line in lines if line is not None and line.pin is not None]


def _card_key(card: str) -> str:
    return card.removeprefix("alsa:")


def _without_card(place: Place, channel: Channel) -> list[Finding]:
    """Any number of channels may have no card; what only a card has none of them can ask for."""
    findings = []
    for kind, line in (("key", channel.key), ("cos", channel.cos)):
        if line is not None and line.cm108:
            path = path_of((*place, kind, "cm108"))
            hint = 'the channel has no card ("card": "none"); take a pin, or name a card'
            findings.append(Finding(path, "true", "a line that is there", hint, Severity.DROPPED))
    return findings


def _overlapping(side: str) -> tuple[str, ...]:
    return ("mono", "left", "right") if side == "mono" else (side, "mono")


def _card_name(place: Place, channel: Channel) -> list[Finding]:
    card = channel.card
    hint = ""
    if _CARD_INDEX.fullmatch(card):
        hint = "an index changes at every boot: `echostream devices` lists ids and ports"
    elif card.startswith("usb:") and not _USB_PORT.fullmatch(card):
        hint = 'a USB port is written like "usb:1-1.2": `echostream devices` lists them'
    if not hint:
        return []
    expected = "an ALSA id, a USB port path or an ALSA PCM name"
    return [Finding(path_of((*place, "card")), shown(card), expected, hint, Severity.DROPPED)]


# ---- the control server


def check_server(server: ControlServer) -> list[Finding]:
    """What of the control server's settings cannot work, or is not what somebody wants."""
    findings = [*_address(server.url), *_token(server), *_tls(server)]
    if server.token is not None and _in_the_clear(server.url):
        hint = "use wss://, or a server on this machine"
        findings.append(_warning("control_server.url", "a token over ws://", "a wss:// address", hint))
    return findings


def _advise_broker(mqtt: Mqtt) -> list[Finding]:
    findings: list[Finding] = []
    if not mqtt.enabled:
        return findings
    if mqtt.home_assistant and mqtt.host.endswith(".amazonaws.com"):
        hint = "AWS IoT ends the connection over a topic that the policy does not allow"
        findings.append(_warning("mqtt.home_assistant", "true", "false", hint))
    if mqtt.tls is None and mqtt.password is not None and _elsewhere(mqtt.host):
        hint = "everybody on the way can read it: give tls, or use a broker on this machine"
        findings.append(_warning("mqtt.tls", "a password without TLS", "tls", hint))
    return findings


def _address(url: str) -> list[Finding]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        expected = "a ws:// or wss:// address with a host and, if any, a port from 0 to 65535"
        return [Finding("control_server.url", shown(masked_url(url)), expected)]
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username or parts.password or any(secret_like(name) for name in names):
        hint = "move it into control_server.token, with token_query or token_header; then it is never shown"
        return [_warning("control_server.url", shown(masked_url(url)), "an address without a secret", hint)]
    return []


def _token(server: ControlServer) -> list[Finding]:
    carried = server.token_header is not None or server.token_query is not None
    if server.token is not None and not carried:
        hint = 'add token_header, e.g. "Authorization", or token_query'
        return [Finding("control_server.token", "a token that goes nowhere", "where it goes", hint)]
    if carried and server.token is None:
        field = "token_header" if server.token_header is not None else "token_query"
        hint = f"add token, or remove {field}"
        return [_warning(f"control_server.{field}", "no token to carry", "a token", hint)]
    return []


def _tls(server: ControlServer) -> list[Finding]:
    findings = []
    fingerprint = server.tls.fingerprint_sha256
    if fingerprint and not re.fullmatch(r"[0-9A-Fa-f]{64}", re.sub(r"[:\s]", "", fingerprint)):
        hint = "get it with: openssl x509 -noout -fingerprint -sha256 -in server.pem"
        path = "control_server.tls.fingerprint_sha256"
        findings.append(Finding(path, shown(fingerprint), "64 hex digits", hint))
    if server.url.startswith("ws:") and server.tls != type(server.tls)():
        hint = "write wss://, or remove tls"
        findings.append(_warning("control_server.tls", "settings for TLS", "a wss:// address", hint))
    return findings


def _in_the_clear(url: str) -> bool:
    if not url.startswith("ws:"):
        return False
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False  # reported as an address that does not hold
    return _elsewhere(host)


def _elsewhere(host: str) -> bool:
    if host in _LOOPBACK_NAMES:
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


# ---- advice


def advise(config: Config, index_of: dict[str, int]) -> list[Finding]:
    """What is in force but is hardly what somebody wants. `index_of`: each channel's place in its file."""
    findings = _advise_broker(config.mqtt)
    for channel in config.channels:
        place: Place = ("channels", index_of[channel.id])
        findings += _advise_pins(place, channel)
        pre_roll_ms = config.audio.pre_roll_ms if channel.pre_roll_ms is None else channel.pre_roll_ms
        if channel.vox.enabled and pre_roll_ms < channel.vox.attack_ms:
            path = path_of((*place, "vox", "attack_ms"))
            hint = "the first syllable is cut: raise pre_roll_ms, or lower attack_ms"
            expected = f"at most the pre-roll, {pre_roll_ms} ms"
            findings.append(_warning(path, str(channel.vox.attack_ms), expected, hint))
    findings += advise_plans(config.tones, {channel.id for channel in config.channels if channel.key})
    findings += advise_devices(config.esp32, {c.id for c in config.channels if c.duplex == "half"})
    tones = {tone.tone_id for plan in config.tones.values() for tone in plan.alert_tones}
    devices = {device.name for device in config.esp32.devices}
    findings += advise_alerts(config.alerts, {c.id for c in config.channels}, devices, tones)
    if not any(channel.enabled for channel in config.channels):
        findings.append(_warning("channels", "every channel off", "one that is enabled", "enable one"))
    return findings


def _advise_pins(place: Place, channel: Channel) -> list[Finding]:
    findings = []
    for kind, pin in pins(channel):
        if pin not in HEADER_PINS:
            path = path_of((*place, kind, "pin"))
            hint = "BCM 2 to 27 are on the header; 0, 1 and 28 upwards have other duties on a Pi"
            findings.append(_warning(path, str(pin), "a pin of the header", hint))
    key = channel.key
    if key is not None and key.pin in HEADER_PINS and (key.pin in PULLED_UP_AT_BOOT) != key.active_low:
        level, pin_range = ("high", "9 to 27") if key.pin in PULLED_UP_AT_BOOT else ("low", "2 to 8")
        expected = f"one of {pin_range}, whose level at power-on does not key"
        hint = f"a Pi holds BCM {key.pin} {level} until EchoStream runs, which may key the radio at boot"
        findings.append(_warning(path_of((*place, "key", "pin")), str(key.pin), expected, hint))
    return findings


def _warning(path: str, value: str, expected: str, hint: str) -> Finding:
    return Finding(path, value, expected, hint, Severity.WARNING)
