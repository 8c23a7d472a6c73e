"""`echostream recordings tidy`: bounds hold also while no gateway runs; a second call has nothing to do."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.archive.disk_room import Disk
from echostream.archive.wall_clock import ClockQuality
from echostream.archive_tools.tidying import Clocks, tidy
from echostream.cli import main
from echostream.config.load import parse_config
from echostream.event_log.acts import ActLog
from echostream.event_log.files import LogFiles, day_files, log_directory
from echostream.notices.notice import Notice

DAY = 86_400 * SECOND
SAMPLES = noise(1600)
LARGE = Disk(free=900 * 10**9, total=1000 * 10**9)
SET = ClockQuality("synchronised", 1.0)


class Site:
    """A gateway's folders, and a clock ten days after the first recording."""

    def __init__(self, directory: Path, **recording: object) -> None:
        self.house = ArchiveHouse(directory / "recordings")
        for days in (0, 3, 9):
            self.house.add("porch", NOON + days * DAY, SAMPLES)
        self.house.add("garage", NOON, SAMPLES, protected=True)
        self.document = {
            "gateway": {"id": "station-7", "affiliation_id": "a", "user_name": "u", "agency_name": "n"},
            "control_server": {"url": "ws://127.0.0.1:8765"},
            "channels": [{"id": "fire", "card": "none"}],
            "recording": {"enabled": True, "directory": str(self.house.directory), "min_free_percent": 5}
            | recording,
            "events": {"directory": str(directory), "keep_days": 30},
        }
        self.directory = directory
        self.quality = SET

    def tidy(self) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        config = parse_config(json.dumps(self.document).encode(), "made").config
        clocks = Clocks(lambda: NOON / 1e6 + 10 * 86_400, lambda: self.quality, lambda _: LARGE)
        with ActLog(self.directory, "station-7", err) as acts:
            return tidy(config, None, out, err, acts, clocks), out.getvalue(), err.getvalue()

    def left(self) -> list[str]:
        return sorted(path.stem.split("_")[1] for path in self.house.directory.rglob("*.wav"))


def test_what_is_too_old_goes_and_a_second_call_has_nothing_to_do(tmp_path: Path) -> None:
    site = Site(tmp_path, keep_days=5)
    code, said, wrong = site.tidy()
    assert (code, wrong) == (0, "")
    assert "2 recordings deleted" in said
    assert len(site.left()) == 2  # the protected one, and that of yesterday
    assert site.tidy() == (0, "nothing to tidy\n", "")


def test_a_clock_that_nobody_set_deletes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, keep_days=5)
    site.quality = ClockQuality("unsynchronised", 0.0)
    assert site.tidy()[0] == 0
    assert len(site.left()) == 4


def test_the_bound_on_the_size_holds_without_a_clock(tmp_path: Path) -> None:
    site = Site(tmp_path, keep_gb=0.001)
    for number in range(100):
        site.house.add("porch", NOON + DAY + number * SECOND, noise(8000, number))
    site.quality = ClockQuality("unsynchronised", 0.0)
    assert "recordings deleted" in site.tidy()[1]
    size = sum(path.stat().st_size for path in site.house.directory.rglob("*.wav"))
    assert 0 < size < 1_000_000


def test_old_days_of_the_event_log_go(tmp_path: Path) -> None:
    site = Site(tmp_path)
    log = LogFiles(log_directory(tmp_path), "station-7")
    for days in (-90, -60, 9):
        log.append([Notice("gateway", NOON + days * DAY, "started")])
    assert "2 days of the event log deleted" in site.tidy()[1]
    assert len(day_files(log_directory(tmp_path))) == 2  # that of day 9, and today's: what was done


def test_nothing_is_touched_where_nothing_is_recorded(tmp_path: Path) -> None:
    site = Site(tmp_path, keep_days=5, enabled=False)
    assert site.tidy() == (0, "nothing to tidy\n", "")
    assert len(site.left()) == 4


def test_it_is_a_command_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, keep_days=(time.time() - NOON / 1e6) / 86_400 + 1)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(site.document))
    assert main(["recordings", "tidy", "--config", str(path)]) == 0
    assert capsys.readouterr().out == "nothing to tidy\n"
    assert main(["recordings", "tidy", "--config", str(tmp_path / "none.json")]) == 2
