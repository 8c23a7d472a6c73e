"""The index and the files: lost, behind, or wrong, it comes to say what the files say."""

from __future__ import annotations

import os
import random
import wave
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import MINUTE_US, NOON_US, recording, written

from echostream.archive.file_names import META_FOLDER, Place, make_folder
from echostream.archive.meta_files import write_meta
from echostream.archive.open_marks import FOLDER, marked
from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.errors import IndexUnavailable
from echostream.index import folders, reconciliation
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import FILE_NAME, open_index

DAY_US = 24 * 60 * MINUTE_US


def scene(directory: Path, count: int = 12) -> list[Recording]:
    """Recordings over three days, with files that are settled: older than the clock's last tick."""
    made = [
        recording(
            n,
            NOON_US + n % 3 * DAY_US + n * MINUTE_US,
            random.Random(n).choice(["porch", "barn"]),
            protected=n == 3,
            notes="kept" if n == 4 else "",
            tones=[ToneMark("engine_4", "Engine 4", NOON_US, NOON_US + 5)] if n == 5 else [],
            gaps=[Gap(NOON_US, NOON_US + 9, "overload", 5)] if n == 6 else [],
        )
        for n in range(count)
    ]
    for one in made:
        written(directory, one)
    settle(directory)
    return made


def settle(directory: Path) -> None:
    for folder in [path for path in directory.rglob("*") if path.is_dir()]:
        os.utime(folder, (1_700_000_000, 1_700_000_000))


def everything(index: ArchiveIndex) -> dict[str, Recording]:
    return {one.id: one for one in index.all()}


@pytest.fixture
def read_metas(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The meta files that are read."""
    seen: list[Path] = []
    real = folders.read

    def watched(meta: Path, audio: Container[str] | None = None) -> folders.MetaFile:
        seen.append(meta)
        return real(meta, audio)

    monkeypatch.setattr(folders, "read", watched)
    return seen


def test_a_lost_index_is_made_again_of_the_files_alone(tmp_path: Path) -> None:
    made = scene(tmp_path)
    with open_index(tmp_path) as index:
        index.reconcile()
        before = everything(index)
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    with open_index(tmp_path) as index:
        assert index.needs_rebuild
        done = index.reconcile()
        assert everything(index) == before == {one.id: one for one in made}
        assert (done.added, done.changed, done.removed, done.broken) == (12, 0, 0, ())
        assert not index.needs_rebuild


def test_days_that_did_not_change_are_not_read_again(
    index: ArchiveIndex, tmp_path: Path, read_metas: list[Path]
) -> None:
    made = scene(tmp_path)
    index.reconcile()
    assert len(read_metas) == 12
    read_metas.clear()
    done = index.reconcile()
    assert (done.added, done.changed, done.removed, read_metas) == (0, 0, 0, [])
    changed = written(tmp_path, replace(made[4], notes="heard again"))
    index.reconcile()
    assert read_metas == [changed]  # of its day, only what is newer than its row
    assert everything(index)[made[4].id].notes == "heard again"


def test_a_day_that_changed_just_now_is_read_again(index: ArchiveIndex, tmp_path: Path) -> None:
    """Within one tick of the file system's clock a second change leaves no trace on the folder."""
    one = recording(1)
    meta = written(tmp_path, one)
    stamp = meta.parent.stat().st_mtime_ns
    index.reconcile()
    other = written(tmp_path, recording(2))
    for folder in (meta.parent, meta.parent.parent):
        os.utime(folder, ns=(stamp, stamp))
    index.reconcile()
    assert len(everything(index)) == 2
    assert other.exists()


def test_what_a_power_cut_took_is_not_in_the_index(
    index: ArchiveIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the last second and the change of their folder are lost together; the index knows both."""
    made = scene(tmp_path)
    index.reconcile()
    today = NOON_US / 1e6 + 3600
    monkeypatch.setattr(folders, "now_ns", lambda: round(today * 1e9))
    audio = tmp_path / made[0].path
    stamp = audio.parent.stat().st_mtime_ns
    audio.unlink()
    os.utime(audio.parent, ns=(stamp, stamp))
    assert index.reconcile().removed == 1
    assert made[0].id not in everything(index)


def test_what_is_gone_from_the_files_is_gone_from_the_index(index: ArchiveIndex, tmp_path: Path) -> None:
    made = scene(tmp_path)
    index.reconcile()
    (tmp_path / made[0].path).unlink()  # audio alone
    for path in (tmp_path / made[1].path).parent.rglob("*.*"):
        if path.is_file():
            path.unlink()  # a whole day
    (tmp_path / made[1].path).parent.joinpath(".meta").rmdir()
    (tmp_path / made[1].path).parent.rmdir()
    done = index.reconcile()
    left = {one.id for one in made if one.path[:10] != made[1].path[:10]} - {made[0].id}
    assert set(everything(index)) == left
    assert done.removed == 12 - len(left)
    assert index.reconcile().removed == 0


def test_a_deletion_that_was_interrupted_is_finished(index: ArchiveIndex, tmp_path: Path) -> None:
    made = scene(tmp_path, 3)
    index.reconcile()
    for n, one in enumerate(made):  # the power went after the first, second and third step
        place = Place(tmp_path, Path(one.path).stem)
        place.peaks.write_bytes(b"p")
        place.meta.replace(place.meta.with_suffix(folders.GONE))
        if n:
            place.audio("wav").unlink()
        if n > 1:
            place.peaks.unlink()
    index.reconcile()
    assert everything(index) == {}
    assert not [path for path in tmp_path.rglob("20*/**/*") if path.is_file()]


def test_a_file_that_says_nothing_costs_only_itself(index: ArchiveIndex, tmp_path: Path) -> None:
    made = scene(tmp_path)
    broken = Place(tmp_path, Path(made[2].path).stem).meta
    broken.write_bytes(b'{"id": ')
    Place(tmp_path, Path(made[3].path).stem).meta.write_bytes(b"")  # a name that is held, nothing more
    (tmp_path / "2025-11-21" / ".meta" / "notes.txt").write_text("of somebody else")
    (tmp_path / "2025-11-21" / ".meta" / ".x.json.1-2.new").write_text("half")
    (tmp_path / "2025-13-45").mkdir()
    (tmp_path / "lost+found").mkdir()
    done = index.reconcile()
    assert len(everything(index)) == 10
    assert len(done.broken) == 1
    assert str(broken) in done.broken[0]
    assert len(index.changed([broken])) == 1


def test_audio_without_a_meta_file_tells_what_it_can(index: ArchiveIndex, tmp_path: Path) -> None:
    made = scene(tmp_path, 2)
    lost = tmp_path / "2025-11-21" / "2025-11-21_1300_05_barn.wav"
    with wave.open(str(lost), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    fresh = lost.with_name("2025-11-21_1400_05_copying.wav")
    fresh.write_bytes(lost.read_bytes())  # somebody is copying it here now
    nothing = lost.with_name("2025-11-21_1500_05_noise.flac")
    nothing.write_bytes(b"no audio at all")
    for path in (lost, nothing):
        os.utime(path, (NOON_US / 1e6, NOON_US / 1e6))
    done = index.reconcile()
    assert [str(nothing) in text for text in done.broken] == [True]
    (found,) = [one for one in index.all() if one.id not in {one.id for one in made}]
    assert (found.source, found.samples, found.rate_hz, found.gateway) == ("barn", 8000, 8000, "north")
    assert found.start_us == NOON_US + 3_605_000_000
    index.rebuild()
    assert index.get(found.id) == found
    assert index.note(found.id, "the lost one").notes == "the lost one"


@pytest.mark.parametrize("writer", ["gone", "begins meanwhile"])
def test_what_a_crash_left_without_a_word_is_left_to_the_recorder(
    index: ArchiveIndex, tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tmp_path / "2025-11-21" / "2025-11-21_1300_05_barn.wav"
    make_folder(lost.parent / META_FOLDER)
    with wave.open(str(lost), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    os.utime(lost, (NOON_US / 1e6, NOON_US / 1e6))
    theirs = recording(1, NOON_US + 3_605_000_000, "barn", path=f"2025-11-21/{lost.name}", notes="theirs")

    def said(directory: Path) -> set[str]:
        write_meta(tmp_path, theirs, sync=False)
        return marked(directory)

    if writer == "gone":
        make_folder(tmp_path / FOLDER)
        (tmp_path / FOLDER / lost.stem).write_text("another-boot 1 1")
    else:
        monkeypatch.setattr(reconciliation, "marked", said)
    index.reconcile()
    assert everything(index) == {}
    if writer == "begins meanwhile":
        index.reconcile()
        assert everything(index) == {theirs.id: theirs}


def test_a_stop_ends_it_and_the_next_one_goes_on(index: ArchiveIndex, tmp_path: Path) -> None:
    scene(tmp_path)
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 3

    index.reconcile(stopped)
    assert 0 < len(everything(index)) < 12
    index.reconcile()
    assert len(everything(index)) == 12


def test_a_folder_has_a_name_of_its_own(tmp_path: Path) -> None:
    name = folders.archive_id(tmp_path)
    assert folders.archive_id(tmp_path) == name
    assert (tmp_path / folders.ARCHIVE_ID).stat().st_mode & 0o7 == 0
    (tmp_path / folders.ARCHIVE_ID).write_bytes(b"")  # the power went before it was written
    assert folders.archive_id(tmp_path) != name
    with pytest.raises(IndexUnavailable, match="must be there"):
        folders.archive_id(tmp_path / "missing")
