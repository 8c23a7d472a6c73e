"""`echostream recordings export`: a range of time of one or more sources as one sound file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from echostream.archive.recording import Recording
from echostream.archive_tools import sound_out
from echostream.archive_tools.assembly import Join, Timeline, assemble, end_us
from echostream.archive_tools.listing import counted
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.store import FileStore, source_name
from echostream.archive_tools.times import iso, length_shown, shown, zone_name
from echostream.errors import ArchiveError

BLOCK: Final = 16_384


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """As `echostream recordings export --help` explains them. rate_hz: 0 for the recordings' own."""

    output: Path
    rate_hz: int = 0
    join: Join | None = None
    mix: bool = False
    as_json: bool = False
    force: bool = False


def export(
    store: FileStore,
    selection: Selection,
    options: ExportOptions,
    now_us: int,
    out: TextIO,
    err: TextIO,
    pipe: BinaryIO,
) -> int:
    """Exit code 0; 1 where a recording could not be read whole. ArchiveError where nothing can be written."""
    check_place(options.output, options.force)
    recordings = list(find(store, selection, now_us, oldest_first=True))
    if not recordings:
        raise ArchiveError("no recordings there: nothing to export; `echostream recordings list` shows some")
    voices = timelines(recordings, selection.range_us(now_us), options)
    faults = write_sound(store.directory, voices, options, pipe)
    told = err if str(options.output) == "-" else out
    if options.as_json:
        told.write(json.dumps(report(options.output, voices, faults), ensure_ascii=False) + "\n")
    else:
        _tell(options.output, voices, selection, told)
    for fault in faults:
        err.write(f"echostream recordings export: {fault}; silence is there instead\n")
    return 1 if faults else 0


def check_place(path: Path, force: bool) -> None:
    """Whether a file can be put there. ArchiveError."""
    if str(path) == "-":
        return
    if path.suffix.lower() not in sound_out.KINDS:
        raise ArchiveError(f"{path}: expected a name that ends in {', '.join(sound_out.KINDS)}")
    if not path.parent.is_dir():
        raise ArchiveError(f"{path}: there is no directory {path.parent}")
    if path.exists() and not force:
        raise ArchiveError(f"{path}: is there already; --force overwrites it")


def timelines(
    recordings: Sequence[Recording], range_us: tuple[int | None, int | None], options: ExportOptions
) -> dict[str, Timeline]:
    """The sound of each source, all of one length and rate."""
    start = min(one.start_us for one in recordings) if range_us[0] is None else range_us[0]
    end = max(map(end_us, recordings)) if range_us[1] is None else range_us[1]
    by_source: dict[str, list[Recording]] = {}
    for one in recordings:
        by_source.setdefault(source_name(one), []).append(one)
    rate_hz = options.rate_hz or max(one.rate_hz for one in recordings)
    join = options.join or ("samples" if len(by_source) == 1 else "time")
    return {name: assemble(ones, start, end, rate_hz, join) for name, ones in sorted(by_source.items())}


def write_sound(
    directory: Path, voices: dict[str, Timeline], options: ExportOptions, pipe: BinaryIO
) -> list[str]:
    """One channel for each source, or all in one. What could not be read is returned. ArchiveError."""
    from echostream.archive_tools.sound import Voice  # libsndfile is for those who need it

    readers = [Voice(directory, timeline) for timeline in voices.values()]
    samples = max(timeline.samples for timeline in voices.values())
    rate_hz = next(iter(voices.values())).rate_hz
    channels = 1 if options.mix else len(readers)
    sound_out.check(options.output, rate_hz, channels, samples)
    try:
        with sound_out.sound_out(options.output, pipe, rate_hz, channels, samples) as sink:
            for at in range(0, samples, BLOCK):
                blocks = [reader.read(min(BLOCK, samples - at)) for reader in readers]
                sink.write(_mixed(blocks) if options.mix else np.stack(blocks, axis=1))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ArchiveError(f"{options.output}: cannot be written: {error.strerror or error}") from None
    return [fault for reader in readers for fault in reader.faults]


def _mixed(blocks: Iterable[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Their sum, shape (n, 1); what is louder than full scale is cut there."""
    total = np.sum(np.stack(list(blocks)), axis=0, dtype=np.int32)
    return np.clip(total, -32768, 32767).astype(np.int16)[:, None]


def report(path: Path, voices: dict[str, Timeline], faults: list[str]) -> dict[str, object]:
    """For machines: what lies at which sample."""
    first = next(iter(voices.values()))
    samples = max(timeline.samples for timeline in voices.values())
    return {
        "file": str(path),
        "start": iso(first.from_us),
        "end": iso(first.time_of(samples)),
        "rate_hz": first.rate_hz,
        "samples": samples,
        "sources": [_source_report(name, timeline) for name, timeline in voices.items()],
        "faults": faults,
    }


def _source_report(name: str, timeline: Timeline) -> dict[str, object]:
    return {
        "source": name,
        "recorded_samples": timeline.recorded,
        "late_ms": timeline.late_us / 1000,
        "left_out_samples": timeline.left_out,
        "pieces": [
            {
                "at": piece.at,
                "samples": piece.length,
                "start": iso(timeline.time_of(piece.at)),
                "recording": piece.recording.id,
                "path": piece.recording.path,
                "first": piece.first,
                "count": piece.count,
            }
            for piece in timeline.pieces
        ],
    }


def _tell(path: Path, voices: dict[str, Timeline], selection: Selection, out: TextIO) -> None:
    first = next(iter(voices.values()))
    samples = max(timeline.samples for timeline in voices.values())
    zone = selection.zone
    end = first.time_of(samples)
    length = length_shown(round(1e6 * samples / first.rate_hz))
    out.write(
        f"{path}: {length} at {first.rate_hz} Hz, {shown(first.from_us, zone, 3)} to {shown(end, zone, 3)} "
        f"{zone_name(end, zone)}\n"
    )
    for number, (name, timeline) in enumerate(voices.items(), 1):
        channel = f"channel {number}: " if len(voices) > 1 else ""
        sound = length_shown(round(1e6 * timeline.recorded / timeline.rate_hz))
        pieces = counted(len({piece.recording.id for piece in timeline.pieces}), "recording")
        out.write(f"  {channel}{name}: {sound} of {pieces}, the rest is silence\n")
