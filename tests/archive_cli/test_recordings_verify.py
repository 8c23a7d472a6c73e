"""`echostream recordings verify`: each way in which an archive can be damaged is told, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.open_marks import OpenMarks
from echostream.archive.peaks import PeakCounter, write_peaks
from echostream.archive.recording import Gap, Recording
from echostream.cli import main
from echostream.index.door import open_index

SAMPLES = noise(32_000)
Damage = Callable[[ArchiveHouse], None]


@pytest.fixture
def house(tmp_path: Path) -> ArchiveHouse:
    """Three segments of one device that follow each other, each in another form, with waveforms."""
    house = ArchiveHouse(tmp_path / "archive")
    for number, form in enumerate(("wav", "flac", "opus")):
        house.add("porch", NOON + 2 * number * SECOND, SAMPLES, form=form, ended="segment")
        peaks = PeakCounter(16_000)
        peaks.add(SAMPLES)
        write_peaks(place_of(house.directory, house.recordings[-1].path).peaks, peaks.peaks)
    return house


def verify(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[int, list[str]], list[str]]:
    """Exit code, codes of the faults by number of the recording, and those of none."""
    code = main(["recordings", "verify", "--json", "--directory", str(house.directory), *arguments])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    known = [one.id for one in house.recordings]
    faults = {
        known.index(line["id"]): [each["code"] for each in line["faults"]]
        for line in lines
        if "id" in line and line["faults"]
    }
    return code, faults, [each["code"] for line in lines if "id" not in line for each in line["faults"]]


def test_what_is_whole_holds(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(house, capsys) == (0, {}, [])
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0
    assert capsys.readouterr().out == "3 recordings whole, as recorded; 0:06.0\n"


def audio(house: ArchiveHouse, number: int) -> Path:
    return house.directory / house.recordings[number].path


def lose(house: ArchiveHouse) -> None:
    audio(house, 1).unlink()


def flip(house: ArchiveHouse) -> None:
    data = bytearray(audio(house, 0).read_bytes())
    data[5000] ^= 4
    audio(house, 0).write_bytes(data)


def cut(house: ArchiveHouse) -> None:
    audio(house, 0).write_bytes(audio(house, 0).read_bytes()[:-2000])


def rubbish(house: ArchiveHouse) -> None:
    audio(house, 1).write_bytes(b"no sound" * 100)


def change(house: ArchiveHouse, number: int, **fields: object) -> None:
    house.recordings[number] = replace(house.recordings[number], **fields)  # type: ignore[arg-type]
    write_meta(house.directory, house.recordings[number])


def miscount(house: ArchiveHouse) -> None:
    change(house, 1, samples=31_999)


def crash(house: ArchiveHouse) -> None:
    change(house, 2, state="open", samples=0, sha256="", bytes=0)


def unexplained(house: ArchiveHouse) -> None:
    change(house, 1, ended="device gone")
    change(house, 2, start_us=house.recordings[2].start_us + 3 * SECOND)


def overlapping(house: ArchiveHouse) -> None:
    change(house, 2, start_us=house.recordings[2].start_us - SECOND)


def unsynchronised(house: ArchiveHouse) -> None:
    """The wall clock is wrong by nobody knows how much, and by as much for both."""
    for number in range(3):
        change(house, number, start_error_ms=16_000.0, clock="unsynchronised")
    unexplained(house)


def renamed(house: ArchiveHouse) -> None:
    change(house, 0, start_us=NOON - 60 * SECOND)


def impossible_gap(house: ArchiveHouse) -> None:
    change(house, 0, gaps=[Gap(NOON, NOON + 5 * SECOND, "overload", 10)])


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (lose, {1: ["missing"]}),
        (flip, {0: ["hash"]}),
        (cut, {0: ["bytes", "hash", "count"]}),
        (rubbish, {1: ["bytes", "hash", "unreadable"]}),
        (miscount, {1: ["count"]}),
        (crash, {2: ["half-written"]}),
        (unexplained, {2: ["gap"]}),
        (unsynchronised, {2: ["gap"]}),
        (overlapping, {2: ["overlap"]}),
        (renamed, {0: ["name"]}),
        (impossible_gap, {0: ["gap"]}),
    ],
)
def test_each_damage_is_told(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str], damage: Damage, faults: dict[int, list[str]]
) -> None:
    damage(house)
    assert verify(house, capsys) == (1, faults, [])


def test_a_gap_that_says_why_is_no_fault(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    start_us = house.recordings[2].start_us
    change(house, 1, ended="device gone")
    gap = Gap(start_us, start_us + 3 * SECOND, "device gone")
    change(house, 2, start_us=start_us + 3 * SECOND, gap_before=gap)
    assert verify(house, capsys) == (0, {}, [])


def test_a_device_that_comes_back_after_days_begins_anew(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    change(house, 2, ended="device gone")
    house.add("porch", NOON + 9 * 86_400 * SECOND, SAMPLES)
    assert verify(house, capsys) == (0, {}, [])


def test_what_somebody_deleted_is_a_note_and_no_fault(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    place_of(house.directory, house.recordings[1].path).delete()
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0
    assert "2 s after 2024-11-21_1200_00_porch.wav are not there: deleted, or lost" in capsys.readouterr().out


def test_what_is_being_written_is_left_out(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    crash(house)
    OpenMarks(house.directory).put(Path(house.recordings[2].path).stem)
    assert verify(house, capsys) == (0, {}, [])
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0
    assert "2 recordings whole, as recorded, 1 being written" in capsys.readouterr().out


def test_sound_and_meta_files_that_nobody_knows(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = place_of(house.directory, house.recordings[0].path).meta
    meta.unlink()
    place_of(house.directory, house.recordings[1].path).meta.write_text("{")
    assert verify(house, capsys) == (1, {}, ["meta", "unknown sound"])
    (audio(house, 0).parent / "notes.txt").write_text("not ours")
    (audio(house, 0).parent / "song.wav").write_text("not ours")
    assert verify(house, capsys)[2] == ["meta", "unknown sound"]


def test_an_index_that_is_out_of_step(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    with open_index(house.directory) as index:
        index.reconcile()
    # A gateway runs: it keeps the index, and nobody else brings it up to date.
    OpenMarks(house.directory).put("2024-11-21_1500_00_garage")
    assert verify(house, capsys) == (0, {}, [])
    with open_index(house.directory) as index:
        index.removed([house.recordings[0].path])
    assert verify(house, capsys) == (1, {}, ["index"])
    assert main(["recordings", "repair", "--index", "--directory", str(house.directory)]) == 0
    capsys.readouterr()
    assert verify(house, capsys) == (0, {}, [])


def test_a_choice_and_the_quick_way(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    flip(house)
    assert verify(house, capsys, "--quick") == (0, {}, []), "neither hashed nor decoded"
    assert verify(house, capsys, house.recordings[1].id) == (0, {}, [])
    assert verify(house, capsys, house.recordings[0].id) == (1, {0: ["hash"]}, [])
    lose(house)
    assert verify(house, capsys, "--quick") == (1, {1: ["missing"]}, [])


def test_a_recording_filed_while_it_is_verified(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway turned the WAV into FLAC between the list and the look: what is known now counts."""
    old = house.recordings[0]
    wav = audio(house, 0)
    new = ArchiveHouse(house.directory.parent / "other").add("porch", NOON, SAMPLES, form="flac")
    data = (house.directory.parent / "other" / new.path).read_bytes()
    (house.directory / new.path).write_bytes(data)
    wav.unlink()
    write_meta(house.directory, replace(new, id=old.id))

    def late(path: Path) -> Recording:
        one = read_meta(path)
        return old if one.id == old.id else one

    monkeypatch.setattr("echostream.archive_tools.file_store.read_meta", late)
    assert verify(house, capsys) == (0, {}, [])
