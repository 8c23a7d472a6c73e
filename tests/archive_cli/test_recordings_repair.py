"""`echostream recordings repair`: what a crash or a lost file left; what others write is not touched."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.archive.file_names import place_of
from echostream.archive.filing import mark_closed
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.open_marks import OpenMarks
from echostream.archive.peaks import read_peaks
from echostream.archive.recording import Recording
from echostream.cli import main
from echostream.event_log.files import log_directory
from echostream.event_log.reading import read
from echostream.index.door import open_index

SAMPLES = noise(40_000)


@pytest.fixture
def house(tmp_path: Path) -> ArchiveHouse:
    return ArchiveHouse(tmp_path / "archive")


def repair(house: ArchiveHouse, *arguments: str) -> int:
    return main(["recordings", "repair", "--directory", str(house.directory), *arguments])


def crashed(house: ArchiveHouse, source: str, form: str = "wav", mark: bool = True) -> Recording:
    """As `kill -9` leaves it: torn at the end, the meta file's first word, and a dead process's marker."""
    one = house.add(source, NOON, SAMPLES, form=form, state="open", ended="")
    one = replace(one, samples=0, bytes=0, sha256="")
    write_meta(house.directory, one)
    path = house.directory / one.path
    if form == "wav":
        data = path.read_bytes()
        path.write_bytes(data[:4] + bytes(4) + data[8:40] + bytes(4) + data[44:-1])
    if mark:
        (house.directory / ".open").mkdir(exist_ok=True)
        (house.directory / ".open" / path.stem).write_text("another-boot 1 1")
    return one


def now(house: ArchiveHouse, one: Recording) -> Recording:
    return read_meta(place_of(house.directory, one.path).meta)


@pytest.mark.parametrize("form", ["wav", "flac"])
@pytest.mark.parametrize("mark", [True, False])
def test_a_half_written_recording_is_whole_afterwards(house: ArchiveHouse, form: str, mark: bool) -> None:
    one = crashed(house, "porch", form, mark)
    assert repair(house) == 0
    known = now(house, one)
    assert known.state == "repaired"
    got = soundfile.read(str(house.directory / known.path), dtype="int16")[0]
    assert known.samples == got.size >= SAMPLES.size - 1
    assert np.array_equal(got, SAMPLES[: got.size])
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0
    assert not any((house.directory / ".open").glob("2024*"))


def test_a_dry_run_changes_nothing(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    crashed(house, "porch")
    crashed(house, "garage", mark=False)
    house.add("attic", NOON, SAMPLES)
    place_of(house.directory, house.recordings[-1].path).meta.unlink()
    before = {path: path.read_bytes() for path in house.directory.rglob("*") if path.is_file()}
    assert repair(house, "--dry-run") == 0
    assert {path: path.read_bytes() for path in house.directory.rglob("*") if path.is_file()} == before
    told = capsys.readouterr().out
    for words in (
        "left half-written (power cut)",
        "made whole",
        "would be made again",
        "nothing was changed",
    ):
        assert words in told


def test_what_a_live_process_writes_is_left_alone(house: ArchiveHouse) -> None:
    one = crashed(house, "porch", mark=False)
    OpenMarks(house.directory).put(Path(one.path).stem)
    before = (house.directory / one.path).read_bytes()
    assert repair(house) == 0
    assert (house.directory / one.path).read_bytes() == before
    assert now(house, one).state == "open"


def test_what_is_known_of_a_recording_is_made_again_of_its_file(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, broken, other = (
        house.add(name, NOON, SAMPLES, form="flac") for name in ("lost", "broken", "other")
    )
    place_of(house.directory, lost.path).meta.unlink()
    place_of(house.directory, broken.path).meta.write_bytes(b"\0" * 500)
    assert repair(house, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(each["what"] for each in told["actions"]) == ["filed", "index", "recovered", "recovered"]
    for one in (lost, broken):
        known = now(house, one)
        assert (known.source, known.samples, known.rate_hz) == (one.source, SAMPLES.size, 16_000)
        assert abs(known.start_us - one.start_us) <= SECOND
        assert known.gateway == "station-7", "as the others there say"
        assert known.sha256 == one.sha256
    assert now(house, other).id == other.id
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0


def test_missing_waveforms_levels_and_hashes_are_made(house: ArchiveHouse) -> None:
    one = house.add("porch", NOON, SAMPLES, sha256="", bytes=0)
    assert repair(house) == 0
    known = now(house, one)
    assert len(known.sha256) == 64
    assert known.peak_dbfs == pytest.approx(
        20 * np.log10(np.abs(SAMPLES.astype(float)).max() / 32768), abs=0.1
    )
    peaks = read_peaks(place_of(house.directory, one.path).peaks)
    assert peaks.pairs.max() == SAMPLES.max()


def test_what_a_power_cut_took_of_a_closed_recording(house: ArchiveHouse) -> None:
    """It was closed and not yet hashed: its last second had not reached the disk."""
    one = house.add("porch", NOON, SAMPLES, sha256="")
    path = house.directory / one.path
    path.write_bytes(path.read_bytes()[:-10_000])
    assert repair(house) == 0
    known = now(house, one)
    assert (known.state, known.samples) == ("repaired", SAMPLES.size - 5_000)
    assert main(["recordings", "verify", "--directory", str(house.directory)]) == 0


def test_what_holds_no_sound_is_removed(house: ArchiveHouse) -> None:
    nothing = house.add("porch", NOON, noise(0), state="open", sha256="", bytes=0)
    gone = house.add("garage", NOON, SAMPLES, state="open", sha256="", bytes=0)
    (house.directory / gone.path).unlink()
    assert repair(house) == 0
    for one in (nothing, gone):
        assert not place_of(house.directory, one.path).meta.exists()
    assert not (house.directory / nothing.path).exists()


def test_a_recording_that_somebody_changed_stays_as_it_is(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is evidence: nothing must make it look right."""
    one = house.add("porch", NOON, SAMPLES)
    gone = house.add("garage", NOON, SAMPLES)
    path = house.directory / one.path
    path.write_bytes(path.read_bytes()[:-100])
    (house.directory / gone.path).unlink()
    assert repair(house) == 1
    told = capsys.readouterr().err
    assert "were written: left as it is" in told
    assert "its sound is gone" in told
    assert now(house, one).sha256 == one.sha256


def test_names_that_were_taken_and_never_used_are_free_again(house: ArchiveHouse) -> None:
    house.add("porch", NOON, SAMPLES)
    empty = house.directory / "2024-11-21" / ".meta" / "2024-11-21_1300_00_porch.json"
    empty.touch()
    assert repair(house) == 0
    assert not empty.exists()


def test_the_index_says_what_the_files_say(house: ArchiveHouse) -> None:
    house.add("porch", NOON, SAMPLES)
    assert repair(house) == 0
    with open_index(house.directory, create=False) as index:
        assert [one.id for one in index.all()] == [house.recordings[0].id]


def test_nothing_to_repair_and_no_archive(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    house.add("porch", NOON, SAMPLES)
    assert repair(house) == 0
    assert repair(house) == 0
    assert capsys.readouterr().out.endswith("nothing to repair\n")
    assert main(["recordings", "repair", "--directory", str(house.directory / "nowhere")]) == 2


@pytest.fixture
def others_archive() -> Iterator[ArchiveHouse]:
    """One that belongs to a service's user, where that user can reach it."""
    directory = Path(tempfile.mkdtemp(prefix="echostream-owner-"))
    directory.chmod(0o755)
    try:
        house = ArchiveHouse(directory / "archive")
        house.add("porch", NOON, SAMPLES)
        for path in (house.directory, *house.directory.rglob("*")):
            os.chown(path, 65534, 65534)
        yield house
    finally:
        shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another user")
def test_root_leaves_nothing_that_the_service_cannot_change(others_archive: ArchiveHouse) -> None:
    place = ("--directory", str(others_archive.directory))
    assert main(["recordings", "repair", *place]) == 0
    assert main(["recordings", "protect", "porch", *place]) == 0
    assert main(["recordings", "list", *place]) == 0
    owners = {path.stat().st_uid for path in others_archive.directory.rglob("*")}
    assert owners == {65534}
    assert os.geteuid() == 0


def test_what_a_gateway_is_about_to_file_is_left_to_it(house: ArchiveHouse) -> None:
    one = house.add("porch", NOON, SAMPLES, sha256="")
    mark_closed(house.directory, Path(one.path).stem)
    OpenMarks(house.directory).put("2024-11-21_1500_00_garage")
    assert repair(house) == 0
    assert not now(house, one).sha256
    OpenMarks(house.directory).remove("2024-11-21_1500_00_garage")
    assert repair(house) == 0
    assert now(house, one).sha256


def test_what_was_repaired_is_in_the_event_log(house: ArchiveHouse, tmp_path: Path) -> None:
    crashed(house, "porch")
    document = {
        "gateway": {"id": "station-7", "affiliation_id": "7"},
        "control_server": {"url": "ws://127.0.0.1:1"},
        "channels": [{"id": "a", "card": "none"}],
        "recording": {"directory": str(house.directory)},
        "events": {"directory": str(tmp_path)},
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document), "utf-8")
    assert main(["recordings", "repair", "--dry-run", "--config", str(config)]) == 0
    assert not log_directory(tmp_path).exists()
    assert main(["recordings", "repair", "--config", str(config)]) == 0
    found = [one.notice for one in read(log_directory(tmp_path))]
    assert {one.data["act"] for one in found} == {"repair"}
    assert any("repaired" in one.text for one in found)
    assert main(["recordings", "repair", "--config", str(config)]) == 0
    assert len(list(read(log_directory(tmp_path)))) == len(found)
