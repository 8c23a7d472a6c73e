"""Sound for the ear, from files and standard input: one channel, at a rate that it takes, block by block."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.audio.resampler import RationalResampler, VariableResampler
from echostream.errors import AudioError
from echostream.tone_tools.wav_stream import WavStream

Float32 = NDArray[np.float32]

STDIN: Final = Path("-")
LOWEST_RATE_HZ: Final = 2000
HIGHEST_RATE_HZ: Final = 400_000
_EAR_HZ: Final = 8000
_BLOCK_S: Final = 0.5
_PIPE_BLOCK_S: Final = 0.032
_ROUND_HZ: Final = 100
"""Rates that are multiples of this are taken as they are; others are brought to the nearest multiple."""
_MOST_TERM: Final = 1000
_LOUDEST: Final = 4.0
"""Files of floats may hold anything; beyond this nothing is meant to be heard."""


class Source(Protocol):
    """Where frames come from: a file or a pipe."""

    rate_hz: int
    channels: int
    frames: int

    def read(self, frames: int) -> Float32:
        """Shape (n, channels), n < frames only at the end."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Sound:
    """An open file. `blocks` yields it once; rate_hz is what the blocks have, file_rate_hz what the file has.

    channel: None mixes all channels, 1 is the first. note: what is wrong with the file, though it was read.
    """

    def __init__(self, path: Path, channel: int | None = None) -> None:
        """AudioError names the file, what is wrong, and what helps."""
        self.name = "standard input" if path == STDIN else str(path)
        self._source = _open(path)
        self.file_rate_hz = self._source.rate_hz
        self.channels = self._source.channels
        self.duration_s = self._source.frames / max(1, self.file_rate_hz)
        self._channel = channel
        self._block_s = _PIPE_BLOCK_S if path == STDIN else _BLOCK_S
        self.read_s = 0.0
        """Seconds read so far."""
        self.note = _cut_short(path)
        try:
            self._check()
        except AudioError:
            self._source.close()
            raise
        self.rate_hz, self._stages = _stages(self.file_rate_hz)

    def _check(self) -> None:
        if not LOWEST_RATE_HZ <= self.file_rate_hz <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{self.name}: a sample rate of {self.file_rate_hz} Hz; "
                f"expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
            )
        if self._channel is not None and not 1 <= self._channel <= self.channels:
            raise AudioError(
                f"{self.name}: has {self.channels} channel(s), --channel-number {self._channel} is none"
            )

    def blocks(self) -> Iterator[Float32]:
        """Shape (n,), float32. AudioError where the file breaks; what came before was good."""
        size = max(1, int(self.file_rate_hz * self._block_s))
        frames = 0
        try:
            while True:
                block = self._source.read(size)
                frames += len(block)
                self.read_s = frames / self.file_rate_hz
                if len(block):
                    yield self._run(self._mono(block))
                if len(block) < size:
                    break
        finally:
            self._source.close()
        yield from self._tails()
        if not frames:
            self.note = "there is no sound in it (0 samples)"
        elif frames < self._source.frames and not self.note:
            self.note = f"it ends after {self.read_s:.1f} s, {self.duration_s:.1f} s were promised"

    def _mono(self, block: Float32) -> Float32:
        mono = block[:, self._channel - 1] if self._channel is not None else block.mean(axis=1)
        # A number that is none would poison every filter behind it.
        clean: Float32 = np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(clean, -_LOUDEST, _LOUDEST)

    def _run(self, block: Float32) -> Float32:
        for stage in self._stages:
            block = stage.process(block)
        return block

    def _tails(self) -> Iterator[Float32]:
        for at, stage in enumerate(self._stages):
            block = stage.finish()
            for later in self._stages[at + 1 :]:
                block = later.process(block)
            yield block


def _open(path: Path) -> Source:
    if path == STDIN:
        return WavStream(sys.stdin.buffer)
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if path.is_file() and size == 0:
        raise AudioError(f"{path}: is empty (0 bytes): was it copied or recorded to its end?")
    from echostream.tone_tools.sound_library import SoundFile

    return SoundFile(path)


def _cut_short(path: Path) -> str:
    """What a WAV file's own length says: libsndfile reads a truncated one without a word."""
    if path == STDIN or not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(8)
    promised = int.from_bytes(head[4:8], "little") + 8
    has = path.stat().st_size
    if head[:4] != b"RIFF" or promised >= 0x7FFF0000 or promised <= has + 1:
        return ""  # programs that stream put a huge number, or 0, for a length they do not know
    return f"it is cut off: {has} of {promised} bytes are there; what is there was heard"


class _Trim:
    """A resampler whose delay is taken out, so that positions are those of the file."""

    def __init__(self, latency_samples: int) -> None:
        self._drop = latency_samples

    def cut(self, block: Float32) -> Float32:
        drop = min(self._drop, block.size)
        self._drop -= drop
        return block[drop:]


class _Fraction:
    """To another rate by a fixed fraction."""

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self._resampler = RationalResampler(in_hz, out_hz)
        self._trim = _Trim(self._resampler.latency_samples)
        self._late = math.ceil(self._resampler.latency_samples * in_hz / out_hz)

    def process(self, block: Float32) -> Float32:
        """Shape (n,) in, what it completes out."""
        return self._trim.cut(self._resampler.process(block))

    def finish(self) -> Float32:
        """What was still inside."""
        return self.process(np.zeros(self._late, np.float32))


class _Near:
    """To a rate that is at most 2 % away, by any factor."""

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self._ratio = out_hz / in_hz
        self._resampler = VariableResampler(32)
        self._trim = _Trim(self._resampler.latency_samples)

    def process(self, block: Float32) -> Float32:
        """Shape (n,) in, what it completes out."""
        parts = [
            self._resampler.process(part, self._ratio)
            for part in np.array_split(block, 1 + block.size // 16384)
        ]
        return self._trim.cut(np.concatenate(parts))

    def finish(self) -> Float32:
        """What was still inside."""
        return self.process(np.zeros(self._resampler.latency_samples, np.float32))


def _stages(rate_hz: int) -> tuple[int, list[_Fraction | _Near]]:
    """What brings a file's rate to one that the ear takes, and that rate."""
    stages: list[_Fraction | _Near] = []
    common = math.gcd(rate_hz, _EAR_HZ)
    if max(rate_hz, _EAR_HZ) // common > _MOST_TERM:
        near = round(rate_hz / _ROUND_HZ) * _ROUND_HZ
        stages.append(_Near(rate_hz, near))
        rate_hz = near
    if rate_hz < _EAR_HZ:
        stages.append(_Fraction(rate_hz, _EAR_HZ))
        rate_hz = _EAR_HZ
    return rate_hz, stages
