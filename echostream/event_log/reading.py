"""What the log's files say: of a time, of a kind, of somebody; in the order in which it was written."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.event_log.backwards import lines_backwards
from echostream.event_log.files import day_files, first_number, last_number
from echostream.event_log.lines import LAST_US, Logged, day_of, decode, quoted

_LAST_DAY: Final = day_of(LAST_US)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events. Times: Unix microseconds, [since, until). kinds, channels: empty is all. text: each of
    its words is somewhere in the text, subject or who, whatever the case. who: how `who` begins. after:
    only what was written after this number."""

    since_us: int | None = None
    until_us: int | None = None
    kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    text: str = ""
    who: str = ""
    after: int = 0

    def fits(self, logged: Logged) -> bool:
        notice = logged.notice
        if logged.number <= self.after:
            return False
        if self.since_us is not None and notice.at_us < self.since_us:
            return False
        if self.until_us is not None and notice.at_us >= self.until_us:
            return False
        if self.kinds and notice.kind not in self.kinds:
            return False
        if self.channels and notice.channel_id not in self.channels:
            return False
        if self.who and not notice.who.casefold().startswith(self.who.casefold()):
            return False
        return not self.text or _has_words(logged, self.text)

    def may_fit(self) -> Callable[[bytes], bool]:
        """Of a line, before it is read: a tenth of the work, for lines that do not fit."""
        kinds = [quoted("kind", kind) for kind in self.kinds]
        # What is empty is not in the line.
        channels = [] if "" in self.channels else [quoted("channel_id", one) for one in self.channels]
        # As JSON writes them: quotes and backslashes stand differently there.
        words = [one.encode() for one in self.text.casefold().split() if _stands_as_it_is(one)]

        def may(line: bytes) -> bool:
            if kinds and not any(one in line for one in kinds):
                return False
            if channels and not any(one in line for one in channels):
                return False
            # Of other letters some become these when the case does not matter.
            return not words or not line.isascii() or _all_in(words, line.lower())

        return may


def read(directory: Path, wanted: Wanted | None = None, *, newest_first: bool = False) -> Iterator[Logged]:
    """Events in the order in which they were written, or the other way; lines that do not read are left out.

    Few are in memory at a time, whatever the size. OSError.
    """
    asked = wanted or Wanted()
    sources = [_Source(path, asked, newest_first) for path in _files(directory, asked)]
    yield from _merged([source for source in sources if source.bound is not None])


def tail(directory: Path, wanted: Wanted, limit: int) -> list[Logged]:
    """The newest `limit`, oldest first. OSError."""
    found = []
    for one in read(directory, wanted, newest_first=True):
        found.append(one)
        if len(found) == limit:
            break
    return found[::-1]


def decoded(lines: Iterator[bytes], wanted: Wanted) -> Iterator[Logged]:
    """Those that fit."""
    may_fit = wanted.may_fit()
    for line in lines:
        if not may_fit(line):
            continue
        try:
            logged = decode(line)
        except ValueError:
            continue
        if wanted.fits(logged):
            yield logged


class _Source:
    """One file. bound: a number that none of it comes before; None: nothing in it reads."""

    def __init__(self, path: Path, wanted: Wanted, newest_first: bool) -> None:
        self._path = path
        self._wanted = wanted
        self._newest_first = newest_first
        self.sign = -1 if newest_first else 1
        self.bound = self._bound()

    def events(self) -> Iterator[Logged]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return  # purged meanwhile
        with file:
            lines = (
                lines_backwards(file) if self._newest_first else (one for one in file if one[-1:] == b"\n")
            )
            yield from decoded(lines, self._wanted)

    def _bound(self) -> int | None:
        try:
            number = last_number(self._path) if self._newest_first else first_number(self._path)
        except FileNotFoundError:
            return None
        return self.sign * number or None


def _merged(sources: Sequence[_Source]) -> Iterator[Logged]:
    """By number. A file is opened when its turn comes: commonly one is open at a time."""
    waiting = sorted(sources, key=lambda source: source.bound or 0, reverse=True)
    heap: list[tuple[int, int, Logged, Iterator[Logged]]] = []
    while waiting or heap:
        while waiting and (not heap or (waiting[-1].bound or 0) <= heap[0][0]):
            source = waiting.pop()
            _push(heap, source.events(), source.sign, len(waiting))
        if heap:
            _, order, logged, events = heapq.heappop(heap)
            yield logged
            _push(heap, events, -1 if sources[0].sign < 0 else 1, order)


def _push(
    heap: list[tuple[int, int, Logged, Iterator[Logged]]], events: Iterator[Logged], sign: int, order: int
) -> None:
    logged = next(events, None)
    if logged is not None:
        heapq.heappush(heap, (sign * logged.number, order, logged, events))


def _files(directory: Path, wanted: Wanted) -> list[Path]:
    first = "" if wanted.since_us is None else day_of(wanted.since_us)
    last = _LAST_DAY if wanted.until_us is None else day_of(wanted.until_us)
    return [path for path in day_files(directory) if first <= path.stem <= last]


def _stands_as_it_is(word: str) -> bool:
    return word.isascii() and word.isprintable() and '"' not in word and "\\" not in word


def _all_in(words: Sequence[bytes], line: bytes) -> bool:
    return all(word in line for word in words)


def _has_words(logged: Logged, text: str) -> bool:
    notice = logged.notice
    there = f"{notice.text}\n{notice.subject}\n{notice.who}".casefold()
    return all(word in there for word in text.casefold().split())
