"""`echostream recordings verify`: is everything there, whole, and what was recorded?"""

from __future__ import annotations

import json
from collections.abc import Iterator
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

_INDEX_WITHIN_US: Final = 60_000_000
"""The index has heard of what was recorded before this."""


@dataclass(slots=True)
class Verified:
    """Of one run. holding: recordings with nothing wrong; open: left out, since they are being written."""

    holding: int = 0
    wrong: int = 0
    open: int = 0
    duration_us: int = 0
    notes: dict[str, int] = field(default_factory=dict)


def verify(
    store: Store, selection: Selection, now_us: int, *, quick: bool, as_json: bool, out: TextIO, err: TextIO
) -> int:
    """Tell what is wrong; exit code 1 where something is."""
    done = Verified()
    tell = _Telling(as_json, out)
    live = being_written(store.directory)
    whole = selection == Selection(utc=selection.utc)
    source: Store = FileStore(store.directory) if whole else store  # the files are the truth
    chosen = list(find(source, selection, now_us, oldest_first=True, here_only=True))
    neighbours = Neighbours()
    seconds = 0.0
    with Bar("verified", sum(one.duration_us for one in chosen) / 1e6) as bar:
        for one in chosen:
            if place_of(store.directory, one.path).stem in live:
                done.open += 1
                continue
            findings = list(_findings(store, one, quick)) + list(neighbours.follow(one))
            wrong = any(finding.fault for finding in findings)
            done.wrong += wrong
            done.holding += not wrong
            done.duration_us += one.duration_us
            for finding in findings:
                if not finding.fault:
                    done.notes[finding.code] = done.notes.get(finding.code, 0) + 1
            with bar.aside():
                tell.recording(one, findings)
            seconds += one.duration_us / 1e6
            bar.done(seconds)
    if whole:
        done.wrong += _whole_archive(store, source, chosen, live, now_us, tell)
    tell.end(done)
    out.flush()
    return 1 if done.wrong else 0


def _findings(store: Store, one: Recording, quick: bool) -> Iterator[Finding]:
    """Twice where something is wrong: the gateway may have filed or deleted it meanwhile."""
    found = [*check_knowledge(one), *check_file(store.directory, one, quick)]
    if any(finding.fault for finding in found):
        try:
            now = read_meta(place_of(store.directory, one.path).meta)
        except FileNotFoundError:
            if not (store.directory / one.path).exists():
                return  # deleted
        except BrokenFile as error:
            yield Finding("meta", str(error))
        else:
            if now != one:
                found = [*check_knowledge(now), *check_file(store.directory, now, quick)]
    yield from found


def _whole_archive(
    store: Store, files: Store, chosen: list[Recording], live: set[str], now_us: int, tell: _Telling
) -> int:
    """What no recording's own file tells: how much else is wrong."""
    wrong = 0
    for broken in files.broken:
        tell.other("meta", broken)
        wrong += 1
    known = {place_of(store.directory, one.path).stem for one in chosen} | live
    for path in unknown_sound(store.directory, known):
        tell.other("unknown sound", f"{path}: nothing is known of it: `echostream recordings repair`")
        wrong += 1
    if store.how == "index":
        wrong += _compare_index(store, chosen, now_us, tell)
    return wrong


def _compare_index(store: Store, files: list[Recording], now_us: int, tell: _Telling) -> int:
    """Whether it lists what the files say. What ended a moment ago may be on its way there."""
    settled_us = now_us - _INDEX_WITHIN_US
    listed = {one.id: one for one in store.all(Query(here_only=True))}
    there = {one.id for one in files}
    unlisted = {one.id for one in files if one.id not in listed and one.end_us < settled_us}
    gone = {
        one.id
        for one in listed.values()
        if one.id not in there and one.end_us < settled_us and not (store.directory / one.path).exists()
    }
    for which, text in ((unlisted, "not in the index"), (gone, "only in the index, their files are gone")):
        if which:
            are = f"{counted(len(which), 'recording')} {text}"
            tell.other("index", f"{are}: `echostream recordings repair --index`")
    return bool(unlisted) + bool(gone)


class _Telling:
    """One line for each that is wrong; for machines one for each."""

    def __init__(self, as_json: bool, out: TextIO) -> None:
        self._as_json, self._out = as_json, out

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
