"""Definitions from any file: ours, a device's, another program's. What does not hold is told and left out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from echostream.config.explain import did_you_mean, read
from echostream.config.findings import Finding, InvalidConfig, Severity, shown
from echostream.config.json_text import MAX_BYTES, parse_text
from echostream.config.load import load_config, parse_document, read_file
from echostream.config.shadow import ShadowDefaults, convert_traced, is_shadow
from echostream.config.tone_models import MAX_ALERT_TONES, AlertTone, TonePlan
from echostream.config.tone_plans import read_plans
from echostream.errors import ConfigError
from echostream.tone_tools.foreign_forms import Entry, Foreign, Values, from_csv, from_ini, from_json, is_ini

ANY_CHANNEL: Final = ""
_KNOWN: Final = "config.json, a device's configuration, alert_tones, tones.cfg, icad, ThinLineRadio, CSV"


@dataclass(frozen=True, slots=True)
class Definitions:
    """plans: by channel id, "" where the file knows no channels. form: what the file is, for people."""

    form: str
    plans: dict[str, TonePlan] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def tones(self) -> tuple[AlertTone, ...]:
        """Of all channels."""
        return tuple(tone for plan in self.plans.values() for tone in plan.alert_tones)

    def of_channel(self, channel: str | None) -> dict[str, TonePlan]:
        """The plans to listen with. ConfigError with the nearest name where there is no such channel."""
        if channel is None:
            return self.plans
        if channel not in self.plans:
            near = did_you_mean(channel, self.plans)
            known = ", ".join(sorted(name for name in self.plans if name)) or "none"
            raise ConfigError(f"channel {channel}: has no tones here; {near or f'those that have: {known}'}")
        return {channel: self.plans[channel]}

    def tone(self, tone_id: str, channel: str | None = None) -> AlertTone:
        """The definition of a page. ConfigError with the nearest id where there is none."""
        tones = [tone for plan in self.of_channel(channel).values() for tone in plan.alert_tones]
        for tone in tones:
            if tone.tone_id == tone_id:
                return tone
        ids = [tone.tone_id for tone in tones]
        near = did_you_mean(tone_id, ids)
        some = ", ".join(ids[:12]) + (" ..." if len(ids) > 12 else "")
        raise ConfigError(
            f"page {tone_id}: not defined; {near or (f'those that are: {some}' if some else 'none is')}"
        )


def given(file: Path | None, config: Path | None) -> Definitions:
    """From whichever of the two there is."""
    if file is not None:
        return from_file(file)
    return from_config(config) if config is not None else Definitions("nothing")


def from_config(path: Path) -> Definitions:
    """What a gateway's configuration listens for. InvalidConfig where it is refused."""
    loaded = load_config(path)
    tones = [finding for finding in (*loaded.dropped, *loaded.warnings) if finding.path.startswith("tones")]
    return Definitions("config.json", dict(loaded.config.tones), tuple(tones))


def from_file(path: Path) -> Definitions:
    """Recognised by content. ConfigError names the file and what it could be."""
    return from_bytes(read_file(path), path)


def from_bytes(data: bytes, path: Path) -> Definitions:
    """What a file holds. path: its name in errors."""
    text = _text(data, path)
    if not text.strip():
        raise ConfigError(f"{path}: is empty; expected {_KNOWN}")
    try:
        if text.lstrip()[0] in "[{" and not is_ini(text):
            return _json(parse_text(text, str(path)), path)
        return _checked(from_ini(text) if is_ini(text) else from_csv(text))
    except InvalidConfig:
        raise
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _text(data: bytes, path: Path) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES:,} bytes; is this the right file?")
    if b"\0" in data[:4096] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{path}: no text; expected {_KNOWN}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # programs for Windows write it


def _json(document: object, path: Path) -> Definitions:
    foreign = from_json(document)
    if foreign is not None:
        return _checked(foreign)
    tidy = parse_document(json.dumps(document), str(path))
    traced = None
    form = "config.json"
    if is_shadow(tidy):
        traced = convert_traced(tidy, ShadowDefaults())
        tidy, form = traced.document, "a device's configuration"
    tones = tidy.get("tones")
    if not isinstance(tones, dict):
        raise ConfigError(f"no tones in this JSON; expected {_KNOWN}")
    plans, findings = read_plans(tones, [str(name) for name in tones], set())
    if traced is not None:
        own = [finding for finding in traced.findings if finding.severity is not Severity.WARNING]
        findings = [*own, *traced.traced(findings)]
    return Definitions(form, plans, tuple(findings))


def _checked(foreign: Foreign) -> Definitions:
    """Entries as definitions; the first of two with one id stays."""
    kept: dict[str, AlertTone] = {}
    findings: list[Finding] = []
    for entry in foreign.entries:
        for values in _pages(entry.values):
            outcome = read(AlertTone, values, ("tones", "file", "alert_tones", 0), Severity.DROPPED)
            findings += [_placed(finding, entry) for finding in outcome.wrong]
            tone = outcome.section
            if tone is not None and tone.tone_id in kept:
                place = f"{entry.place} {entry.names.get('tone_id', 'tone_id')}"
                hint = "an earlier one has it; this one is left out"
                findings.append(
                    Finding(place, shown(tone.tone_id), "an id of its own", hint, Severity.DROPPED)
                )
            elif tone is not None:
                kept[tone.tone_id] = tone
    if not foreign.entries:
        findings.append(Finding("", "no definition", "one at least", "", Severity.DROPPED))
    kept_all = tuple(kept.values())
    if len(kept_all) > MAX_ALERT_TONES:
        many = f"{len(kept_all)} definitions"
        findings.append(
            Finding("", many, f"at most {MAX_ALERT_TONES}", "the last are left out", Severity.DROPPED)
        )
    return Definitions(
        foreign.form, {ANY_CHANNEL: TonePlan(alert_tones=kept_all[:MAX_ALERT_TONES])}, tuple(findings)
    )


def _pages(given: Values) -> list[object]:
    """What one entry defines: a page of two tones, a long tone, or either of both."""
    if "" in given:
        return [given[""]]
    values = dict(given)
    long_hz, long_length_s = values.pop("long_hz", None), values.pop("long_length_s", None)
    long_range_hz = values.pop("long_range_hz", None)
    pages: list[object] = []
    if long_hz is None or "tone_a_hz" in values:
        if "tone_id" not in values and {"tone_a_hz", "tone_b_hz"} <= values.keys():
            values["tone_id"] = f"{values['tone_a_hz']}-{values['tone_b_hz']}"
        pages.append(values)
    if long_hz is not None:
        name = f"{values.get('tone_id', long_hz)}{' (long)' if pages else ''}"
        page: Values = {"tone_id": name, "kind": "long", "tone_a_hz": long_hz}
        page |= {key: values[key] for key in ("alert", "record_length_s", "priority") if key in values}
        if long_length_s is not None:
            page["tone_a_length_s"] = long_length_s
        if long_range_hz is not None:
            page["tone_a_range_hz"] = long_range_hz
        pages.append(page)
    return pages


def _placed(finding: Finding, entry: Entry) -> Finding:
    """With the path and the names of the file it came from."""
    key = finding.path.rpartition("].")[2] if "]." in finding.path else ""
    return replace(finding, path=f"{entry.place} {entry.names.get(key, key)}".strip())
