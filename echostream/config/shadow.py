"""The configuration that devices in the field hold (their "shadow"), turned into our own form.

Tolerant of what those documents vary in: numbers as texts, missing optional keys, a list with one entry where
an object is, keys of other software. Every finding has its path in the device's document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from echostream.config.findings import MISSING, Finding, Place, Severity, path_of, shown

CHANNELS: Final = ("channel_one", "channel_two", "channel_three", "channel_four")
PTT_PINS: Final = (20, 21, 23, 24)
PLACEHOLDER_URL: Final = "ws://control-server.invalid:8765"
_ROOTS: Final = (("shadow", "state", "desired"), ("state", "desired"), ("desired",), ())
_OWN_ONLY: Final = frozenset({"gateway", "control_server", "channels"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off", ""})

_PLAN: Final = {"tone_passthrough": "passthrough", "passthrough_channel": "passthrough_channel"}
_TONE: Final = {
    "tone_id": "tone_id",
    "tone_a": "tone_a_hz",
    "tone_b": "tone_b_hz",
    "tone_a_length": "tone_a_length_s",
    "tone_b_length": "tone_b_length_s",
    "tone_a_range": "tone_a_range_hz",
    "tone_b_range": "tone_b_range_hz",
    "record_length": "record_length_s",
    "detection_tone_alert": "alert",
}
_DETAILS: Final = {
    "threshold": "threshold",
    "gain": "gain",
    "db": "level_db",
    "detect_new_tones": "detect_new_tones",
    "new_tone_length": "new_tone_length_s",
    "new_tone_range": "new_tone_range_hz",
}
_FILTER: Final = {
    "filter_id": "filter_id",
    "frequency": "frequency_hz",
    "filter_range": "range_hz",
    "type": "type",
}
_CHANNEL: Final = frozenset({"channel_id", "tone_detect", "tone_detect_configuration"})
_BOOLS: Final = frozenset({"passthrough", "detect_new_tones"})
_TEXTS: Final = frozenset({"passthrough_channel", "tone_id", "alert", "filter_id", "type"})

MAPPING: Final[tuple[tuple[str, str], ...]] = (
    ("unique_id", "gateway.id and gateway.affiliation_id"),
    (
        "software_configuration[0].channel_one … channel_four",
        "channels[0] … [3], with PTT pins 20, 21, 23, 24",
    ),
    ("channel_one.channel_id", "channels[0].id"),
    ("channel_one.tone_detect", "tones.ID.detect"),
    *((f"tone_detect_configuration.{old}", f"tones.ID.{new}") for old, new in _PLAN.items()),
    *((f"alert_tones[n].{old}", f"tones.ID.alert_tones[n].{new}") for old, new in _TONE.items()),
    *((f"alert_details.{old}", f"tones.ID.{new}") for old, new in _DETAILS.items()),
    *((f"filter_frequencies[n].{old}", f"tones.ID.filters[n].{new}") for old, new in _FILTER.items()),
)
"""What becomes of what, for the reference."""

KEYS: Final = frozenset(
    {"shadow", "state", "desired", "unique_id", "software_configuration"}
    | {"alert_tones", "alert_details", "filter_frequencies"}
    | _CHANNEL | set(CHANNELS) | set(_PLAN) | set(_TONE) | set(_DETAILS) | set(_FILTER)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShadowDefaults:
    """What a device's document does not tell. The placeholders are names that cannot exist."""

    server_url: str = PLACEHOLDER_URL
    cards: tuple[str, ...] = ("fill-in-1", "fill-in-2", "fill-in-3", "fill-in-4")
    ptt_pins: tuple[int, ...] = PTT_PINS


@dataclass(frozen=True, slots=True)
class Conversion:
    """A document in our own form, what was found on the way, and where each part came from."""

    document: dict[str, object]
    findings: list[Finding]
    origins: dict[str, str] = field(default_factory=dict)

    def traced(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings about our own form, told with paths of the device's document."""
        return [replace(finding, path=self._traced(finding.path)) for finding in findings]

    def _traced(self, path: str) -> str:
        head = path
        while head and head not in self.origins:
            head = head[: max(head.rfind("."), head.rfind("["), 0)]
        return self.origins[head] + path[len(head) :] if head else path


def is_shadow(document: dict[str, object]) -> bool:
    """Whether a document is a device's: it has the keys of one and none of ours."""
    if _OWN_ONLY & document.keys():
        return False
    return bool(document.keys() & {"shadow", "state", "desired", "software_configuration", "unique_id"})


def convert(document: dict[str, object], defaults: ShadowDefaults) -> tuple[dict[str, object], list[Finding]]:
    """The own-form document and the findings. Bad entries are left out; ranges are the loader's to check."""
    conversion = convert_traced(document, defaults)
    return conversion.document, conversion.findings


def convert_traced(document: dict[str, object], defaults: ShadowDefaults) -> Conversion:
    """The same, with the origin of each part."""
    return _Converter(document, defaults).conversion()


class _Converter:
    def __init__(self, document: dict[str, object], defaults: ShadowDefaults) -> None:
        self._root = document
        self._defaults = defaults
        self._findings: list[Finding] = []
        self._origins: dict[str, str] = {}
        self._desired, self._place = _desired(document)

    def conversion(self) -> Conversion:
        gateway_id = self._unique_id()
        software, place = self._software()
        ids = {name: self._channel_id(software, name, place) for name in CHANNELS}
        self._unknown_keys(software, place, frozenset(CHANNELS), prefix="channel_")
        channels: list[object] = []
        tones: dict[str, object] = {}
        for at, name in enumerate(CHANNELS):
            channel, channel_id = software.get(name), ids[name]
            if channel_id is None or not isinstance(channel, dict):
                continue
            self._channel(channels, at, channel_id, (*place, name))
            if channel_id not in tones:
                tones[channel_id] = self._plan(channel, channel_id, ids, (*place, name))
        self._origin(("channels",), place)
        url = self._defaults.server_url
        if url == PLACEHOLDER_URL:
            self._fill_in(self._place, "the control server's address", "control_server.url", url)
        own: dict[str, object] = {
            "gateway": {"id": gateway_id, "affiliation_id": gateway_id},
            "control_server": {"url": url},
            "channels": channels,
            "tones": tones,
        }
        return Conversion(own, self._findings, self._origins)

    # ---- who and where

    def _unique_id(self) -> str:
        for holder, place in ((self._root, ()), (self._desired, self._place)):
            value = holder.get("unique_id")
            text = _text(value)
            if text:
                at: Place = (*place, "unique_id")
                self._origin(("gateway", "id"), at)
                self._origin(("gateway", "affiliation_id"), at)
                return text
        self._fill_in((*self._place, "unique_id"), "the device's id", "gateway.id", "fill-in-id")
        return "fill-in-id"

    def _software(self) -> tuple[dict[str, object], Place]:
        place: Place = (*self._place, "software_configuration")
        value = self._desired.get("software_configuration")
        if isinstance(value, list):
            value, place = (value[0] if value else None), (*place, 0)
        if isinstance(value, dict):
            return value, place
        found = MISSING if value is None else shown(value)
        self._found(place, found, "an object with channel_one to channel_four", "", Severity.REFUSED)
        return {}, place

    def _channel_id(self, software: dict[str, object], name: str, place: Place) -> str | None:
        value = software.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._found((*place, name), shown(value), "an object with channel_id")
            return None
        channel_id = _text(value.get("channel_id"))
        if not channel_id:
            found = shown(value["channel_id"]) if "channel_id" in value else MISSING
            self._found((*place, name, "channel_id"), found, "the channel's id", "this channel is left out")
            return None
        return channel_id

    def _channel(self, channels: list[object], at: int, channel_id: str, place: Place) -> None:
        cards, pins = self._defaults.cards, self._defaults.ptt_pins
        card = cards[at] if at < len(cards) else f"fill-in-{at + 1}"
        own: Place = ("channels", len(channels))
        entry: dict[str, object] = {"id": channel_id, "card": card}
        if at < len(pins):
            entry["ptt"] = {"pin": pins[at]}
        channels.append(entry)
        self._origin(own, place)
        self._origin((*own, "id"), (*place, "channel_id"))
        if card.startswith("fill-in-"):
            self._fill_in(place, "the sound card", path_of((*own, "card")), card)

    # ---- tones

    def _plan(
        self, channel: dict[str, object], channel_id: str, ids: dict[str, str | None], place: Place
    ) -> dict[str, object]:
        own: Place = ("tones", channel_id)
        self._origin(own, (*place, "tone_detect_configuration"))
        plan: dict[str, object] = {"detect": self._bool(channel.get("tone_detect"), (*place, "tone_detect"))}
        self._unknown_keys(
            channel, place, frozenset({"channel_id", "tone_detect", "tone_detect_configuration"})
        )
        settings, place = self._object(channel, "tone_detect_configuration", place)
        plan |= self._fields(settings, _PLAN, place, own)
        if not plan.get("passthrough"):
            plan.pop("passthrough_channel", None)  # devices keep the last choice beside a switch that is off
        target = plan.get("passthrough_channel")
        if isinstance(target, str) and target in ids:
            plan["passthrough_channel"] = ids[target] or target
        details, details_place = self._object(settings, "alert_details", place)
        plan |= self._fields(details, _DETAILS, details_place, own)
        plan["alert_tones"] = self._entries(settings, "alert_tones", _TONE, place, (*own, "alert_tones"))
        plan["filters"] = self._entries(settings, "filter_frequencies", _FILTER, place, (*own, "filters"))
        known = frozenset({*_PLAN, "alert_tones", "alert_details", "filter_frequencies"})
        self._unknown_keys(settings, place, known)
        return plan

    def _entries(
        self, settings: dict[str, object], key: str, names: dict[str, str], place: Place, own: Place
    ) -> list[object]:
        value = settings.get(key)
        place = (*place, key)
        self._origin(own, place)
        if value is None:
            return []
        if not isinstance(value, list):
            self._found(place, shown(value), "a list")
            return []
        entries: list[object] = []
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                self._found((*place, at), shown(item), "an object")
                continue
            before = len(self._findings)
            entry = self._fields(item, names, (*place, at), (*own, len(entries)))
            self._unknown_keys(item, (*place, at), frozenset(names))
            if all(finding.severity is Severity.WARNING for finding in self._findings[before:]):
                self._origin((*own, len(entries)), (*place, at))
                entries.append(entry)
        return entries

    def _fields(
        self, source: dict[str, object], names: dict[str, str], place: Place, own: Place
    ) -> dict[str, object]:
        """Our keys and values; what cannot be read is reported and left out."""
        result: dict[str, object] = {}
        for old, new in names.items():
            value = source.get(old)
            if value is None or value == "":
                continue  # devices store what was never set as null or ""
            self._origin((*own, new), (*place, old))
            if new in _BOOLS:
                result[new] = self._bool(value, (*place, old))
            elif new in _TEXTS:
                text = _text(value)
                if text is None:
                    self._found((*place, old), shown(value), "a text")
                else:
                    result[new] = text.lower() if new == "type" else text
            else:
                number = _number(value)
                if number is None:
                    self._found((*place, old), shown(value), "a number")
                else:
                    result[new] = number
        for old, new in names.items():
            self._origins.setdefault(path_of((*own, new)), path_of((*place, old)))
        return result

    # ---- small things

    def _object(self, holder: dict[str, object], key: str, place: Place) -> tuple[dict[str, object], Place]:
        value = holder.get(key)
        place = (*place, key)
        if isinstance(value, list) and len(value) == 1:
            value, place = value[0], (*place, 0)
        if isinstance(value, dict):
            return value, place
        if value is not None and value != []:
            self._found(place, shown(value), "an object", "the defaults are in force")
        return {}, place

    def _bool(self, value: object, place: Place) -> bool:
        if isinstance(value, bool) or value is None:
            return bool(value)
        word = str(value).strip().lower() if isinstance(value, (str, int)) else "?"
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        self._found(place, shown(value), "true or false", "taken as false")
        return False

    def _unknown_keys(
        self, holder: dict[str, object], place: Place, known: frozenset[str], prefix: str = ""
    ) -> None:
        """Keys of other software are none of our business; one that is nearly ours was meant for us."""
        from echostream.config.explain import did_you_mean

        for key in holder.keys() - known:
            hint = did_you_mean(key, known - holder.keys())
            if hint or (prefix and key.startswith(prefix)):
                expected = f"one of {', '.join(sorted(known))}"
                self._found((*place, key), "an unknown key", expected, hint, Severity.WARNING)

    def _origin(self, own: Place, place: Place) -> None:
        self._origins[path_of(own)] = path_of(place)

    def _fill_in(self, place: Place, what: str, own: str, stands_in: str) -> None:
        hint = f'"{stands_in}" stands in for it: fill in {own} after `echostream config convert`'
        self._found(place, MISSING, f"{what} (this form does not tell it)", hint, Severity.WARNING)

    def _found(
        self, place: Place, value: str, expected: str, hint: str = "", severity: Severity = Severity.DROPPED
    ) -> None:
        self._findings.append(Finding(path_of(place), value, expected, hint, severity))


def _desired(document: dict[str, object]) -> tuple[dict[str, object], Place]:
    """The part that holds the settings, however deep a device's document was cut."""
    for keys in _ROOTS:
        value: object = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict) and (keys == () or value):
            return value, keys
    return document, ()


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 40 or not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else value
