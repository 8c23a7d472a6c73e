"""What the coordinator's events become: the right kind, its keys, once, and whole in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from config_documents import small

from echostream.config.load import parse_config
from echostream.events import (
    ChannelOnline,
    CommandDone,
    ConfigurationChanged,
    DeviceChange,
    DevicesChanged,
    Direction,
    Event,
    LinkChanged,
    Member,
    Opener,
    PassthroughChanged,
    RecordingAtRisk,
    RecordingClosed,
    RecordingFiled,
    RecordingsFiled,
    RecordingUploaded,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SignallingLost,
    SignallingUp,
    SourceChanged,
    ToneDetected,
    ToneMissed,
    TransmissionChanged,
    WorkerFailed,
)
from echostream.notices.maker import NoticeMaker
from echostream.notices.notice import Kind, Notice, Weight
from echostream.notices.strangers import MOST, SPAN_S
from echostream.tones.heard import Detection, NearMiss, ToneSpan
from echostream.tones.heard import Kind as ToneKind

NOW_US = 1_795_262_400_000_000
PAGE = {
    "tone_id": "engine-7",
    "alert": "Engine 7",
    "tone_a_hz": 349.0,
    "tone_b_hz": 433.7,
    "record_length_s": 60,
}
SPANS = (ToneSpan(349.21, 800, 8800, -20, 24.3, 0.21), ToneSpan(433.5, 8900, 24_900, -21, 23, -0.2))
FOUND = Detection(ToneKind.TWO_TONE, "engine-7", 800, 24_900, 25_000, SPANS, snr_db=23.6, level_dbfs=-20.4)
HEARD = ToneDetected("a", FOUND, 1_795_262_400.25, 1_795_262_403.26, 4800, "Engine 7", "Engine 7", 60.0, 7)
CHIEF = Member("chief-1", "Chief", "County")
FILED = RecordingFiled(
    "/r/x.flac", "ab" * 16, "a", "channel", ("engine-7", "engine-7"), 1_795_262_399.5, 63.5, "cd" * 32,
    (("engine-7", 1_795_262_400_250_000), ("engine-7", 1_795_262_430_000_000)), "a",
)  # fmt: skip
PORCH = DeviceChange("porch", "Porch", "10.0.0.9", True, 3, "16 kHz")

EVERY: list[tuple[Event, str, set[str]]] = [
    (
        HEARD,
        "page",
        {
            *("tone_id", "name", "alert", "tone_kind", "tone_a_hz", "tone_b_hz", "measured_a_hz"),
            *("measured_b_hz", "a_length_s", "b_length_s", "digits", "snr_db", "level_dbfs", "started_at_us"),
            *("ended_at_us", "record_length_s", "priority"),
        },
    ),
    (
        ToneDetected("a", Detection(ToneKind.NEW_TONES, "", 0, 1, 1, SPANS), 1.0, 2.0, 0, "new"),
        "tone",
        {
            *("tone_kind", "tone_id", "name", "measured_a_hz", "measured_b_hz", "a_length_s", "b_length_s"),
            *("digits", "started_at_us", "ended_at_us", "alert"),
        },
    ),
    (
        ToneMissed("a", NearMiss(ToneKind.TWO_TONE, "engine-7", 0, 1, "b_too_short", "B was short"), 1.0),
        "tone_missed",
        {"tone_id", "reason", "explanation"},
    ),
    (
        PassthroughChanged("a", "b", "engine-7", "Engine 7", 60.0),
        "passthrough",
        {"target", "tone_id", "name", "active", "remaining_s", "reason"},
    ),
    (
        TransmissionChanged("a", False, (Opener.BUTTON,), 3.25, "released"),
        "transmission",
        {"active", "openers", "lasted_s", "why"},
    ),
    (RemoteTransmit("a", CHIEF, True), "talker", {"affiliation_id", "user_name", "agency_name", "active"}),
    (ChannelOnline("a", True), "channel", {"online"}),
    (SourceChanged("a", Direction.CAPTURE, False, "pulled"), "card", {"direction", "present", "detail"}),
    (SignallingUp(), "server", {"connected", "detail"}),
    (LinkChanged("mqtt", False, "refused"), "link", {"link", "up", "detail"}),
    (
        DevicesChanged((PORCH,)),
        "device",
        {"present", "label", "address", "detail", "known", "quarantined"},
    ),
    (
        RecordingClosed("a", "/r/x.wav", ("engine-7",), 1.0, 63.0),
        "recording",
        {
            *(
                "state",
                "path",
                "source",
                "source_kind",
                "tone_ids",
                "page_ids",
                "started_at_us",
                "duration_s",
            ),
            *("sha256", "error"),
        },
    ),
    (RecordingsFiled((FILED,)), "recording", {"state", "path", "sha256", "page_ids"}),
    (
        RecordingUploaded(
            "ab" * 16, "/r/x.flac", "a", "channel", "a", ("engine-7",), 1.0, 63.0, "b", "k", 9, FILED.pages
        ),
        "upload",
        {
            *(
                "key",
                "bucket",
                "url",
                "path",
                "source",
                "tone_ids",
                "page_ids",
                "started_at_us",
                "duration_s",
            ),
            "bytes",
        },
    ),
    (
        RecordingAtRisk(("/r/x.flac",), 3, 900, "the disk is full", 5.0, 3605.0),
        "at_risk",
        {"recordings", "bytes", "reason", "until_us", "paths"},
    ),
    (WorkerFailed("udp", "ValueError: x"), "worker", {"error"}),
    (CommandDone("volume", "a", "mqtt", True, "done", 0.0, -6.0), "command", {"ok", "detail"}),
    (
        ConfigurationChanged("1 changed", {"audio": {"fec": True}}, {"audio": {"fec": False}}),
        "admin",
        {"act"},
    ),
]


def maker(**more: object) -> NoticeMaker:
    config = parse_config(small(**more), "test").config
    return NoticeMaker(config, lambda: NOW_US)


def one(event: Event, of: NoticeMaker | None = None) -> Notice:
    (notice,) = (of or maker()).notices(event, 10.0)
    return notice


@pytest.mark.parametrize(("event", "kind", "keys"), EVERY, ids=[kind for _, kind, _ in EVERY])
def test_each_event_has_its_kind_with_its_keys(event: Event, kind: str, keys: set[str]) -> None:
    notice = one(event)
    assert notice.kind == kind
    assert keys <= notice.data.keys()
    assert notice.text
    assert "\n" not in notice.text
    assert json.loads(json.dumps(dict(notice.data))) == notice.data


def test_every_kind_is_made_by_somebody_and_documented() -> None:
    """An alert is the alerts' own; a start and a stop are told by whoever runs the gateway."""
    made = {kind for _, kind, _ in EVERY} | {NoticeMaker.gateway("started", "1").kind, "alert"}
    assert made == set(get_args(Kind))
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
    for _, kind, keys in EVERY:
        section = text.split(f"### `{kind}`", 1)[-1].split("\n### ", 1)[0]
        assert text.count(f"### `{kind}`") == 1, kind
        missing = [key for key in keys if f"`{key}`" not in section]
        assert not missing, (kind, missing)


def test_a_page_says_what_was_defined_and_what_was_measured() -> None:
    notice = one(HEARD, maker(tones={"a": {"alert_tones": [PAGE]}}))
    assert (notice.weight, notice.channel_id, notice.subject) == (Weight.ALARM, "a", "engine-7")
    assert notice.at_us == notice.data["started_at_us"] == 1_795_262_400_250_000
    assert (notice.data["tone_a_hz"], notice.data["measured_a_hz"]) == (349.0, 349.21)
    assert (notice.data["a_length_s"], notice.data["b_length_s"]) == (1.0, 2.0)


def test_a_page_that_the_plan_has_no_more_still_goes_out() -> None:
    assert one(HEARD).data["tone_a_hz"] is None


def test_its_recording_names_the_page() -> None:
    known = maker()
    page = one(HEARD, known)
    filed = one(RecordingsFiled((FILED,)), known)
    ids = filed.data["page_ids"]
    assert isinstance(ids, list)
    assert ids[0] == page.id
    assert len(ids) == 2
    assert filed.data["tone_ids"] == ["engine-7"]


def test_the_same_page_has_the_same_id_after_a_restart_and_another_one_has_not() -> None:
    assert one(HEARD).id == one(HEARD).id
    assert one(HEARD).id != one(ToneDetected("b", FOUND, HEARD.started_at_s, 2.0, 0, "x")).id


def test_a_server_that_stays_away_is_told_once() -> None:
    known = maker()
    events: list[Event] = [SignallingUp(), SignallingLost("reset"), SignallingLost("refused"), SignallingUp()]
    told = [notice.data["connected"] for event in events for notice in known.notices(event, 0.0)]
    assert told == [True, False, True]


def test_what_the_server_says_every_five_seconds_is_told_once() -> None:
    known = maker()
    events: list[Event] = [SignallingUp(), *[ServerDraining(False)] * 9, *[ServerRefused("X", "no")] * 9]
    assert sum(len(known.notices(event, 0.0)) for event in events) == 3


def test_who_talked_when_the_server_went_talks_no_more() -> None:
    known = maker()
    for event in (SignallingUp(), RemoteTransmit("a", CHIEF, True), RemoteTransmit("b", CHIEF, True)):
        known.notices(event, 0.0)
    known.notices(RemoteTransmit("b", CHIEF, False), 0.0)
    _, talker = known.notices(SignallingLost("reset"), 0.0)
    assert (talker.kind, talker.channel_id, talker.data["active"]) == ("talker", "a", False)
    assert known.notices(SignallingLost("reset"), 0.0) == []


def test_a_flood_of_strangers_costs_some_notices_a_minute() -> None:
    known = maker()
    stranger = DeviceChange("esp32-1", "", "10.0.0.66", True, 1, "", known=False)
    told = sum(len(known.notices(DevicesChanged((stranger,) * 10), at / 100)) for at in range(1000))
    assert told == MOST
    mine, *rest = known.notices(DevicesChanged((PORCH, stranger)), SPAN_S + 1)
    assert mine.subject == "porch"
    assert rest[-1].data["more"] == 10_000 - MOST


def test_a_command_carries_who_and_what_it_changed() -> None:
    notice = one(CommandDone("volume", "a", "mqtt", True, "done", 0.0, -6.0))
    assert (notice.who, notice.before, notice.after) == ("mqtt", 0.0, -6.0)


def test_a_reload_tells_the_values_that_changed_and_no_others() -> None:
    before = {
        "channels": [{"id": "a", "tot_s": 180, "card": "x"}, {"id": "b", "card": "y"}],
        "audio": {"fec": 1},
    }
    after = {
        "channels": [{"id": "a", "tot_s": 60, "card": "x"}, {"id": "c", "card": "y"}],
        "audio": {"fec": 1},
    }
    notice = one(ConfigurationChanged("a changed", before, after))
    assert notice.before == {"channels[a].tot_s": 180, "channels[b]": {"id": "b", "card": "y"}}
    assert notice.after == {"channels[a].tot_s": 60, "channels[c]": {"id": "c", "card": "y"}}


def test_a_reload_that_changes_everything_is_bounded() -> None:
    before, after = ({"devices": {str(n): n + by for n in range(5000)}} for by in (0, 1))
    notice = one(ConfigurationChanged("all", before, after))
    assert isinstance(notice.before, dict)
    assert len(notice.before) < 300
    assert notice.before["..."] == "and 4800 more"


def test_a_device_of_a_channel_is_on_that_channel_after_a_reload_too() -> None:
    known = maker()
    assert one(DevicesChanged((PORCH,)), known).channel_id == ""
    device = {"name": "porch", "channel": "b", "transmit": "vox"}
    config = parse_config(small(esp32={"enabled": True, "devices": [device]}), "test").config
    known.reconfigure(config)
    assert one(DevicesChanged((PORCH,)), known).channel_id == "b"


def test_what_a_library_says_is_one_line_for_people() -> None:
    notice = one(WorkerFailed("udp", "ValueError: one\n  two\x1b[2J\r\nthree " + "x" * 5000))
    assert notice.text.startswith("worker udp failed and is started again: ValueError: one two [2J three x")
    assert notice.text.isprintable()
    assert len(notice.text) == 1000
    assert one(WorkerFailed("Löschzug 7 消防", "x")).text.startswith("worker Löschzug 7 消防 failed")
