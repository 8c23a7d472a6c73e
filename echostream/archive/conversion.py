"""From a closed WAV to the form in which it is kept, read back and compared before anybody deletes the WAV.

The new file grows under a name of its own, `.meta/.NAME.FORM.new`, and gets its real one when it is whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from echostream.archive.audio_file import new_audio_file
from echostream.archive.level_meter import WholeLevel
from echostream.archive.peaks import PeakCounter
from echostream.archive.recording import AudioForm
from echostream.archive.sound_library import AudioReader
from echostream.audio.format import Samples
from echostream.errors import ArchiveError, BrokenFile

_BLOCK: Final = 1 << 16
_HASH_BLOCK: Final = 1 << 20

Abandoned = Callable[[], bool]
"""Asked between blocks: whether somebody wants the thread to end."""


class ConversionAbandoned(ArchiveError):
    """Asked to stop in the middle; nothing was changed."""


@dataclass(slots=True)
class Heard:
    """What is found out while a recording is read from its beginning to its end."""

    peaks: PeakCounter
    level: WholeLevel


def convert(wav: Path, new: Path, form: AudioForm, bitrate_bps: int, abandoned: Abandoned) -> Heard:
    """Make `new` of a WAV, on the disk itself and compared with what it was made of.

    OSError: the disk refused. BrokenFile: one of the two cannot be read, or they differ. `new` is gone then.
    """
    new.unlink(missing_ok=True)
    try:
        heard = _write(wav, new, form, bitrate_bps, abandoned)
        _compare(wav, new, form, abandoned)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return heard


def hear(audio: Path, abandoned: Abandoned) -> Heard:
    """Read a recording for its waveform and levels. OSError, BrokenFile."""
    with AudioReader(audio) as reader:
        heard = Heard(PeakCounter(reader.rate_hz), WholeLevel())
        for block in _blocks(reader, abandoned):
            heard.peaks.add(block)
            heard.level.add(block)
    return heard


def sha256_of(path: Path, abandoned: Abandoned = lambda: False) -> str:
    """64 hex digits of the whole file. OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASH_BLOCK):
            if abandoned():
                raise ConversionAbandoned(f"{path}: not read to its end")
            digest.update(block)
    return digest.hexdigest()


def _write(wav: Path, new: Path, form: AudioForm, bitrate_bps: int, abandoned: Abandoned) -> Heard:
    with AudioReader(wav) as reader:
        heard = Heard(PeakCounter(reader.rate_hz), WholeLevel())
        file = new_audio_file(form, new, reader.rate_hz, bitrate_bps)
        try:
            for block in _blocks(reader, abandoned):
                file.write(block)
                heard.peaks.add(block)
                heard.level.add(block)
        finally:
            file.close()
    number = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(number)
    finally:
        os.close(number)
    return heard


def _compare(wav: Path, new: Path, form: AudioForm, abandoned: Abandoned) -> None:
    with AudioReader(wav) as old, AudioReader(new) as made:
        expected = -(-old.samples * made.rate_hz // old.rate_hz)
        if made.samples != expected:
            raise BrokenFile(f"{new}: holds {made.samples} samples, expected {expected}")
        if form == "opus":  # not the same samples, but as many, and all can be read
            count = sum(map(len, _blocks(made, abandoned)))
            same = count == expected
        else:
            blocks = zip(_blocks(old, abandoned), _blocks(made, abandoned), strict=True)
            same = all(np.array_equal(one, other) for one, other in blocks)
        if not same:
            raise BrokenFile(f"{new}: is not what {wav} is; the WAV stays")


def _blocks(reader: AudioReader, abandoned: Abandoned) -> Iterator[Samples]:
    left = reader.samples
    while left > 0:
        if abandoned():
            raise ConversionAbandoned("a recording was not read to its end")
        block = reader.read(min(left, _BLOCK))
        if not len(block):
            raise BrokenFile(f"{reader.path}: ends {left} samples before its end")
        left -= len(block)
        yield block
