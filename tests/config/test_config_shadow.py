"""What devices in the field hold is read as it is, and a finding has its path in their document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from echostream.config.findings import Finding, Severity
from echostream.config.load import InvalidConfig, parse_config
from echostream.config.shadow import ShadowDefaults, convert, is_shadow

Document = dict[str, Any]
ROOT = "shadow.state.desired.software_configuration[0]"


def page(**more: object) -> Document:
    return {
        "tone_id": "tone-1",
        "tone_a": "349.0",
        "tone_b": 433.7,
        "tone_a_length": "0.8",
        "tone_b_length": 2,
        "tone_a_range": "5",
        "tone_b_range": 5,
        "record_length": "60",
        "detection_tone_alert": "Engine 7",
    } | more


def channel(number: int, **configuration: object) -> Document:
    return {
        "channel_id": f"ch-{number}",
        "tone_detect": True,
        "tone_detect_configuration": {
            "tone_passthrough": False,
            "passthrough_channel": "",
            "alert_tones": [page()],
            "alert_details": {
                "threshold": "0.7",
                "gain": "0.4",
                "db": -45,
                "detect_new_tones": "true",
                "new_tone_length": "2",
                "new_tone_range": 10,
            },
            "filter_frequencies": [
                {"filter_id": 3, "frequency": "200", "filter_range": "0", "type": "below"},
                {"filter_id": "hum", "frequency": 60, "filter_range": 5, "type": "Center"},
            ],
        }
        | configuration,
    }


def device(**channels: object) -> Document:
    software = {"channel_one": channel(1), "channel_three": channel(3)} | channels
    desired = {"software_configuration": [software], "firmware": {"version": 7}}
    return {"unique_id": "device-17", "shadow": {"state": {"desired": desired}}}


def loaded(document: Document) -> tuple[Document, dict[str, Finding]]:
    """The configuration as a document, and the findings by path, placeholders to fill in aside."""
    result = parse_config(document, "device")
    findings = {finding.path: finding for finding in (*result.dropped, *result.warnings)}
    told = {path: f for path, f in findings.items() if "this form does not tell it" not in f.expected}
    return result.config.model_dump(mode="json"), told


def test_a_devices_document_becomes_a_configuration() -> None:
    own, findings = loaded(device())
    assert findings == {}
    assert own["gateway"]["id"] == own["gateway"]["affiliation_id"] == "device-17"
    assert [entry["id"] for entry in own["channels"]] == ["ch-1", "ch-3"]
    assert [entry["ptt"]["pin"] for entry in own["channels"]] == [20, 23]
    plan = own["tones"]["ch-1"]
    tone = plan["alert_tones"][0]
    assert tone["kind"] == "two_tone"
    told = {
        "tone_id": "tone-1",
        "tone_a_hz": 349.0,
        "tone_b_hz": 433.7,
        "tone_a_length_s": 0.8,
        "tone_b_length_s": 2.0,
        "tone_a_range_hz": 5.0,
        "tone_b_range_hz": 5.0,
        "record_length_s": 60.0,
        "alert": "Engine 7",
    }
    assert {key: tone[key] for key in told} == told
    assert (plan["threshold"], plan["gain"], plan["level_db"]) == (0.7, 0.4, -45.0)
    assert (plan["detect_new_tones"], plan["new_tone_length_s"], plan["new_tone_range_hz"]) == (True, 2, 10)
    assert [(item["filter_id"], item["type"]) for item in plan["filters"]] == [
        ("3", "below"),
        ("hum", "center"),
    ]


def test_what_the_form_does_not_tell_is_said_and_stands_in() -> None:
    result = parse_config(device(), "device")
    told = {finding.path: finding for finding in result.warnings}
    assert set(told) == {"shadow.state.desired", f"{ROOT}.channel_one", f"{ROOT}.channel_three"}
    assert "control_server.url" in told["shadow.state.desired"].hint
    assert "channels[1].card" in told[f"{ROOT}.channel_three"].hint
    assert result.config.control_server.url.startswith("ws://control-server.invalid")


def test_what_is_given_is_not_asked_for() -> None:
    defaults = ShadowDefaults("wss://h/", tuple(f"usb:1-1.{number}" for number in range(1, 5)), (5, 6, 7, 8))
    own, findings = convert(device(), defaults)
    assert findings == []
    config = parse_config(own, "own").config
    assert [entry.card for entry in config.channels] == ["usb:1-1.1", "usb:1-1.3"]
    assert [entry.ptt.pin for entry in config.channels if entry.ptt] == [5, 7]


@pytest.mark.parametrize(
    ("target", "reached"), [("channel_three", "ch-3"), ("ch-3", "ch-3"), (3, None), ("channel_two", None)]
)
def test_a_passthrough_names_a_channel_by_its_place_or_its_id(target: object, reached: str | None) -> None:
    document = device(channel_one=channel(1, tone_passthrough="1", passthrough_channel=target))
    own, findings = loaded(document)
    assert own["tones"]["ch-1"]["passthrough_channel"] == reached
    path = f"{ROOT}.channel_one.tone_detect_configuration.passthrough_channel"
    assert list(findings) == ([] if reached else [path])


def test_a_passthrough_that_is_off_keeps_no_old_choice() -> None:
    document = device(channel_one=channel(1, tone_passthrough=False, passthrough_channel="channel_two"))
    own, findings = loaded(document)
    assert findings == {}
    assert own["tones"]["ch-1"]["passthrough_channel"] is None


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        ({"tone_a": "abc"}, "tone_a"),
        ({"tone_a": "nan"}, "tone_a"),
        ({"tone_b": "1_000"}, "tone_b"),
        ({"tone_b": -5}, "tone_b"),
        ({"tone_b": None}, "tone_b"),
        ({"tone_a_length": "600"}, "tone_a_length"),
        ({"tone_id": {}}, "tone_id"),
        ({"tone_id": "tone-1"}, "tone_id"),
        ({"record_length": True}, "record_length"),
    ],
)
def test_one_bad_page_is_told_in_the_devices_words_and_the_rest_stays(bad: Document, key: str) -> None:
    pages = [page(), page(tone_id="tone-2") | bad, page(tone_id="tone-3")]
    own, findings = loaded(device(channel_one=channel(1, alert_tones=pages)))
    assert [item["tone_id"] for item in own["tones"]["ch-1"]["alert_tones"]] == ["tone-1", "tone-3"]
    assert list(findings) == [f"{ROOT}.channel_one.tone_detect_configuration.alert_tones[1].{key}"]


def test_the_path_stays_right_behind_an_entry_that_was_left_out() -> None:
    pages = ["rubbish", page(tone_a="x"), page(tone_a=99999)]
    _, findings = loaded(device(channel_one=channel(1, alert_tones=pages)))
    place = f"{ROOT}.channel_one.tone_detect_configuration.alert_tones"
    assert list(findings) == [f"{place}[0]", f"{place}[1].tone_a", f"{place}[2].tone_a"]


def test_a_bad_detail_has_its_default() -> None:
    details = {"threshold": "70", "gain": "x", "db": 3, "new_tone_range": "10", "treshold": 1}
    own, findings = loaded(device(channel_one=channel(1, alert_details=details)))
    plan = own["tones"]["ch-1"]
    assert (plan["threshold"], plan["gain"], plan["level_db"], plan["new_tone_range_hz"]) == (
        0.7,
        0.4,
        -45,
        10,
    )
    place = f"{ROOT}.channel_one.tone_detect_configuration.alert_details"
    assert set(findings) == {f"{place}.{key}" for key in ("threshold", "gain", "db")}


def test_a_key_that_is_nearly_one_of_ours_is_warned_about() -> None:
    one = channel(1)
    one["tone_detect_configuration"]["alert_tone"] = one["tone_detect_configuration"].pop("alert_tones")
    _, findings = loaded(device(channel_one=one, channel_five=channel(5), serial=3))
    place = f"{ROOT}.channel_one.tone_detect_configuration.alert_tone"
    assert set(findings) == {place, f"{ROOT}.channel_five"}
    assert findings[place].severity is Severity.WARNING
    assert findings[place].hint == 'did you mean "alert_tones"?'


@pytest.mark.parametrize("bad", ["x", {}, {"channel_id": ""}, {"channel_id": None}, {"channel_id": []}])
def test_a_bad_channel_leaves_the_others(bad: object) -> None:
    own, findings = loaded(device(channel_one=bad))
    assert [entry["id"] for entry in own["channels"]] == ["ch-3"]
    assert [path.startswith(f"{ROOT}.channel_one") for path in findings] == [True]


def test_two_channels_with_one_id_keep_the_first() -> None:
    own, findings = loaded(device(channel_three=channel(1)))
    assert [entry["id"] for entry in own["channels"]] == ["ch-1"]
    assert list(findings) == [f"{ROOT}.channel_three.channel_id"]


def test_a_channel_without_tones_needs_no_more_than_its_id() -> None:
    own, findings = loaded(device(channel_one={"channel_id": 41}, channel_two=None))
    assert findings == {}
    assert own["channels"][0]["id"] == "41"
    assert own["tones"]["41"]["detect"] is False


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_document_may_be_cut_at_any_level(cut: int) -> None:
    document: Any = device()
    for key in ("shadow", "state", "desired")[:cut]:
        document = document[key]
    document["unique_id"] = "device-17"
    own, findings = loaded(document)
    assert findings == {}
    assert own["gateway"]["id"] == "device-17"


def test_an_id_that_is_missing_is_to_be_filled_in() -> None:
    document = device()
    del document["unique_id"]
    warnings = parse_config(document, "device").warnings
    assert "shadow.state.desired.unique_id" in {finding.path for finding in warnings}


@pytest.mark.parametrize("software", [None, [], {}, "x", [None], [{}]])
def test_a_document_without_channels_is_refused(software: object) -> None:
    document = device()
    document["shadow"]["state"]["desired"]["software_configuration"] = software
    with pytest.raises(InvalidConfig) as refused:
        parse_config(json.dumps(document), "device")
    assert any("software_configuration" in finding.path for finding in refused.value.findings)


def test_our_own_form_is_no_devices() -> None:
    assert not is_shadow({"gateway": {}, "unique_id": "x"})
    assert not is_shadow({})
    assert is_shadow(device())
