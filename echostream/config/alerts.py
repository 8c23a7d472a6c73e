"""Alerts, read so that one bad target, rule or maintenance window costs only itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeVar

from echostream.config.alert_conditions import BOTH, LIMITS
from echostream.config.alert_models import AlertRule, Alerts, AlertTarget, Escalation, Maintenance
from echostream.config.base import Section
from echostream.config.explain import did_you_mean, read
from echostream.config.findings import Finding, Place, Severity, path_of, shown

MAX_ENTRIES: Final = 200
DROPPED, WARNING = Severity.DROPPED, Severity.WARNING
Entry = TypeVar("Entry", bound=Section)
Named = TypeVar("Named", AlertRule, AlertTarget)


def read_alerts(value: object) -> tuple[Alerts, list[Finding]]:
    """The section `alerts`. A bad setting of the section itself switches it off."""
    place: Place = ("alerts",)
    if not isinstance(value, dict):
        outcome = read(Alerts, value, place, DROPPED)
        return Alerts(), outcome.wrong
    lists = ("targets", "rules", "maintenance")
    plain = read(Alerts, {key: item for key, item in value.items() if key not in lists}, place, DROPPED)
    if plain.section is None:
        return Alerts(), plain.wrong
    targets, findings = _entries(AlertTarget, value.get("targets", []), (*place, "targets"))
    targets, twice = _named(targets, (*place, "targets"))
    rules, wrong = _entries(AlertRule, value.get("rules", []), (*place, "rules"))
    rules, same = _named(rules, (*place, "rules"))
    windows, unread = _entries(Maintenance, value.get("maintenance", []), (*place, "maintenance"))
    findings += [*twice, *wrong, *same, *unread]
    known = [target.name for target in targets.values()]
    settled: list[AlertRule] = []
    for at, rule in rules.items():
        whole, missing = _with_targets(rule, (*place, "rules", at), known)
        findings += missing
        if whole is not None:
            settled.append(whole)
    section = plain.section.model_copy(
        update={
            "targets": tuple(targets.values()),
            "rules": tuple(settled),
            "maintenance": tuple(windows.values()),
        }
    )
    return section, findings + _idle(section)


def _entries(model: type[Entry], value: object, place: Place) -> tuple[dict[int, Entry], list[Finding]]:
    """Those that hold, by where they stand."""
    if not isinstance(value, list):
        return {}, [Finding(path_of(place), shown(value), "a list", "write a list: […]", DROPPED)]
    kept: dict[int, Entry] = {}
    findings: list[Finding] = []
    if len(value) > MAX_ENTRIES:
        found, hint = f"a list of {len(value)} entries", "the last ones are left out"
        findings.append(Finding(path_of(place), found, f"at most {MAX_ENTRIES}", hint, DROPPED))
    for at, item in enumerate(value[:MAX_ENTRIES]):
        outcome = read(model, item, (*place, at), DROPPED)
        findings += outcome.wrong
        if outcome.section is not None:
            kept[at] = outcome.section
    return kept, findings


def _named(entries: Mapping[int, Named], place: Place) -> tuple[dict[int, Named], list[Finding]]:
    """Those with a name of their own: the first of two that share one."""
    kept: dict[int, Named] = {}
    first: dict[str, int] = {}
    findings: list[Finding] = []
    for at, entry in entries.items():
        if entry.name in first:
            hint = f"{path_of((*place, first[entry.name]))} has it; this one is left out"
            path = path_of((*place, at, "name"))
            findings.append(Finding(path, shown(entry.name), "a name of its own", hint, DROPPED))
            continue
        first[entry.name] = at
        kept[at] = entry
    return kept, findings


def _with_targets(
    rule: AlertRule, place: Place, known: Sequence[str]
) -> tuple[AlertRule | None, list[Finding]]:
    """A rule with the targets that there are; None: nobody is left that it could tell."""
    targets, findings = _known(rule.targets, (*place, "targets"), known)
    steps: list[Escalation] = []
    for at, step in enumerate(rule.escalate):
        names, wrong = _known(step.targets, (*place, "escalate", at, "targets"), known)
        findings += wrong
        if names:
            steps.append(step.model_copy(update={"targets": names}))
    if not targets:
        hint = "nobody is left whom this rule could tell: it is left out"
        path = path_of((*place, "targets"))
        return None, [*findings, Finding(path, shown(rule.targets), "a target that is there", hint, DROPPED)]
    if not findings:
        return rule, findings
    return rule.model_copy(update={"targets": targets, "escalate": tuple(steps)}), findings


def _known(names: Sequence[str], place: Place, known: Sequence[str]) -> tuple[tuple[str, ...], list[Finding]]:
    findings = []
    for at, name in enumerate(names):
        if name not in known:
            hint = did_you_mean(name, known) or "add it to alerts.targets; it is not told"
            path = path_of((*place, at))
            findings.append(Finding(path, shown(name), "the name of a target", hint, DROPPED))
    return tuple(name for name in names if name in known), findings


def _idle(section: Alerts) -> list[Finding]:
    if section.enabled and not section.rules:
        hint = "add a rule, or write enabled: false"
        return [Finding("alerts.rules", "no rule", "one at least: nobody is told anything", hint, WARNING)]
    return []


def advise_alerts(
    section: Alerts, channels: Collection[str], devices: Collection[str], tones: Collection[str]
) -> list[Finding]:
    """Sources that are not there. They may come later, so that the rule stays."""
    if not section.enabled:
        return []
    findings = []
    for at, rule in enumerate(section.rules):
        kind = LIMITS[rule.on].sources
        path = path_of(("alerts", "rules", at, "sources"))
        if rule.sources and not kind:
            hint = "it is left out of account: remove it"
            findings.append(Finding(path, shown(rule.sources), f"nothing for {rule.on}", hint, WARNING))
            continue
        known = {"tones": tones, "devices": devices, "channels": channels, BOTH: {*channels, *devices}}
        for index, name in enumerate(rule.sources):
            if name not in known[kind]:
                hint = did_you_mean(name, known[kind]) or "nothing of this name is configured"
                where = path_of(("alerts", "rules", at, "sources", index))
                findings.append(Finding(where, shown(name), f"one of the {kind}", hint, WARNING))
    return findings
