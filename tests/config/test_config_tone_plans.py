"""A page that does not hold costs only itself; a passthrough never goes round in a circle."""

from __future__ import annotations

from dataclasses import fields

import pytest
from config_documents import (
    Document,
    example,
    findings_of,
    small,
)

from echostream.config.findings import Finding
from echostream.config.listen import listen_plan
from echostream.config.load import parse_config
from echostream.config.tone_models import AlertTone
from echostream.tones.plan import Digits, FilterPlan, ListenPlan, NewTones, OneTone, TwoTone
from echostream.tones.spectrum import HIGHEST_HZ, LOWEST_HZ


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


# ---- kinds


def page_findings(**page: object) -> dict[str, Finding]:
    loaded = parse_config(small(tones={"a": {"alert_tones": [{"tone_id": "p"} | page]}}), "test")
    prefix = "tones.a.alert_tones[0]"
    return {f.path.removeprefix(prefix).lstrip("."): f for f in (*loaded.dropped, *loaded.warnings)}


GOOD: list[Document] = [
    {"tone_a_hz": 349.0, "tone_b_hz": 433.7, "gap_s": 0.4, "a_longest_s": 3, "vocoder_grid_hz": 31.25},
    {"kind": "long", "tone_a_hz": 1000},
    {"kind": "at_once", "tone_a_hz": 349, "tone_b_hz": 433.7},
    {"kind": "at_once", "tone_a_hz": 349, "tone_b_hz": 433.7, "tone_c_hz": 500, "tone_d_hz": 600},
    {"kind": "dtmf", "digits": "12a*?"},
    {"kind": "five_tone", "digits": "123A?", "system": "zvei1", "priority": 9},
]


@pytest.mark.parametrize("page", GOOD)
def test_each_kind_is_heard_as_it_is_written(page: Document) -> None:
    assert page_findings(**page) == {}


@pytest.mark.parametrize(
    ("page", "path", "hint"),
    [
        ({"tone_a_hz": 349}, "tone_b_hz", 'a page of kind "two_tone" needs it: add tone_b_hz'),
        ({"kind": "long", "tone_b_hz": 349}, "tone_a_hz", "add tone_a_hz"),
        ({"kind": "long", "tone_a_hz": 9, "tone_b_hz": 349}, "tone_b_hz", "remove tone_b_hz"),
        ({"kind": "five_tone", "digits": "12345"}, "system", "add system"),
        ({"kind": "five_tone", "digits": "123*5", "system": "ccir"}, "digits", "never heard"),
        ({"kind": "dtmf", "digits": "12G"}, "digits", ""),
        ({"kind": "five_tone", "digits": "1", "system": "zvei"}, "system", 'did you mean "zvei'),
        ({"kind": "two_tones", "tone_a_hz": 1}, "kind", 'did you mean "two_tone"?'),
        ({"tone_a_hz": 349, "tone_b_hz": 433, "vocoder_grid_hz": 31}, "vocoder_grid_hz", "voice coder"),
        ({"kind": "at_once", "tone_a_hz": 1, "tone_b_hz": 2, "tone_c_hz": 3}, "tone_d_hz", "add tone_d_hz"),
        ({"tone_a_hz": 349, "tone_b_hz": 4000}, "tone_b_hz", "never heard"),
        ({"tone_a_hz": LOWEST_HZ - 1, "tone_b_hz": HIGHEST_HZ}, "tone_a_hz", "never heard"),
        ({"tone_a_hz": LOWEST_HZ, "tone_b_hz": HIGHEST_HZ + 1}, "tone_b_hz", "never heard"),
        ({"tone_a_hz": 349, "tone_b_hz": 433, "tone_a_longest_s": 4}, "tone_a_longest_s", "did you mean"),
    ],
)
def test_what_a_page_lacks_is_said_with_its_remedy(page: Document, path: str, hint: str) -> None:
    found = page_findings(**page)
    assert path in found, found
    assert hint in found[path].hint


def test_a_plan_says_everything_that_the_ear_can_hear() -> None:
    plan: Document = {
        "alert_tones": [page | {"tone_id": f"p{at}"} for at, page in enumerate(GOOD)],
        "filters": [{"type": "below", "frequency_hz": 200}],
        "detect_new_tones": True,
        "dtmf": True,
        "five_tone": ["zvei1", "ccir"],
        "alerts": True,
        "ctcss": True,
        "mdc1200": True,
        "explain": True,
        "level_db": -40,
        "threshold": 0.6,
    }
    loaded = parse_config(small(tones={"a": plan}), "test")
    assert loaded.dropped == ()
    heard = listen_plan(loaded.config.tones["a"])
    assert heard.two_tone == (TwoTone("p0", 349.0, 433.7, gap_s=0.4, a_longest_s=3.0, vocoder_grid_hz=31.25),)
    assert heard.one_tone == (OneTone("p1", 1000.0, 5.0),)
    assert heard.at_once[1].then_hz == (500.0, 600.0)
    assert heard.digits == (Digits("p4", "dtmf", "12A*?"), Digits("p5", "zvei1", "123A?"))
    assert heard.new_tones == NewTones(2.0, 10.0)
    assert heard.filters == (FilterPlan("below", 200.0),)
    assert (heard.level_dbfs, heard.threshold, heard.explain) == (-40.0, 0.6, True)
    # Every switch there is was thrown: a field that is added to the ear's plan must get its setting. Only
    # `whole` has none: a gateway does not wait for a page's end.
    quiet = ListenPlan()
    same = [f.name for f in fields(ListenPlan) if getattr(heard, f.name) == getattr(quiet, f.name)]
    assert same == ["whole"]


def test_a_passthrough_on_the_air_of_a_channel_that_cannot_key_is_warned_about() -> None:
    document = small(tones={"a": through(a="b")["a"] | {"passthrough_key": True}})
    loaded = parse_config(document, "test")
    assert [(f.path, f.hint) for f in loaded.warnings] == [
        ("tones.a.passthrough_key", 'give channel "b" a key, or remove passthrough_key')
    ]


@pytest.mark.parametrize("zero", [0, 0.0, "0", ""])
def test_no_second_tone_as_the_fields_devices_write_it(zero: object) -> None:
    tone = AlertTone.model_validate(
        {"tone_id": "all", "tone_a_hz": 788.5, "tone_b_hz": zero, "tone_a_length_s": 5, "tone_b_length_s": 0}
    )
    assert (tone.kind, tone.tone_b_hz, tone.tone_a_length_s) == ("long", None, 5.0)
