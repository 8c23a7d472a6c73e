"""`echostream recordings export`: a range of time of one or more sources as one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from echostream.archive.recording import Recording
from echostream.archive_tools import sound_out
from echostream.archive_tools.assembly import Join, Timeline, assemble, end_us
from echostream.archive_tools.export_report import report, tell
from echostream.archive_tools.listing import counted
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.silences import shortened
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.store import Store
from echostream.archive_tools.tables_out import recordings_csv
from echostream.archive_tools.zip_out import write_zip
from echostream.audio.format import Samples
from echostream.console.progress import Bar
from echostream.errors import ArchiveError

BLOCK: Final = 16_384
_DAY_US: Final = 86_400_000_000
_LONGEST_US: Final = 366 * _DAY_US
OTHER_KINDS: Final = (".zip", ".csv")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """As `echostream recordings export --help` explains them. rate_hz: 0 for the highest there is."""

    output: Path
    rate_hz: int = 0
    join: Join | None = None
    mix: bool = False
    squeeze_us: int | None = None
    as_json: bool = False
    force: bool = False

    @property
    def kind(self) -> str:
        return ".wav" if str(self.output) == "-" else self.output.suffix.lower()


def export(
    store: Store,
    selection: Selection,
    options: ExportOptions,
    now_us: int,
    out: TextIO,
    err: TextIO,
    pipe: BinaryIO,
) -> int:
    """Exit code 0; 1 where a recording could not be read whole. ArchiveError where nothing can be written."""
    check_place(options.output, options.force)
    if str(options.output) == "-" and out.isatty():
        raise ArchiveError("-o - writes a WAV, and there is a terminal: `... -o - | aplay`, or name a file")
    recordings = list(find(store, selection, now_us, oldest_first=True, here_only=True))
    if not recordings:
        raise ArchiveError("no recordings there: nothing to export; `echostream recordings list` shows some")
    if options.kind in OTHER_KINDS:
        faults = _export_files(store.directory, recordings, options, out)
    else:
        voices = timelines(store.directory, recordings, selection.range_us(now_us), options)
        faults = write_sound(store.directory, voices, options, pipe)
        told = err if str(options.output) == "-" else out
        if options.as_json:
            told.write(json.dumps(report(options.output, voices, faults), ensure_ascii=False) + "\n")
        else:
            tell(options.output, voices, selection.zone, told)
    for fault in faults:
        err.write(f"echostream recordings export: {fault}\n")
    return 1 if faults else 0


def check_place(path: Path, force: bool) -> None:
    """Whether a file can be put there. ArchiveError before work is done for nothing."""
    if str(path) == "-":
        return
    kinds = sound_out.KINDS + OTHER_KINDS
    if path.suffix.lower() not in kinds:
        raise ArchiveError(f"{path}: expected a name that ends in {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise ArchiveError(f"{path}: there is no directory {path.parent}")
    if path.exists() and not force:
        raise ArchiveError(f"{path}: is there already; --force overwrites it")


def _export_files(
    directory: Path, recordings: list[Recording], options: ExportOptions, out: TextIO
) -> list[str]:
    """A ZIP, or the table alone."""
    if options.kind == ".zip":
        with Bar(options.output.name, sum(one.duration_us for one in recordings) / 1e6) as bar:
            faults = write_zip(options.output, directory, recordings, bar.done)
    else:
        faults = []
        try:
            with sound_out.new_file(options.output) as file:
                file.write(recordings_csv(recordings).encode("utf-8-sig"))  # spreadsheets know UTF-8 by it
        except OSError as error:
            raise ArchiveError(f"{options.output}: cannot be written: {error.strerror or error}") from None
    if options.as_json:
        ids = [one.id for one in recordings]
        out.write(json.dumps({"file": str(options.output), "recordings": ids, "faults": faults}) + "\n")
    else:
        size = bytes_shown(options.output.stat().st_size)
        out.write(f"{options.output}: {counted(len(recordings), 'recording')}, {size}\n")
    return faults


def timelines(
    directory: Path,
    recordings: Sequence[Recording],
    range_us: tuple[int | None, int | None],
    options: ExportOptions,
) -> dict[str, Timeline]:
    """The sound of each source, all of one length and rate."""
    from echostream.archive_tools.sound import as_far  # libsndfile is for those who need it

    known = [as_far(directory, one) for one in recordings]
    start = min(one.start_us for one in known) if range_us[0] is None else range_us[0]
    end = max(map(end_us, known)) if range_us[1] is None else range_us[1]
    if end - start > _LONGEST_US and options.squeeze_us is None:
        raise ArchiveError(
            f"{(end - start) / _DAY_US:.0f} days of sound: choose a shorter range, or --squeeze"
        )
    by_source: dict[str, list[Recording]] = {}
    for one in known:
        by_source.setdefault(source_name(one), []).append(one)
    rate_hz = options.rate_hz or max(one.rate_hz for one in known)
    join = options.join or ("samples" if len(by_source) == 1 else "time")
    made = {name: assemble(ones, start, end, rate_hz, join) for name, ones in sorted(by_source.items())}
    if options.squeeze_us is None:
        return made
    most = round(options.squeeze_us * rate_hz / 1e6)
    return dict(zip(made, shortened(list(made.values()), most), strict=True))


def write_sound(
    directory: Path, voices: dict[str, Timeline], options: ExportOptions, pipe: BinaryIO
) -> list[str]:
    """One channel for each source, or all in one. What could not be read is returned. ArchiveError."""
    from echostream.archive_tools.sound import Voice

    readers = [Voice(directory, timeline) for timeline in voices.values()]
    samples = max(timeline.samples for timeline in voices.values())
    rate_hz = next(iter(voices.values())).rate_hz
    channels = 1 if options.mix else len(readers)
    sound_out.check(options.output, rate_hz, channels, samples)
    try:
        with (
            Bar(options.output.name, samples / rate_hz) as bar,
            sound_out.sound_out(options.output, pipe, rate_hz, channels, samples) as sink,
        ):
            for at in range(0, samples, BLOCK):
                blocks = [reader.read(min(BLOCK, samples - at)) for reader in readers]
                sink.write(mixed(blocks) if options.mix else np.stack(blocks, axis=1))
                bar.done(at / rate_hz)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ArchiveError(f"{options.output}: cannot be written: {error.strerror or error}") from None
    return [f"{fault}; silence is there instead" for reader in readers for fault in reader.faults]


def mixed(blocks: Sequence[Samples]) -> NDArray[np.int16]:
    """Their sum, shape (n, 1); what is louder than full scale is cut there."""
    total = np.sum(blocks, axis=0, dtype=np.int32)
    cut: NDArray[np.int16] = np.clip(total, -32768, 32767).astype(np.int16)[:, None]
    return cut
