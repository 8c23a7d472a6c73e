"""A recorder whose clocks are the test's: sources are served when the test says so, on the test's thread."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from echostream.archive.disk_room import Disk, DiskRoom
from echostream.archive.meta_files import read_meta
from echostream.archive.recorder import Recorder
from echostream.archive.recording import Recording
from echostream.archive.source_tap import ChannelTap
from echostream.archive.wall_clock import ClockQuality, WallClock
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import RATE_HZ, Frame, Samples
from echostream.config.recording_models import Recording as Settings
from echostream.config.recording_models import RecordPolicy
from echostream.events import Event

UNIX_S = 1_700_000_000.0
"""At the beginning of a stand: 2023-11-14 22:13:20 UTC, 400 s before a border of ten minutes."""
CONTINUOUS = RecordPolicy(mode="continuous")
FRAME = 960


class Stand:
    """`now`: monotonic seconds; `unix_s`: of the wall clock at monotonic 0."""

    def __init__(self, directory: Path, segment_s: float = 600.0, form: str = "wav") -> None:
        self.directory = directory
        self.now = 1000.0
        self.unix_s = UNIX_S - 1000.0
        self.quality = ClockQuality("synchronised", 1.0)
        self.disk = Disk(10**12, 2 * 10**12)
        self.changed: list[Path] = []
        self.closed: list[Path] = []
        self.events: list[Event] = []
        settings = Settings.model_validate(
            {"enabled": True, "directory": str(directory), "segment_s": segment_s, "write": form}
        )
        clock = WallClock(lambda: self.now, lambda: self.now + self.unix_s, lambda: self.quality)
        self.recorder = Recorder(
            settings, "gw", self.events.append, self.changed.append, self.closed.append, clock=clock
        )
        archive = self.recorder._archive
        archive.room = self.recorder._room = DiskRoom(directory, lambda folder: self.disk)

    def find(self) -> None:
        """What the thread does at its start."""
        self.recorder._find_leftovers()

    def serve(self) -> None:
        """What the thread does twice a second, for every source."""
        self.recorder._take_new()
        self.recorder._look(self.now)
        for one in self.recorder._sources:
            one.due_at_s = 0.0
        self.recorder._serve(self.now)
        self.recorder._archive.closings.finish()

    def stop(self) -> None:
        self.recorder._stopping.set()
        self.recorder._take_new()
        self.recorder._finish_all()

    def channel(
        self, channel_id: str, policy: RecordPolicy, kind: Literal["channel", "network"] = "channel"
    ) -> Channel:
        tap = self.recorder.open_channel(channel_id, f"The {channel_id}", policy, kind)
        assert tap is not None
        return Channel(self, tap)

    def recordings(self) -> list[Recording]:
        """By their meta files, oldest first."""
        return sorted(
            (read_meta(path) for path in self.directory.glob("*/.meta/*.json")),
            key=lambda one: (one.start_us, one.path),
        )

    def samples(self, recording: Recording) -> Samples:
        with wave.open(str(self.directory / recording.path)) as file:
            assert file.getframerate() == recording.rate_hz
            assert file.getnchannels() == 1
            return np.frombuffer(file.readframes(file.getnframes()), "<i2")


class Device:
    """A device that sends noise, a block each 100 ms, at a clock of its own."""

    def __init__(
        self,
        stand: Stand,
        name: str = "porch",
        rate_hz: int = 16_000,
        policy: RecordPolicy = CONTINUOUS,
        ppm: float = 0.0,
        stream: int = 1,
        quarantined: bool = False,
        error_ms: float | None = None,
    ) -> None:
        self.stand = stand
        self.rate_hz = rate_hz
        self.position = 0
        self.sent: list[Samples] = []
        self.truth = 1 + ppm * 1e-6
        self.told_ppm: float | None = None
        self.error_ms = error_ms
        self._random = np.random.default_rng(stream)
        info = StreamInfo(name, f"The {name}", rate_hz, "192.0.2.7", stream, quarantined=quarantined)
        sink = stand.recorder.open_device(info, policy)
        assert sink is not None
        self.sink: DeviceSink = sink
        self.covered: NDArray[np.bool_] = np.zeros(0, bool)
        self.whole: Samples = np.zeros(0, np.int16)

    def block(
        self,
        count: int,
        amplitude: float = 3000.0,
        cause: GapCause | None = None,
        gap_at: int | None = None,
    ) -> None:
        """It arrives now."""
        samples = np.asarray(self._random.uniform(-amplitude, amplitude, count), np.int16)
        self.sent.append(samples)
        self.position += count
        self.sink.audio(
            DeviceAudio(
                samples,
                self.position - count,
                self.stand.now,
                cause=cause,
                ppm=self.told_ppm,
                gap_at=gap_at,
                error_ms=self.error_ms,
            )
        )

    def send(
        self,
        seconds: float,
        amplitude: float = 3000.0,
        serve: bool = True,
        cause: GapCause | None = None,
        gap_at: int | None = None,
    ) -> None:
        """Time passes, and a block comes each 100 ms of it. cause, gap_at: of the first."""
        for number in range(round(seconds * 10)):
            self.stand.now += 0.1 / self.truth
            first = number == 0
            self.block(self.rate_hz // 10, amplitude, cause if first else None, gap_at if first else None)
            if serve and number % 5 == 4:
                self.stand.serve()
        if serve:
            self.stand.serve()

    def miss(self, seconds: float) -> None:
        """Time passes without audio."""
        self.stand.now += seconds / self.truth
        self.position += round(seconds * self.rate_hz)

    def blocks(self, plan: list[tuple[int, int, bool]]) -> None:
        """Samples, samples that are missing before them, and whether the recorder looks afterwards; `covered`
        and `whole` are what is to be found of it."""
        parts: list[Samples] = []
        waiting = 0
        for count, missing, look in plan:
            waiting += count
            if waiting > 4 * self.rate_hz:  # before the queue is full
                self.stand.serve()
                waiting = count
            gap = missing if self.sent else 0
            self.position += gap
            self.stand.now += (gap + count) / self.rate_hz
            self.block(count, cause="device lost audio" if gap else None)
            parts += [np.zeros(gap, np.int16), self.sent[-1]]
            if look or gap > self.rate_hz:
                self.stand.serve()
        self.whole = np.concatenate(parts)
        self.covered = np.concatenate(
            [np.full(len(part), number % 2 == 1) for number, part in enumerate(parts)]
        )

    @property
    def all_sent(self) -> Samples:
        return np.concatenate(self.sent)


class Channel:
    """A channel whose card hears two tones."""

    def __init__(self, stand: Stand, tap: ChannelTap) -> None:
        self.stand = stand
        self.tap = tap
        self.index = 0

    def _melody(self, n: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
        t = n / rate_hz
        return np.asarray(5000 * np.sin(2 * np.pi * 440 * t) + 3000 * np.sin(2 * np.pi * 1234 * t))

    def melody_at_16k(self, count: int) -> NDArray[np.float64]:
        return self._melody(np.arange(count, dtype=float), 16_000)

    def speak(self, seconds: float) -> None:
        for number in range(round(seconds * 50)):
            self.stand.now += 0.02
            samples = self._melody(np.arange(self.index, self.index + FRAME, dtype=float), RATE_HZ)
            self.tap(Frame(samples.round().astype(np.int16), self.index, self.stand.now))
            self.index += FRAME
            if number % 25 == 24:
                self.stand.serve()

    def receive(self, seconds: float, talking: bool) -> None:
        for number in range(round(seconds * 50)):
            self.stand.now += 0.02
            level = 5000.0 if talking else 0.0
            self.tap.received(np.full(FRAME, level, np.float32), talking, self.stand.now)
            if number % 25 == 24:
                self.stand.serve()

    def lose(self, seconds: float) -> None:
        self.stand.now += seconds
        self.index += round(seconds * RATE_HZ)
