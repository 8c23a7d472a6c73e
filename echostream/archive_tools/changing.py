"""`echostream recordings protect` and `delete`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TextIO, TypeVar

from echostream.archive.recording import Recording
from echostream.archive_tools.listing import counted, document
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import length_shown
from echostream.errors import ArchiveError, RecordingKept
from echostream.event_log.acts import ActLog
from echostream.notices.notice import Json

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """As `echostream recordings delete --help` explains them."""

    yes: bool = False
    force: bool = False
    as_json: bool = False


def protect(
    store: Store,
    selection: Selection,
    now_us: int,
    *,
    on: bool,
    note: str | None,
    as_json: bool,
    out: TextIO,
    err: TextIO,
    acts: ActLog,
) -> int:
    """Protect what is chosen, or no longer, and note something. Exit code 1 where one cannot be changed."""
    chosen = _chosen(store, selection, now_us)
    changed = []
    for one in chosen:
        new = _tried("protect", one, partial(store.change, one, on, note), err)
        if new is not None:
            changed.append(new)
            _log_change(acts, one, new, on)
            if as_json:
                out.write(json.dumps(document(new), ensure_ascii=False) + "\n")
    if not as_json:
        noted = " and noted" if note is not None else ""
        done = f"protected{noted}" if on else f"no longer protected{noted}"
        out.write(f"{counted(len(changed), 'recording')} {done}\n")
    return 0 if len(changed) == len(chosen) else 1


def delete(
    store: Store,
    selection: Selection,
    options: DeleteOptions,
    now_us: int,
    answers: TextIO,
    out: TextIO,
    err: TextIO,
    acts: ActLog,
) -> int:
    """Delete what is chosen, after a question. Exit code 1 where one stays that should not, or "no"."""
    chosen = _chosen(store, selection, now_us)
    going = [one for one in chosen if one.state != "open" and (options.force or not one.protected)]
    _tell_kept(chosen, options.force, err)
    if not going:
        raise ArchiveError("nothing to delete")
    length, size = length_shown(sum(one.duration_us for one in going)), sum(one.bytes for one in going)
    words = f"{counted(len(going), 'recording')} ({length}, {bytes_shown(size)})"
    if not options.yes and not _agreed(words, answers, err):
        err.write("nothing was deleted\n")
        return 1
    freed, gone = 0, 0
    for one in going:
        count = _tried("delete", one, partial(store.delete, one, options.force), err)
        if count is not None:
            freed, gone = freed + count, gone + 1
            _log_deletion(acts, one)
            if options.as_json:
                out.write(json.dumps({"id": one.id, "path": one.path, "bytes": count}) + "\n")
    if not options.as_json:
        out.write(f"deleted {counted(gone, 'recording')}: {bytes_shown(freed)} are free\n")
    return 0 if gone == len(going) else 1


def _log_change(acts: ActLog, one: Recording, new: Recording, on: bool) -> None:
    acts.add(
        "protect" if on else "unprotect",
        f"{'protected' if on else 'no longer protected'}: {one.path}",
        subject=one.id,
        channel_id=one.channel_id,
        data={"path": one.path},
        before={"protected": one.protected, "notes": one.notes},
        after={"protected": new.protected, "notes": new.notes},
    )


def _log_deletion(acts: ActLog, one: Recording) -> None:
    gone: dict[str, Json] = {
        "path": one.path,
        "source": one.source,
        "start_us": one.start_us,
        "duration_s": one.duration_us / 1e6,
        "bytes": one.bytes,
        "sha256": one.sha256,
        "protected": one.protected,
        "notes": one.notes,
    }
    acts.add("delete", f"deleted: {one.path}", subject=one.id, channel_id=one.channel_id, before=gone)


def _chosen(store: Store, selection: Selection, now_us: int) -> list[Recording]:
    """ArchiveError where nothing is asked for, or nothing found: neither is ever meant."""
    if not any((selection.what, selection.start, selection.end, selection.length_us, *_filters(selection))):
        raise ArchiveError("which recordings? Name sources, ids or files, or a time; '*' is all of them")
    chosen = list(find(store, selection, now_us, oldest_first=True, here_only=True))
    if not chosen:
        raise ArchiveError("no recordings there")
    return chosen


def _filters(selection: Selection) -> tuple[object, ...]:
    return (selection.kinds, selection.triggers, selection.channels, selection.tones, selection.text)


def _tried(name: str, one: Recording, change: Callable[[], Result], err: TextIO) -> Result | None:
    """What goes wrong with one costs that one."""
    try:
        return change()
    except RecordingKept as error:
        reason = str(error)
    except LookupError:
        reason = "is gone already"
    except (ArchiveError, OSError) as error:
        reason = str(getattr(error, "strerror", None) or error)
    err.write(f"echostream recordings {name}: {one.path}: {reason}\n")
    return None


def _tell_kept(chosen: list[Recording], force: bool, err: TextIO) -> None:
    now = sum(one.state == "open" for one in chosen)
    protected = 0 if force else sum(one.protected and one.state != "open" for one in chosen)
    if now:
        err.write(f"{counted(now, 'recording')} being written: kept\n")
    if protected:
        err.write(f"{counted(protected, 'recording')} protected: kept (--force deletes them too)\n")


def _agreed(words: str, answers: TextIO, err: TextIO) -> bool:
    if not answers.isatty():
        raise ArchiveError(f"delete {words}? There is nobody to ask: say --yes")
    err.write(f"delete {words}? [y/N] ")
    err.flush()
    return answers.readline().strip().lower() in ("y", "yes")
