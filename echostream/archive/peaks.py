"""The waveform of a recording, ten pairs a second, in a small file beside it: an hour of it draws at once.

"ESPK", version, pairs a second, rate in Hz, 0 (16 bytes), then pairs of int16: lowest, highest sample
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.audio.format import Samples, silence
from echostream.errors import BrokenFile

PAIRS_PER_S: Final = 10
_HEAD: Final = struct.Struct("<4sHHII")
_MAGIC: Final = b"ESPK"
_VERSION: Final = 1
_MOST_BYTES: Final = 64_000_000


@dataclass(frozen=True, slots=True)
class Peaks:
    """pairs: shape (n, 2) int16, lowest and highest sample of each tenth of a second, or of the rest."""

    rate_hz: int
    pairs: NDArray[np.int16]
    pairs_per_s: int = PAIRS_PER_S


class PeakCounter:
    """Adds up the pairs while a recording is written. Pair k begins at sample k * rate_hz // 10."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._done = bytearray()  # 144 kB for an hour
        self._rest = silence(0)
        self._count = 0

    def add(self, samples: Samples) -> None:
        """Shape (n,) int16, any n."""
        rest = np.concatenate([self._rest, samples])
        # Not simply blocks of rate / 10: 11025 Hz has 1102.5 samples in a tenth.
        begin = self._count * self.rate_hz // PAIRS_PER_S
        whole = (begin + len(rest)) * PAIRS_PER_S // self.rate_hz + 1 - self._count
        edges = (self._count + np.arange(whole + 1)) * self.rate_hz // PAIRS_PER_S - begin
        edges = edges[: np.searchsorted(edges, len(rest), "right")]
        if len(edges) > 1:
            self._done += _pairs(rest[: edges[-1]], edges[:-1]).tobytes()
            self._count += len(edges) - 1
            rest = rest[edges[-1] :]
        self._rest = rest.copy()

    @property
    def peaks(self) -> Peaks:
        """Of everything so far."""
        done = np.frombuffer(bytes(self._done), np.int16).reshape(-1, 2)
        if len(self._rest):
            done = np.concatenate([done, _pairs(self._rest, np.zeros(1, np.int64))])
        return Peaks(self.rate_hz, done)


def write_peaks(path: Path, peaks: Peaks) -> None:
    """Write the file anew, whole at every moment. OSError."""
    head = _HEAD.pack(_MAGIC, _VERSION, peaks.pairs_per_s, peaks.rate_hz, 0)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    leave_to_owner(new)
    with open(number, "wb") as file:
        file.write(head + peaks.pairs.astype("<i2", copy=False).tobytes())
    os.replace(new, path)


def read_peaks(path: Path) -> Peaks:
    """BrokenFile for what is no such file; OSError where there is none."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    if len(data) < _HEAD.size:
        raise BrokenFile(f"{path}: no waveform: {len(data)} bytes")
    magic, version, per_s, rate_hz, _ = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != _VERSION or not per_s or not rate_hz:
        raise BrokenFile(f"{path}: no waveform that this version knows")
    whole = (len(data) - _HEAD.size) // 4 * 2
    pairs = np.frombuffer(data, "<i2", whole, _HEAD.size).astype(np.int16).reshape(-1, 2)
    return Peaks(rate_hz, pairs, per_s)


def _pairs(samples: Samples, begins: NDArray[np.int64]) -> NDArray[np.int16]:
    lowest, highest = np.minimum.reduceat(samples, begins), np.maximum.reduceat(samples, begins)
    pairs: NDArray[np.int16] = np.stack([lowest, highest], axis=1)
    return pairs
