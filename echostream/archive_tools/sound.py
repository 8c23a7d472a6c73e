"""The sound of a timeline, block after block: what was recorded, and silence where nothing was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from echostream.archive.file_names import FORMS, place_of
from echostream.archive.recording import Recording
from echostream.archive.sound_library import AudioReader
from echostream.archive_tools.assembly import Piece, Timeline
from echostream.audio.format import Samples, silence
from echostream.audio.resampler import RationalResampler
from echostream.errors import ArchiveError

BLOCK: Final = 16_384
_MOST_SAMPLES: Final = 1 << 40


def as_far(directory: Path, one: Recording) -> Recording:
    """A recording that is still being written, or that a crash left so, as far as its file goes now."""
    if one.state != "open":
        return one
    try:
        with open_audio(directory, one) as reader:
            there = reader.samples
            if not 0 < there < _MOST_SAMPLES:  # a FLAC or Ogg says how long it is when it ends
                there = 0
                while block_size := reader.read(BLOCK).size:
                    there += block_size
            return replace(one, samples=round(there * one.rate_hz / reader.rate_hz))
    except (ArchiveError, OSError):
        return one


def open_audio(directory: Path, one: Recording) -> AudioReader:
    """Its file; in another form, where it was filed in one since we asked. ArchiveError, OSError."""
    try:
        return AudioReader(directory / one.path)
    except FileNotFoundError:
        place = place_of(directory, one.path)
        for form in FORMS:
            if place.audio(form).exists():
                return AudioReader(place.audio(form))
        raise


class Voice:
    """One source's sound, read from its beginning to its end. faults: files that held less than was known."""

    def __init__(self, directory: Path, timeline: Timeline) -> None:
        self.timeline = timeline
        self.faults: list[str] = []
        self._directory = directory
        self._blocks = self._whole()
        self._rest = silence(0)

    def read(self, count: int) -> Samples:
        """The next samples, shape (count,); silence beyond the end."""
        parts, have = [self._rest], self._rest.size
        while have < count:
            block = next(self._blocks, None)
            if block is None:
                block = silence(count - have)
            parts.append(block)
            have += block.size
        joined = np.concatenate(parts)
        self._rest = joined[count:]
        return joined[:count]

    def _whole(self) -> Iterator[Samples]:
        at = 0
        for run in _runs(self.timeline.pieces):
            yield from _quiet(run[0].at - at)
            yield from self._run(run)
            at = run[-1].end
        yield from _quiet(self.timeline.samples - at)

    def _run(self, run: list[Piece]) -> Iterator[Samples]:
        """Pieces without a seam: resampled as one stream, where their rate is another."""
        rate_hz = run[0].recording.rate_hz
        recorded = (block for piece in run for block in self._recorded(piece))
        if rate_hz == self.timeline.rate_hz:
            yield from recorded
            return
        try:
            resampler = RationalResampler(rate_hz, self.timeline.rate_hz)
        except ValueError as error:
            raise ArchiveError(f"{run[0].recording.path}: {error}; choose another --rate") from None
        late, wanted = resampler.latency_samples, run[-1].end - run[0].at
        for block in self._flushed(recorded, late, rate_hz):
            made = resampler.process(block)
            cut = min(late, made.size)
            late -= cut
            made = made[cut:][:wanted]
            wanted -= made.size
            yield made
        yield from _quiet(wanted)

    def _flushed(self, recorded: Iterator[Samples], late: int, rate_hz: int) -> Iterator[Samples]:
        """Silence behind it pushes out what the resampler still holds."""
        yield from recorded
        yield silence(late * rate_hz // self.timeline.rate_hz + 2)

    def _recorded(self, piece: Piece) -> Iterator[Samples]:
        """Exactly piece.count samples, in its own rate; silence for those that cannot be read."""
        left = piece.count
        path = self._directory / piece.recording.path
        try:
            with open_audio(self._directory, piece.recording) as reader:
                for block in _samples(reader, piece):
                    left -= block.size
                    yield block
            if left:
                raise ArchiveError(f"{path}: ends {left} samples before what is known of it")
        except (ArchiveError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.faults.append(reason if str(path) in reason else f"{path}: {reason}")
            yield from _quiet(left)


def _samples(reader: AudioReader, piece: Piece) -> Iterator[Samples]:
    """What of a piece can be read: piece.count samples, or fewer.

    An Opus file of a rate that Opus does not have is read at another one, and brought back to its own.
    """
    own_hz, count = piece.recording.rate_hz, piece.count
    resampler = None if reader.rate_hz == own_hz else RationalResampler(reader.rate_hz, own_hz)
    first = piece.first if resampler is None else round(piece.first * reader.rate_hz / own_hz)
    if first >= reader.samples > 0:
        return
    reader.seek(first)
    latency = late = resampler.latency_samples if resampler is not None else 0
    pushing = silence(latency * reader.rate_hz // own_hz + 2)
    ended = False
    while count > 0 and not ended:
        block = reader.read(BLOCK)
        ended = not block.size
        if resampler is not None:
            block = resampler.process(block if block.size else pushing)
            late, block = max(0, late - block.size), block[late:]
        block = block[:count]
        count -= block.size
        yield block


def _runs(pieces: tuple[Piece, ...]) -> Iterator[list[Piece]]:
    """Pieces that go on from each other without a seam, together."""
    number = 0

    def run_of(piece: Piece) -> int:
        nonlocal number
        number += not piece.joined
        return number

    for _, run in groupby(pieces, run_of):
        yield list(run)


def _quiet(count: int) -> Iterator[Samples]:
    while count > 0:
        yield silence(min(BLOCK, count))
        count -= BLOCK
