"""Pages on disk: the page in front, one file for what is extended, and a disk that costs only itself."""

from __future__ import annotations

import errno
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from echostream.archive import page_recorder
from echostream.archive.channel_feed import RECORD_HZ
from echostream.archive.meta_files import read_meta
from echostream.archive.page_recorder import SPARE_S, PageRecorder, PageRing, PageToRecord
from echostream.archive.recording import Recording, ToneMark
from echostream.archive.wall_clock import ClockQuality, WallClock
from echostream.archive.wav_file import WavFile
from echostream.audio.format import RATE_HZ, Frame, Samples
from echostream.config.recording_models import Recording as Settings
from echostream.events import Event, RecordingClosed

FRAME = 960
UNIX = 1_700_000_000.0


class Channel:
    """A channel whose clock is the test: frames of a 1 kHz tone whose amplitude tells the second."""

    def __init__(self, page_s: float = 4.0) -> None:
        self.ring = PageRing(20, page_s)
        self.position = 0
        self.now = 1000.0

    def speak(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            self.ring(Frame(self.samples(self.position), self.position, self.now))
            self.position += FRAME

    @staticmethod
    def samples(position: int) -> Samples:
        n = np.arange(position, position + FRAME)
        second = position // RATE_HZ + 1
        return np.asarray(np.sin(2 * np.pi * 1000 * n / RATE_HZ) * 1000 * second, np.int16)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel = Channel()
        self.closed: list[RecordingClosed] = []
        self._posted = threading.Event()
        settings = Settings.model_validate({"enabled": True, "directory": str(folder)})
        clock = WallClock(
            lambda: self.channel.now,
            lambda: self.channel.now + UNIX,
            lambda: ClockQuality("synchronised", 1.0),
        )
        self.filed: list[Path] = []
        self.to_mend: list[str] = []
        self.recorder = PageRecorder(
            settings, "gw", self._post, closed=self.filed.append, mend=self.to_mend.append, clock=clock
        )
        self.recorder.set_ring("fire", self.channel.ring)
        self.recorder.start()

    def _post(self, event: Event) -> None:
        assert isinstance(event, RecordingClosed), event
        self.closed.append(event)
        self._posted.set()

    def page(self, position: int, until_s: float, tone_id: str = "engine-7") -> None:
        self.recorder.record(PageToRecord("fire", tone_id, position, UNIX, until_s))

    def speak_each_second(self, seconds: int) -> None:
        """As long as the recorder keeps up: it looks after each second."""
        for _ in range(seconds):
            self.channel.speak(1)
            self.recorder._wake.set()
            self.until(lambda: self._written() >= self.channel.now - 0.001 or bool(self.closed))

    def _written(self) -> float:
        recording = self.recorder._recordings.get("fire")
        if recording is None or recording.over:
            return self.channel.now
        return recording.last_frame_s

    def samples_written(self) -> int:
        return sum(one.file.samples for one in list(self.recorder._recordings.values()))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline_s
            time.sleep(0.005)

    def known(self) -> list[Recording]:
        return [read_meta(path) for path in sorted(self.folder.glob("*/.meta/*.json"))]

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.wav"))

    def stop(self) -> None:
        self.recorder.request_stop()
        assert self.recorder.join(3)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.stop()


def read(path: Path | str) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert file.getframerate() == RECORD_HZ
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def peaks(path: Path | str) -> list[int]:
    """The amplitude in the middle of each second, in thousands: the second of the channel that it is."""
    heard = read(path)
    return [
        round(float(np.abs(heard[at + 4000 : at + 12000]).max()) / 1000)
        for at in range(0, len(heard) - 12000, RECORD_HZ)
    ]


def test_the_page_itself_is_in_front_and_the_end_is_on_time(desk: Desk) -> None:
    desk.channel.speak(7)  # the page began at 3 s, is decided at 7 s
    desk.page(3 * RATE_HZ, desk.channel.now + 5)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.speak_each_second(7)
    desk.until(lambda: bool(desk.closed))
    (closed,) = desk.closed
    assert closed.error == ""
    assert closed.duration_s == pytest.approx(9.0, abs=0.03)
    assert closed.tone_ids == ("engine-7",)
    assert peaks(closed.path) == list(range(4, 13))
    assert not desk.recorder.recording("fire")
    assert desk.recorder.lost_s == 0.0


def test_a_page_stands_in_the_archive_as_any_other_recording(desk: Desk) -> None:
    desk.channel.speak(3)
    tone = ToneMark("engine-7", "Engine 7", round(UNIX * 1e6), round(UNIX * 1e6) + 4_000_000)
    until_s = desk.channel.now + 1
    desk.recorder.record(PageToRecord("fire", "engine-7", 0, UNIX, until_s, "Fire dispatch", tone))
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.position += RATE_HZ // 2
    desk.channel.now += 0.5
    desk.channel.speak(2)
    desk.until(lambda: bool(desk.closed))
    (one,) = desk.known()
    assert one.path == "2023-11-14/2023-11-14_2213_20_fire_engine-7.wav"
    assert (one.source, one.kind, one.trigger, one.label) == ("fire", "channel", "page", "Fire dispatch")
    assert (one.state, one.ended, one.start_us) == ("closed", "pause", round(UNIX * 1e6))
    assert one.samples == len(read(desk.closed[0].path)) == 4 * RECORD_HZ
    assert one.tones == [tone]
    (gap,) = one.gaps
    assert (gap.cause, gap.position) == ("overload", 3 * RECORD_HZ)
    assert gap.end_us - gap.start_us == 500_000
    assert gap.start_us == one.start_us + 3_000_000
    assert [path.stem for path in desk.filed] == [Path(one.path).stem]
    assert not list((desk.folder / ".open").iterdir())


def test_the_same_page_again_goes_on_in_the_same_file(desk: Desk) -> None:
    desk.channel.speak(2)
    desk.page(0, desk.channel.now + 2)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.speak(1)
    desk.page(2 * RATE_HZ, desk.channel.now + 3, "ladder-2")
    desk.until(lambda: not desk.recorder._asked)
    desk.speak_each_second(5)
    desk.until(lambda: bool(desk.closed))
    (closed,) = desk.closed
    assert closed.duration_s == pytest.approx(6.0, abs=0.03)
    assert closed.tone_ids == ("engine-7", "ladder-2")
    assert len(desk.files()) == 1


def test_a_page_longer_than_the_ring_begins_where_the_ring_does(desk: Desk) -> None:
    desk.channel.speak(20)
    desk.page(0, desk.channel.now + 1)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.speak(2)
    desk.until(lambda: bool(desk.closed))
    (closed,) = desk.closed
    held_s = 4.0 + SPARE_S
    assert closed.duration_s == pytest.approx(held_s + 1.0, abs=0.05)
    assert closed.started_at_s == pytest.approx(UNIX + 20.0 - held_s, abs=0.05)


def test_audio_that_was_lost_is_silence_of_the_same_length(desk: Desk) -> None:
    desk.channel.speak(1)
    desk.page(0, desk.channel.now + 3)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.position += RATE_HZ
    desk.channel.now += 1.0
    desk.channel.speak(3)
    desk.until(lambda: bool(desk.closed))
    assert peaks(desk.closed[0].path) == [1, 0, 3, 4]
    assert desk.recorder.lost_s == pytest.approx(1.0)


def test_a_card_that_is_gone_ends_the_recording_all_the_same(desk: Desk) -> None:
    desk.channel.speak(2)
    desk.page(0, desk.channel.now + 3)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.now += 6
    desk.until(lambda: bool(desk.closed))
    assert desk.closed[0].duration_s == pytest.approx(2.0, abs=0.03)


def test_stopping_closes_what_is_open_and_the_file_is_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.channel.speak(3)
    desk.page(0, desk.channel.now + 60)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.stop()
    assert peaks(desk.files()[0]) == [1, 2, 3]
    assert desk.closed[0].duration_s == pytest.approx(3.0, abs=0.03)


def test_a_disk_that_refuses_costs_the_recording_and_says_the_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    desk = Desk(place)
    try:
        desk.channel.speak(2)
        desk.page(0, desk.channel.now + 60)
        desk.until(lambda: bool(desk.closed))
        assert desk.closed[0].error
        assert "recording.directory" in caplog.text
        assert desk.recorder.failed == 1
        assert desk.recorder.restarts == 0
    finally:
        desk.stop()


def test_a_channel_that_goes_closes_its_file(desk: Desk) -> None:
    desk.channel.speak(2)
    desk.page(0, desk.channel.now + 60)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.recorder.end("fire")
    desk.until(lambda: bool(desk.closed))
    desk.page(0, desk.channel.now + 60)  # nobody captures for it any more
    desk.until(lambda: not desk.recorder._asked)
    assert not desk.recorder.recording("fire")


@pytest.mark.parametrize("ending", ["the channel goes", "its time is over"])
def test_a_disk_that_refuses_at_the_end_costs_one_recording_and_is_told_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    def full(self: WavFile, samples: Samples) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    desk.channel.speak(2)
    desk.page(0, desk.channel.now + (60 if ending == "the channel goes" else 1))
    desk.until(lambda: desk.samples_written() > 1.99 * RECORD_HZ)
    monkeypatch.setattr(WavFile, "write", full)
    desk.channel.speak(1)
    if ending == "the channel goes":
        desk.recorder.end("fire")
    else:
        desk.channel.now += 10
        desk.recorder._wake.set()
    desk.until(lambda: bool(desk.closed))
    desk.until(lambda: not desk.recorder._asked)
    desk.stop()
    (closed,) = desk.closed
    assert closed.error == "No space left on device"
    assert desk.to_mend == [Path(closed.path).stem]
    assert (desk.recorder.failed, desk.recorder.restarts) == (1, 0)
    assert "look at the disk" in caplog.text
    assert len(read(closed.path)) == pytest.approx(2 * RECORD_HZ, abs=RECORD_HZ * 0.03)


def test_a_disk_that_refuses_only_the_last_samples_is_told_and_the_file_is_closed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.channel.speak(3)
    desk.page(0, desk.channel.now + 60)
    desk.until(lambda: desk.samples_written() > 2.99 * RECORD_HZ)
    file = desk.recorder._recordings["fire"].file._file
    assert isinstance(file, WavFile)

    def full(samples: Samples) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file, "write", full, raising=False)
    desk.stop()
    assert desk.closed[0].error == "No space left on device"
    assert desk.recorder.failed == 1
    assert "look at the disk" in caplog.text
    assert file._file.closed
    assert len(read(desk.closed[0].path)) == pytest.approx(3 * RECORD_HZ, abs=RECORD_HZ * 0.03)


def test_a_reload_that_needs_a_longer_ring_costs_a_running_recording_nothing(desk: Desk) -> None:
    desk.channel.speak(2)
    desk.page(0, desk.channel.now + 4)
    desk.until(lambda: desk.recorder.recording("fire"))
    desk.channel.speak(1)
    longer = PageRing(20, 60.0, desk.channel.ring)
    desk.recorder.set_ring("fire", longer)
    desk.channel.speak(0.5)  # the capture thread takes the new one a moment later
    desk.channel.ring = longer
    desk.speak_each_second(4)
    desk.until(lambda: bool(desk.closed))
    assert desk.closed[0].duration_s == pytest.approx(6.0, abs=0.03)
    assert desk.recorder.lost_s == 0.0
    assert len(longer.since(0)) > 5 * 50  # and a page from before the reload has its beginning


def test_the_disk_is_never_filled_to_the_brim(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What else runs on the machine needs room for its logs and its state."""
    desk.channel.speak(2)
    desk.page(0, desk.channel.now + 60)
    desk.until(lambda: desk.recorder.recording("fire"))
    monkeypatch.setattr(page_recorder, "nearly_full", lambda folder: True)
    desk.until(lambda: len(desk.closed) == 1)
    assert desk.closed[0].duration_s == pytest.approx(2.0, abs=0.03)
    desk.page(0, desk.channel.now + 60)
    desk.until(lambda: len(desk.closed) == 2)
    assert desk.closed[1].path == ""
    assert "is nearly full" in caplog.text
    assert desk.recorder.failed == 2
    assert len(desk.files()) == 1


def test_a_folder_that_cannot_be_written_is_told_at_the_start_and_not_at_the_first_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    desk = Desk(place / "recordings")
    try:
        desk.until(lambda: "pages cannot be recorded" in caplog.text)
        assert "recording.directory" in caplog.text
        assert desk.recorder.restarts == 0
    finally:
        desk.stop()


def test_the_folder_is_made_at_the_start(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "var" / "recordings")
    try:
        desk.until((tmp_path / "var" / "recordings").is_dir)
        assert list((tmp_path / "var" / "recordings").iterdir()) == []
    finally:
        desk.stop()


def test_what_somebody_asked_for_is_recorded_as_no_page(desk: Desk) -> None:
    desk.channel.speak(3)
    now = desk.channel.now
    asked = PageToRecord("fire", "", desk.channel.position, now + UNIX, now + 4.0, trigger="command")
    desk.recorder.record(asked)
    desk.speak_each_second(8)
    desk.until(lambda: bool(desk.closed))
    (recording,) = desk.known()
    assert (recording.trigger, recording.tones) == ("command", [])
    assert recording.samples == pytest.approx(4 * RECORD_HZ, abs=RECORD_HZ // 10)
    assert recording.start_us == round((now + UNIX) * 1e6)
    assert recording.path.endswith("_fire.wav")
    assert (desk.closed[0].tone_ids, desk.closed[0].error) == ((), "")


def test_a_page_that_is_heard_in_what_somebody_asked_for_makes_it_a_page(desk: Desk) -> None:
    desk.channel.speak(3)
    now = desk.channel.now
    desk.recorder.record(
        PageToRecord("fire", "", desk.channel.position, now + UNIX, now + 2.0, trigger="command")
    )
    desk.speak_each_second(1)
    mark = ToneMark("engine-7", "Engine 7", round((now + UNIX) * 1e6), round((now + UNIX + 1) * 1e6))
    page = PageToRecord("fire", "engine-7", desk.channel.position, now + UNIX, now + 5.0, tone=mark)
    desk.recorder.record(page)
    desk.speak_each_second(8)
    desk.until(lambda: bool(desk.closed))
    (recording,) = desk.known()
    assert (recording.trigger, [tone.tone_id for tone in recording.tones]) == ("page", ["engine-7"])
    assert recording.samples == pytest.approx(5 * RECORD_HZ, abs=RECORD_HZ // 10)
    assert desk.closed[0].tone_ids == ("engine-7",)
