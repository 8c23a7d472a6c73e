"""Alerts in a configuration: a bad target, rule or window costs only itself."""

from __future__ import annotations

import pytest
from config_documents import Document, example, findings_of, small

from echostream.config.alerts import MAX_ENTRIES
from echostream.config.load import LoadedConfig, parse_config

URL = {"env": "CHIEF"}
RULE = {"name": "disk", "on": "disk", "targets": ["chief"]}


def with_alerts(**section: object) -> Document:
    whole = {"enabled": True, "targets": [{"name": "chief", "url": URL}], "rules": [RULE], **section}
    return small(alerts=whole)


def loaded(**section: object) -> LoadedConfig:
    return parse_config(with_alerts(**section), "test")


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"name": "b", "on": "dsk", "targets": ["chief"]}, "alerts.rules[1].on"),
        ({"name": "b", "on": "disk", "targets": []}, "alerts.rules[1].targets"),
        ({"name": "b", "on": "disk", "targets": ["cheif"]}, "alerts.rules[1].targets[0]"),
        ({"name": "disk", "on": "page", "targets": ["chief"]}, "alerts.rules[1].name"),
        ({"name": "b", "on": "disk", "targets": ["chief"], "clear": 1}, "alerts.rules[1].clear"),
        (
            {"name": "b", "on": "temperature", "targets": ["chief"], "threshold": 70, "clear": 71},
            "alerts.rules[1].clear",
        ),
        ({"name": "b", "on": "card_gone", "targets": ["chief"], "threshold": 2}, "alerts.rules[1].threshold"),
        ({"name": "b", "on": "disk", "targets": ["chief"], "for_s": "5"}, "alerts.rules[1].for_s"),
        (
            {"name": "b", "on": "disk", "targets": ["chief"], "schedule": [{"begins": "25:00"}]},
            "alerts.rules[1].schedule[0].begins",
        ),
        ("disk", "alerts.rules[1]"),
    ],
)
def test_a_bad_rule_costs_itself(bad: object, path: str) -> None:
    result = loaded(rules=[RULE, bad, {**RULE, "name": "c"}])
    assert [rule.name for rule in result.config.alerts.rules] == ["disk", "c"]
    assert result.config.alerts.enabled
    assert path in {finding.path for finding in result.dropped}


def test_a_bad_target_costs_itself_and_rules_keep_the_others() -> None:
    targets = [{"name": "chief", "url": URL}, {"name": "desk", "url": "tgram://token/chat"}]
    rule = {**RULE, "targets": ["desk", "chief"], "escalate": [{"after_min": 5, "targets": ["desk"]}]}
    result = loaded(targets=targets, rules=[rule])
    (kept,) = result.config.alerts.rules
    assert (kept.targets, kept.escalate) == (("chief",), ())
    paths = {finding.path for finding in result.dropped}
    assert {"alerts.targets[1].url", "alerts.rules[0].targets[0]"} <= paths
    assert "token" not in str([str(finding) for finding in result.dropped])


def test_two_of_one_name_are_the_first() -> None:
    targets = [{"name": "chief", "url": URL}, {"name": "chief", "url": {"env": "OTHER"}}]
    result = loaded(targets=targets)
    assert [target.url.env for target in result.config.alerts.targets] == ["CHIEF"]
    assert [finding.path for finding in result.dropped] == ["alerts.targets[1].name"]


@pytest.mark.parametrize(
    "window",
    [
        {"begins": "2026-11-21T22:00", "ends": "2026-11-21T21:00"},
        {"begins": "2026-11-31T22:00", "ends": "2026-12-01T21:00"},
        {"begins": "yesterday", "ends": "2026-12-01T21:00"},
        {"begins": "2026-11-21T22:00"},
    ],
)
def test_a_bad_window_costs_itself(window: Document) -> None:
    good = {"begins": "2026-11-21T22:00", "ends": "2026-11-22T02:00Z", "sources": ["a"]}
    result = loaded(maintenance=[window, good])
    assert [kept.ends for kept in result.config.alerts.maintenance] == ["2026-11-22T02:00Z"]
    assert result.dropped[0].path.startswith("alerts.maintenance[0]")
    assert result.config.alerts.rules


@pytest.mark.parametrize("section", [[], "on", {"enabled": "yes"}, {"enabld": True}])
def test_a_section_that_does_not_hold_is_off(section: object) -> None:
    result = parse_config(small(alerts=section), "test")
    assert not result.config.alerts.enabled
    assert result.dropped


@pytest.mark.parametrize("key", ["targets", "rules", "maintenance"])
def test_a_list_that_is_none(key: str) -> None:
    assert f"alerts.{key}" in findings_of(with_alerts(**{key: {}}))


def test_a_list_without_end_is_cut() -> None:
    rules = [{**RULE, "name": f"r{number}"} for number in range(MAX_ENTRIES + 5)]
    result = loaded(rules=rules)
    assert len(result.config.alerts.rules) == MAX_ENTRIES
    assert [finding.path for finding in result.dropped] == ["alerts.rules"]


@pytest.mark.parametrize(
    ("rule", "path", "hint"),
    [
        ({"on": "silence", "sources": ["a", "c"]}, "alerts.rules[0].sources[1]", "nothing of this name"),
        ({"on": "page", "sources": ["engine-7"]}, "alerts.rules[0].sources[0]", "nothing of this name"),
        ({"on": "disk", "sources": ["a"]}, "alerts.rules[0].sources", "remove it"),
    ],
)
def test_sources_that_are_not_there_are_told_and_kept(rule: Document, path: str, hint: str) -> None:
    result = loaded(rules=[{**RULE, **rule}])
    assert list(result.config.alerts.rules[0].sources) == rule["sources"]
    assert hint in {finding.path: finding for finding in result.warnings}[path].hint


def test_alerts_without_a_rule_are_told() -> None:
    assert "alerts.rules" in findings_of(with_alerts(rules=[]))


def test_the_example_holds() -> None:
    document = example()
    document["alerts"]["enabled"] = True
    assert not [path for path in findings_of(document) if path.startswith("alerts")]
