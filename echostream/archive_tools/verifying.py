"""`echostream recordings verify`: is everything there, whole, and what was recorded?"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TextIO

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import read_meta
from echostream.archive.open_marks import being_written
from echostream.archive.recording import Recording
from echostream.archive_tools.checks import (
    Finding,
    Neighbours,
    check_file,
    check_knowledge,
    unknown_sound,
)
from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.listing import counted
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import length_shown
from echostream.console.progress import Bar
from echostream.errors import BrokenFile
from echostream.index.query import Query

_MOST_WORKERS: Final = 4
_NICE: Final = 10
_INDEX_WITHIN_US: Final = 60_000_000
"""The index has heard of what was recorded before this."""


@dataclass(slots=True)
class Verified:
    """Of one run. holding: recordings with nothing wrong; open: left out, since they are being written."""

    holding: int = 0
    wrong: int = 0
    open: int = 0
    duration_us: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def count(self, one: Recording, findings: list[Finding]) -> None:
        """Count one in."""
        wrong = any(finding.fault for finding in findings)
        self.wrong += wrong
        self.holding += not wrong
        self.duration_us += one.duration_us
        self.notes.update(finding.code for finding in findings if not finding.fault)


def verify(
    store: Store, selection: Selection, now_us: int, *, quick: bool, as_json: bool, out: TextIO, err: TextIO
) -> int:
    """Tell what is wrong; exit code 1 where something is."""
    done = Verified()
    tell = _Telling(as_json, out)
    live = being_written(store.directory)
    whole = selection == Selection(utc=selection.utc)
    source: Store = FileStore(store.directory) if whole else store  # the files are the truth
    found = find(source, selection, now_us, oldest_first=True, here_only=True)
    if whole:  # there may be a million: they are not kept
        total_us = sum(total.duration_us for total in store.totals())
    else:
        chosen = list(found)
        found, total_us = iter(chosen), sum(one.duration_us for one in chosen)
    seen = _Seen(now_us - _INDEX_WITHIN_US)
    neighbours = Neighbours()
    with Bar("verified", total_us / 1e6) as bar:
        for one, findings in _each(store, found, live, quick):
            seen.ids.add(one.id)
            if findings is None:
                done.open += 1
                continue
            seen.note(one)
            findings += neighbours.follow(one)
            done.count(one, findings)
            with bar.aside() if tell.speaks(findings) else contextlib.nullcontext():
                tell.recording(one, findings)
            bar.done(done.duration_us / 1e6)
    if whole:
        done.wrong += _whole_archive(store, source, seen, live, tell)
    tell.end(done)
    out.flush()
    return 1 if done.wrong else 0


def _each(
    store: Store, recordings: Iterable[Recording], live: set[str], quick: bool
) -> Iterator[tuple[Recording, list[Finding] | None]]:
    """In order, several at a time: hashing and decoding use a core each, and give way to a gateway.

    None: it is being written.
    """
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="verify", initializer=_give_way)
    pending: deque[tuple[Recording, Future[list[Finding] | None]]] = deque()
    try:
        for one in recordings:
            pending.append((one, pool.submit(_findings, store, one, live, quick)))
            if len(pending) > 2 * workers:
                first, result = pending.popleft()
                yield first, result.result()
        for first, result in pending:
            yield first, result.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _give_way() -> None:
    with contextlib.suppress(OSError):  # a thread has a priority of its own on Linux only
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _findings(store: Store, one: Recording, live: set[str], quick: bool) -> list[Finding] | None:
    """Twice where something is wrong: the gateway may have filed or deleted it meanwhile."""
    if place_of(store.directory, one.path).stem in live:
        return None
    found = [*check_knowledge(one), *check_file(store.directory, one, quick)]
    if any(finding.fault for finding in found):
        try:
            now = read_meta(place_of(store.directory, one.path).meta)
        except FileNotFoundError:
            if not (store.directory / one.path).exists():
                return []
        except BrokenFile as error:
            return [Finding("meta", str(error))]
        else:
            if now != one:
                found = [*check_knowledge(now), *check_file(store.directory, now, quick)]
    return found


@dataclass(slots=True)
class _Seen:
    """Ids of all recordings there are; paths, by id, of those that ended before settled_us."""

    settled_us: int
    ids: set[str] = field(default_factory=set)
    settled: dict[str, str] = field(default_factory=dict)

    def note(self, one: Recording) -> None:
        if one.end_us < self.settled_us:
            self.settled[one.id] = one.path


def _whole_archive(store: Store, files: Store, seen: _Seen, live: set[str], tell: _Telling) -> int:
    """What no recording's own file tells: how much else is wrong."""
    wrong = 0
    for broken in files.broken:
        tell.other("meta", broken)
        wrong += 1
    for path in unknown_sound(store.directory, live):
        tell.other("unknown sound", f"{path}: nothing is known of it: `echostream recordings repair`")
        wrong += 1
    return wrong + (_compare_index(store, seen, tell) if store.how == "index" else 0)


def _compare_index(store: Store, seen: _Seen, tell: _Telling) -> int:
    """Whether it lists what the files say. What ended a moment ago may be on its way there."""
    gone = 0
    for one in store.all(Query(here_only=True)):
        seen.settled.pop(one.id, None)
        old = one.id not in seen.ids and one.end_us < seen.settled_us
        gone += old and not (store.directory / one.path).exists()
    unlisted = sum((store.directory / path).exists() for path in seen.settled.values())
    for count, text in ((unlisted, "not in the index"), (gone, "only in the index, their files are gone")):
        if count:
            are = f"{counted(count, 'recording')} {text}"
            tell.other("index", f"{are}: `echostream recordings repair --index`")
    return bool(unlisted) + bool(gone)


class _Telling:
    """One line for each that is wrong; for machines one for each."""

    def __init__(self, as_json: bool, out: TextIO) -> None:
        self._as_json, self._out = as_json, out

    def speaks(self, findings: list[Finding]) -> bool:
        """Whether there is something to say of it."""
        return self._as_json or any(finding.fault or finding.code == "hole" for finding in findings)

    def recording(self, one: Recording, findings: list[Finding]) -> None:
        """What was found of it."""
        faults = [finding for finding in findings if finding.fault]
        if self._as_json:
            document = {
                "id": one.id,
                "path": one.path,
                "holds": not faults,
                "faults": [{"code": each.code, "text": each.text} for each in faults],
                "notes": [{"code": each.code, "text": each.text} for each in findings if not each.fault],
            }
            self._out.write(json.dumps(document, ensure_ascii=False) + "\n")
            return
        for finding in findings:
            if finding.fault or finding.code == "hole":
                self._out.write(f"{'' if finding.fault else '(note) '}{one.path}: {finding.text}\n")

    def other(self, code: str, text: str) -> None:
        """Something that is no recording's."""
        if self._as_json:
            self._out.write(json.dumps({"holds": False, "faults": [{"code": code, "text": text}]}) + "\n")
        else:
            self._out.write(f"{text}\n")

    def end(self, done: Verified) -> None:
        """For people."""
        if self._as_json:
            return
        words = [f"{counted(done.holding, 'recording')} whole, as recorded"]
        words += [f"{done.wrong} wrong"] if done.wrong else []
        words += [f"{done.open} being written"] if done.open else []
        words += [f"{number} not hashed yet" for code, number in done.notes.items() if code == "no hash"]
        words += [
            f"{number} without waveform" for code, number in done.notes.items() if code == "no waveform"
        ]
        self._out.write(f"{', '.join(words)}; {length_shown(done.duration_us)}\n")
