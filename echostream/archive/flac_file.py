"""One FLAC file that grows: each block of 4096 samples goes out as it is complete, and each second the header
says how many there are. Players read the file while it grows, and after its writer was killed.

libsndfile writes into memory; the bytes go to the file here, so that a disk that refuses is an OSError like
any other, and so that a failed write leaves whole blocks behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from echostream.archive.flac_frames import BLOCK_SAMPLES, COUNT_AT, empty_file, read_frame, sample_count
from echostream.archive.raw_file import RawFile
from echostream.archive.sound_library import FlacEncoder
from echostream.audio.format import Samples

FLAC_LEVEL: Final = 5
KEEP_S: Final = 1.0
_MOST_SAMPLES: Final = (1 << 36) - 1


class FlacFile:
    """An AudioFile in FLAC (RFC 9639), 16 bits: bit for bit what was written, in about half the bytes."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        """rate_hz: 1 to 655350. LibraryMissing without libsndfile."""
        self.path = path
        self.rate_hz = rate_hz
        self.samples = 0
        self._file = RawFile(path)
        self._broken = False
        self._whole = self._kept = 0
        try:
            self._encoder = FlacEncoder(rate_hz, FLAC_LEVEL)
        except BaseException:
            self._file.close()
            raise

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    @property
    def full(self) -> bool:
        return self.samples >= _MOST_SAMPLES - 3600 * self.rate_hz

    def write(self, samples: Samples) -> None:
        """Append; up to 4096 samples wait in the encoder until their block is complete."""
        self._encoder.write(samples)
        self._drain()
        self.samples += len(samples)
        if self._whole - self._kept >= KEEP_S * self.rate_hz:
            self.keep()

    def keep(self) -> None:
        """Bring the header's count up to date."""
        if self._kept != self._whole:
            self._file.change(sample_count(self._whole), COUNT_AT)
            self._kept = self._whole

    def close(self) -> None:
        """The last block, and the count and MD5 of all samples into the header."""
        if self._file.closed:
            return
        try:
            self._encoder.close()
            if not self._broken:
                self._drain()
            if not self._file.size:
                self._file.append(empty_file(self.rate_hz))  # the encoder makes no file of nothing
        finally:
            self._file.close()

    def _drain(self) -> None:
        try:
            for offset, data in self._encoder.take():
                self._file.change(data, offset)
                frame = read_frame(data, 0)
                if frame is not None:
                    self._whole = frame.number * BLOCK_SAMPLES + frame.samples
        except OSError:
            self._broken = True  # what follows would stand behind a hole
            raise
