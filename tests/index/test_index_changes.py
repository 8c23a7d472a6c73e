"""Changes: what is written twice, moved, protected or deleted is in the index once, as the files say."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import MINUTE_US, NOON_US, recording, written

from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.errors import RecordingKept
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import open_index
from echostream.index.query import Query
from echostream.index.store import Entry


def put(index: ArchiveIndex, *recordings: Recording) -> None:
    index.write([Entry(one) for one in recordings], [])


def counted(index: ArchiveIndex) -> dict[tuple[str, str], tuple[int, int, int, int, int]]:
    found: dict[tuple[str, str], tuple[int, int, int, int, int]] = {}
    for one in index.all(Query(oldest_first=True)):
        n, size, length, first, _ = found.get((one.source, one.channel_id), (0, 0, 0, one.start_us, 0))
        entry = (n + 1, size + one.bytes, length + one.duration_us, first, one.start_us)
        found[one.source, one.channel_id] = entry
    return found


def test_the_counters_are_what_counting_would_give(index: ArchiveIndex) -> None:
    chance = random.Random(2)
    for _ in range(25):
        batch = [
            recording(
                chance.randrange(40),
                NOON_US + chance.randrange(90) * MINUTE_US,
                chance.choice(["porch", "barn"]),
                channel_id=chance.choice(["", "fire"]),
                bytes=chance.randrange(1000),
                samples=chance.randrange(10_000_000),
            )
            for _ in range(chance.randrange(12))
        ]
        gone = [one.path for one in index.list(limit=chance.randrange(1, 5)).recordings]
        index.write([Entry(one) for one in batch], gone)
        stats = {
            (one.source, one.channel_id): (
                *(one.recordings, one.bytes, one.duration_us, one.first_us, one.last_us),
            )
            for one in index.stats().sources
        }
        assert stats == counted(index)


def test_a_thousand_that_begin_in_one_microsecond_all_have_their_place(index: ArchiveIndex) -> None:
    put(index, *(recording(n) for n in range(1000)))
    put(index, *(recording(n) for n in range(1000, 1500)))
    found = list(index.all())
    assert len({one.id for one in found}) == len(found) == 1500


def test_a_better_start_time_moves_it(index: ArchiveIndex) -> None:
    one = recording(1, tones=[ToneMark("engine_4", "Engine 4", NOON_US, NOON_US + 1)])
    put(index, one, recording(2, NOON_US + 10, source="barn"))
    put(index, replace(one, start_us=NOON_US + 20, samples=5))
    assert [found.start_us for found in index.list().recordings] == [NOON_US + 20, NOON_US + 10]
    assert len(index.search("engine").recordings) == 1
    assert index.stats().tones == 1


def test_another_form_is_the_same_recording_and_is_still_to_be_sent(index: ArchiveIndex) -> None:
    one = recording(1)
    put(index, one)
    index.uploads.add(one.id, "cloud", NOON_US)
    as_flac = replace(one, form="flac", path=one.path.replace(".wav", ".flac"), bytes=500)
    index.write([Entry(as_flac)], [one.path])
    assert [found.path for found in index.all()] == [as_flac.path]
    assert [upload.recording_id for upload in index.uploads.pending()] == [one.id]


def test_what_replaces_a_path_takes_its_place(index: ArchiveIndex) -> None:
    put(index, recording(1, id="a" * 32))
    put(index, recording(1, id="b" * 32))
    assert [one.id for one in index.all()] == ["b" * 32]


def test_nothing_of_it_is_found_once_it_is_removed(index: ArchiveIndex, tmp_path: Path) -> None:
    one = recording(1, notes="zeppelin", tones=[ToneMark("t", "Siren", NOON_US, NOON_US)])
    put(index, one)
    index.uploads.add(one.id, "cloud", NOON_US)
    index.removed([tmp_path / one.path])
    assert not index.search("zeppelin").recordings
    assert not index.list(Query(tones=("siren",))).recordings
    assert (index.stats().tones, index.stats().sources, index.uploads.pending()) == (0, (), [])


@pytest.mark.parametrize(
    "text", ["a\0b", "half \ud800 of a character", "x" * 100_000, "'; DROP TABLE recordings; --"]
)
def test_any_text_is_kept_or_made_harmless(index: ArchiveIndex, text: str) -> None:
    put(index, recording(1, notes=text, label=text, tones=[ToneMark("t", text, NOON_US, NOON_US)]))
    assert len(index.list().recordings) == 1
    assert len(index.list(Query(tones=("t",))).recordings) == 1


@pytest.mark.parametrize("start_us", [0, 253_402_300_800_000_000])
def test_an_impossible_time_is_still_indexed(index: ArchiveIndex, start_us: int) -> None:
    put(index, recording(1, start_us=NOON_US), replace(recording(2), start_us=start_us, keep_days=1e300))
    assert sorted(one.start_us for one in index.all()) == sorted([NOON_US, start_us])


def test_protecting_changes_the_file_first(index: ArchiveIndex, tmp_path: Path) -> None:
    one = recording(1)
    meta = written(tmp_path, one)
    index.changed([meta])
    assert index.protect(one.id).protected
    assert read_meta(meta).protected
    assert [found.id for found in index.list(Query(protected=True)).recordings] == [one.id]
    index.protect(one.id, False)
    assert not read_meta(meta).protected
    assert index.stats().protected == 0


def test_a_note_is_found_and_does_not_undo_what_the_index_has_not_seen(
    index: ArchiveIndex, tmp_path: Path
) -> None:
    one = recording(1, state="open", samples=0)
    index.changed([written(tmp_path, one)])
    write_meta(tmp_path, replace(one, state="closed", samples=77))  # the index does not know yet
    index.note(one.id, "Brücke gesperrt")
    assert [(found.notes, found.samples) for found in index.search("brucke").recordings] == [
        ("Brücke gesperrt", 77)
    ]


def test_deleting_takes_the_files_and_the_row(index: ArchiveIndex, tmp_path: Path) -> None:
    one = recording(1)
    index.changed([written(tmp_path, one)])
    assert index.delete(one.id) == 1000
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert not index.list().recordings


def test_a_day_that_is_empty_is_removed(index: ArchiveIndex, tmp_path: Path) -> None:
    one, other = recording(1), recording(2)
    index.changed([written(tmp_path, one), written(tmp_path, other)])
    index.delete(one.id)
    assert (tmp_path / "2025-11-21").is_dir()
    index.delete(other.id)
    assert not (tmp_path / "2025-11-21").exists()


def test_what_is_protected_or_being_written_is_not_deleted(index: ArchiveIndex, tmp_path: Path) -> None:
    kept, running = recording(1, protected=True), recording(2, state="open")
    index.changed([written(tmp_path, kept), written(tmp_path, running)])
    for one in (kept, running):
        with pytest.raises(RecordingKept):
            index.delete(one.id)
    with pytest.raises(RecordingKept):
        index.delete(running.id, force=True)
    assert index.delete(kept.id, force=True) == 1000
    assert (tmp_path / running.path).exists()


def test_two_folders_of_one_database_do_not_touch_each_other(tmp_path: Path, postgres_url: str) -> None:
    north, south = tmp_path / "north", tmp_path / "south"
    for folder in (north, south):
        folder.mkdir()
    with open_index(north, postgres_url) as one, open_index(south, postgres_url) as other:
        a, b = recording(1, gateway="north"), recording(2, gateway="south")
        lost = Gap(b.start_us, b.start_us + 1000, "packets lost")
        b = replace(b, path=a.path, gaps=[lost])  # the same name in another folder
        one.changed([written(north, a)])
        other.changed([written(south, b)])
        assert {found.gateway for found in one.list().recordings} == {"north", "south"}
        assert [found.gateway for found in one.list(Query(here_only=True)).recordings] == ["north"]
        assert len(one.gaps()) == len(other.gaps(here_only=True)) == 1
        assert one.gaps(here_only=True) == ()
        one.reconcile()
        one.rebuild()
        assert len(list(other.all())) == 2
        with pytest.raises(LookupError):
            one.delete(b.id)
        one.removed([a.path])
        assert [found.id for found in one.all()] == [b.id]
