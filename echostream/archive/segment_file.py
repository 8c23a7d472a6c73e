"""One WAV file that grows, and is a whole one at every second of its life.

The header of a WAV tells the length of what follows. It is written anew each second, after the samples it
speaks of, so that a process that is killed leaves a file that every player reads, short by two seconds. Every
five seconds all of it is put on the disk itself, for when the power goes.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from echostream.audio.format import Samples

HEADER_BYTES: Final = 44
KEEP_S: Final = 1.0
SYNC_S: Final = 5.0
_MODE: Final = 0o640
"""The service's own, and its group's: what was said is not for everybody on the machine."""
_MOST_BYTES: Final = 0xFFFF_FFFF - HEADER_BYTES


class SegmentFile:
    """A new file of 16-bit mono PCM; never an existing one. All methods raise OSError, as files do."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        """FileExistsError when the path is taken: whoever names files takes another name."""
        self.path = path
        self.rate_hz = rate_hz
        self.samples = 0
        self._kept = self._synced = 0
        opener: Callable[[str, int], int] = lambda name, flags: os.open(name, flags, _MODE)  # noqa: E731
        self._file = open(path, "xb", buffering=0, opener=opener)  # noqa: SIM115 - closed by `close`
        try:
            self._file.write(_header(rate_hz, 0))
        except OSError:
            self._file.close()
            raise

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    @property
    def full(self) -> bool:
        """A WAV cannot say more: 37 hours at 16 kHz."""
        return self.samples * 2 >= _MOST_BYTES - self.rate_hz * 2 * 60

    def write(self, samples: Samples) -> None:
        """Append; each second of audio the header follows."""
        data = samples.astype("<i2").tobytes()
        written = self._file.write(data)
        while written < len(data):  # a raw file may take less: a disk that is nearly full
            more = self._file.write(data[written:])
            written += more
        self.samples += len(samples)
        if self.samples - self._kept >= KEEP_S * self.rate_hz:
            self.keep()

    def keep(self) -> None:
        """Bring the header up to date."""
        self._file.seek(0)
        self._file.write(_header(self.rate_hz, self.samples))
        self._file.seek(HEADER_BYTES + 2 * self.samples)
        self._kept = self.samples
        if self.samples - self._synced >= SYNC_S * self.rate_hz:
            self._sync()

    def _sync(self) -> None:
        os.fdatasync(self._file.fileno())
        self._synced = self.samples

    def close(self) -> None:
        """The last header, and the end. The file is closed also when the disk refuses the header."""
        with contextlib.closing(self._file):
            if self._kept != self.samples:
                self.keep()
            if self._synced != self.samples:
                self._sync()


def _header(rate_hz: int, samples: int) -> bytes:
    """RIFF/WAVE, PCM, 16 bit, mono (Multimedia Programming Interface and Data Specifications 1.0, 1991)."""
    size = min(2 * samples, _MOST_BYTES)
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + size, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", size)
