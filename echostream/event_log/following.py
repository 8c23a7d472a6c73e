"""The log while it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from echostream.event_log.files import counter, day_files
from echostream.event_log.lines import Logged
from echostream.event_log.reading import Wanted, decoded

POLL_S: Final = 0.25
AWAKE: Final = 40
"""Looks after the last one that found somebody writing: whoever writes may wait for a slow disk."""
_AT_ONCE: Final = 4_000_000
"""Bytes of one file that are read in one go."""


class Follower:
    """What was written after it was made. A file of an earlier day may grow too: clocks are set."""

    def __init__(self, directory: Path, wanted: Wanted) -> None:
        """OSError."""
        self._directory = directory
        self._wanted = wanted
        self._read = {path.name: _size(path) for path in day_files(directory)}
        self._counter = counter(directory)
        self._awake = AWAKE

    def look(self) -> list[Logged]:
        """What came since the last look, in order. OSError."""
        counted, before = counter(self._directory), self._counter
        self._counter = counted
        self._awake = AWAKE if counted is None or counted != before else self._awake - 1
        # The files of two years are not looked at four times a second where nothing happens.
        return self._grown() if self._awake > 0 else []

    def _grown(self) -> list[Logged]:
        found: list[Logged] = []
        seen: dict[str, int] = {}
        for path in day_files(self._directory):
            begin, size = self._read.get(path.name, 0), _size(path)
            seen[path.name] = min(begin, size)  # a torn line was cut off
            while size > seen[path.name]:
                block = _block(path, seen[path.name])
                whole = block.rfind(b"\n") + 1
                if not whole:
                    break
                seen[path.name] += whole
                found += decoded(iter(block[:whole].split(b"\n")), self._wanted)
        self._read = seen
        return sorted(found, key=lambda one: one.number)


def follow(directory: Path, wanted: Wanted, pause: Callable[[float], bool]) -> Iterator[Logged]:
    """For ever, or until pause(seconds) is True. OSError."""
    follower = Follower(directory, wanted)
    while not pause(POLL_S):
        yield from follower.look()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _block(path: Path, begin: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(begin)
            return file.read(_AT_ONCE)
    except FileNotFoundError:
        return b""
