"""`echostream recordings play`: recordings on a loudspeaker, without the long pauses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from echostream.archive_tools.assembly import Timeline
from echostream.archive_tools.exporting import ExportOptions, mixed, timelines
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import length_shown, shown, zone_name
from echostream.audio.format import RATE_HZ, TICK_SAMPLES, silence
from echostream.audio.ports import AudioSink
from echostream.errors import ArchiveError

_TAIL_S: Final = 0.4
"""Silence behind it: what a card still holds is lost when it is closed."""

OpenCard = Callable[[str], AbstractContextManager[AudioSink]]
"""By the card's name."""


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """squeeze_us: the longest silence; None keeps all of it."""

    card: str = "default"
    squeeze_us: int | None = 1_000_000


def play(
    store: Store,
    selection: Selection,
    options: PlayOptions,
    now_us: int,
    open_card: OpenCard,
    out: TextIO,
    err: TextIO,
) -> int:
    """All of them, mixed where they are of the same time. Exit code 1 where one cannot be read whole."""
    from echostream.archive_tools.sound import Voice  # libsndfile is for those who need it

    if not any((selection.what, selection.start, selection.end, selection.length_us)):
        raise ArchiveError("which recordings? Name a source, an id or a file, or a time")
    chosen = list(find(store, selection, now_us, oldest_first=True, here_only=True))
    if not chosen:
        raise ArchiveError("no recordings there; `echostream recordings list` shows some")
    wanted = ExportOptions(Path("-"), RATE_HZ, mix=True, squeeze_us=options.squeeze_us)
    lines = list(timelines(store.directory, chosen, selection.range_us(now_us), wanted).values())
    voices = [Voice(store.directory, line) for line in lines]
    samples = max(line.samples for line in lines)
    when = f"{shown(chosen[0].start_us, selection.zone)} {zone_name(chosen[0].start_us, selection.zone)}"
    out.write(f"{length_shown(round(1e6 * samples / RATE_HZ))} from {when} on card {options.card}\n")
    out.flush()
    clock = _Clock(lines, selection, err)
    with open_card(options.card) as sink:
        for at in range(0, samples, TICK_SAMPLES):
            sink.write(mixed([voice.read(TICK_SAMPLES) for voice in voices])[:, 0])
            clock.at(at)
        for _ in range(round(_TAIL_S * RATE_HZ / TICK_SAMPLES)):
            sink.write(silence(TICK_SAMPLES))
    clock.end()
    faults = [fault for voice in voices for fault in voice.faults]
    for fault in faults:
        err.write(f"echostream recordings play: {fault}\n")
    return 1 if faults else 0


class _Clock:
    """On a terminal: the time of day of what is heard."""

    def __init__(self, lines: list[Timeline], selection: Selection, err: TextIO) -> None:
        pieces = sorted((piece for line in lines for piece in line.pieces), key=lambda piece: piece.at)
        self._pieces = pieces if err.isatty() else []
        self._zone, self._err = selection.zone, err
        self._said = ""
        self._next = 0

    def at(self, sample: int) -> None:
        """Once a second at most."""
        if not self._pieces or sample % RATE_HZ >= TICK_SAMPLES:
            return
        while self._next + 1 < len(self._pieces) and self._pieces[self._next + 1].at <= sample:
            self._next += 1
        piece = self._pieces[self._next]
        at_us = piece.start_us + round(1e6 * max(0, sample - piece.at) / RATE_HZ)
        self._said = f"{shown(at_us, self._zone)}  {piece.recording.label or piece.recording.source}"
        self._err.write(f"\r\x1b[K{self._said}")
        self._err.flush()

    def end(self) -> None:
        """The line is free again."""
        if self._said:
            self._err.write("\r\x1b[K")
