"""One WAV file that grows, and is a whole one at every second of its life.

The header of a WAV tells the length of what follows. It is written anew each second, after the samples it
speaks of: players read the file while it grows, and after its writer was killed.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from echostream.archive.raw_file import RawFile
from echostream.audio.format import Samples

HEADER_BYTES: Final = 44
KEEP_S: Final = 1.0
MOST_BYTES: Final = (0xFFFF_FFFF - HEADER_BYTES) & ~1


class WavFile:
    """An AudioFile of 16-bit PCM: bit for bit what was written."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        self.path = path
        self.rate_hz = rate_hz
        self.samples = 0
        self._kept = 0
        self._file = RawFile(path)
        try:
            self._file.append(wav_header(rate_hz, 0))
        except OSError:
            self._file.close()
            raise

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    @property
    def full(self) -> bool:
        """37 hours at 16 kHz, less a minute."""
        return self.samples * 2 >= MOST_BYTES - self.rate_hz * 2 * 60

    def write(self, samples: Samples) -> None:
        """Append; each second of audio the header follows."""
        self._file.append(samples.astype("<i2", copy=False).tobytes())
        self.samples += len(samples)
        if self.samples - self._kept >= KEEP_S * self.rate_hz:
            self.keep()

    def keep(self) -> None:
        """Bring the header up to date."""
        if self._kept != self.samples:
            self._file.change(wav_header(self.rate_hz, self.samples), 0)
            self._kept = self.samples

    def close(self) -> None:
        """The last header, and the end."""
        if self._file.closed:
            return
        try:
            self.keep()
        finally:
            self._file.close()


def wav_header(rate_hz: int, samples: int) -> bytes:
    """RIFF/WAVE, PCM, 16 bit, mono (Multimedia Programming Interface and Data Specifications 1.0, 1991)."""
    size = min(2 * samples, MOST_BYTES)
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + size, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", size)
