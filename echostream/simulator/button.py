"""A hand on the simulated push-to-talk buttons: presses each in a rhythm, one channel after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds. One cycle: press for `press_s`, then leave room for the answer until `cycle_s` is over."""

    first_s: float = 1.0
    press_s: float = 4.0
    cycle_s: float = 18.0
    stagger_s: float = 1.5


class RhythmicHand:
    """Thread `simulated-hand`: `drive(pin, pressed)` for each pin of `pins`, staggered."""

    def __init__(
        self, pins: Sequence[int], drive: Callable[[int, bool], None], rhythm: Rhythm | None = None
    ) -> None:
        self._pins = pins
        self._drive = drive
        self._rhythm = rhythm or Rhythm()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-hand")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let go of every button and end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        for pin in self._pins:
            self._drive(pin, False)

    def _run(self) -> None:
        if self._stop.wait(self._rhythm.first_s):
            return
        while True:
            at_s = 0.0
            for when_s, pin, pressed in self.plan():
                if self._stop.wait(when_s - at_s):
                    return
                at_s = when_s
                self._drive(pin, pressed)
            if self._stop.wait(self._rhythm.cycle_s - at_s):
                return

    def plan(self) -> list[tuple[float, int, bool]]:
        """One cycle: (seconds from its start, pin, pressed), in order of time."""
        moves: list[tuple[float, int, bool]] = []
        for position, pin in enumerate(self._pins):
            begin_s = position * self._rhythm.stagger_s
            moves += [(begin_s, pin, True), (begin_s + self._rhythm.press_s, pin, False)]
        return sorted(moves)
