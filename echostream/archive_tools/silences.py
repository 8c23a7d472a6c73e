"""Where no sound was recorded within a timeline, why, and how long silences are made short."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from echostream.archive.recording import Recording
from echostream.archive_tools.assembly import Timeline

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
    found = [_between(timeline, begin, end, after) for begin, end, after in _holes(timeline)]
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


def _holes(timeline: Timeline) -> list[tuple[int, int, Recording | None]]:
    """Begin and end of what no piece covers, and the recording that follows."""
    holes: list[tuple[int, int, Recording | None]] = []
    at = 0
    for piece in timeline.pieces:
        if piece.at > at:
            holes.append((at, piece.at, piece.recording))
        at = piece.end
    if timeline.samples > at:
        holes.append((at, timeline.samples, None))
    return holes


def _between(timeline: Timeline, begin: int, end: int, after: Recording | None) -> Silence:
    start_us, end_us = timeline.time_of(begin), timeline.time_of(end)
    gap = after.gap_before if after is not None else None
    cause = gap.cause if gap is not None and gap.end_us > start_us else NOTHING_RECORDED
    return Silence(begin, end - begin, start_us, end_us, cause)


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
        moved.append(replace(timeline, samples=before - shift, pieces=tuple(pieces)))
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
