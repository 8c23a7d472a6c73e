"""Where exported sound goes: WAV, also into a pipe, or FLAC. A file is there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.archive_tools.wav_header import MOST_BYTES, wav_header
from echostream.errors import ArchiveError

KINDS: Final = (".wav", ".flac")
_MODE: Final = 0o640
_FLAC_LEVEL: Final = 5
_FLAC_CHANNELS: Final = 8
_WAV_CHANNELS: Final = 64


class SoundSink(Protocol):
    """Takes int16 of shape (n, channels), as many as were announced."""

    def write(self, block: NDArray[np.int16]) -> None: ...

    def close(self) -> None: ...


class _Wav:
    def __init__(self, file: BinaryIO, rate_hz: int, channels: int, samples: int) -> None:
        self._file = file
        file.write(wav_header(rate_hz, channels, samples))

    def write(self, block: NDArray[np.int16]) -> None:
        self._file.write(block.astype("<i2", copy=False).tobytes())

    def close(self) -> None:
        self._file.flush()


class _Flac:
    def __init__(self, file: BinaryIO, rate_hz: int, channels: int) -> None:
        from echostream.archive.sound_library import FlacEncoder

        self._file = file
        self._encoder = FlacEncoder(rate_hz, _FLAC_LEVEL, channels)

    def write(self, block: NDArray[np.int16]) -> None:
        self._encoder.write(block)
        self._take()

    def close(self) -> None:
        self._encoder.close()
        self._take()

    def _take(self) -> None:
        for offset, data in self._encoder.take():
            self._file.seek(offset)
            self._file.write(data)


def check(path: Path, rate_hz: int, channels: int, samples: int) -> None:
    """Whether such a file can hold it. ArchiveError with the remedy, before an hour of work is done."""
    wav = path.suffix.lower() == ".wav" or str(path) == "-"
    most = _WAV_CHANNELS if wav else _FLAC_CHANNELS
    if channels > most:
        raise ArchiveError(
            f"{channels} sources, and a file has {most} channels at most: --mix, or -o OUT.zip"
        )
    if wav and 2 * channels * samples > MOST_BYTES:
        size_gb = 2 * channels * samples / 1e9
        raise ArchiveError(f"{path}: {size_gb:.1f} GB, and a WAV holds 4.3: name it .flac, or export less")


@contextlib.contextmanager
def sound_out(path: Path, pipe: BinaryIO, rate_hz: int, channels: int, samples: int) -> Iterator[SoundSink]:
    """Write `samples` of each channel into a file; path "-": a WAV into the pipe. OSError."""
    if str(path) == "-":
        sink: SoundSink = _Wav(pipe, rate_hz, channels, samples)
        yield sink
        sink.close()
        return
    with new_file(path) as file:
        wav = path.suffix.lower() == ".wav"
        sink = _Wav(file, rate_hz, channels, samples) if wav else _Flac(file, rate_hz, channels)
        yield sink
        sink.close()


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole. OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        with open(number, "w+b") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
