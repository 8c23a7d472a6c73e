"""ESP32 microphones and record policies in a configuration: a bad entry costs only itself."""

from __future__ import annotations

import pytest
from config_documents import Document, example, findings_of, small

from echostream.config.findings import Severity
from echostream.config.load import LoadedConfig, parse_config
from echostream.config.secrets import masked, references


def with_devices(*devices: Document, **section: object) -> Document:
    document = small()
    del document["channels"][1:]
    document["channels"][0]["id"] = "one"
    document["esp32"] = {"enabled": True, "devices": list(devices), **section}
    return document


def loaded(document: Document) -> LoadedConfig:
    return parse_config(document, "test")


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"name": "b", "rate_hz": 4000}, "esp32.devices[1].rate_hz"),
        ({"name": "b", "format": "s24le"}, "esp32.devices[1].format"),
        ({"name": "a"}, "esp32.devices[1].name"),
        ({"name": "one"}, "esp32.devices[1].name"),
        ({"name": "../b"}, "esp32.devices[1].name"),
        ({"name": "b", "address": "porch.lan"}, "esp32.devices[1].address"),
        ({"name": "b", "address": "192.0.2.1"}, "esp32.devices[1].address"),
        ({"name": "b", "transmit": "vox"}, "esp32.devices[1].channel"),
        ({"name": "b", "address": "192.0.2.9", "token": {"env": "T"}}, "esp32.devices[1].address"),
        ({"nam": "b"}, "esp32.devices[1].name"),
    ],
)
def test_a_bad_device_costs_itself(bad: Document, path: str) -> None:
    document = with_devices({"name": "a", "address": "192.0.2.1"}, bad, {"name": "c"})
    result = loaded(document)
    assert [device.name for device in result.config.esp32.devices] == ["a", "c"]
    assert result.config.esp32.enabled
    assert path in {finding.path for finding in result.dropped}


def test_a_device_of_a_channel_that_does_not_exist_is_recorded_and_not_on_the_air() -> None:
    result = loaded(with_devices({"name": "a", "channel": "oen", "transmit": "always"}))
    (device,) = result.config.esp32.devices
    assert (device.channel, device.transmit, device.record.mode) == (None, "never", "continuous")
    (finding,) = result.dropped
    assert finding.path == "esp32.devices[0].channel"
    assert 'did you mean "one"?' in finding.hint


def test_bad_defaults_leave_the_devices() -> None:
    result = loaded(with_devices({"name": "a"}, defaults={"rate_hz": "16000"}))
    assert [device.name for device in result.config.esp32.devices] == ["a"]
    assert {finding.path for finding in result.dropped} == {"esp32.defaults.rate_hz"}


def test_a_network_and_an_address_within_it_are_two() -> None:
    result = loaded(
        with_devices({"name": "a", "address": "192.0.2.0/28"}, {"name": "b", "address": "192.0.2.3"})
    )
    assert len(result.config.esp32.devices) == 2
    assert result.dropped == ()


def test_the_thousand_and_first_device_is_left_out_loudly() -> None:
    result = loaded(with_devices(*({"name": f"d{number}"} for number in range(1001))))
    assert len(result.config.esp32.devices) == 1000
    assert {finding.path for finding in result.dropped} == {"esp32.devices"}


def test_a_bad_setting_of_the_section_switches_it_off_and_the_voice_goes_on() -> None:
    result = loaded(with_devices({"name": "a"}, tcp_port=99999))
    assert not result.config.esp32.enabled
    assert len(result.config.channels) == 1


def test_tokens_are_references_and_shown_as_such() -> None:
    document = with_devices({"name": "a", "token": {"env": "PORCH_TOKEN"}})
    config = loaded(document).config
    assert references(config)["esp32.devices[0].token"].env == "PORCH_TOKEN"
    assert masked(config)["esp32"]["devices"][0]["token"] == {"env": "PORCH_TOKEN"}
    document["esp32"]["devices"][0]["token"] = "hunter2-Sup3rS3cret"
    assert "hunter2" not in str(loaded(document).dropped)


def test_a_device_that_records_what_only_a_channel_has_is_warned_about() -> None:
    document = with_devices({"name": "a", "record": {"mode": "pages"}})
    (warning,) = loaded(document).warnings
    assert (warning.path, warning.severity) == ("esp32.devices[0].record.mode", Severity.WARNING)


def test_an_open_microphone_on_a_half_duplex_channel_is_warned_about() -> None:
    document = with_devices({"name": "a", "channel": "one", "transmit": "always"})
    (warning,) = loaded(document).warnings
    assert (warning.path, warning.severity) == ("esp32.devices[0].transmit", Severity.WARNING)
    document["channels"][0]["duplex"] = "full"
    assert loaded(document).warnings == ()


# ---- the recorder


def test_a_bad_policy_costs_itself() -> None:
    document = small()
    document["channels"][0]["id"] = "one"
    document["recording"] = {
        "enabled": True,
        "channels": {"one": {"mode": "sometimes"}, "two": {"mode": "vox"}},
        "network": {"one": {"mode": "continuous"}},
    }
    result = loaded(document)
    recording = result.config.recording
    assert recording.enabled
    assert recording.channels == {}
    assert recording.network["one"].mode == "continuous"
    assert {finding.path for finding in result.dropped} == {
        "recording.channels.one.mode",
        "recording.channels.two",
    }


@pytest.mark.parametrize(
    ("write", "keep", "kept"),
    [
        *(("wav", None, "flac"), ("wav", "wav", "wav"), ("wav", "opus", "opus")),
        *(("flac", None, "flac"), ("opus", "opus", "opus"), ("opus", None, "opus")),
    ],
)
def test_the_form_that_is_kept(write: str, keep: str | None, kept: str) -> None:
    document = example()
    document["recording"] |= {"write": write, "keep": keep}
    assert loaded(document).config.recording.kept_form == kept


def test_only_a_wav_is_turned_into_another_form() -> None:
    document = example()
    document["recording"] |= {"write": "opus", "keep": "flac"}
    assert findings_of(document)["recording.keep"].severity is Severity.DROPPED
