"""Tone plans, read so that one bad entry costs only itself: a page that is not heard is a missed call."""

from __future__ import annotations

from typing import TypeVar

from echostream.config.base import Section
from echostream.config.explain import did_you_mean, read
from echostream.config.findings import Finding, Place, Severity, path_of, shown
from echostream.config.tone_models import (
    HIGHEST_TONE_HZ,
    LOWEST_TONE_HZ,
    MAX_ALERT_TONES,
    MAX_FILTERS,
    AlertTone,
    ToneFilter,
    TonePlan,
)

Entry = TypeVar("Entry", bound=Section)

DROPPED = Severity.DROPPED


def read_plans(
    value: object, known: list[str], left_out: set[str]
) -> tuple[dict[str, TonePlan], list[Finding]]:
    """Plans by channel id. `known`: the ids in force; `left_out`: ids whose channel was reported already."""
    if not isinstance(value, dict):
        hint = "no channel listens for tones now"
        return {}, [
            Finding("tones", shown(value), "an object with a tone plan per channel id", hint, DROPPED)
        ]
    plans: dict[str, TonePlan] = {}
    findings: list[Finding] = []
    for channel_id, entry in value.items():
        place: Place = ("tones", channel_id)
        plan, wrong = _read_plan(entry, place)
        findings += wrong
        if channel_id in known:
            if plan is not None:
                plans[channel_id] = plan
        elif known and channel_id not in left_out:
            hint = did_you_mean(channel_id, known) or f"the channels are {', '.join(known)}"
            findings.append(
                Finding(path_of(place), "a channel that does not exist", "a channel's id", hint, DROPPED)
            )
    return plans, findings


def _read_plan(value: object, place: Place) -> tuple[TonePlan | None, list[Finding]]:
    outcome = read(TonePlan, value, place, DROPPED)
    if outcome.section is not None:
        tones, findings = _unique(dict(enumerate(outcome.section.alert_tones)), place)
        return outcome.section.model_copy(update={"alert_tones": tones}), findings
    if not isinstance(value, dict):
        return None, outcome.wrong
    return _read_piecewise(value, place)


def _read_piecewise(value: dict[str, object], place: Place) -> tuple[TonePlan, list[Finding]]:
    """What holds of a plan: a bad setting has its default, a bad entry is left out."""
    settings = {key: item for key, item in value.items() if key not in ("alert_tones", "filters")}
    outcome = read(TonePlan, settings, place, DROPPED)
    plan = outcome.rest if outcome.rest is not None else TonePlan()
    entries, wrong_tones = _entries(AlertTone, value, (*place, "alert_tones"), MAX_ALERT_TONES)
    filters, wrong_filters = _entries(ToneFilter, value, (*place, "filters"), MAX_FILTERS)
    tones, doubled = _unique(entries, place)
    kept = plan.model_copy(update={"alert_tones": tones, "filters": tuple(filters.values())})
    return kept, outcome.wrong + wrong_tones + doubled + wrong_filters


def _entries(
    model: type[Entry], plan: dict[str, object], place: Place, most: int
) -> tuple[dict[int, Entry], list[Finding]]:
    """The entries of a list that hold, by their index."""
    value = plan.get(str(place[-1]), [])
    if not isinstance(value, list):
        return {}, [Finding(path_of(place), shown(value), f"a list of at most {most}", "", DROPPED)]
    kept: dict[int, Entry] = {}
    findings: list[Finding] = []
    if len(value) > most:
        hint = f"the last {len(value) - most} are left out"
        found = f"a list of {len(value)} entries"
        findings.append(Finding(path_of(place), found, f"at most {most}", hint, DROPPED))
    for at, item in enumerate(value[:most]):
        outcome = read(model, item, (*place, at), DROPPED)
        findings += outcome.wrong
        if outcome.section is not None:
            kept[at] = outcome.section
    return kept, findings


def _unique(tones: dict[int, AlertTone], place: Place) -> tuple[tuple[AlertTone, ...], list[Finding]]:
    """The first of two pages with one id stays; events could not tell them apart."""
    kept: dict[str, AlertTone] = {}
    findings: list[Finding] = []
    for at, tone in tones.items():
        if tone.tone_id in kept:
            path = path_of((*place, "alert_tones", at, "tone_id"))
            hint = "an earlier page of this channel has it; this one is left out"
            findings.append(Finding(path, shown(tone.tone_id), "an id of its own", hint, DROPPED))
        else:
            kept[tone.tone_id] = tone
            findings += _out_of_reach(tone, (*place, "alert_tones", at))
    return tuple(kept.values()), findings


# ---- where pages are passed on to


def settle_passthrough(
    plans: dict[str, TonePlan], known: list[str], enabled: set[str], left_out: set[str]
) -> tuple[dict[str, TonePlan], list[Finding]]:
    """The plans, with every passthrough off that leads nowhere or closes a circle."""
    settled: dict[str, TonePlan] = {}
    findings: list[Finding] = []
    leads_to: dict[str, str] = {}
    for channel_id, plan in plans.items():
        problem = _passthrough_problem(channel_id, plan, known, left_out, leads_to)
        if problem is None:
            if plan.passthrough and plan.passthrough_channel is not None:
                leads_to[channel_id] = plan.passthrough_channel
                findings += _sleeping(channel_id, plan.passthrough_channel, enabled)
            settled[channel_id] = plan
        else:
            settled[channel_id] = plan.model_copy(update={"passthrough": False, "passthrough_channel": None})
            findings.append(problem)
    return settled, findings


def _passthrough_problem(
    channel_id: str, plan: TonePlan, known: list[str], left_out: set[str], leads_to: dict[str, str]
) -> Finding | None:
    target = plan.passthrough_channel
    path = path_of(("tones", channel_id, "passthrough_channel"))
    off = "nothing is passed on until then"
    if target is None:
        if not plan.passthrough:
            return None
        return Finding(path, "(missing)", "the id of another channel", f"add it; {off}", DROPPED)
    if target not in known:
        hint = did_you_mean(target, known) or f"the channels are {', '.join(known)}"
        if target in left_out:
            hint = f"that channel is left out: repair it; {off}"
        return Finding(path, shown(target), "the id of a channel", hint, DROPPED)
    circle = [channel_id, target]
    while circle[-1] != channel_id and circle[-1] in leads_to:
        circle.append(leads_to[circle[-1]])
    if plan.passthrough and circle[-1] == channel_id:
        hint = f"{' -> '.join(circle)} would go round forever; this one is off"
        return Finding(path, shown(target), "a channel that does not lead back here", hint, DROPPED)
    return None


def _sleeping(channel_id: str, target: str, enabled: set[str]) -> list[Finding]:
    if target in enabled:
        return []
    path = path_of(("tones", channel_id, "passthrough_channel"))
    hint = "enable that channel, or pass on to another"
    return [Finding(path, shown(target), "a channel that is enabled", hint, Severity.WARNING)]


# ---- advice


def advise_plans(plans: dict[str, TonePlan], keyed: set[str]) -> list[Finding]:
    """What holds and yet will not do what somebody wants. `keyed`: the channels that can key a radio."""
    findings: list[Finding] = []
    for channel_id, plan in plans.items():
        place: Place = ("tones", channel_id)
        target = plan.passthrough_channel
        if plan.passthrough and plan.passthrough_key and target is not None and target not in keyed:
            path = path_of((*place, "passthrough_key"))
            hint = f'give channel "{target}" a key, or remove passthrough_key'
            findings.append(Finding(path, "true", "a channel with a key", hint, Severity.WARNING))
    return findings


def _out_of_reach(tone: AlertTone, place: Place) -> list[Finding]:
    findings: list[Finding] = []
    for field in ("tone_a_hz", "tone_b_hz", "tone_c_hz", "tone_d_hz"):
        hz = getattr(tone, field)
        if hz is not None and not LOWEST_TONE_HZ <= hz <= HIGHEST_TONE_HZ:
            expected = f"{LOWEST_TONE_HZ:.0f} to {HIGHEST_TONE_HZ:.0f} Hz"
            hint = "the ear listens to no other tones, so this page is never heard"
            findings.append(Finding(path_of((*place, field)), shown(hz), expected, hint, Severity.WARNING))
    return findings
