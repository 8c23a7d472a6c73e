"""The recorder, filing, the index and retention on a clock of their own: what the day's bench looks at.

Arguments: folder, hours. The recorder is served as its thread does, each time a few seconds of every stream
have come; what it closes is filed, indexed and deleted by the same code as in the gateway, one after the
other on one thread. Only the coder's work is left out: a file takes its samples, counts them, and holds as
much silence at its end, because a day of 104 streams is 9 million seconds of FLAC. Prints a line of JSON.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from echostream.archive.disk_room import Disk
from echostream.archive.filing import Filing
from echostream.archive.flac_file import FlacFile
from echostream.archive.recorder import Recorder
from echostream.archive.wall_clock import ClockQuality, WallClock
from echostream.audio.device_ports import DeviceAudio, StreamInfo
from echostream.audio.format import Samples, silence
from echostream.config.recording_models import AudioForm, RecordPolicy
from echostream.config.recording_models import Recording as Settings
from echostream.index.door import open_index
from echostream.index.query import Query
from echostream.index.retention import Retention
from tests.bench._processes import rss_mb

STREAMS, SHORT_LIVED = 104, 4
RATE_HZ = 8000
STEP_S = 10.0
SEGMENT_S = 600.0
START_S = 1000.0
UNIX_S = 1_700_006_400.0
"""2023-11-15 00:00:00 UTC."""
FILE_BYTES = 14_000
"""About what a file of silence takes."""
KEPT_FILES = 4000
SHORT_DAYS = 2 / 24
ROUND_S, HOUR_S = 600.0, 3600.0
LEVEL = np.random.default_rng(3).integers(-3000, 3001, round(STEP_S * RATE_HZ)).astype(np.int16)


class HollowFile:
    """An AudioFile that forgets what it is given."""

    full = False

    def __init__(self, form: AudioForm, path: Path, rate_hz: int, bitrate_bps: int = 0) -> None:
        self.path = path
        self.rate_hz = rate_hz
        self.samples = 0
        path.touch(exist_ok=False)

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    def write(self, samples: Samples) -> None:
        self.samples += samples.size

    def keep(self) -> None:
        """There is nothing to bring up to date."""

    def close(self) -> None:
        if not self.path.stat().st_size:
            self.path.write_bytes(_silent(self.samples, self.rate_hz))


@functools.lru_cache(maxsize=8)
def _silent(samples: int, rate_hz: int) -> bytes:
    """A whole FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        file = FlacFile(Path(folder) / "silent.flac", rate_hz)
        file.write(silence(samples))
        file.close()
        return file.path.read_bytes()


class Day:
    """`now`: monotonic seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START_S
        self.changed: list[Path] = []
        self.deleted = self.most_bytes = 0
        settings = Settings(
            enabled=True,
            directory=str(folder),
            segment_s=SEGMENT_S,
            write="flac",
            keep_gb=KEPT_FILES * FILE_BYTES / 1e9,
        )
        quality = ClockQuality("synchronised", 1.0)
        clock = WallClock(lambda: self.now, self.unix_s, lambda: quality)
        self.index = open_index(folder)
        self.index.reconcile()
        self.filing = Filing(folder, "flac", lambda event: None, self.changed.append)
        self.recorder = Recorder(
            settings, "day", lambda event: None, self.changed.append, self.filing.closed, clock=clock
        )
        self.retention = Retention(
            folder,
            settings,
            lambda event: None,
            clock=self.unix_s,
            disk=lambda _: Disk(10**12, 2 * 10**12),
            quality=lambda: quality,
        )
        self.streams = [
            self.recorder.open_device(
                StreamInfo(f"device-{n}", f"Device number {n}", RATE_HZ, "192.0.2.1", 1),
                RecordPolicy(mode="continuous", keep_days=SHORT_DAYS if n < SHORT_LIVED else None),
            )
            for n in range(STREAMS)
        ]
        self.position = 0

    def unix_s(self) -> float:
        """The wall clock."""
        return self.now - START_S + UNIX_S

    def step(self) -> None:
        """Some seconds come of every stream, and the recorder takes them."""
        self.now += STEP_S
        for stream in self.streams:
            assert stream is not None
            stream.audio(DeviceAudio(LEVEL, self.position, self.now, ppm=12.0, error_ms=20.0))
        self.position += LEVEL.size
        recorder = self.recorder
        recorder._take_new()
        recorder._look(self.now)
        recorder._serve(self.now)
        recorder._archive.closings.finish()

    def settle(self) -> None:
        """File what is over, index what changed, delete what is too much."""
        while stems := self.filing._stems():
            self.filing._settle_all(stems)
        changed, self.changed[:] = list(dict.fromkeys(self.changed)), []
        self.index.changed(changed)
        self.deleted += self.retention.tick(self.unix_s(), self.index).deleted
        self.most_bytes = max(self.most_bytes, self.index.stats().bytes)

    def result(self) -> dict[str, object]:
        """What is there at the end."""
        self.recorder._stopping.set()
        self.recorder._finish_all()
        self.settle()
        stats = self.index.stats()
        oldest_s = {
            short: min(
                (one.start_us / 1e6 for one in self.index.all(Query()) if _short(one.source) == short),
                default=self.unix_s(),
            )
            for short in (True, False)
        }
        return {
            "made": stats.recordings + self.deleted,
            "deleted": self.deleted,
            "there": stats.recordings,
            "files": sum(1 for _ in self.folder.glob("*/*.flac")),
            "most_bytes": self.most_bytes,
            "gaps": stats.gaps,
            "short_lived_h": (self.unix_s() - oldest_s[True]) / HOUR_S,
            "oldest_h": (self.unix_s() - oldest_s[False]) / HOUR_S,
            "index_bytes": sum(path.stat().st_size for path in self.folder.glob("index.sqlite3*")),
            "failures": self.recorder.failures,
        }


def _short(source: str) -> bool:
    return int(source.rpartition("-")[2]) < SHORT_LIVED


def main() -> int:
    folder, hours = Path(sys.argv[1]), float(sys.argv[2])
    began_s = time.monotonic()
    rss: list[float] = []
    with patch("echostream.archive.open_recording.new_audio_file", HollowFile):
        day = Day(folder)
        while (elapsed_s := day.now - START_S) < hours * HOUR_S:
            day.step()
            if elapsed_s % ROUND_S < STEP_S:
                day.settle()
            if elapsed_s % HOUR_S < STEP_S:
                rss.append(rss_mb(os.getpid()))
                words = (
                    f"  {elapsed_s / HOUR_S:.0f} h: {rss[-1]:.0f} MB, {time.monotonic() - began_s:.0f} s\n"
                )
                sys.stderr.write(words)
        result = day.result()
    print(json.dumps(result | {"rss_mb": rss, "took_s": time.monotonic() - began_s}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
