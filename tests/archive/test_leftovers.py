"""What a crash leaves: repaired at the next start, whatever of it is torn, at no price for the rest."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from recorder_stand import CONTINUOUS, UNIX_S, Device, Stand

from echostream.archive import leftovers, open_marks
from echostream.archive.leftovers import LeftOvers
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.open_marks import OpenMarks, being_written
from echostream.archive.open_recording import Shelf
from echostream.archive.recording import Recording

RATE = 16_000
UNIX_US = round(UNIX_S * 1e6)
DEAD = "another-boot 1 5"


def crash(directory: Path, names: list[str], seconds: float = 3.0) -> Stand:
    """Devices that were being recorded when the machine lost its power."""
    stand = Stand(directory)
    for name in names:
        device = Device(stand, name)
        for _ in range(round(seconds * 10)):
            device.block(1600)
    stand.now += seconds
    stand.serve()
    for one in stand.recorder._sources:
        assert one.files.file is not None
        one.files.file._file._file.close()  # type: ignore[attr-defined]
    for marker in (directory / ".open").glob("2*"):
        marker.write_text(DEAD)
    return stand


def next_start(directory: Path) -> Stand:
    later = Stand(directory)
    later.now += 60.0
    later.recorder.clock.look()
    later.find()
    return later


def test_what_was_half_written_is_whole_and_told_after_the_next_start(tmp_path: Path) -> None:
    crash(tmp_path, ["porch", "barn"])
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    for one in later.recordings():
        assert (one.state, one.ended, one.samples) == ("repaired", "power cut", 3 * RATE)
        assert len(later.samples(one)) == 3 * RATE
    metas = sorted(tmp_path.glob("*/.meta/*.json"))
    assert sorted(later.changed) == sorted(later.closed) == metas
    assert not list((tmp_path / ".open").glob("2*"))


def test_a_source_that_comes_back_at_once_knows_where_it_ended(tmp_path: Path) -> None:
    crash(tmp_path, ["porch", "barn"])
    later = next_start(tmp_path)
    device = Device(later, "porch", stream=2)
    device.send(1)
    device.sink.ended("device gone")
    later.serve()
    old, new = [one for one in later.recordings() if one.source == "porch"]
    assert new.gap_before is not None
    assert new.gap_before.cause == "power cut"
    assert (new.gap_before.start_us, new.gap_before.end_us) == (old.end_us, new.start_us)
    assert later.recorder._left.pending == 1  # the other one waits for its turn


def test_what_can_never_be_repaired_costs_one_line_of_log_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crash(tmp_path, ["porch"])
    later = next_start(tmp_path)
    left = later.recorder._left

    def refuse(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(leftovers, "sync_file", refuse)
        for attempt in range(1000):
            left.step(later.now + 20.0 * attempt, 10.0)
    assert caplog.text.count("Input/output error") == 1
    assert caplog.text.count("were repaired") == 0
    assert left._of_source == {}
    left.step(later.now + 30_000.0, 10.0)
    (repaired,) = later.recordings()
    assert (repaired.state, repaired.samples) == ("repaired", 3 * RATE)


@pytest.mark.parametrize("torn", ["", "{", "\0" * 300, '{"id": 5}'])
def test_a_meta_file_that_is_torn_costs_no_audio(tmp_path: Path, torn: str) -> None:
    stand = crash(tmp_path, ["porch"])
    (meta,) = tmp_path.glob("*/.meta/*.json")
    sent = stand.samples(read_meta(meta))
    meta.write_text(torn)
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    (one,) = later.recordings()
    assert (one.state, one.ended, one.samples, one.gateway) == ("repaired", "power cut", 3 * RATE, "gw")
    np.testing.assert_array_equal(later.samples(one), sent)


def test_a_file_that_was_never_begun_leaves_nothing(tmp_path: Path) -> None:
    crash(tmp_path, ["porch"])
    for path in [*tmp_path.glob("*/*.wav"), *tmp_path.glob("*/.meta/*.json")]:
        path.unlink()
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    assert later.recordings() == []
    assert not list((tmp_path / ".open").glob("2*"))


def test_a_file_that_was_made_and_not_begun_leaves_nothing(tmp_path: Path) -> None:
    crash(tmp_path, ["porch"])
    for path in [*tmp_path.glob("*/*.wav"), *tmp_path.glob("*/.meta/*.json")]:
        path.write_bytes(b"")
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    assert not [path for path in tmp_path.glob("20*/**/*") if path.is_file()]
    assert not list((tmp_path / ".open").glob("2*"))


def test_a_recording_whose_last_word_was_written_stays_as_it_is(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(2)
    device.sink.ended("device gone")
    stand.serve()
    (before,) = stand.recordings()
    OpenMarks(tmp_path).put(Path(before.path).stem)
    (tmp_path / ".open" / Path(before.path).stem).write_text(DEAD)
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    assert later.recordings() == [before]


def test_a_closed_recording_whose_last_second_the_power_took_says_so(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(4)
    device.sink.ended("device gone")
    stand.serve()
    (before,) = stand.recordings()
    audio = tmp_path / before.path
    with audio.open("r+b") as file:
        file.truncate(44 + 2 * 3 * RATE)
    OpenMarks(tmp_path).put(audio.stem)
    (tmp_path / ".open" / audio.stem).write_text(DEAD)
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    (one,) = later.recordings()
    assert (one.state, one.ended, one.samples) == ("repaired", "device gone", 3 * RATE)
    (gap,) = one.gaps
    assert (gap.cause, gap.position) == ("power cut", None)
    assert (gap.start_us, gap.end_us) == (one.end_us, before.end_us)
    np.testing.assert_array_equal(later.samples(one), device.all_sent[: 3 * RATE])


@pytest.mark.parametrize("name", ["notes", "2023-99-99_2213_20_porch", ".new"])
def test_a_marker_of_another_make_does_no_harm(tmp_path: Path, name: str) -> None:
    crash(tmp_path, ["porch"])
    (tmp_path / ".open" / name).write_text(DEAD)
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    assert [one.state for one in later.recordings()] == ["repaired"]


def test_a_hundred_are_repaired_in_ten_seconds_and_in_small_steps(tmp_path: Path) -> None:
    crash(tmp_path, [f"d{number}" for number in range(100)], seconds=2.0)
    left = LeftOvers(Shelf(tmp_path, "wav", "gw", OpenMarks(tmp_path)))
    left.find()
    assert left.pending == 100
    left.step(0.0, 0.0)
    assert left.pending == 99
    began_s = time.perf_counter()
    left.step(0.0, 60.0)
    assert left.pending == 0
    assert left.repaired == 100
    assert time.perf_counter() - began_s < 10.0


@pytest.mark.parametrize("cause", ["killed", "power cut", "power cut, and another process looked first"])
def test_a_process_that_died_between_two_segments_leaves_a_gap_all_the_same(
    tmp_path: Path, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last file was closed, and the next one was not begun."""
    monkeypatch.setattr(open_marks, "boot_id", lambda: "a")
    OpenMarks(tmp_path).note_boot(0)
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(2)
    device.sink.ended("device gone")
    stand.serve()
    (one,) = stand.recordings()
    one.ended = "segment"
    write_meta(tmp_path, one)
    monkeypatch.setattr(open_marks, "boot_id", lambda: "a" if cause == "killed" else "b")
    if "another" in cause:
        assert OpenMarks(tmp_path).note_boot(one.end_us + 1).new
    later = next_start(tmp_path)
    again = Device(later, stream=2)
    again.send(1)
    later.serve()
    gap = later.recordings()[-1].gap_before
    assert gap is not None
    assert gap.cause == cause.partition(",")[0]
    again.sink.ended("stopped")
    later.serve()


def test_a_file_whose_successor_was_begun_is_not_called_killed(tmp_path: Path) -> None:
    """It was whole; only the last word about it had to wait, as there were others."""
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand, error_ms=10.0)
    stand.recorder._archive.closings.finish = lambda: None  # type: ignore[method-assign]
    device.send(42)
    for marker in (tmp_path / ".open").glob("2*"):
        marker.write_text(DEAD)
    assert len(stand.recorder._archive.closings) == 1
    for one in stand.recorder._sources:
        assert one.files.file is not None
        one.files.file._file._file.close()  # type: ignore[attr-defined]
    later = next_start(tmp_path)
    later.recorder._left.step(later.now, 10.0)
    first, second = later.recordings()
    assert [(one.state, one.ended) for one in (first, second)] == [
        ("repaired", "segment"),
        ("repaired", "power cut"),
    ]
    assert first.samples + second.samples == 42 * RATE


# ---- borders


def test_the_next_file_is_made_before_the_border_and_begins_on_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand)
    device.send(39.5)
    metas: list[Recording] = stand.recordings()
    assert [(one.start_us, one.samples) for one in metas[1:]] == [(UNIX_US + 40_000_000, 0)]
    told = [path for path in stand.changed if path.stem == Path(metas[1].path).stem]
    assert told == []  # nobody is told of what has not begun
    device.send(1)
    assert [path for path in stand.changed if path.stem == Path(metas[1].path).stem]
    device.sink.ended("device gone")
    stand.serve()
    assert [one.samples for one in stand.recordings()] == [40 * RATE, 0.5 * RATE]


def test_a_device_that_goes_before_the_border_leaves_no_empty_file(tmp_path: Path) -> None:
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand)
    device.send(39.5)
    assert len(stand.recordings()) == 2
    device.sink.ended("device gone")
    stand.serve()
    assert [one.samples for one in stand.recordings()] == [39.5 * RATE]
    assert len(list(tmp_path.glob("*/*.wav"))) == 1
    assert not list((tmp_path / ".open").glob("2*"))


def test_a_gap_over_the_border_wants_another_file_than_was_made(tmp_path: Path) -> None:
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand, policy=CONTINUOUS)
    device.send(39.5)
    device.miss(20)
    device.send(1, cause="device gone")
    device.sink.ended("device gone")
    stand.serve()
    first, second = stand.recordings()
    assert second.start_us == UNIX_US + 59_500_000
    assert (first.samples, second.samples) == (39.5 * RATE, RATE)


def test_a_kill_while_a_marker_is_written_leaves_the_old_one_or_none(tmp_path: Path) -> None:
    """Half a marker would tell of a power cut that never was."""
    marks = OpenMarks(tmp_path)
    marks.put("2026-11-21_1200_07_porch")
    folder = tmp_path / ".open"
    (folder / ".4194303-1.new").write_bytes(b"")  # no process has that number: it died here
    assert {name.name for name in folder.iterdir() if not name.name.startswith(".")} == {
        "2026-11-21_1200_07_porch"
    }
    assert being_written(tmp_path) == {"2026-11-21_1200_07_porch"}
    assert marks.claim() == []
    assert not list(folder.glob("*.new"))
