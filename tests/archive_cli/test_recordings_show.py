"""`echostream recordings show` and `stats`: what is known, for people and machines, and the picture."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise, voice
from PIL import Image

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import write_meta
from echostream.archive.peaks import Peaks, write_peaks
from echostream.archive.recording import Gap, ToneMark
from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.spectrum import MOST_COLUMNS, look_at
from echostream.archive_tools.statistics import LastDay, stats
from echostream.cli import main
from echostream.index.door import open_index

DAY = 86_400 * SECOND


@pytest.fixture
def house(tmp_path: Path) -> ArchiveHouse:
    house = ArchiveHouse(tmp_path / "archive")
    tone = ToneMark("engine-7", "Engine 7", NOON + SECOND, NOON + 4 * SECOND)
    gaps = [
        Gap(NOON + (5 + number) * SECOND, NOON + (5 + number) * SECOND + 100_000, "packets lost", 80_000)
        for number in range(30)
    ]
    house.add(
        "porch",
        NOON,
        voice(10),
        label="Porch",
        notes="dog barks",
        tones=[tone],
        gaps=gaps,
        ppm=-12.34,
        gap_before=Gap(NOON - 90 * SECOND, NOON, "device gone"),
        clock="unsynchronised",
        start_error_ms=40.0,
        peak_dbfs=-6.54,
        rms_dbfs=-20.1,
        protected=True,
        keep_days=30.0,
        form="flac",
    )
    house.add("porch", NOON + 10 * SECOND, noise(1600), state="open", ended="", label="Porch")
    return house


def run(house: ArchiveHouse, *arguments: str) -> int:
    return main(["recordings", *arguments, "--utc", "--directory", str(house.directory)])


def test_all_that_is_known_is_said(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(house, "show", house.recordings[0].id) == 0
    text = capsys.readouterr().out
    for words in (
        *("porch (Porch), 2024-11-21 12:00:00 UTC, 0:10.0", house.recordings[0].id, "protected", "dog barks"),
        *("2024-11-21 12:00:00.000000 ±40 ms; the wall clock was not synchronised", "-12.3 ppm"),
        *("160000 at 16000 Hz", "peak -6.5 dBFS, RMS -20.1 dBFS", house.recordings[0].sha256, "30 days"),
        *("1 min 30 s, device gone, before it", "0.1 s, packets lost, as silence from sample 80000"),
        *("and 11 more: --json has all of them", "Engine 7 (two_tone, 3.0 s)"),
    ):
        assert words in text
    assert run(house, "show", "porch") == 0, "a source: its newest one"
    assert "being written" in capsys.readouterr().out
    assert run(house, "show", house.recordings[0].path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["gaps"]), document["duration_s"]) == (30, 10.0)
    assert run(house, "show", "nobody") == 2


@pytest.mark.parametrize("what", [0, 1])
def test_a_picture(house: ArchiveHouse, tmp_path: Path, what: int) -> None:
    assert run(house, "show", house.recordings[what].id, "--plot", str(tmp_path / "out.png")) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 20, "there is something in it"


def test_a_picture_that_cannot_be_drawn_is_told(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = house.recordings[0]
    for wrong in ("out.gif", "nowhere/out.png"):
        assert run(house, "show", one.id, "--plot", str(tmp_path / wrong)) == 2
    (house.directory / one.path).write_bytes(b"no sound")
    assert run(house, "show", one.id, "--plot", str(tmp_path / "out.png")) == 2
    (house.directory / one.path).unlink()
    assert run(house, "show", one.id, "--plot", str(tmp_path / "out.png")) == 2
    told = capsys.readouterr().err
    for words in ("ends in .png", "no directory", "no recording that can be read", "No such file"):
        assert words in told


@pytest.mark.parametrize(("seconds", "rate_hz"), [(0.01, 8000), (3.0, 16_000), (3.0, 44_100), (90.0, 8000)])
def test_a_tone_is_where_it_is(tmp_path: Path, seconds: float, rate_hz: int) -> None:
    house = ArchiveHouse(tmp_path / "archive")
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    part = (t >= seconds / 3) & (t < 2 * seconds / 3)
    tone = np.rint(32_767 * np.where(part, np.sin(2 * np.pi * 1000 * t), 0.0)).astype(np.int16)
    one = house.add("porch", NOON, tone, rate_hz=rate_hz)
    look = look_at(house.directory, one)
    assert look.levels_db.shape[1] <= MOST_COLUMNS
    assert look.duration_s == pytest.approx(seconds)
    loud = np.flatnonzero(look.highest > 0.5) / look.highest.size * seconds
    edges_s = (seconds / 3, 2 * seconds / 3)
    assert (loud.min(), loud.max()) == pytest.approx(edges_s, abs=0.02 * seconds + 0.002)
    if seconds < 1:
        return
    row, column = np.unravel_index(int(np.argmax(look.levels_db)), look.levels_db.shape)
    assert row * look.highest_hz / (look.levels_db.shape[0] - 1) == pytest.approx(1000, abs=20)
    assert -1.5 < look.levels_db.max() < 0.1, "a Hann window loses 1.4 dB between two of its frequencies"
    at_s = column / look.levels_db.shape[1] * seconds - look.behind_s
    assert seconds / 3 - 0.1 < at_s < 2 * seconds / 3 + 0.1


def test_a_stored_waveform_is_drawn_where_it_is_fine_enough(tmp_path: Path) -> None:
    house = ArchiveHouse(tmp_path / "archive")
    one = house.add("porch", NOON, noise(200 * 4000), rate_hz=4000)
    stored = np.tile(np.array([[-3277, 3277]], np.int16), (2000, 1))
    write_peaks(place_of(house.directory, one.path).peaks, Peaks(4000, stored))
    assert look_at(house.directory, one).highest.tolist() == pytest.approx([3277 / 32768] * 2000)
    write_peaks(place_of(house.directory, one.path).peaks, Peaks(4000, stored[:1700]))
    assert look_at(house.directory, one).highest.size == MOST_COLUMNS, "of another length: it is not its own"


@pytest.mark.parametrize("by", ["index", "files"])
def test_counted_by_source(house: ArchiveHouse, capsys: pytest.CaptureFixture[str], by: str) -> None:
    house.add("ems", NOON, noise(16_000), kind="network", bytes=1_000_000)
    if by == "index":
        with open_index(house.directory) as index:
            index.reconcile()
    assert run(house, "stats", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["source"], one["recordings"]) for one in told["sources"]] == [("ems.net", 1), ("porch", 2)]
    ems, porch = told["sources"]
    assert (ems["bytes"], ems["duration_s"], porch["label"]) == (1_000_000, 1.0, "Porch")
    assert (porch["first"], porch["last"]) == ("2024-11-21T12:00:00.000000Z", "2024-11-21T12:00:10.000000Z")
    assert told["disk"]["free_bytes"] > 0
    assert run(house, "stats") == 0
    text = capsys.readouterr().out
    assert "3 recordings of 2 sources" in text
    assert "free (" in text


def test_the_last_day_says_how_long_the_disk_lasts(house: ArchiveHouse) -> None:
    store, out = FileStore(house.directory), io.StringIO()
    assert stats(store, NOON + DAY // 2, utc=True, as_json=True, out=out) == 0
    told = json.loads(out.getvalue())
    (porch,) = told["sources"]
    assert (porch["gaps_last_day"], porch["gap_s_last_day"]) == (31, pytest.approx(93.0))
    assert porch["bytes_a_day"] == pytest.approx(2 * sum(one.bytes for one in house.recordings))
    assert stats(store, NOON + DAY // 2, utc=True, as_json=False, out=out) == 0
    assert "a day full in" in out.getvalue()


def test_bytes_a_day_are_those_of_late(house: ArchiveHouse) -> None:
    day = LastDay()
    day.add(replace(house.recordings[0], bytes=1000))
    assert day.bytes_a_day(NOON, NOON + 1800 * SECOND) is None, "half an hour does not say it"
    assert day.bytes_a_day(NOON, NOON + DAY // 2) == pytest.approx(2000)
    assert day.bytes_a_day(NOON - 100 * DAY, NOON) == pytest.approx(1000)


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["recordings", *command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_page_names_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
    names = re.findall(r"^    ([a-z]+)  ", help_of(capsys), re.MULTILINE)
    assert len(names) == 11
    for name in names:
        assert f"`{name}" in page, name
        for option in set(re.findall(r"--[a-z-]+", help_of(capsys, name))) - {"--help", "--output"}:
            assert option in page, f"{name} {option}"


def test_an_empty_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house = ArchiveHouse(tmp_path / "archive")
    assert run(house, "stats") == 0
    assert capsys.readouterr().out == "no recordings there\n"
    house.add("porch", NOON, noise(0), state="open")
    write_meta(house.directory, house.recordings[0])
    assert run(house, "show", "porch", "--plot", str(tmp_path / "empty.png")) == 0
