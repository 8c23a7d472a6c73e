"""A recorder whose clocks are the test's: sources are served when the test says so, on the test's thread."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from echostream.archive.disk_room import Disk, DiskRoom
from echostream.archive.meta_files import read_meta
from echostream.archive.recorder import Recorder
from echostream.archive.recording import Recording
from echostream.archive.wall_clock import ClockQuality, WallClock
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import Samples
from echostream.config.recording_models import Recording as Settings
from echostream.config.recording_models import RecordPolicy
from echostream.events import Event

UNIX_S = 1_700_000_000.0
"""At monotonic 0 of a stand: 2023-11-14 22:13:20 UTC, 400 s before a border of ten minutes."""
CONTINUOUS = RecordPolicy(mode="continuous")


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

    def serve(self) -> None:
        """What the thread does twice a second, for every source."""
        self.recorder._take_new()
        self.recorder._look(self.now)
        for one in self.recorder._sources:
            one.due_at_s = 0.0
        self.recorder._serve(self.now)

    def stop(self) -> None:
        self.recorder._stopping.set()
        self.recorder._take_new()
        self.recorder._finish_all()

    def recordings(self) -> list[Recording]:
        """By their meta files, oldest first."""
        return sorted(
            (read_meta(path) for path in self.directory.glob("*/.meta/*.json")),
            key=lambda one: (one.start_us, one.path),
        )

    def samples(self, recording: Recording) -> Samples:
        path = self.directory / recording.path
        with wave.open(str(path)) as file:
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
    ) -> None:
        self.stand = stand
        self.rate_hz = rate_hz
        self.position = 0
        self.sent: list[Samples] = []
        self.truth = 1 + ppm * 1e-6
        self._random = np.random.default_rng(abs(hash((name, stream))) % 2**32)
        self.began_s = stand.now
        info = StreamInfo(name, f"The {name}", rate_hz, "192.0.2.7", stream)
        sink = stand.recorder.open_device(info, policy)
        assert sink is not None
        self.sink: DeviceSink = sink

    def send(self, seconds: float, amplitude: float = 3000.0, serve: bool = True) -> None:
        """Time passes; everything arrives at once."""
        for _ in range(round(seconds * 10)):
            self.stand.now += 0.1 / self.truth
            count = self.rate_hz // 10
            noise = self._random.uniform(-amplitude, amplitude, count)
            samples = np.asarray(noise, np.int16)
            self.sent.append(samples)
            self.position += count
            self.sink.audio(DeviceAudio(samples, self.position - count, self.stand.now))
            if serve and self.position % (self.rate_hz // 2) < count:
                self.stand.serve()

    def miss(self, seconds: float, cause: GapCause = "device lost audio", tell: bool = True) -> None:
        """Time passes without audio."""
        self.stand.now += seconds / self.truth
        self.position += round(seconds * self.rate_hz)

    @property
    def all_sent(self) -> Samples:
        return np.concatenate(self.sent)
