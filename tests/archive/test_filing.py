"""What happens to a recording after it was closed: nothing is lost, whatever comes in between."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from echostream.archive import conversion, filing
from echostream.archive.audio_file import new_audio_file
from echostream.archive.conversion import sha256_of
from echostream.archive.file_names import Place, take_place
from echostream.archive.filing import FOLDER, Filing, mark_closed
from echostream.archive.flac_frames import COUNT_AT, sample_count
from echostream.archive.meta_files import read_meta, update_meta, write_meta
from echostream.archive.peaks import read_peaks
from echostream.archive.recording import AudioForm, Recording
from echostream.archive.sound_library import AudioReader
from echostream.archive.wav_file import wav_header
from echostream.audio.format import Samples
from echostream.events import Event, RecordingsFiled

RATE_HZ = 16_000
START_US = 1_795_262_407_000_000
PATIENCE_S = 20.0


def sound(seconds: float = 3.3) -> Samples:
    noise = np.random.default_rng(5).normal(0, 2000, round(seconds * RATE_HZ))
    samples: Samples = noise.astype(np.int16)
    return samples


def closed(directory: Path, form: AudioForm = "wav", source: str = "porch") -> Place:
    place = take_place(directory, START_US, source, "device")
    file = new_audio_file(form, place.audio(form), RATE_HZ)
    file.write(sound())
    file.close()
    path = place.path(form)
    recording = Recording("0" * 32, path, form, "gw", source, "device", "continuous", START_US, RATE_HZ)
    write_meta(directory, replace(recording, samples=file.samples, state="closed"))
    return place


class Desk:
    """A Filing that runs, and what it told."""

    def __init__(self, directory: Path, form: AudioForm = "flac") -> None:
        self.told: list[Path] = []
        self.events: list[Event] = []
        self.filing = Filing(directory, form, self.events.append, self.told.append)

    def run_until(self, done: Callable[[], bool]) -> None:
        self.filing.start()
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not done() and time.monotonic() < until_s:
                time.sleep(0.01)
            assert done()
        finally:
            self.filing.request_stop()
            assert self.filing.join(PATIENCE_S)


def read(path: Path) -> Samples:
    with AudioReader(path) as reader:
        return reader.read(reader.samples + 1)


def check_filed(place: Place, form: AudioForm) -> Recording:
    recording = read_meta(place.meta)
    audio = place.audio(form)
    assert (recording.form, recording.path) == (form, place.path(form))
    assert (recording.bytes, recording.sha256) == (audio.stat().st_size, sha256_of(audio))
    assert recording.samples == len(sound())
    assert [one.suffix for one in sorted(place.folder.iterdir()) if one.is_file()] == [f".{form}"]
    assert sorted(one.suffix for one in place.meta.parent.iterdir()) == [".json", ".peaks"]
    assert not list((place.directory / FOLDER).iterdir())
    assert recording.rms_dbfs == pytest.approx(20 * np.log10(2000 / 32768), abs=0.2)
    peaks = read_peaks(place.peaks)
    assert (peaks.rate_hz, len(peaks.pairs)) == (RATE_HZ, 33)
    return recording


@pytest.mark.parametrize("form", ["wav", "flac", "opus"])
def test_a_closed_wav_becomes_what_is_kept(form: AudioForm, tmp_path: Path) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path, form)
    desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, form)
    assert desk.told == [place.meta]
    assert desk.filing.waiting == 0
    (event,) = desk.events
    assert isinstance(event, RecordingsFiled)
    (filed,) = event.recordings
    assert (filed.path, filed.source) == (str(place.audio(form)), "porch")
    assert filed.sha256 == sha256_of(Path(filed.path))
    has = read(place.audio(form))
    assert len(has) == len(sound())
    assert form == "opus" or np.array_equal(has, sound())


def test_what_was_written_as_flac_stays(tmp_path: Path) -> None:
    place, desk = closed(tmp_path, "flac"), Desk(tmp_path, "opus")
    desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, "flac")


def test_what_was_closed_before_a_restart_is_filed_after_it(tmp_path: Path) -> None:
    place = closed(tmp_path)
    mark_closed(tmp_path, place.stem)
    desk = Desk(tmp_path)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, "flac")


@pytest.mark.parametrize("step", ["write_peaks", "sha256_of", "update_meta"])
def test_a_kill_between_two_steps_is_made_good(step: str, tmp_path: Path) -> None:
    """The FLAC has its name already, and the meta file still speaks of the WAV."""
    place = closed(tmp_path)

    class Killed(BaseException):
        pass

    with patch.object(filing, step, side_effect=Killed), pytest.raises(Killed):
        Desk(tmp_path).filing._file(place)
    assert place.audio("wav").exists()
    assert np.array_equal(read(place.audio("wav")), sound())
    mark_closed(tmp_path, place.stem)
    desk = Desk(tmp_path)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, "flac")


def test_a_kill_before_the_wav_goes_leaves_no_second_copy(tmp_path: Path) -> None:
    place = closed(tmp_path)
    data = place.audio("wav").read_bytes()
    Desk(tmp_path).filing._file(place)
    place.audio("wav").write_bytes(data)
    mark_closed(tmp_path, place.stem)
    desk = Desk(tmp_path)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, "flac")


def test_a_flac_that_differs_never_replaces_the_wav(tmp_path: Path) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    real = conversion._write

    def spoiled(wav: Path, new: Path, *others: object) -> object:
        heard = real(wav, new, *others)  # type: ignore[arg-type]
        data = bytearray(new.read_bytes())
        data[len(data) // 2] ^= 1
        new.write_bytes(data)
        return heard

    with patch.object(conversion, "_write", spoiled):
        desk.filing.closed(place.meta)
        desk.run_until(lambda: bool(desk.told))
    assert desk.filing.failed == 1
    check_filed(place, "wav")


def test_a_full_disk_leaves_the_wav_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    full = threading.Event()
    full.set()
    real = conversion._write

    def refused(*given: object) -> object:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion, "_write", refused)
    monkeypatch.setattr(filing, "RETRY_S", 0.05)
    desk.filing.closed(place.meta)

    def done() -> bool:
        if desk.filing.failed:
            assert place.audio("wav").exists() or not full.is_set()
            full.clear()
        return bool(desk.told)

    desk.run_until(done)
    assert desk.filing.failed
    check_filed(place, "flac")


def test_a_disk_that_refuses_everything_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places = [closed(tmp_path, source=f"mic-{number}") for number in range(8)]
    desk = Desk(tmp_path)
    tried: list[object] = []

    def refused(*given: object) -> object:
        tried.append(given)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(conversion, "_write", refused)
    for place in places:
        desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(caplog.records))
    assert len(tried) % 3 == 0  # then it is not the file
    assert "8 recordings are not filed" in caplog.text
    assert "No space left on device" in caplog.text
    assert all(place.audio("wav").exists() for place in places)


def test_one_file_that_cannot_be_read_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = closed(tmp_path, source="a"), closed(tmp_path, source="b")
    desk = Desk(tmp_path)
    real = conversion._write

    def torn(wav: Path, *others: object) -> object:
        if wav == bad.audio("wav"):
            raise OSError(errno.EIO, "Input/output error")
        return real(wav, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion, "_write", torn)
    for place in (bad, good):
        desk.filing.closed(place.meta)
    desk.run_until(lambda: desk.told == [good.meta])
    assert bad.audio("wav").exists()


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_header_that_is_older_than_the_last_word_costs_nothing(form: AudioForm, tmp_path: Path) -> None:
    """A power cut may take a header's last change, and leave all of the sound and the news of its end."""
    place, desk = closed(tmp_path, form), Desk(tmp_path)
    data = bytearray(place.audio(form).read_bytes())
    if form == "wav":
        data[:44] = wav_header(RATE_HZ, 20_000)
    else:
        data[COUNT_AT : COUNT_AT + 5] = sample_count(20_480)
    place.audio(form).write_bytes(data)
    desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(desk.told))
    check_filed(place, "flac")
    assert np.array_equal(read(place.audio("flac")), sound())


def test_an_end_that_the_power_took_is_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    update_meta(place.meta, lambda known: replace(known, peak_dbfs=-1.0, rms_dbfs=-2.0))
    place.audio("wav").write_bytes(place.audio("wav").read_bytes()[: 44 + 2 * 40_000])
    desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(desk.told))
    recording = read_meta(place.meta)
    assert (recording.form, recording.state, recording.samples) == ("flac", "repaired", 40_000)
    (gap,) = recording.gaps
    assert (gap.start_us, gap.cause, gap.position) == (START_US + 2_500_000, "power cut", None)
    assert gap.end_us == START_US + 3_300_000
    assert np.array_equal(read(place.audio("flac")), sound()[:40_000])
    assert recording.rms_dbfs == pytest.approx(20 * np.log10(2000 / 32768), abs=0.2)
    assert "the last 0.80 s are missing" in caplog.text


def test_a_file_of_nothing_is_told_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place, desk = closed(tmp_path, "flac"), Desk(tmp_path)
    place.audio("flac").write_bytes(bytes(5000))
    desk.filing.closed(place.meta)
    desk.run_until(lambda: not desk.filing.waiting)
    assert "there is no sound in it" in caplog.text
    assert place.audio("flac").stat().st_size == 5000


def test_a_recording_that_is_deleted_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    place, other = closed(tmp_path), closed(tmp_path, source="shed")
    desk = Desk(tmp_path)
    real = conversion._compare

    def and_deleted(*given: object) -> None:
        real(*given)  # type: ignore[arg-type]
        place.delete()

    with patch.object(conversion, "_compare", and_deleted):
        desk.filing.closed(place.meta)
        desk.run_until(lambda: not desk.filing.waiting)
    desk = Desk(tmp_path)
    desk.filing.closed(other.meta)
    desk.run_until(lambda: bool(desk.told))
    assert sorted(one.name for one in place.folder.rglob("*") if one.is_file()) == [
        f"{other.stem}.flac",
        f"{other.stem}.json",
        f"{other.stem}.peaks",
    ]


def test_what_people_say_of_it_meanwhile_stays(tmp_path: Path) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    real = conversion._compare

    def and_protected(*given: object) -> None:
        real(*given)  # type: ignore[arg-type]
        update_meta(place.meta, lambda known: replace(known, protected=True, notes="the fire"))

    with patch.object(conversion, "_compare", and_protected):
        desk.filing.closed(place.meta)
        desk.run_until(lambda: bool(desk.told))
    recording = check_filed(place, "flac")
    assert (recording.protected, recording.notes) == (True, "the fire")


def test_asked_to_stop_it_stops_in_the_middle_and_loses_nothing(tmp_path: Path) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    real = conversion._blocks

    def stopped(*given: object) -> Iterator[Samples]:
        desk.filing.request_stop()
        return real(*given)  # type: ignore[arg-type]

    with patch.object(conversion, "_blocks", stopped), patch.object(filing, "STOP_S", -1.0):
        desk.filing.closed(place.meta)
        desk.filing.start()
        assert desk.filing.join(PATIENCE_S)
    assert not desk.told
    assert [one.name for one in (tmp_path / FOLDER).iterdir()] == [place.stem]
    assert np.array_equal(read(place.audio("wav")), sound())
    assert not list(place.meta.parent.glob(".*.new"))


def test_what_a_kill_left_half_written_is_swept_away(tmp_path: Path) -> None:
    place = closed(tmp_path)
    old, fresh = (place.meta.with_name(f".{name}.json.7-7.new") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"{")
    os.utime(old, (0, 0))
    desk = Desk(tmp_path)
    desk.filing.closed(place.meta)
    desk.run_until(lambda: bool(desk.told))
    assert (old.exists(), fresh.exists()) == (False, True)  # somebody may be writing that one


def test_what_was_closed_at_the_end_is_filed_before_the_thread_ends(tmp_path: Path) -> None:
    place, desk = closed(tmp_path), Desk(tmp_path)
    desk.filing.start()
    desk.filing.closed(place.meta)
    with patch.object(filing, "STOP_S", PATIENCE_S):
        desk.filing.request_stop()
        assert desk.filing.join(PATIENCE_S)
    check_filed(place, "flac")


def test_a_broken_meta_file_stops_nobody(tmp_path: Path) -> None:
    broken, place = closed(tmp_path, source="a"), closed(tmp_path, source="b")
    broken.meta.write_text("{")
    desk = Desk(tmp_path)
    desk.filing.closed(broken.meta)
    desk.filing.closed(place.meta)
    mark_closed(tmp_path, "no recording's name")
    desk.run_until(lambda: not desk.filing.waiting)
    assert desk.told == [place.meta]
    assert desk.filing.failed == 2


def test_what_another_process_closed_is_filed_without_a_look_at_the_disk_by_who_tells(tmp_path: Path) -> None:
    place = closed(tmp_path)
    desk = Desk(tmp_path)
    with patch.object(os, "open", side_effect=AssertionError):
        desk.filing.told(place.meta)
    assert desk.filing.waiting == 1


def test_who_asks_how_much_waits_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """The thread that hears the order to stop shows it."""
    desk = Desk(tmp_path)
    desk.filing.closed(closed(tmp_path).meta)
    desk.run_until(lambda: not desk.filing.waiting)
    with patch.object(os, "listdir", side_effect=AssertionError):
        assert desk.filing.waiting == 0
        desk.filing.closed(closed(tmp_path, source="barn").meta)
        assert desk.filing.waiting == 1


def test_two_that_are_there_at_once_file_one_recording_after_the_other(tmp_path: Path) -> None:
    """After a reload the old one still works."""
    place, old, new = closed(tmp_path), Desk(tmp_path), Desk(tmp_path)
    inside, most = [0], [0]
    convert = conversion.convert

    def slow(*arguments: object) -> object:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.2)
        inside[0] -= 1
        return convert(*arguments)  # type: ignore[arg-type]

    with patch.object(filing, "convert", slow):
        old.filing.closed(place.meta)
        new.filing.told(place.meta)
        old.filing.start()
        new.run_until(lambda: not old.filing.waiting and not new.filing.waiting)
        old.filing.request_stop()
        assert old.filing.join(PATIENCE_S)
    assert most == [1]
    check_filed(place, "flac")
