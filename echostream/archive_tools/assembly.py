"""Where each sample of some recordings goes in one continuous stretch of sound. Pure arithmetic.

Two ways, because a device's clock is never quite ours. "samples": each recorded sample comes exactly once;
ten minutes that follow ten minutes are joined without a seam, and after each gap the sound is where time
says. At the end of a long joined run it is off by what the device's clock was off (50 ppm: 180 ms after an
hour). "time": no recording begins more than 50 ms from where time says; for that samples are left out, or
silence is put in, at a seam.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from echostream.archive.recording import Recording

Join = Literal["samples", "time"]

_SECOND: Final = 1_000_000
_SEAM_US: Final = 500_000
"""Recordings whose end and start differ by no more than this, by their times, may be one stream."""
_CLOSE_US: Final = 50_000
"""By time, what follows at once is joined without a seam as long as it is off by no more than this."""
_MOST_DOUBT_US: Final = 250_000
_ROUNDING_US: Final = 20_000
"""What two times of one stream may differ by though nothing overlaps."""
_BESIDE: Final = ("page", "command")
"""Triggers of what may be recorded beside other recordings of the same source."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples [first, first + count) of a recording, put at sample `at` of the whole, `length` long there.

    count: in the recording's own rate; length: at the rate of the whole. joined: it goes on exactly where the
    piece before it ended.
    """

    recording: Recording
    first: int
    count: int
    at: int
    length: int
    joined: bool = False

    @property
    def end(self) -> int:
        return self.at + self.length

    @property
    def start_us(self) -> int:
        """When its first sample was taken: Unix microseconds."""
        return self._time_of(self.first)

    @property
    def end_us(self) -> int:
        """When its last sample was taken."""
        return self._time_of(self.first + self.count)

    def _time_of(self, sample: int) -> int:
        return self.recording.start_us + round(_SECOND * sample / true_rate_hz(self.recording))


@dataclass(frozen=True, slots=True)
class Timeline:
    """One source's sound from from_us on. samples: of the whole; what no piece covers is silence.

    late_us: the most that a piece is later than by the clock; negative: earlier. left_out: recorded samples
    of the range that are not in it: another recording holds that time, or, by "time", a clock was fast.
    """

    rate_hz: int
    from_us: int
    samples: int
    pieces: tuple[Piece, ...] = ()
    late_us: int = 0
    left_out: int = 0

    @property
    def recorded(self) -> int:
        """Samples that come from recordings."""
        return sum(piece.length for piece in self.pieces)

    def time_of(self, at: int) -> int:
        """Unix microseconds of a sample of the whole."""
        return self.from_us + round(at * _SECOND / self.rate_hz)


def true_rate_hz(recording: Recording) -> float:
    """Samples that the device takes in a second of our time."""
    return recording.rate_hz * (1.0 + (recording.ppm or 0.0) * 1e-6)


def end_us(recording: Recording) -> int:
    """When its last sample was taken, by the device's own clock error."""
    return recording.start_us + round(_SECOND * recording.samples / true_rate_hz(recording))


def doubt_us(recording: Recording) -> float:
    """How far its start may be off beside another one's: a wall clock that is wrong is so for both."""
    return min(_MOST_DOUBT_US, 1000 * recording.start_error_ms)


def overlaps(recording: Recording, from_us: int, to_us: int) -> bool:
    return recording.start_us < to_us and end_us(recording) > from_us


def joins(before: Recording, after: Recording) -> bool:
    """Whether the second goes on exactly where the first ended."""
    return (
        before.ended == "segment"
        and after.gap_before is None
        and before.rate_hz == after.rate_hz
        and before.trigger == after.trigger
        and abs(after.start_us - end_us(before)) <= _SEAM_US
    )


def assemble(
    recordings: Iterable[Recording], from_us: int, to_us: int, rate_hz: int, join: Join = "samples"
) -> Timeline:
    """The sound of one source in [from_us, to_us), at rate_hz.

    Where recordings hold the same time, the one that began first is taken, and pages and what was recorded on
    command, which other recordings of that source may hold as well, only fill what is left. ValueError for a
    range that ends before it begins.
    """
    if to_us < from_us:
        raise ValueError(f"a range from {from_us} to {to_us}: it ends before it begins")
    inside = sorted(
        (one for one in recordings if one.samples and overlaps(one, from_us, to_us)),
        key=lambda one: (one.start_us, one.id),
    )
    laid = _Layer(from_us, to_us, rate_hz, join)
    for recording in inside:
        if recording.trigger not in _BESIDE:
            laid.add(recording)
    pages = _Layer(from_us, to_us, rate_hz, "time")
    for recording in inside:
        if recording.trigger in _BESIDE:
            pages.add(recording)
    filled, left_out = _into_holes(laid.pieces, pages.pieces)
    pieces = tuple(sorted(laid.pieces + filled, key=lambda piece: piece.at))
    whole = max(round((to_us - from_us) * rate_hz / _SECOND), pieces[-1].end if pieces else 0)
    return Timeline(rate_hz, from_us, whole, pieces, laid.late_us, laid.left_out + pages.left_out + left_out)


class _Layer:
    """Recordings put down one after the other in the order in which they began."""

    def __init__(self, from_us: int, to_us: int, rate_hz: int, join: Join) -> None:
        self.pieces: list[Piece] = []
        self.late_us = 0
        self.left_out = 0
        self._from_us, self._to_us, self._rate_hz, self._join = from_us, to_us, rate_hz, join
        self._end = 0
        self._held_until_us = from_us
        self._last: Recording | None = None

    def add(self, recording: Recording) -> None:
        """Put down what of it lies in the range and is not there yet."""
        rate = true_rate_hz(recording)
        first = _nearest(recording, self._from_us)
        last = _nearest(recording, self._to_us)
        joined = self._goes_on(recording)
        skipped = 0 if joined else self._held_already(recording, first, last)
        self.left_out += skipped
        first += skipped
        if end_us(recording) >= self._held_until_us:
            self._last, self._held_until_us = recording, end_us(recording)
        if last <= first:
            return
        start_us = recording.start_us + first * _SECOND / rate
        at = self._end if joined and self.pieces else max(self._end, self._at(start_us))
        if self._join == "time":
            until_us = self._to_us if joined else recording.start_us + last * _SECOND / rate
            room = max(0, self._at(until_us) - at)
            fits = round(room * recording.rate_hz / self._rate_hz)
            self.left_out += max(0, last - first - fits)
            last = min(last, first + fits)
            if last <= first:
                return
        length = max(1, round((last - first) * self._rate_hz / recording.rate_hz))
        self.pieces.append(Piece(recording, first, last - first, at, length, joined and bool(self.pieces)))
        self._end = at + length
        late_us = round(self._from_us + at * _SECOND / self._rate_hz - start_us)
        self.late_us = max(self.late_us, late_us, key=abs)

    def _goes_on(self, recording: Recording) -> bool:
        """Whether it is put right behind the last one."""
        if self._last is None or not joins(self._last, recording):
            return False
        off = abs(self._end - self._at(max(recording.start_us, self._from_us)))
        return self._join == "samples" or off <= _CLOSE_US * self._rate_hz / _SECOND

    def _at(self, at_us: float) -> int:
        """The sample of the whole at a time."""
        return round((at_us - self._from_us) * self._rate_hz / _SECOND)

    def _held_already(self, recording: Recording, first: int, last: int) -> int:
        """Samples from `first` on whose time another recording holds."""
        start_us = recording.start_us + first * _SECOND / true_rate_hz(recording)
        if self._join == "time":
            held = self._end - (start_us - self._from_us) * self._rate_hz / _SECOND
            return max(0, min(last - first, round(held * recording.rate_hz / self._rate_hz)))
        twice_us = self._held_until_us - start_us
        if self._last is None or twice_us <= _doubt_us(self._last) + _doubt_us(recording):
            return 0
        return min(last - first, round(twice_us * true_rate_hz(recording) / _SECOND))


def _nearest(recording: Recording, at_us: int) -> int:
    """The sample of a recording that was taken at a time; its first or its end where that lies outside."""
    sample = round((at_us - recording.start_us) * true_rate_hz(recording) / _SECOND)
    return min(max(sample, 0), recording.samples)


def _doubt_us(recording: Recording) -> float:
    """How far its times may be off, so that what follows it only seems to begin before its end."""
    return doubt_us(recording) + _ROUNDING_US


def _into_holes(laid: Sequence[Piece], others: Iterable[Piece]) -> tuple[list[Piece], int]:
    """The parts of other pieces where nothing lies, and how many of their samples are left out."""
    placed: list[Piece] = []
    left_out = 0
    for other in others:
        kept = list(_outside(other, laid))
        left_out += other.count - sum(part.count for part in kept)
        placed += kept
    return placed, left_out


def _outside(other: Piece, laid: Sequence[Piece]) -> Iterator[Piece]:
    at = other.at
    for piece in laid:
        if piece.end <= at or piece.at >= other.end:
            continue
        yield from _part(other, at, piece.at)
        at = max(at, piece.end)
    yield from _part(other, at, other.end)


def _part(piece: Piece, begin: int, end: int) -> Iterator[Piece]:
    """What of a piece lies in [begin, end) of the whole; nothing where that is empty."""
    if end <= begin:
        return
    share = piece.count / piece.length
    first, last = round((begin - piece.at) * share), round((end - piece.at) * share)
    if last > first:
        yield replace(
            piece, first=piece.first + first, count=last - first, at=begin, length=end - begin, joined=False
        )
