"""Definition files of other programs, and our own entries by any name: into entries with our keys.

Known: lists and `alert_tones` of EchoStream and of the field's devices, `tones.cfg` of TwoToneDetect, the
detectors of icad_tone_detection and fd-tone-notify, tone sets of ThinLineRadio, CSV with or without heading.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from echostream.config.tone_models import AlertTone
from echostream.errors import ConfigError

Values = dict[str, object]

_ALIASES: Final = {
    "tone_id": "toneid name label description detectorname tone page unit station department agency alias id",
    "tone_a_hz": "tonea toneahz atone atonehz a ahz afreq afrequency freqa frequencya toneafrequency tone1",
    "tone_b_hz": "toneb tonebhz btone btonehz b bhz bfreq bfrequency freqb frequencyb tonebfrequency tone2",
    "tone_a_length_s": "tonealength tonealengths atonelength alength alengths aduration atoneduration "
    "atoneminduration aminduration tonealen tone1length",
    "tone_b_length_s": "toneblength toneblengths btonelength blength blengths bduration btoneduration "
    "btoneminduration bminduration toneblen tone2length",
    "tone_a_range_hz": "tonearange tonearangehz atonerange arange arangehz",
    "tone_b_range_hz": "tonebrange tonebrangehz btonerange brange brangehz",
    "tolerance": "tolerance tonetolerance tolerancehz tol",
    "tolerance_percent": "tolerancepercent tolerancepct",
    "long_hz": "longtone longtonehz long longfreq longfrequency",
    "long_length_s": "longtonelength longlength longduration longtoneminduration longminduration",
    "record_length_s": "recordlength recordlengths recordseconds",
    "alert": "alert detectiontonealert",
}
_KEYS: Final = {alias: key for key, aliases in _ALIASES.items() for alias in aliases.split()}
_RANK: Final = {alias: rank for aliases in _ALIASES.values() for rank, alias in enumerate(aliases.split())}
"""Of two names for one thing the first counts: a label says more than a number."""
_INI_SECTION = re.compile(r"^\s*\[([^\[\]{}\"]*)\]\s*$", re.M)
_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d{1,3})?)\s*(?:hz|s|sec|seconds|%)?\s*", re.I
)
_TEXTS: Final = frozenset({"tone_id", "alert", "digits", "system", "kind"})
_LARGEST_SHARE: Final = 0.5
"""A tolerance below this is a share (0.02 is 2 %): nobody means half a hertz."""
_MOST_DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """One definition. place: where it stands in its file. names: what our keys are called there."""

    place: str
    values: Values
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file holds. form: whose it is, for people."""

    form: str
    entries: list[Entry]


def key_of(name: str) -> str | None:
    """Our key for a name: `Tone A (Hz)`, `a_tone` and `aTone` are all tone_a_hz."""
    return name if name in AlertTone.model_fields else _KEYS.get(_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def number(value: object) -> object:
    """A text that is a number, with its unit or without, as one; all else as it is."""
    if isinstance(value, str) and len(value) < 40 and (match := _NUMBER.fullmatch(value)):
        return float(match[1].replace(",", "."))
    return value


def own_values(
    source: dict[str, object], tolerance_is_percent: bool = False
) -> tuple[Values, dict[str, str]]:
    """A foreign entry with our keys, and what each was called. Keys that are none of ours are left out."""
    found: Values = {}
    names: dict[str, str] = {}
    for name, value in sorted(flat(source), key=lambda pair: _RANK.get(_plain(pair[0]), 0)):
        key = key_of(name)
        if key is None or key in found or value is None or value == "":
            continue
        is_text = key in _TEXTS
        found[key] = str(value).strip() if is_text and not isinstance(value, (dict, list)) else number(value)
        names[key] = name
    _settle_tolerance(found, names, tolerance_is_percent)
    for key in ("tone_a_length_s", "tone_b_length_s", "long_length_s", "long_hz", "record_length_s"):
        if found.get(key) == 0:
            del found[key]  # there 0 is "not set"
    return found, names


def _settle_tolerance(found: Values, names: dict[str, str], is_percent: bool) -> None:
    """A tolerance of both tones becomes a range of each."""
    key = "tolerance" if "tolerance" in found else "tolerance_percent"
    given = found.pop(key, None)
    if not isinstance(given, (int, float)) or isinstance(given, bool) or given <= 0:
        return
    share = given if given < _LARGEST_SHARE else given / 100
    in_hz = given >= _LARGEST_SHARE and key == "tolerance" and not is_percent
    for tone in ("tone_a", "tone_b", "long"):
        hz = found.get(f"{tone}_hz")
        if f"{tone}_range_hz" not in found and isinstance(hz, (int, float)):
            found[f"{tone}_range_hz"] = float(given) if in_hz else round(share * hz, 2)
            names[f"{tone}_range_hz"] = names[key]


def flat(source: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Name and value; of `"aTone": {"frequency": 1, "minDuration": 2}` both, each by a name of its own."""
    for name, value in source.items():
        if isinstance(value, dict) and key_of(name) in ("tone_a_hz", "tone_b_hz", "long_hz"):
            yield name, value.get("frequency")
            yield f"{name}MinDuration", value.get("minDuration")
        elif name == "tones" and isinstance(value, list) and 1 <= len(value) <= 2:
            yield from (
                zip(("tone_a", "tone_b"), value, strict=False)
                if len(value) == 2
                else [("long_tone", value[0])]
            )
        else:
            yield name, value


# ---- JSON


def from_json(document: object) -> Foreign | None:
    """Entries of a JSON document; None where it is no form that is known here."""
    if isinstance(document, list):
        form = "ThinLineRadio tone sets" if _has(document, "aTone", "longTone") else "a list of tones"
        return Foreign(form, list(_listed(document, "", False)))
    if not isinstance(document, dict):
        return None
    if isinstance(tones := document.get("alert_tones"), list):
        return Foreign("alert_tones", list(_listed(tones, "alert_tones", False)))
    detection = document.get("detection")
    if isinstance(detection, dict) and isinstance(tones := detection.get("detectors"), list):
        return Foreign("fd-tone-notify detectors", list(_listed(tones, "detection.detectors", False)))
    sets = list(_tone_sets(document, "", 0))
    if sets:
        return Foreign("ThinLineRadio tone sets", sets)
    named = {name: item for name, item in document.items() if isinstance(item, dict)}
    if any("a_tone" in item or "b_tone" in item for item in named.values()):
        return Foreign("icad_tone_detection detectors", [
            _entry(f"[{name!r}]", {"name": name, **item}, True) for name, item in named.items()
        ])  # fmt: skip
    return None


def _has(items: list[object], *names: str) -> bool:
    return any(isinstance(item, dict) and any(name in item for name in names) for item in items)


def _listed(items: list[object], path: str, percent: bool) -> Iterator[Entry]:
    for at, item in enumerate(items):
        place = f"{path}[{at}]"
        is_icad = percent or (isinstance(item, dict) and ("a_tone" in item or "b_tone" in item))
        yield _entry(place, item, is_icad) if isinstance(item, dict) else Entry(place, {"": item})


def _entry(place: str, item: dict[str, object], percent: bool) -> Entry:
    values, names = own_values(item, percent)
    return Entry(place, values, names)


def _tone_sets(value: object, path: str, depth: int) -> Iterator[Entry]:
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            if name == "toneSets" and isinstance(item, list):
                yield from _listed(item, inner, False)
            else:
                yield from _tone_sets(item, inner, depth + 1)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _tone_sets(item, f"{path}[{at}]", depth + 1)


# ---- text


def is_ini(text: str) -> bool:
    """Whether sections in brackets stand on lines of their own."""
    first = next((line for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;"), "")
    return _INI_SECTION.fullmatch(first) is not None


def from_ini(text: str) -> Foreign:
    """TwoToneDetect's tones.cfg and its relatives: a section for each page."""
    sections: list[tuple[str, Values]] = []
    for line in text.splitlines():
        if match := _INI_SECTION.fullmatch(line):
            sections.append((match[1].strip(), {}))
        elif sections and not line.lstrip().startswith(("#", ";")):
            name, _, value = line.partition("=")
            sections[-1][1][name.strip()] = value.strip()
    entries = []
    for name, section in sections:
        entry = _entry(f"[{name}]", section, False)
        if {"tone_a_hz", "tone_b_hz", "long_hz"} & entry.values.keys():
            entry.values.setdefault("tone_id", name)
            entries.append(entry)
    return Foreign("tones.cfg of TwoToneDetect", entries)


def from_csv(text: str) -> Foreign:
    """A table. Without a heading: id, tone A, tone B, length of A, length of B. Else ConfigError."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    delimiter = max("\t;,", key=lines[0].count) if lines else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    if not rows:
        return Foreign("CSV", [])
    heading = rows[0]
    if {"tone_a_hz", "long_hz"} & {key_of(name) for name in heading}:
        numbered = list(enumerate(rows[1:], 2))
    elif sum(isinstance(number(cell), float) for cell in heading) >= 2:
        has_id = not isinstance(number(heading[0]), float) or len(heading) in (3, 5)
        heading = ["tone_id"] * has_id + ["tone_a", "tone_b", "tone_a_length", "tone_b_length"]
        numbered = list(enumerate(rows, 1))
    else:
        raise ConfigError(
            f"no definitions: the first row is {', '.join(heading)[:60]!r}; expected a heading such as "
            "tone_id, tone_a, tone_b, tone_a_length, tone_b_length"
        )
    entries = [_entry(f"row {at}", dict(zip(heading, row, strict=False)), False) for at, row in numbered]
    return Foreign("CSV", entries)
