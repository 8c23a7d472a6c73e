"""GPIO inputs without a board: the same contract, and a hand on the wires."""

from __future__ import annotations

import threading
import time

from echostream.errors import GpioError
from echostream.hardware.gpio_lines import InputLines, OnEdge, Pull

LINES = 54


class _MockChip:
    """Pins that remember what drives them. Physical levels; None: nobody drives, the resistor decides."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.driven: dict[int, bool | None] = {}
        self.held_by_others: dict[int, str] = {}
        self.missing: set[int] = set()
        self._claims: dict[int, tuple[bool, Pull]] = {}
        self._on_edge: OnEdge | None = None

    def open(self, on_edge: OnEdge) -> None:
        self._on_edge = on_edge

    def claim(self, pin: int, *, active_low: bool, pull: Pull) -> None:
        if not 0 <= pin < LINES:
            raise GpioError(f"BCM {pin}: the simulated chip has lines 0 to {LINES - 1}")
        with self.lock:
            if pin in self.held_by_others:
                raise GpioError(f'BCM {pin} is held by "{self.held_by_others[pin]}": stop that')
            self._claims[pin] = (active_low, pull)

    def read(self, pin: int) -> bool:
        with self.lock:
            active_low, pull = self._claims[pin]
            driven = self.driven.get(pin)
            return (pull == "up" if driven is None else driven) != active_low

    def release(self, pin: int) -> None:
        with self.lock:
            self._claims.pop(pin, None)

    def close(self) -> None:
        self._on_edge = None

    def drive(self, pin: int, level: bool | None, at_s: float) -> None:
        with self.lock:
            if pin not in self._claims:
                self.driven[pin] = level
                return
            before = self.read(pin)
            self.driven[pin] = level
            after = self.read(pin)
            if before == after:
                return
            lost = pin in self.missing
            self.missing.discard(pin)
        if self._on_edge is not None and not lost:
            self._on_edge(pin, after, at_s)


class MockGpioInputs(InputLines):
    """GpioInputs' contract over simulated pins. Changes are reported on the thread that drives."""

    def __init__(
        self, chip: str = "auto", debounce_ms: float = 20, reread_ms: float = 250, confirm_ms: float = 0
    ) -> None:
        self.chip = chip
        self._pins = _MockChip()
        super().__init__(self._pins, debounce_ms, reread_ms, confirm_ms)

    def drive(self, pin: int, level: bool | None) -> None:
        """Put a physical level on a pin (a pressed button that is active low: False), or let go (None)."""
        self._pins.drive(pin, level, time.monotonic())

    def bounce(self, pin: int, level: bool, edges: int = 7) -> None:
        """A contact that closes on `level` with so many edges in all before it rests; odd, or it rests where
        it was."""
        for index in range(edges):
            self.drive(pin, level if index % 2 == 0 else not level)

    def miss_next_edge(self, pin: int) -> None:
        """The pin's next change causes no event: only a re-read can see it."""
        with self._pins.lock:
            self._pins.missing.add(pin)

    def occupy(self, pin: int, consumer: str) -> None:
        """Another program holds this pin."""
        with self._pins.lock:
            self._pins.held_by_others[pin] = consumer
