"""What an exported file holds, told to people and to machines."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import TextIO

from echostream.archive_tools.assembly import Timeline
from echostream.archive_tools.listing import counted
from echostream.archive_tools.silences import NOTHING_RECORDED, silences
from echostream.archive_tools.times import iso, length_shown, shown, zone_name

_WORTH_TELLING_US = 100_000


def report(path: Path, voices: dict[str, Timeline], faults: list[str]) -> dict[str, object]:
    """What lies at which sample of which channel, and what does not."""
    first = next(iter(voices.values()))
    samples = max(timeline.samples for timeline in voices.values())
    return {
        "file": str(path),
        "rate_hz": first.rate_hz,
        "samples": samples,
        "sources": [_of_source(name, timeline) for name, timeline in voices.items()],
        "faults": faults,
    }


def _of_source(name: str, timeline: Timeline) -> dict[str, object]:
    return {
        "source": name,
        "recorded_samples": timeline.recorded,
        "late_ms": timeline.late_us / 1000,
        "left_out_samples": timeline.left_out,
        "pieces": [
            {
                "at": piece.at,
                "samples": piece.length,
                "start": iso(piece.start_us),
                "recording": piece.recording.id,
                "path": piece.recording.path,
                "first": piece.first,
                "count": piece.count,
            }
            for piece in timeline.pieces
        ],
        "silences": [
            {
                "at": one.at,
                "samples": one.length,
                "start": iso(one.start_us),
                "end": iso(one.end_us),
                "cause": one.cause,
            }
            for one in silences(timeline)
        ],
    }


def tell(path: Path, voices: dict[str, Timeline], zone: tzinfo | None, out: TextIO) -> None:
    """The same for people, in a few lines."""
    first = next(iter(voices.values()))
    samples = max(timeline.samples for timeline in voices.values())
    length = _length(samples, first)
    pieces = [piece for timeline in voices.values() for piece in timeline.pieces]
    # Where silence at its beginning was cut, it begins later than it was asked for.
    begins = next((piece.start_us for piece in pieces if not piece.at), first.from_us)
    out.write(
        f"{path}: {length}, {first.rate_hz} Hz, from {shown(begins, zone, 3)} {zone_name(begins, zone)}\n"
    )
    for number, (name, timeline) in enumerate(voices.items(), 1):
        channel = f"channel {number}: " if len(voices) > 1 else ""
        count = counted(len({piece.recording.id for piece in timeline.pieces}), "recording")
        out.write(
            f"  {channel}{name}: {_length(timeline.recorded, timeline)} of {count}{_missing(timeline)}\n"
        )
        if abs(timeline.late_us) > _WORTH_TELLING_US:
            way = "behind" if timeline.late_us > 0 else "ahead of"
            out.write(
                f"    at most {abs(timeline.late_us) / 1e6:.2f} s {way} the clock: each sample is kept\n"
            )


def _missing(timeline: Timeline) -> str:
    """How long is silent, and why."""
    by_cause: dict[str, list[int]] = {}
    for one in silences(timeline):
        by_cause.setdefault(one.cause, []).append(one.end_us - one.start_us)
    quiet = by_cause.pop(NOTHING_RECORDED, [])
    words = [
        f"{length_shown(sum(lengths))} missing in {counted(len(lengths), 'gap')} ({cause})"
        for cause, lengths in sorted(by_cause.items())
    ]
    words += [f"{length_shown(sum(quiet))} not recorded"] if quiet else []
    return "".join(f"; {word}" for word in words)


def _length(samples: int, timeline: Timeline) -> str:
    return length_shown(round(1e6 * samples / timeline.rate_hz))
