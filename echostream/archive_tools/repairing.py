"""`echostream recordings repair`: makes whole what a crash left, and makes again what else was lost.

What a live process writes is never touched, and a recording that somebody changed stays as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from echostream.archive import filing
from echostream.archive.conversion import hear, sha256_of
from echostream.archive.file_names import Place, place_of
from echostream.archive.leftovers import LeftOvers
from echostream.archive.meta_files import read_meta, update_meta, write_meta
from echostream.archive.open_marks import OpenMarks, being_written, half_written
from echostream.archive.open_recording import Shelf
from echostream.archive.peaks import write_peaks
from echostream.archive.recording import Recording
from echostream.archive.repair import recover, repair
from echostream.archive_tools.checks import unknown_sound
from echostream.archive_tools.file_store import meta_paths
from echostream.archive_tools.listing import counted
from echostream.archive_tools.times import length_shown
from echostream.errors import ArchiveError, IndexUnavailable
from echostream.event_log.acts import ActLog
from echostream.index.door import open_index

_STEP_S: Final = 0.1
_UNKNOWN_GATEWAY: Final = "unknown"


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """As `echostream recordings repair --help` explains them. gateway: its id, where no meta file says it."""

    dry_run: bool = False
    whole_index: bool = False
    as_json: bool = False
    gateway: str = ""


@dataclass(slots=True)
class Done:
    """What was found, and done unless it was a dry run: (what, path, words)."""

    actions: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, what: str, path: str, words: str) -> None:
        self.actions.append((what, path, words))


def repair_archive(
    directory: Path,
    database_url: str | None,
    options: RepairOptions,
    out: TextIO,
    err: TextIO,
    acts: ActLog,
) -> int:
    """Exit code 0, 1 where something could not be repaired. ArchiveError, OSError where nothing can be."""
    if not directory.is_dir():
        raise ArchiveError(f"{directory}: no recordings there; name the place with --directory or --config")
    done = Done()
    mend_half_written(directory, options, done)
    _one_by_one(directory, options, done)
    _unknown(directory, options, done)
    _index(directory, database_url, options, done)
    for what, path, words in () if options.dry_run else done.actions:
        acts.add("repair", f"{path}: {words}", subject=path, data={"what": what, "path": path})
    return _report(done, options, out, err)


def mend_half_written(directory: Path, options: RepairOptions, done: Done) -> None:
    """As the gateway does at its start."""
    if options.dry_run:
        for half in half_written(directory):
            done.tell("half-written", half.stem, f"left half-written ({half.cause})")
        return
    changed: list[Path] = []
    shelf = Shelf(directory, "wav", options.gateway, OpenMarks(directory), changed.append)
    left = LeftOvers(shelf)
    left.find()
    while left.pending:
        left.step(0.0, _STEP_S)
    for meta in changed:
        try:
            one = read_meta(meta)
        except FileNotFoundError:
            done.tell("removed", meta.stem, "held no sound: removed")
            continue
        done.tell("repaired", one.path, f"repaired: {length_shown(one.duration_us)} ({one.ended})")
    for half in half_written(directory):
        done.failed.append((half.stem, "is still half-written; the log says why"))


def _one_by_one(directory: Path, options: RepairOptions, done: Done) -> None:
    """Meta files that do not read, recordings whose file is not what it should be, missing waveforms."""
    live = being_written(directory) | {half.stem for half in half_written(directory)}
    for meta in list(meta_paths(directory)):
        if meta.stem in live:
            continue
        try:
            if not meta.stat().st_size:
                _begun_only(place_of(directory, meta), options, done)
                continue
            one = read_meta(meta)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except (ArchiveError, ValueError) as error:
            _recover_meta(directory, meta, options, done, str(error))
            continue
        _try(done, one.path, partial(_one, directory, one, options, done))


def _begun_only(place: Place, options: RepairOptions, done: Done) -> None:
    """A name that somebody took, and then went: there is no sound of it."""
    if any(place.folder.glob(f"{place.stem}.*")):
        return  # its sound is found as unknown
    if not options.dry_run:
        place.meta.unlink(missing_ok=True)
    done.tell("removed", place.stem, "was never begun: its name is free again")


def _one(directory: Path, one: Recording, options: RepairOptions, done: Done) -> None:
    place = place_of(directory, one.path)
    audio = directory / one.path
    if _is_being_filed(place):
        return
    if not audio.exists() and one.state != "open":
        done.failed.append((one.path, "its sound is gone; `echostream recordings delete` forgets it"))
        return
    if one.sha256 and one.bytes and audio.stat().st_size != one.bytes:
        # No crash does this to a recording that was hashed: it is not for us to say that it is right now.
        size = audio.stat().st_size
        done.failed.append((one.path, f"has {size} bytes, {one.bytes} were written: left as it is"))
        return
    if not one.sha256:
        whole = _made_whole(directory, one, options, done)
        if whole is None:
            return
        one = whole
    if one.samples and not (one.sha256 and place.peaks.exists()):
        if not options.dry_run:
            _look_through(directory, one)
        done.tell("filed", one.path, "waveform, levels and hash")


def _made_whole(directory: Path, one: Recording, options: RepairOptions, done: Done) -> Recording | None:
    """What a power cut took from its end is gone; then what is known of it fits. None: it holds nothing."""
    audio = directory / one.path
    if options.dry_run:
        if one.state == "open" or audio.stat().st_size != one.bytes:
            done.tell("repaired", one.path, "made whole")
        return one
    found = repair(audio, one)
    if not found.samples:
        place_of(directory, one.path).delete()
        done.tell("removed", one.path, "held no sound: removed")
        return None
    if found is not one:
        found = replace(found, state="repaired")
        write_meta(directory, found)
        done.tell("repaired", one.path, f"made whole: {length_shown(found.duration_us)}")
    return found


def _is_being_filed(place: Place) -> bool:
    """A gateway that runs does it by itself, in its own time."""
    waits = (place.directory / filing.FOLDER / place.stem).exists()
    return waits and bool(being_written(place.directory))


def _look_through(directory: Path, one: Recording) -> None:
    """Waveform, levels and hash, as they are made when a recording is closed."""
    audio, place = directory / one.path, place_of(directory, one.path)
    heard = hear(audio, lambda: False)
    write_peaks(place.peaks, heard.peaks.peaks)
    size, digest = audio.stat().st_size, sha256_of(audio)

    def changed(now: Recording) -> Recording:
        return replace(
            now,
            bytes=size,
            sha256=digest,
            peak_dbfs=heard.level.peak_dbfs if now.peak_dbfs is None else now.peak_dbfs,
            rms_dbfs=heard.level.rms_dbfs if now.rms_dbfs is None else now.rms_dbfs,
        )

    update_meta(place.meta, changed)


def _unknown(directory: Path, options: RepairOptions, done: Done) -> None:
    """Sound that nobody knows of: what its file says of itself is written down."""
    for audio in unknown_sound(directory, being_written(directory)):
        _try(done, str(audio), partial(_recover, directory, audio, options, done, "was lost"))


def _recover_meta(directory: Path, meta: Path, options: RepairOptions, done: Done, why: str) -> None:
    place = Place(directory, meta.stem)
    audio = next((path for path in sorted(place.folder.glob(f"{meta.stem}.*")) if path.is_file()), None)
    if audio is None:
        done.failed.append((str(meta), f"{why}; its sound is gone too"))
        return
    _try(done, str(audio), lambda: _recover(directory, audio, options, done, "does not read"))


def _recover(directory: Path, audio: Path, options: RepairOptions, done: Done, why: str) -> None:
    if options.dry_run:
        done.tell("recovered", str(audio), f"what is known of it {why}: it would be made again of the file")
        return
    one = recover(audio, directory, options.gateway or _gateway_of(directory))
    if not one.samples:
        raise ArchiveError("holds no sound; nothing is known of it")
    write_meta(directory, one)
    _look_through(directory, one)
    words = f"what is known of it {why}: made again of the file, {length_shown(one.duration_us)}"
    done.tell("recovered", one.path, words)


def _gateway_of(directory: Path) -> str:
    """Whose recordings lie here: as the newest ones say."""
    names = Counter[str]()
    for meta in list(meta_paths(directory))[-20:]:
        try:
            names[read_meta(meta).gateway] += 1
        except (ArchiveError, OSError):
            continue
    return names.most_common(1)[0][0] if names else _UNKNOWN_GATEWAY


def _index(directory: Path, database_url: str | None, options: RepairOptions, done: Done) -> None:
    """It says what the files say."""
    if options.dry_run:
        return
    try:
        with open_index(directory, database_url) as index:
            made = index.rebuild() if options.whole_index else index.reconcile()
    except (IndexUnavailable, OSError) as error:
        done.failed.append(("index", str(error)))
        return
    if made.added or made.changed or made.removed:
        words = f"{made.added} added, {made.changed} changed, {made.removed} removed"
        done.tell("index", "index", words)


def _try(done: Done, path: str, action: Callable[[], None]) -> None:
    """What goes wrong with one costs that one."""
    try:
        action()
    except FileNotFoundError:
        return  # deleted, or filed in another form, meanwhile
    except (ArchiveError, OSError) as error:
        done.failed.append((path, str(getattr(error, "strerror", None) or error)))


def _report(done: Done, options: RepairOptions, out: TextIO, err: TextIO) -> int:
    for line in _lines(done, options):
        out.write(line + "\n")
    for path, reason in done.failed:
        err.write(f"echostream recordings repair: {path}: {reason}\n")
    return 1 if done.failed else 0


def _lines(done: Done, options: RepairOptions) -> Iterator[str]:
    if options.as_json:
        yield json.dumps(
            {
                "dry_run": options.dry_run,
                "actions": [{"what": what, "path": path, "text": text} for what, path, text in done.actions],
                "failed": [{"path": path, "text": text} for path, text in done.failed],
            },
            ensure_ascii=False,
        )
        return
    for _, path, words in done.actions:
        yield f"{path}: {words}"
    if not done.actions and not done.failed:
        yield "nothing to repair"
    elif options.dry_run:
        yield f"{counted(len(done.actions), 'thing')} to do; nothing was changed"
