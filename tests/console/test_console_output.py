"""What a person and the journal see."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from rich.console import Console

from echostream.audio.levels import Level
from echostream.channels.channel_state import Phase
from echostream.channels.media_session import DownlinkCounters
from echostream.channels.receive_path import ReceiveStats
from echostream.channels.transmit_path import TransmitStats
from echostream.console import logs
from echostream.console.live_view import LiveView, render
from echostream.console.page_status import page_status
from echostream.console.snapshot import ChannelSnapshot, PagesSnapshot
from echostream.vitals.model import LinkVitals

LEVEL = Level(rms_dbfs=-20.0, peak_dbfs=-8.0, clipped_frames=0, mean_dbfs=-25.0)


def snapshot(**changes: object) -> ChannelSnapshot:
    fields: dict[str, object] = {
        "channel_id": "fire",
        "name": "Fire dispatch",
        "phase": Phase.IDLE,
        "latched": False,
        "online": True,
        "playing": False,
        "keyed": False,
        "capture_present": True,
        "playback_present": True,
        "openers": (),
        "members": 2,
        "talkers": (),
        "transmit": TransmitStats(100, 0, 1, 42, 9000, 0, 0, 0, LEVEL),
        "receive": ReceiveStats(packets_received=17, delay_ms_p50=24.75),
        "downlink": DownlinkCounters(),
        "output_level": LEVEL,
        "overs": 1,
        **changes,
    }
    return ChannelSnapshot(**fields)  # type: ignore[arg-type]


def shown(channel: ChannelSnapshot, columns: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=columns)
    console.print(render("EchoStream", [channel], ["a log line"], columns))
    return out.getvalue()


@pytest.mark.parametrize(("up", "word"), [(True, "MQTT: 7 sent"), (False, "MQTT: away for 3 s (refused)")])
def test_the_ways_out_have_a_line(up: bool, word: str) -> None:
    out = io.StringIO()
    link = LinkVitals("mqtt", up, 3.0, sent=7, detail="" if up else "refused")
    Console(file=out, width=80).print(render("EchoStream", [snapshot()], [], 80, links=[link]))
    assert word in out.getvalue()
    assert "MQTT" not in shown(snapshot())


@pytest.mark.parametrize("columns", [80, 118, 200])
def test_numbers_are_whole_on_any_terminal(columns: int) -> None:
    text = shown(snapshot(), columns)
    for word in ("Fire", "42", "17", "25 ms", "-20", "a log line", "heard", "lost"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= columns


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "ready"),
        ({"phase": Phase.OPEN}, "ON AIR"),
        ({"keyed": True}, "KEYED"),
        ({"online": False}, "offline"),
        ({"latched": True, "phase": Phase.DRAINING}, "TIMED OUT"),
        ({"capture_present": False}, "no card"),
        ({"talkers": ("Engine 2",)}, "Engine 2"),
    ],
)
def test_each_state_has_its_word(changes: dict[str, object], word: str) -> None:
    assert word in shown(snapshot(**changes), 118)


def test_live_view_gives_the_screen_back() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, force_terminal=True, width=118))
    view.start()
    view.update("EchoStream", [snapshot()], [])
    view.stop()
    assert "Fire dispatch" in out.getvalue()
    assert out.getvalue().count("\x1b[?25h") == 1  # the cursor is visible again


def record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("echostream.x", level, __file__, 1, message, (), None)


def test_journal_line_is_one_json_object_with_a_syslog_priority() -> None:
    entry = json.loads(logs.JsonFormatter().format(record(logging.WARNING, "card is away\nsecond line")))
    assert entry["priority"] == 4
    assert entry["level"] == "warning"
    assert entry["message"] == "card is away\nsecond line"


def test_cause_of_a_failure_is_in_the_journal_line() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        failed = record(logging.ERROR, "worker died")
        failed.exc_info = sys.exc_info()
    assert "ZeroDivisionError: a bug" in json.loads(logs.JsonFormatter().format(failed))["exception"]


def test_terminal_line_has_its_level_only_when_it_matters() -> None:
    formatter = logs.LineFormatter(colour=False)
    assert formatter.format(record(logging.INFO, "hello")).endswith(" hello")
    assert " WARNING card" in formatter.format(record(logging.WARNING, "card"))
    assert "\x1b[33m" in logs.LineFormatter(colour=True).format(record(logging.WARNING, "card"))


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_line_that_cannot_be_written_is_counted_and_costs_nothing_else() -> None:
    handler = logs.SteadyHandler(FullDisk())
    handler.emit(record(logging.ERROR, "x"))
    handler.emit(record(logging.ERROR, "y"))
    assert handler.lost_lines == 2


def test_recent_lines_are_bounded() -> None:
    recent = logs.RecentLines(3)
    for number in range(10):
        recent.emit(record(logging.INFO, str(number)))
    assert [line[-1] for line in recent.lines] == ["7", "8", "9"]


@pytest.mark.parametrize("columns", [80, 118])
def test_a_running_passthrough_is_seen_on_both_channels_with_what_remains(columns: int) -> None:
    paged = PagesSnapshot(
        heard=1, last_name="Engine 7", last_age_s=12.3, passed_to="tac", passed_s=47.6, recording=True
    )
    text = shown(snapshot(pages=paged), columns)
    assert "page Engine 7 12 s ago, through to tac: 48 s left, recording" in text
    assert max(len(line) for line in text.splitlines()) <= columns
    hears = shown(snapshot(pages=PagesSnapshot(heard_from="dispatch", heard_s=47.6)), columns)
    assert "hears dispatch: 48 s left" in hears


@pytest.mark.parametrize(("age_s", "words"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (36_000, "10 h")])
def test_an_old_page_is_told_in_minutes_and_hours(age_s: float, words: str) -> None:
    assert page_status(PagesSnapshot(last_name="X", last_age_s=age_s)) == f"page X {words} ago"


def test_without_a_page_nothing_is_said() -> None:
    assert page_status(PagesSnapshot()) == ""
