"""Where no sound was recorded within a timeline, why, and how long silences are made short."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from echostream.archive.recording import Recording
from echostream.archive_tools.assembly import Piece, Timeline

NOTHING_RECORDED = "not recorded"
"""Nobody spoke, or it was not to be recorded: there was nothing that is missing."""


@dataclass(frozen=True, slots=True)
class Silence:
    """`length` samples from `at` on that no recording has, or that one fills with silence. cause: a GapCause,
    or NOTHING_RECORDED."""

    at: int
    length: int
    start_us: int
    end_us: int
    cause: str


def silences(timeline: Timeline) -> list[Silence]:
    """All of them, in order."""
    found = list(_holes(timeline))
    for piece in timeline.pieces:
        one = piece.recording
        share = piece.length / piece.count
        for gap in one.gaps:
            if gap.position is None:
                continue
            count = round((gap.end_us - gap.start_us) * one.rate_hz / 1e6)
            first = max(gap.position, piece.first)
            last = min(gap.position + count, piece.first + piece.count)
            if last > first:
                at = piece.at + round((first - piece.first) * share)
                length = round((last - first) * share)
                start_us = gap.start_us + round((first - gap.position) * 1e6 / one.rate_hz)
                end_us = gap.start_us + round((last - gap.position) * 1e6 / one.rate_hz)
                found.append(Silence(at, length, start_us, end_us, gap.cause))
    return sorted(found, key=lambda one: one.at)


def _holes(timeline: Timeline) -> Iterator[Silence]:
    """What no piece covers. Its times are those of the sound on both sides: the silence may be shortened."""
    at = 0
    before: Piece | None = None
    for piece in timeline.pieces:
        if piece.at > at:
            start_us = timeline.from_us if before is None else before.end_us
            yield Silence(at, piece.at - at, start_us, piece.start_us, _cause(start_us, piece.recording))
        before, at = piece, piece.end
    if timeline.samples > at:
        start_us = timeline.from_us if before is None else before.end_us
        end_us = start_us + round((timeline.samples - at) * 1e6 / timeline.rate_hz)
        yield Silence(at, timeline.samples - at, start_us, end_us, NOTHING_RECORDED)


def _cause(start_us: int, after: Recording) -> str:
    """Why there is nothing between a time and a recording."""
    gap = after.gap_before
    return gap.cause if gap is not None and gap.end_us > start_us else NOTHING_RECORDED


def shortened(timelines: Sequence[Timeline], most: int) -> list[Timeline]:
    """The same sound, with each stretch in which none of the sources has any cut to `most` samples; before
    the first sound and after the last there is none at all."""
    spans = _merged(timelines)
    if not spans:
        return [replace(timeline, samples=0) for timeline in timelines]
    begins, shifts = [begin for begin, _ in spans], []
    shift, before = spans[0][0], spans[0][0]
    for begin, end in spans:
        shift += max(0, begin - before - most)
        shifts.append(shift)
        before = end
    moved = []
    for timeline in timelines:
        pieces = (
            replace(piece, at=piece.at - shifts[bisect_right(begins, piece.at) - 1])
            for piece in timeline.pieces
        )
        from_us = timeline.time_of(spans[0][0])
        moved.append(replace(timeline, from_us=from_us, samples=before - shift, pieces=tuple(pieces)))
    return moved


def _merged(timelines: Sequence[Timeline]) -> list[tuple[int, int]]:
    """Where any of them has sound."""
    spans = sorted((piece.at, piece.end) for timeline in timelines for piece in timeline.pieces)
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged
