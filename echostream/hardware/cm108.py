"""Lines of CM108-type sound cards: GPIO3 keys the radio, the volume-down pin is its squelch (COS).

The keyed output is driven by the PTT guard (`cm108_hid.Cm108Line` there); this is the input side. The card's
reports arrive when a pin changes. On kernels from 5.11 on the pins are also read again every now and then, so
a lost report cannot hold a channel open.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from echostream.hardware.cm108_hid import COS_BIT, INPUT_REPORT_BYTES, Cm108Line, find_hidraw, open_hidraw
from echostream.hardware.debounce import Debouncer
from echostream.hardware.gpio_lines import OnChange

__all__ = ["Cm108Cos", "Cm108CosReaders", "Cm108Line", "find_hidraw"]

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
REREAD_S: Final = 0.5
JOIN_S: Final = 2.0
# _IOC(READ | WRITE, 'H', 0x0A, report id and four bytes)
HIDIOCGINPUT: Final = 3 << 30 | (1 + INPUT_REPORT_BYTES) << 16 | ord("H") << 8 | 0x0A
MAX_REPORT: Final = 64


def open_to_read(card: str) -> int:
    """A descriptor to read a card's reports from. OSError when it is not there."""
    return open_hidraw(card, os.O_RDONLY | os.O_NONBLOCK)


class Cm108Cos:
    """Watches one card's squelch line, from the moment it is made. Owns the thread "cm108-cos-CARD".

    A card that is gone is inactive, and is taken up again when it comes back.

    active_low: the radio pulls the pin to ground while it receives. on_change: as for GPIO inputs.
    """

    def __init__(
        self,
        card: str,
        *,
        active_low: bool,
        on_change: OnChange,
        debounce_ms: float = 20,
        open_device: Callable[[str], int] = open_to_read,
    ) -> None:
        self.card = card
        self.present = False
        self.bad_reports = 0
        self.callback_errors = 0
        self._active_low = active_low
        self._on_change = on_change
        self._debounce_ms = debounce_ms
        self._open_device = open_device
        self._debouncer = Debouncer(debounce_ms)
        # The pin is low, by the newest report; None before the first.
        self._level: bool | None = None
        # A card that never answered a re-read with the bit set may answer every one with zeros.
        self._reread_proven = False
        self._stop = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name=f"cm108-cos-{card}", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """The radio receives; False while the card is gone, and once closed."""
        return self._debouncer.state and not self._stop.is_set()

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    def close(self) -> None:
        """End the thread; on_change is not called afterwards. Idempotent."""
        if self._stop.is_set():
            return
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is self._thread:
            return
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            log.error("thread %s did not end within %.0f s", self._thread.name, JOIN_S)
            return
        os.close(self._wake)

    def _run(self) -> None:
        failed = False
        while not self._stop.is_set():
            try:
                fd = self._open_device(self.card)
            except OSError as error:
                if not failed:
                    log.warning("squelch line of card %s: %s; looking again every second", self.card, error)
                failed = True
                self._stop.wait(RETRY_S)
                continue
            failed = False
            self.present = True
            try:
                self._watch(fd)
            finally:
                self.present = False
                os.close(fd)
            self._lost()

    def _watch(self, fd: int) -> None:
        """Read reports until the card is gone or close() is called."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        reread_at = time.monotonic()
        while not self._stop.is_set():
            deadline = self._debouncer.deadline()
            due = reread_at if deadline is None else min(deadline, reread_at)
            ready = {ready for ready, _event in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
            if fd in ready and not self._report(fd):
                return
            now = time.monotonic()
            if now >= due:
                reread_at = now + REREAD_S
                self._reread(fd, now)

    def _report(self, fd: int) -> bool:
        """One report. False when the card is gone."""
        try:
            data = os.read(fd, MAX_REPORT)
        except BlockingIOError:
            return True
        except OSError as error:
            log.warning("squelch line of card %s: %s", self.card, error)
            return False
        if not data:
            return False
        if len(data) < INPUT_REPORT_BYTES:
            self.bad_reports += 1
            return True
        self._level = bool(data[0] & COS_BIT)
        now = time.monotonic()
        self._tell(self._debouncer.edge(self._level == self._active_low, now), now)
        return True

    def _reread(self, fd: int, now: float) -> None:
        """The pin as it is now where the kernel can ask for it, else as the last report had it."""
        buffer = bytearray(1 + INPUT_REPORT_BYTES)
        with contextlib.suppress(OSError):  # older kernels, and cards that do not answer
            if fcntl.ioctl(fd, HIDIOCGINPUT, buffer) == len(buffer):
                low = bool(buffer[1] & COS_BIT)
                self._reread_proven = self._reread_proven or low
                if self._reread_proven:
                    self._level = low
        if self._level is not None:
            self._tell(self._debouncer.reread(self._level == self._active_low, now), now)

    def _lost(self) -> None:
        """No card, no carrier."""
        was_active = self._debouncer.state
        self._debouncer = Debouncer(self._debounce_ms)
        self._level = None
        if was_active:
            self._tell(False, time.monotonic())

    def _tell(self, active: bool | None, at_s: float) -> None:
        if active is None or self._stop.is_set():
            return
        try:
            self._on_change(active, at_s)
        except Exception:
            self.callback_errors += 1
            if self.callback_errors & (self.callback_errors - 1) == 0:
                log.exception("card %s: on_change failed (%d times)", self.card, self.callback_errors)


class Cm108CosReaders:
    """Makes squelch readers, and ends those that are left."""

    def __init__(self, debounce_ms: float = 20) -> None:
        self._debounce_ms = debounce_ms
        self._readers: list[Cm108Cos] = []
        self._lock = threading.Lock()

    def watch_cos(self, card: str, *, active_low: bool, on_change: OnChange) -> Cm108Cos:
        """Watch a card's squelch line until its close()."""
        reader = Cm108Cos(card, active_low=active_low, on_change=on_change, debounce_ms=self._debounce_ms)
        with self._lock:
            self._readers = [old for old in self._readers if not old.closed]
            self._readers.append(reader)
        return reader

    def close(self) -> None:
        """Close every reader. Idempotent."""
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()
