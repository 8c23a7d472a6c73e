"""Watched input lines: debounce, slow re-read and reporting, over whatever reads the pins.

`gpio.GpioInputs` and `gpio_mock.MockGpioInputs` are this with another backend each, so both behave alike.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from echostream.errors import GpioError, StateError
from echostream.hardware.debounce import Debouncer

log = logging.getLogger(__name__)

Pull = Literal["up", "down", "none"]
OnChange = Callable[[bool, float], None]
"""(active, monotonic seconds of the edge). Comes on the backend's or the re-read thread: it only posts."""
OnEdge = Callable[[int, bool, float], None]
"""(pin, active, monotonic seconds): what a backend reports."""

# An event whose time is further off than this was stamped by another clock: our own is taken instead.
MAX_EDGE_AGE_S: Final = 5.0
# So many changes in a row that only the re-read saw: the line's events are dead, it is claimed again.
MISSES_BEFORE_REARM: Final = 2
JOIN_S: Final = 2.0


class LineBackend(Protocol):
    """Reads pins. All levels are logical: True is active. Errors: GpioError from claim, OSError from read."""

    def open(self, on_edge: OnEdge) -> None: ...

    def claim(self, pin: int, *, active_low: bool, pull: Pull) -> None: ...

    def read(self, pin: int) -> bool: ...

    def release(self, pin: int) -> None: ...

    def close(self) -> None: ...


class InputLine:
    """One watched pin. The counters only grow."""

    def __init__(
        self, owner: InputLines, pin: int, active_low: bool, pull: Pull, on_change: OnChange
    ) -> None:
        self.pin = pin
        self.active_low = active_low
        self.pull = pull
        self.on_change = on_change
        self.missed_edges = 0
        self.callback_errors = 0
        self.read_errors = 0
        self.misses_in_a_row = 0
        self.debouncer = Debouncer(owner.debounce_ms, owner.confirm_ms)
        self.reread_at = math.inf
        self._owner = owner
        self._closed = False

    @property
    def active(self) -> bool:
        """The accepted state; False once closed."""
        return self.debouncer.state and not self._closed

    def close(self) -> None:
        """Stop watching. on_change is not called afterwards. Idempotent."""
        if not self._closed:
            self._closed = True
            self._owner.unwatch(self)


class InputLines:
    """Owns the watched lines and the thread "gpio-reread"."""

    def __init__(
        self, backend: LineBackend, debounce_ms: float = 20, reread_ms: float = 250, confirm_ms: float = 0
    ) -> None:
        if reread_ms <= 0:
            raise ValueError(f"reread_ms {reread_ms}: expected more than 0")
        self.debounce_ms = debounce_ms
        self.confirm_ms = confirm_ms
        self._reread_s = reread_ms / 1000
        self._backend = backend
        self._lines: dict[int, InputLine] = {}
        # One lock orders edges, re-reads and reports, so a line's changes arrive in the order they happened.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._opened = False
        self._closed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Open the chip and start the re-read thread. GpioError, LibraryMissing. Idempotent."""
        with self._changed:
            self._open()
            if self._thread is None:
                # A daemon: a gateway that dies without closing must not hang in its exit.
                self._thread = threading.Thread(target=self._reread_loop, name="gpio-reread", daemon=True)
                self._thread.start()

    def watch(self, pin: int, *, active_low: bool, pull: Pull, on_change: OnChange) -> InputLine:
        """Watch a pin. A line that is active already is reported at once, from the calling thread.

        Raises GpioError when the line cannot be had; the message says who holds it and what to do.
        """
        with self._changed:
            self._open()
            if pin in self._lines:
                raise GpioError(f"BCM {pin} is watched already: two channels name the same pin")
            line = InputLine(self, pin, active_low, pull, on_change)
            self._backend.claim(pin, active_low=active_low, pull=pull)
            self._lines[pin] = line
            self._read(line)
            self._changed.notify_all()
            return line

    def unwatch(self, line: InputLine) -> None:
        """Release a pin; `line.close()` does the same. Idempotent."""
        with self._changed:
            if self._lines.get(line.pin) is line:
                del self._lines[line.pin]
                self._backend.release(line.pin)
        line.close()

    def close(self) -> None:
        """Release every line and end the thread. Idempotent, safe before start()."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            lines, self._lines = list(self._lines.values()), {}
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                log.error("thread gpio-reread did not end within %.0f s", JOIN_S)
        if self._opened:
            for line in lines:
                self._backend.release(line.pin)
            self._backend.close()
        for line in lines:
            line.close()

    def _open(self) -> None:
        if self._closed:
            raise StateError("GPIO inputs were closed")
        if not self._opened:
            self._backend.open(self._edge)
            self._opened = True

    def _edge(self, pin: int, active: bool, at_s: float) -> None:
        """An event of the backend, on its thread."""
        now = time.monotonic()
        with self._changed:
            line = self._lines.get(pin)
            if line is None:
                return
            line.misses_in_a_row = 0
            when = at_s if abs(now - at_s) <= MAX_EDGE_AGE_S else now
            self._report(line, line.debouncer.edge(active, when), when)
            self._changed.notify_all()

    def _reread_loop(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due = min((self._due(line) for line in self._lines.values()), default=math.inf)
                if due > now:
                    self._changed.wait(None if due == math.inf else due - now)
                    continue
                for line in list(self._lines.values()):
                    if self._due(line) <= now:
                        self._read(line)

    @staticmethod
    def _due(line: InputLine) -> float:
        deadline = line.debouncer.deadline()
        return line.reread_at if deadline is None else min(deadline, line.reread_at)

    def _read(self, line: InputLine) -> None:
        """Read a line's level now and report what that changes."""
        if self._lines.get(line.pin) is not line:
            return
        awaited = line.debouncer.deadline() is not None or line.reread_at == math.inf
        level = self._level(line)
        now = time.monotonic()
        line.reread_at = now + self._reread_s
        changed = line.debouncer.reread(level, now)
        if changed is not None and not awaited:
            self._missed(line)
        self._report(line, changed, now)

    def _level(self, line: InputLine) -> bool:
        try:
            return self._backend.read(line.pin)
        except OSError as error:
            # A line that cannot be read counts as released: it must not hold a channel open.
            line.read_errors += 1
            if line.read_errors == 1:
                log.error("BCM %d cannot be read, taken as released: %s", line.pin, error)
            return False

    def _missed(self, line: InputLine) -> None:
        line.missed_edges += 1
        line.misses_in_a_row += 1
        log.warning("BCM %d: the re-read caught a missed edge (%d so far)", line.pin, line.missed_edges)
        if line.misses_in_a_row < MISSES_BEFORE_REARM:
            return
        line.misses_in_a_row = 0
        try:
            self._backend.release(line.pin)
            self._backend.claim(line.pin, active_low=line.active_low, pull=line.pull)
        except OSError as error:
            log.error("BCM %d: its events are dead and it cannot be claimed again: %s", line.pin, error)

    def _report(self, line: InputLine, active: bool | None, at_s: float) -> None:
        if active is None:
            return
        try:
            line.on_change(active, at_s)
        except Exception:
            # An exception would end the library's notifications for every line.
            line.callback_errors += 1
            if line.callback_errors & (line.callback_errors - 1) == 0:
                log.exception("BCM %d: on_change failed (%d times)", line.pin, line.callback_errors)
