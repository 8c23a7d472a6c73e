"""A report made of a real log and a real index: midnight, another writer, crashes that nobody saw."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from archive_house import ArchiveHouse, noise
from told_day import (
    BEGIN,
    DAY,
    HOUR,
    SECOND,
    a_day,
    device,
    heard,
    online,
    page,
    started,
    stopped,
    told,
)

from echostream.archive.recording import Gap
from echostream.event_log.files import LogFiles, log_directory
from echostream.index.door import open_index
from echostream.notices.notice import Notice
from echostream.reports import plot
from echostream.reports.alive import Alive
from echostream.reports.calendar import bounds
from echostream.reports.day import DayBuilder, Subject
from echostream.reports.model import DayReport
from echostream.reports.page import write_page
from echostream.reports.sources import Place, report_of
from echostream.reports.table import COLUMNS, write_csv, write_json
from echostream.reports.text import write_text

TODAY = date(2026, 11, 20)
NOW = BEGIN + 30 * HOUR


def logged(events: Path, notices: Sequence[Notice], gateway: str = "station-4") -> Place:
    LogFiles(log_directory(events), gateway).append(notices)
    return Place(events, names={"fire": "Fire", "ems": ""})


def made(place: Place, day: date = TODAY, now_us: int = NOW) -> DayReport:
    return report_of(place, day, UTC, now_us)


def test_a_day_from_its_log(tmp_path: Path) -> None:
    report = made(logged(tmp_path, a_day()))
    assert (report.gateway, report.ran_s, report.pages_heard) == ("station-4", 18_000, 1)
    assert not report.recordings_known


def test_what_held_at_midnight_is_found_behind_a_thousand_other_events(tmp_path: Path) -> None:
    before = [
        started(-10 * 3600),
        online(-10 * 3600 + 1, "fire"),
        device(-10 * 3600 + 2, "porch", True),
        told("card", -9 * 3600, channel="ems", direction="capture", present=False),
        heard(-20, "fire", "a", True),
    ]
    storm = [page(-9000 + at, "ems") for at in range(2000)]
    report = made(logged(tmp_path, [*before[:4], *storm, before[4], heard(40, "fire", "a", False)]))
    fire, ems = report.channels
    assert (fire.up_s, fire.heard_s) == (86_400, 40)
    assert (ems.pages, ems.card_away_s) == (0, 86_400)
    assert report.devices[0].up_s == 86_400
    assert (report.ran_s, report.starts) == (86_400, 0)


def test_what_another_gateway_wrote_there_is_left_out(tmp_path: Path) -> None:
    logged(tmp_path, [started(0), page(10, "fire")], gateway="old-box")
    place = logged(tmp_path, [started(100), page(200, "fire"), page(300, "fire")])
    ours = made(Place(tmp_path, gateway="station-4", names=place.names))
    assert (ours.pages_heard, ours.ran_s) == (2, 86_300)


def test_the_days_after_a_crash_are_not_taken_for_days_on_which_it_ran(tmp_path: Path) -> None:
    """Killed at 2 h, started again three days later."""
    place = logged(tmp_path, [started(0), online(1, "fire"), page(7200, "fire"), started(3 * 86_400 + 60)])
    late = NOW + 5 * DAY
    first, second = made(place, now_us=late), made(place, TODAY + timedelta(days=1), late)
    assert (first.ran_s, first.crashes) == (7200, 1)
    assert (second.ran_s, second.crashes, second.channels[0].up_s) == (0, 0, 0)
    fourth = made(place, TODAY + timedelta(days=3), late)
    assert (fourth.ran_s, fourth.crashes, fourth.starts) == (86_340, 0, 1)


def test_a_gateway_that_died_and_was_not_started_again_is_known_by_its_last_sign(tmp_path: Path) -> None:
    place = logged(tmp_path, [started(0), online(1, "fire")])
    assert made(place).ran_s == 86_400  # nothing says otherwise
    Alive(tmp_path).renew(BEGIN + 5 * HOUR)
    report = made(place)
    assert (report.ran_s, report.channels[0].up_s, report.crashes) == (5 * 3600, 5 * 3600 - 1, 1)


def test_the_minutes_between_the_last_event_and_a_power_cut_count_as_run(tmp_path: Path) -> None:
    place = logged(tmp_path, [started(0), page(100, "fire"), started(20_000), stopped(20_010)])
    Alive(tmp_path).renew(BEGIN + 9000 * SECOND)
    assert made(place).ran_s == 9010


def test_renewing_keeps_the_signs_of_earlier_runs(tmp_path: Path) -> None:
    from echostream.reports.alive import signs

    for run in range(3):
        alive = Alive(tmp_path)
        for minute in range(3):
            alive.renew(1000 * run + minute + 1)
    assert signs(tmp_path) == [3, 1003, 2003]
    (tmp_path / "reports" / "alive.txt").write_text("[1, tr")
    assert signs(tmp_path) == []


def test_a_local_day_of_23_and_one_of_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    lengths = {day: bounds(day, berlin) for day in (date(2026, 3, 29), date(2026, 10, 25), TODAY)}
    assert [(end - begin) // HOUR for begin, end in lengths.values()] == [23, 25, 24]
    assert lengths[TODAY][0] == BEGIN - HOUR


def test_an_event_belongs_to_the_day_of_the_local_clock(tmp_path: Path) -> None:
    """23:30 UTC of the 19th is 00:30 of the 20th in Berlin."""
    place = logged(tmp_path, [started(-7200), page(-1800, "fire"), page(82_900, "fire")])
    report = report_of(place, TODAY, ZoneInfo("Europe/Berlin"), NOW + DAY)
    assert [one.at_us for one in report.pages] == [BEGIN - 1800 * SECOND]


# ---- recordings


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveHouse:
    house = ArchiveHouse(tmp_path / "recordings")
    rate = 1000
    house.add("fire", BEGIN - 5 * SECOND, noise(10 * rate), kind="channel", rate_hz=rate)
    gap = Gap(BEGIN + 5 * SECOND, BEGIN + 25 * SECOND, "card gone")
    house.add("fire", BEGIN + 25 * SECOND, noise(20 * rate), kind="channel", rate_hz=rate, gap_before=gap)
    # From the evening to the morning after: the gap is of both days, and the recording after it of the other.
    night = Gap(BEGIN + DAY - 60 * SECOND, BEGIN + DAY + 30 * SECOND, "power cut")
    house.add("yard", BEGIN + DAY + 30 * SECOND, noise(rate), rate_hz=rate, gap_before=night)
    with open_index(house.directory) as index:
        index.rebuild()
    return house


def test_recordings_and_gaps_of_the_index_cut_at_midnight(tmp_path: Path, archive: ArchiveHouse) -> None:
    place = logged(tmp_path, [started(0), online(1, "fire"), device(2, "yard", True)])
    place = Place(tmp_path, archive.directory, names=place.names)
    report = made(place)
    fire, yard = report.channels[0].recorded, report.devices[0].recorded
    assert fire is not None
    assert yard is not None
    assert (fire.recordings, fire.recorded_s, fire.gaps, fire.gap_s) == (2, 25, 1, 20)
    assert 0 < fire.bytes < sum(one.bytes for one in archive.recordings[:2])
    assert (yard.recordings, yard.gaps, yard.gap_s) == (0, 1, 60)
    assert report.recordings_known
    morning = made(place, TODAY + timedelta(days=1), NOW + 2 * DAY)
    told_yard = next(one.recorded for one in morning.devices if one.name == "yard")
    assert told_yard is not None
    assert (told_yard.recordings, told_yard.gaps, told_yard.gap_s) == (1, 1, 30)


def test_without_an_index_the_rest_is_told(tmp_path: Path) -> None:
    place = logged(tmp_path, a_day())
    report = made(Place(tmp_path, tmp_path / "nothing", names=place.names))
    assert not report.recordings_known
    assert report.pages_heard == 1


# ---- forms


def evil(events: Path) -> DayReport:
    """Names that come from outside."""
    notices = [
        started(0),
        device(1, "=cmd|'/c calc'!A0", True, known=False, label="\x1b[31mred<script>alert(1)</script>"),
        page(2, "fire", "$x^2$", "<img src=x onerror=alert(1)> & $\\frac{1}{0}$"),
        online(3, "fire"),
    ]
    return made(logged(events, notices))


def test_a_name_from_outside_is_neither_formula_nor_tag_nor_command(tmp_path: Path) -> None:
    report = evil(tmp_path)
    page_out, text_out, csv_out = io.StringIO(), io.StringIO(), io.StringIO()
    write_page(report, UTC, page_out)
    write_text(report, UTC, text_out)
    write_csv(report, csv_out)
    assert "<script" not in page_out.getvalue()
    assert "<img" not in page_out.getvalue()
    assert "\x1b" not in text_out.getvalue()
    rows = list(csv.DictReader(io.StringIO(csv_out.getvalue())))
    assert {row["id"] for row in rows if row["kind"] == "device"} == {"'=cmd|'/c calc'!A0"}


def test_the_table_has_a_row_for_everything(tmp_path: Path) -> None:
    out = io.StringIO()
    write_csv(made(logged(tmp_path, a_day())), out)
    rows = {(row["kind"], row["id"]): row for row in csv.DictReader(io.StringIO(out.getvalue()))}
    assert out.getvalue().splitlines()[0] == ",".join(COLUMNS)
    assert list(rows) == [
        *(("gateway", "station-4"), ("channel", "fire"), ("channel", "ems"), ("device", "porch")),
        *(("link", "server"), ("link", "mqtt")),
    ]
    fire = rows["channel", "fire"]
    assert (fire["pages"], fire["talk_s"], fire["heard_s"], fire["up_percent"]) == (
        *("1", "30.000", "20.000", "20.831"),
    )
    assert fire["gaps"] == ""  # not known is not none


def test_the_json_has_all_of_it(tmp_path: Path) -> None:
    out = io.StringIO()
    write_json(made(logged(tmp_path, a_day())), out)
    read = json.loads(out.getvalue())
    assert (read["date"], read["channels"][0]["pages"]) == ("2026-11-20", 1)
    assert read["ran"] == [[BEGIN + HOUR, BEGIN + 6 * HOUR]]


def test_text_says_what_matters(tmp_path: Path) -> None:
    out = io.StringIO()
    write_text(made(logged(tmp_path, a_day())), UTC, out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "station-4, 2026-11-20 (UTC)"
    assert lines[1] == "ran 20.83 % of the time, started once; 1 page"
    assert any(line.split()[:4] == ["fire", "1", "1", "30"] for line in lines)
    assert "02:00:00  fire     Engine 7  engine-7" in out.getvalue()


def test_a_page_stands_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    report = made(logged(tmp_path, a_day()))
    pages = []
    for _ in range(2):
        out = io.StringIO()
        write_page(report, UTC, out)
        pages.append(out.getvalue())
    assert pages[0] == pages[1]
    assert pages[0].count("<svg") == 2
    assert "http-equiv" in pages[0]
    assert not re.findall(r"""(?:href|src|url\()=?["']?https?:""", pages[0])
    assert "default-src 'none'" in pages[0]


def test_what_flaps_all_day_is_not_drawn_flap_by_flap() -> None:
    builder = DayBuilder(Subject("g", str(TODAY), BEGIN, BEGIN + DAY, NOW))
    builder.take(started(0))
    for at in range(1500):
        builder.take(device(60 + at * 55 + at * 7 % 11 / 10, "yard", not at % 2))
    report = builder.finished(None)
    (yard,) = report.devices
    bars = plot._bars(report, yard.present)
    assert len(yard.present) == 750
    assert len(bars) == plot.MOST_BARS
    assert bars[0][0] == pytest.approx(60 / 3600)
    assert bars[-1][0] > 20  # it is seen to flap in the evening too


def test_an_empty_day_has_a_page_too(tmp_path: Path) -> None:
    out = io.StringIO()
    write_page(made(Place(tmp_path)), UTC, out)
    assert out.getvalue().count("<svg") == 2
