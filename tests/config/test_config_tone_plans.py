"""A page that does not hold costs only itself; a passthrough never goes round in a circle."""

from __future__ import annotations

import pytest
from config_documents import (
    Document,
    example,
    findings_of,
    small,
)

from echostream.config.load import parse_config


def tone(tone_id: str, **more: object) -> Document:
    return {"tone_id": tone_id, "tone_a_hz": 349.0, "tone_b_hz": 433.7} | more


def test_one_bad_page_leaves_the_others_in_force() -> None:
    pages = [tone("one"), tone("two", tone_a_hz=-1), tone("one"), tone("three"), 7]
    filters = [{"type": "center", "frequency_hz": 60}, {"type": "below", "frequency_hz": 200}]
    plan = {"alert_tones": pages, "filters": filters, "threshold": 2, "gain": 1, "zzyzx": 1}
    loaded = parse_config(small(tones={"a": plan}), "test")
    kept = loaded.config.tones["a"]
    assert [page.tone_id for page in kept.alert_tones] == ["one", "three"]
    assert (kept.threshold, kept.gain, [filter.type for filter in kept.filters]) == (0.7, 1, ["below"])
    assert {finding.path for finding in loaded.dropped} == {
        "tones.a.threshold",
        "tones.a.zzyzx",
        "tones.a.alert_tones[1].tone_a_hz",
        "tones.a.alert_tones[2].tone_id",
        "tones.a.alert_tones[4]",
        "tones.a.filters[0].range_hz",
    }


def test_more_pages_than_a_channel_takes_are_cut_loudly() -> None:
    pages = [tone(f"t{number}") for number in range(1002)]
    loaded = parse_config(small(tones={"a": {"alert_tones": pages}}), "test")
    assert len(loaded.config.tones["a"].alert_tones) == 1000
    assert loaded.dropped[0].hint == "the last 2 are left out"


def test_a_plan_of_an_unknown_channel_says_which_was_meant() -> None:
    document = example()
    document["tones"]["fire-dispach"] = document["tones"].pop("fire-dispatch")
    assert findings_of(document)["tones.fire-dispach"].hint == 'did you mean "fire-dispatch"?'


def through(**leads: str) -> Document:
    return {
        channel: {"passthrough": True, "passthrough_channel": target} for channel, target in leads.items()
    }


@pytest.mark.parametrize(
    ("leads", "off"),
    [
        ({"a": "b"}, []),
        ({"a": "b", "b": "c"}, []),
        ({"a": "a"}, ["a"]),
        ({"a": "b", "b": "a"}, ["b"]),
        ({"a": "b", "b": "c", "c": "a"}, ["c"]),
        ({"a": "nowhere"}, ["a"]),
        ({"a": "nowhere", "b": "a"}, ["a"]),
    ],
)
def test_a_passthrough_that_leads_nowhere_or_round_is_off(leads: dict[str, str], off: list[str]) -> None:
    document = small(tones=through(**leads))
    document["channels"].append({"id": "c", "card": "usb:1-1.3"})
    loaded = parse_config(document, "test")
    assert [finding.path for finding in loaded.dropped] == [
        f"tones.{name}.passthrough_channel" for name in off
    ]
    assert [name for name, plan in loaded.config.tones.items() if not plan.passthrough] == off


def test_a_passthrough_without_a_target_is_off() -> None:
    loaded = parse_config(small(tones={"a": {"passthrough": True}}), "test")
    assert [finding.path for finding in loaded.dropped] == ["tones.a.passthrough_channel"]


def test_a_passthrough_to_a_channel_that_is_left_out_says_so() -> None:
    document = small(tones=through(a="b"))
    document["channels"][1]["card"] = 7
    loaded = parse_config(document, "test")
    assert {finding.path for finding in loaded.dropped} == {"channels[1].card", "tones.a.passthrough_channel"}


def test_thousands_of_errors_do_not_flood_the_log() -> None:
    pages = [tone("t", tone_a_hz=0) for _ in range(1000)]
    loaded = parse_config(small(tones={"a": {"alert_tones": pages}}), "test")
    assert len(loaded.dropped) == 201
    assert loaded.dropped[-1].value == "800 more findings"
