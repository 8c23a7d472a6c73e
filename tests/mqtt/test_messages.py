"""What is published: the keys of today's subscribers, states that are true, and rates that are kept."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import Any, get_args

import pytest
from config_documents import small
from hypothesis import given
from hypothesis import strategies as st
from mqtt_scenes import AT_US, PAGE_ID, board, channel, device, page_notice, vitals

from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.mqtt.message import Message
from echostream.mqtt.messages import Messages
from echostream.notices.notice import Kind, Notice, Weight
from echostream.vitals.model import LinkVitals, Vitals

ROOT = "echostream/g"
TONES = "from/device/g/tone_detection"


def configuration(channels: tuple[str, ...] = ("a", "fire/tac é"), devices: int = 1, **mqtt: Any) -> Config:
    document = small(
        mqtt={"enabled": True, "host": "h"} | mqtt,
        channels=[{"id": one, "card": f"usb:1-1.{number}"} for number, one in enumerate(channels)],
        esp32={
            "enabled": True,
            "devices": [{"name": "porch" if one == 0 else f"mic-{one}"} for one in range(devices)],
        },
    )
    return parse_config(document, "test").config


def said(messages: list[Message], topic: str) -> dict[str, Any]:
    (found,) = (json.loads(one.payload) for one in messages if one.topic == topic)
    assert isinstance(found, dict)
    return found


def topics(messages: list[Message]) -> list[str]:
    return [one.topic for one in messages]


def notice(kind: Kind, channel_id: str = "a", subject: str = "", **data: Any) -> Notice:
    return Notice(kind, AT_US, f"a {kind}", channel_id=channel_id, subject=subject, data=data)


# ---- tone detections


def test_a_page_has_the_keys_that_subscribers_have_today() -> None:
    found = said(Messages(configuration()).of_notice(page_notice()), TONES)
    keys = ["message_id", "timestamp", "device_id", "event_type", "tone_details"]
    assert list(found)[:5] == keys
    assert {key: found[key] for key in keys} == {
        "message_id": PAGE_ID,
        "timestamp": 1_795_287_600_000,
        "device_id": "g",
        "event_type": "defined_tones_detected",
        "tone_details": {"tone_a": 349.0, "tone_b": 433.7},
    }
    assert (found["channel_id"], found["tone_id"], found["alert"]) == ("a", "engine 7", "Engine 7")
    assert (found["measured_a_hz"], found["b_length_s"]) == (349.2, 3.0)


def test_new_tones_carry_what_was_measured() -> None:
    data: dict[str, Any] = {
        "tone_kind": "new_tones",
        "tone_id": "",
        "measured_a_hz": 600.9,
        "measured_b_hz": 707.3,
    }
    found = said(Messages(configuration()).of_notice(notice("tone", **data)), TONES)
    assert found["event_type"] == "new_tone_detected"
    assert found["tone_details"] == {"tone_a": 600.9, "tone_b": 707.3}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"tone_kind": "long_tone", "tone_a_hz": 1000.0, "tone_b_hz": None}, {"tone_a": 1000.0, "tone_b": 0}),
        ({"tone_kind": "dtmf", "tone_a_hz": None, "tone_b_hz": None}, {"tone_a": 0, "tone_b": 0}),
        ({"tone_kind": "two_tone", "tone_a_hz": math.nan}, {"tone_a": 0, "tone_b": 0}),
    ],
)
def test_a_page_with_fewer_tones_has_numbers_all_the_same(
    data: dict[str, Any], expected: dict[str, float]
) -> None:
    found = said(Messages(configuration()).of_notice(page_notice(data=data)), TONES)
    assert found["tone_details"] == expected


@pytest.mark.parametrize("kind", ["dtmf", "ctcss_on", "hi_lo", "mdc1200"])
def test_other_tones_are_no_detection_of_the_old_form(kind: str) -> None:
    found = Messages(configuration()).of_notice(notice("tone", tone_kind=kind))
    assert TONES not in topics(found)
    assert f"{ROOT}/channel/a/event/tone" in topics(found)


def test_an_event_waits_for_the_broker_in_the_order_of_its_channel() -> None:
    for message in Messages(configuration()).of_notice(page_notice()):
        if "/event/" in message.topic or message.topic == TONES:
            assert (message.kind, message.qos, message.retain, message.lane) == ("event", 1, False, "a")
            assert (message.weight, message.at_us, message.message_id) == (Weight.ALARM, AT_US, PAGE_ID)


# ---- events


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_notice_is_published(kind: Kind) -> None:
    own = Messages(configuration())
    for channel_id, subject in (("a", "porch"), ("", "porch"), ("gone", "")):
        one = dataclasses.replace(
            notice(kind, channel_id, subject), who="cli:ann", before=1, after={"x": [2]}
        )
        event = next(message for message in own.of_notice(one) if "/event/" in message.topic)
        values = json.loads(event.payload)
        assert values["event_type"] == kind
        assert values["message_id"] == one.id
        assert (values["who"], values["before"], values["after"]) == ("cli:ann", 1, {"x": [2]})


def test_what_a_notice_carries_cannot_pretend_to_be_another() -> None:
    forged = notice("worker", "", "tones", message_id="x", event_type="page", device_id="y", error="e")
    values = said(Messages(configuration()).of_notice(forged), f"{ROOT}/event/worker")
    assert (values["event_type"], values["device_id"], values["error"]) == ("worker", "g", "e")
    assert values["message_id"] == forged.id


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.floats() | st.text(max_size=20) | st.lists(st.floats(), max_size=3),
        max_size=5,
    )
)
def test_what_json_cannot_say_is_null(data: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for message in Messages(configuration()).of_notice(page_notice(data=data)):
        json.loads(message.payload, parse_constant=refuse)


def test_bytes_of_a_file_name_that_are_no_text_do_not_stop_it() -> None:
    found = Messages(configuration()).of_notice(notice("recording", path="/a/\udcff.wav"))
    assert said(found, f"{ROOT}/channel/a/event/recording")["path"] == "/a/?.wav"


def test_what_is_too_large_for_a_broker_is_shortened() -> None:
    large = dataclasses.replace(notice("admin", "", act="reload"), before="x" * 90_000, after="y" * 90_000)
    (event,) = Messages(configuration()).of_notice(large)
    values = json.loads(event.payload)
    assert len(event.payload) <= 65_536
    assert (values["shortened"], values["act"]) == (True, "reload")


# ---- states


def test_states_are_said_when_they_change_and_not_again() -> None:
    own = Messages(configuration())
    first = own.of_vitals(vitals(1.0))
    state = f"{ROOT}/channel/fire%2Ftac é/state"
    assert state in topics(first)
    assert all(one.retain and one.qos == 1 for one in first if one.kind == "state")
    assert not [one for one in own.of_vitals(vitals(2.0)) if one.topic.endswith("/state")]
    changed = own.of_vitals(vitals(3.0, playing=True))
    assert said(changed, f"{ROOT}/channel/a/state")["playing"] is True
    assert state not in topics(changed)


def test_ptt_is_said_at_once_and_an_older_look_does_not_unsay_it() -> None:
    own = Messages(configuration())
    own.of_vitals(vitals(1.0))
    state = f"{ROOT}/channel/a/state"
    down = own.of_notice(notice("transmission", active=True))
    assert said(down, state)["transmitting"] is True
    assert state not in topics(own.of_vitals(vitals(2.0, transmitting_s=0.0)))
    assert said(own.of_vitals(vitals(3.0, transmitting_s=0.0)), state)["transmitting"] is False


def test_notices_change_the_states_that_they_speak_of() -> None:
    own = Messages(configuration())
    own.of_vitals(vitals(1.0))
    state = f"{ROOT}/channel/a/state"
    assert said(own.of_notice(notice("channel", online=False)), state)["online"] is False
    card = notice("card", direction="capture", present=False)
    assert said(own.of_notice(card), state)["capture_present"] is False
    talks = notice("talker", user_name="Cid", active=True)
    assert said(own.of_notice(talks), state)["talkers"] == ["Ann", "Bob", "Cid"]
    ends = notice("talker", user_name="Ann", active=False)
    assert said(own.of_notice(ends), state)["talkers"] == ["Bob", "Cid"]
    gone = notice("device", "", "porch", present=False)
    assert said(own.of_notice(gone), f"{ROOT}/device/porch/state")["connected"] is False
    link = notice("link", "", link="s3", up=False, detail="no such bucket")
    links = said(own.of_notice(link), f"{ROOT}/links")
    assert links["s3"] == {"up": False, "detail": "no such bucket"}
    server = notice("server", "", connected=False, detail="reset")
    assert said(own.of_notice(server), f"{ROOT}/links")["server"] == {"up": False, "detail": "reset"}


def test_half_a_state_is_not_said() -> None:
    own = Messages(configuration())
    for one in (notice("transmission", active=True), notice("server", "", connected=True)):
        assert all(message.kind == "event" for message in own.of_notice(one))


def test_unknown_devices_leave_nothing_at_the_broker() -> None:
    own = Messages(configuration())
    stranger = notice("device", "", "stranger", present=True)
    assert [one.kind for one in own.of_notice(stranger)] == ["event"]
    look = dataclasses.replace(vitals(1.0), devices=(device("stranger", known=False),))
    assert not [one for one in own.of_vitals(look) if "/device/" in one.topic]


def test_a_channel_that_was_taken_out_leaves_nothing_at_the_broker() -> None:
    own = Messages(configuration(("a",)))
    assert not [one for one in own.of_vitals(vitals(1.0)) if "fire" in one.topic]
    assert [one.kind for one in own.of_notice(page_notice(channel_id="fire/tac é"))] == ["event", "event"]


def test_the_last_page_waits_on_the_disk_like_the_page_itself() -> None:
    """Else a power cut while the broker is away would leave an older one there for good."""
    own = Messages(configuration())
    for message in own.of_notice(page_notice()):
        if message.retain:
            assert message.topic.endswith(("/last_page", "/last_tone"))
            assert (message.kind, message.lane, message.weight) == ("event", "a", Weight.ALARM)
    born = {one.topic: one for one in own.birth()}
    assert (
        born[f"{ROOT}/channel/a/last_page"].kind,
        said(own.birth(), f"{ROOT}/channel/a/last_page")["title"],
    ) == (
        "state",
        "Engine 7",
    )


def test_the_last_page_gets_its_recording() -> None:
    own = Messages(configuration())
    own.of_notice(page_notice())
    upload = notice(
        "upload",
        subject="rec-1",
        page_ids=[PAGE_ID],
        url="s3://county/a.flac",
        bucket="county",
        key="a.flac",
        path="/r/a.wav",
    )
    found = own.of_notice(upload)
    last = said(found, f"{ROOT}/channel/a/last_page")
    assert last["title"] == "Engine 7"
    assert last["recording"] == {
        "id": "rec-1",
        "url": "s3://county/a.flac",
        "bucket": "county",
        "key": "a.flac",
    }
    own.of_notice(page_notice(id="another"))
    assert f"{ROOT}/channel/a/last_page" not in topics(own.of_notice(upload))


def test_a_tone_that_is_no_page_leaves_the_last_page_alone() -> None:
    own = Messages(configuration())
    own.of_notice(page_notice())
    found = own.of_notice(notice("tone", tone_kind="dtmf", name="DTMF 911", digits="911"))
    assert said(found, f"{ROOT}/channel/a/last_tone")["title"] == "DTMF 911"
    assert f"{ROOT}/channel/a/last_page" not in topics(found)


# ---- rates


def levels(own: Messages, seconds: int, period_s: float = 1.0) -> list[Message]:
    found = []
    for look in range(int(seconds / period_s)):
        found += own.of_vitals(vitals(look * period_s))
    return [one for one in found if one.topic.endswith("/channel/a/levels")]


def test_levels_come_at_their_rate_and_health_at_its_own() -> None:
    assert len(levels(Messages(configuration()), 60)) == 30
    assert len(levels(Messages(configuration(levels_s=10)), 60)) == 6
    assert len(levels(Messages(configuration(levels_s=0)), 60)) == 0
    assert len(levels(Messages(configuration(levels_s=2)), 60, period_s=1.03)) in (29, 30)
    own = Messages(configuration(health_s=30))
    found = [one for look in range(120) for one in own.of_vitals(vitals(float(look)))]
    assert topics(found).count(f"{ROOT}/health") == 4


def test_a_clock_that_steps_back_a_year_changes_no_rate() -> None:
    own = Messages(configuration())
    looks = [dataclasses.replace(vitals(float(look)), at_us=AT_US - look * 10**15) for look in range(20)]
    found = [one for look in looks for one in own.of_vitals(look)]
    assert topics(found).count(f"{ROOT}/channel/a/levels") == 10


def test_levels_are_telemetry() -> None:
    (first, *_) = levels(Messages(configuration()), 2)
    assert (first.kind, first.qos, first.retain, first.weight) == ("telemetry", 0, False, 0)
    values = json.loads(first.payload)
    assert values["out_dbfs"] is None  # silence: minus infinity
    assert values["drift_ppm"] == 12.3


def test_health_says_how_the_machine_is() -> None:
    found = said(Messages(configuration()).of_vitals(vitals(1.0, disk_free=0.25)), f"{ROOT}/health")
    assert (found["disk_free_percent"], found["cpu_percent"], found["waiting"]) == (25.0, 21.0, 4)
    assert found["links"]["mqtt"]["waiting"] == 4
    assert found["timestamp"] == (AT_US + 1_000_000) // 1000


def many(devices: int) -> tuple[Config, Vitals]:
    config = configuration(tuple(f"c{number}" for number in range(4)), devices)
    found = tuple(device(one.name) for one in config.esp32.devices)
    channels = tuple(channel(one.id) for one in config.channels)
    return config, Vitals(AT_US, 0.0, "g", "1", channels, found, board(), (LinkVitals("server", True, 1.0),))


def test_a_thousand_devices_take_turns() -> None:
    config, look = many(1000)
    own = Messages(config)
    counts = []
    for second in range(40):
        found = own.of_vitals(dataclasses.replace(look, now_s=float(second)))
        counts.append(sum(one.topic.endswith("/levels") for one in found if "/device/" in one.topic))
    assert sum(counts[20:40]) == 2000  # each of them every ten seconds
    assert max(counts[20:]) <= 150


def test_a_look_at_a_thousand_devices_costs_milliseconds() -> None:
    """Beside encoding the same number of messages, which is the work that there is."""
    config, look = many(1000)
    own = Messages(config)
    own.of_vitals(look)
    looks, encodings = [], []
    for second in range(1, 8):
        began_s = time.perf_counter()
        own.of_vitals(dataclasses.replace(look, now_s=second * 0.01))
        looks.append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        for _ in range(1000):
            json.dumps(look.devices[0].name + "a state of so and so many keys")
        encodings.append(time.perf_counter() - began_s)
    assert min(looks) < 20 * min(encodings)


# ---- coming and going


def test_birth_and_will_are_the_two_words_of_one_topic() -> None:
    own = Messages(configuration())
    first, will = own.birth()[0], own.will()
    assert (first.topic, first.payload) == (f"{ROOT}/status", b"online")
    assert (will.topic, will.payload) == (f"{ROOT}/status", b"offline")
    assert all(one.retain and one.qos == 1 for one in (first, will))


def test_birth_brings_every_state_again() -> None:
    own = Messages(configuration())
    stated = [one for one in own.of_vitals(vitals(1.0)) + own.of_notice(page_notice()) if one.kind == "state"]
    assert len(stated) >= 5
    born = {one.topic: one for one in own.birth()}
    assert all(born[one.topic] == one for one in stated)
    assert all(one.kind == "state" and one.retain for one in born.values())


def test_no_discovery_where_it_is_switched_off() -> None:
    own = Messages(configuration(home_assistant=False))
    assert not [one for one in own.birth() if one.topic.startswith("homeassistant")]
    assert not [topic for topic, _ in own.subscriptions() if topic.startswith("homeassistant")]


def test_what_an_earlier_configuration_left_is_tidied_up() -> None:
    old, new = Messages(configuration(("a", "b/c"), 2)), Messages(configuration(("a",), 1))
    gone = set()
    for message in old.birth():
        found = new.command(message.topic, message.payload, True)
        assert not getattr(found, "reason", "")
        for one in getattr(found, "messages", ()):
            assert (one.payload, one.retain, one.kind) == (b"", True, "state")
            gone.add(one.topic)
    assert {f"{ROOT}/channel/b%2Fc/state", f"{ROOT}/device/mic-1/state"} <= gone
    assert "homeassistant/binary_sensor/echostream_g/device_mic-1_connected/config" in gone
    kept = {one.topic for one in new.birth()}
    assert not gone & kept
    assert gone >= {one.topic for one in old.birth()} - kept


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'{"channels": 7}', b'{"channels": [7, {}, null]}'])
def test_an_info_that_is_rubbish_tidies_nothing(payload: bytes) -> None:
    assert not getattr(Messages(configuration()).command(f"{ROOT}/info", payload, True), "messages", None)


def test_an_info_of_a_million_names_does_not_make_it_busy() -> None:
    info = json.dumps({"devices": [f"d{number}" for number in range(100_000)]}).encode()
    found = Messages(configuration()).command(f"{ROOT}/info", info, True)
    assert len(getattr(found, "messages", ())) <= 5000
