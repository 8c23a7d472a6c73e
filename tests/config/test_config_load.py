"""One bad part costs itself and is told at its own path; the rest is in force."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from config_documents import (
    EXAMPLE,
    Document,
    Step,
    channels_of,
    example,
    findings_of,
    holder_of,
    places,
    small,
)

from echostream.audio.format import FRAME_MS_CHOICES
from echostream.config.findings import path_of
from echostream.config.load import InvalidConfig, Severity, load_config, parse_config
from echostream.config.models import Audio
from echostream.errors import ConfigError

SECRET = "hunter2-Sup3rS3cret"

EVERYWHERE = list(places(example()))


def test_the_shipped_example_holds_without_a_word() -> None:
    loaded = load_config(EXAMPLE)
    assert [channel.id for channel in loaded.config.channels] == [
        "fire-dispatch",
        "fire-tac",
        "ems",
        "public-works",
    ]
    assert loaded.dropped == ()
    assert loaded.warnings == ()
    assert set(example()) == set(type(loaded.config).model_fields)


def test_the_frame_lengths_are_those_of_the_audio_room() -> None:
    for frame_ms in FRAME_MS_CHOICES:
        assert Audio(frame_ms=frame_ms).frame_ms == frame_ms


@pytest.mark.parametrize("place", EVERYWHERE, ids=path_of)
def test_a_value_of_a_wrong_type_is_told_at_its_own_path(place: tuple[Step, ...]) -> None:
    document = example()
    holder = holder_of(document, place)
    wrong: object = 3.5 if isinstance(holder[place[-1]], (dict, list)) else {"wrong": 1}
    holder[place[-1]] = wrong
    path = path_of(place)
    assert any(found == path or found.startswith(f"{path}.") for found in findings_of(document))


def is_number(place: tuple[Step, ...]) -> bool:
    value = holder_of(example(), place)[place[-1]]
    return isinstance(value, (int, float)) and not isinstance(value, bool)


NUMBERS = [place for place in EVERYWHERE if is_number(place)]


@pytest.mark.parametrize("number", [-1e6, 1e12, "20", True, [20]])
@pytest.mark.parametrize("place", NUMBERS, ids=path_of)
def test_a_number_out_of_range_is_told_at_its_own_path(place: tuple[Step, ...], number: object) -> None:
    document = example()
    holder_of(document, place)[place[-1]] = number
    assert path_of(place) in findings_of(document)


OBJECTS = [()] + [place for place in EVERYWHERE if isinstance(holder_of(example(), place)[place[-1]], dict)]


@pytest.mark.parametrize("place", OBJECTS, ids=lambda place: path_of(place) or "root")
def test_an_unknown_key_is_told_at_its_own_path(place: tuple[Step, ...]) -> None:
    document = example()
    target = holder_of(document, (*place, "x"))
    target["zzyzx"] = 1
    path = path_of((*place, "zzyzx"))
    assert findings_of(document)[path].value in ("an unknown key", "a channel that does not exist")


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [
        ((), "chanels", "channels"),
        (("channels", 0), "duplx", "duplex"),
        (("control_server",), "URL", "url"),
        (("tones", "ems"), "alert_tone", "alert_tones"),
        (("channels", 1, "key"), "hang_time_ms", "hang_ms"),
    ],
)
def test_an_unknown_key_says_which_one_was_meant(place: tuple[Step, ...], key: str, meant: str) -> None:
    document = example()
    holder_of(document, (*place, "x"))[key] = 1
    assert findings_of(document)[path_of((*place, key))].hint == f'did you mean "{meant}"?'


def test_a_key_of_another_section_says_where_it_belongs() -> None:
    document = small()
    document["channels"][0]["bitrate_bps"] = 24000
    assert findings_of(document)["channels[0].bitrate_bps"].hint == "bitrate_bps belongs into audio"


def test_a_choice_says_which_one_was_meant() -> None:
    document = small()
    document["channels"][0]["duplex"] = "ful"
    finding = findings_of(document)["channels[0].duplex"]
    assert (finding.value, finding.expected) == ('"ful"', '"half" or "full"')
    assert finding.hint == 'did you mean "full"?'


def test_every_error_of_every_channel_is_told_at_once() -> None:
    document = small(audio={"fec": "yes", "jitter_min_ms": 400})
    document["channels"][0] |= {"duplex": "x", "ptt": {"pin": 99}, "key": {}}
    document["channels"][1] |= {"tot_s": 0, "card": "0"}
    assert set(findings_of(document)) == {
        "audio.fec",
        "audio.jitter_max_ms",
        "channels[0].duplex",
        "channels[0].ptt.pin",
        "channels[0].key",
        "channels[1].tot_s",
        "channels[1].card",
        "channels",
    }


def test_no_channel_left_refuses_the_whole() -> None:
    document = small()
    for channel in document["channels"]:
        channel["card"] = ""
    with pytest.raises(InvalidConfig) as refused:
        parse_config(document, "test")
    assert {finding.path for finding in refused.value.findings} == {
        "channels[0].card",
        "channels[1].card",
        "channels",
    }
    assert isinstance(refused.value, ConfigError)


@pytest.mark.parametrize("channels", [None, [], {}, "a", [None], [[]], [3]])
def test_channels_that_are_none_refuse_the_whole(channels: object) -> None:
    with pytest.raises(InvalidConfig):
        parse_config(small(channels=channels), "test")


def test_the_seventeenth_channel_is_left_out_loudly() -> None:
    channels = [{"id": f"c{number}", "card": f"usb:1-{number}"} for number in range(20)]
    loaded, ids, dropped = channels_of(small(channels=channels))
    assert ids == [f"c{number}" for number in range(16)]
    assert dropped["channels"].hint == "the last 4 are left out"
    assert len(loaded.dropped) == 1


@pytest.mark.parametrize("name", ["mqtt", "s3", "alerts", "esp32", "recording"])
def test_a_bad_feature_is_off_and_the_voice_goes_on(name: str) -> None:
    loaded = parse_config(small(**{name: {"enabled": "maybe"}}), "test")
    assert not getattr(loaded.config, name).enabled
    assert [finding.path for finding in loaded.dropped] == [f"{name}.enabled"]


CARRIED = {"token": {"env": "T"}, "token_query": "t"}


@pytest.mark.parametrize(
    ("server", "path", "severity"),
    [
        ({"url": "ws://h:99999/x"}, "control_server.url", Severity.REFUSED),
        ({"url": "wss://[::1/x"}, "control_server.url", Severity.REFUSED),
        ({"tls": {"fingerprint_sha256": "ab"}}, "control_server.tls.fingerprint_sha256", Severity.REFUSED),
        ({"reconnect_min_s": 9, "reconnect_max_s": 3}, "control_server.reconnect_max_s", Severity.REFUSED),
        ({"token": {"env": "T"}}, "control_server.token", Severity.REFUSED),
        ({"token_query": "t"}, "control_server.token_query", Severity.WARNING),
        ({"url": "ws://h/"}, None, None),
        (
            {"url": "ws://h/", "token": {"env": "T"}, "token_query": "t"},
            "control_server.url",
            Severity.WARNING,
        ),
        ({"url": "wss://user:hunter2@h/"}, "control_server.url", Severity.WARNING),
        ({"url": "wss://h/?access_token=hunter2"}, "control_server.url", Severity.WARNING),
        ({"tls": {"ca_file": "/x.pem"}, "url": "ws://h/"}, "control_server.tls", Severity.WARNING),
        ({"tls": {"fingerprint_sha256": "AB:" * 31 + "AB"}}, None, None),
    ],
)
def test_the_control_servers_settings_must_go_together(
    server: Document, path: str | None, severity: Severity | None
) -> None:
    found = findings_of(small(control_server={"url": "wss://h/"} | server))
    assert list(found) == ([path] if path else [])
    assert path is None or found[path].severity is severity
    assert "hunter2" not in str(list(found.values()))


@pytest.mark.parametrize(
    ("key", "warned"),
    [
        ({"pin": 12}, False),
        ({"pin": 5}, True),
        ({"pin": 5, "active_low": True}, False),
        ({"pin": 12, "active_low": True}, True),
        ({"pin": 40}, True),
    ],
)
def test_a_key_line_that_a_booting_pi_would_key_is_warned_about(key: Document, warned: bool) -> None:
    document = small()
    document["channels"][1]["key"] = key
    assert list(findings_of(document)) == (["channels[1].key.pin"] if warned else [])


def test_vox_that_cuts_the_first_syllable_is_warned_about() -> None:
    document = small()
    document["channels"][1] |= {"vox": {"enabled": True, "attack_ms": 300}}
    assert list(findings_of(document)) == ["channels[1].vox.attack_ms"]
    document["channels"][1]["pre_roll_ms"] = 300
    assert findings_of(document) == {}


# ---- strictness and secrets


def test_numbers_with_and_without_a_point_are_one() -> None:
    document = copy.deepcopy(small(audio={"frame_ms": 20.0, "bitrate_bps": 24000.0}))
    assert parse_config(document, "test").config.audio == Audio()


@pytest.mark.parametrize("key", ["aes_key", "token"])
@pytest.mark.parametrize(
    "value", [SECRET, [SECRET], {"value": SECRET}, {"env": SECRET}, {"file": SECRET, "env": SECRET}, 7]
)
def test_a_secret_in_place_of_a_reference_is_refused_and_never_shown(key: str, value: object) -> None:
    document = small()
    document["control_server"][key] = value
    with pytest.raises(InvalidConfig) as refused:
        parse_config(json.dumps(document).encode(), "test")
    assert any(finding.path.startswith(f"control_server.{key}") for finding in refused.value.findings)
    told = [str(refused.value), *map(repr, refused.value.findings)]
    assert SECRET not in " ".join(told)


def test_a_key_in_place_of_the_name_of_its_place_is_refused() -> None:
    key = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
    for field in ("file", "env", "credential"):
        with pytest.raises(InvalidConfig) as refused:
            parse_config(small(control_server={"url": "ws://h/", "aes_key": {field: key}}), "test")
        assert key not in str(refused.value)


@pytest.mark.parametrize("key", ["password", "Token", "apiKey", "aeskey", "client_secret", "zzyzx"])
@pytest.mark.parametrize("place", [(), ("gateway",), ("channels", 0), ("mqtt",)])
def test_what_stands_under_an_unknown_key_is_never_shown(place: tuple[Step, ...], key: str) -> None:
    document = example()
    holder_of(document, (*place, "x"))[key] = SECRET
    found = findings_of(document)
    assert path_of((*place, key)) in found
    assert SECRET not in str(list(found.values()))


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, Path("a\0b")):
        with pytest.raises(InvalidConfig, match="a file that can be read"):
            load_config(path)
