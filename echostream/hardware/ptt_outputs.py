"""The lines that the PTT guard holds: a GPIO line, or a sound card's own.

Each comes up inactive, is brought to the wanted level by `apply`, and says in `actual` and `error` how it
stands. A line that fails is opened again every now and then. Few imports: this runs in the guard.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from echostream.hardware.cm108_hid import Cm108Line
from echostream.hardware.gpio_uapi import OutputRequest, read_chip

RETRY_FAST_S: Final = 0.05
RETRY_SLOW_S: Final = 1.0
FAST_RETRIES: Final = 40
"""A predecessor that is just dying frees its lines in this time; then somebody else holds them."""
REFRESH_S: Final = 1.0
"""A sound card is told its level again this often: it may have been pulled and plugged in meanwhile."""
CLOSE_S: Final = 0.5
MAX_CHIPS: Final = 16
"""/dev/gpiochip0 to 15 are searched for a chip that may have got another number since."""


class Output(Protocol):
    """actual: the level the line has, None while it is not ours. error: errno of the failure, 0 when well."""

    actual: bool | None
    error: int

    def apply(self, active: bool, now: float) -> None: ...

    def deadline(self) -> float | None: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class GpioOutput:
    """A GPIO line through the kernel's own interface, which never blocks."""

    def __init__(self, chip_path: str, pin: int, active_low: bool, label: str = "") -> None:
        """label: the chip's, where the path was noted earlier: another kernel may number its chips otherwise,
        and line 17 of the wrong one must not be driven."""
        self.actual: bool | None = None
        self.error = 0
        self._label = label
        self._chip_path = chip_path
        self._pin = pin
        self._active_low = active_low
        self._request: OutputRequest | None = None
        self._failures = 0
        self._retry_at: float | None = 0.0

    def apply(self, active: bool, now: float) -> None:
        """Claim the line if need be, and drive it if it is not as wanted."""
        if self._retry_at is not None and now < self._retry_at:
            return
        try:
            if self._request is None:
                self._request = OutputRequest(
                    self._chip(), self._pin, active_low=self._active_low, consumer="echostream-ptt"
                )
                self.actual = False
            if active != self.actual:
                self._request.set(active)
                self.actual = active
        except OSError as error:
            self._failed(error, now)
            return
        self.error, self._failures, self._retry_at = 0, 0, None

    def deadline(self) -> float | None:
        """When to try again."""
        return self._retry_at

    def release(self) -> None:
        """Begin to close; never waits."""
        self.close()

    def close(self) -> None:
        """Inactive, then an input pulled towards inactive, then released: holds on every kernel."""
        request, self._request = self._request, None
        self.actual = None
        if request is None:
            return
        with contextlib.suppress(OSError):
            request.set(False)
        with contextlib.suppress(OSError):
            request.park()
        request.close()

    def _chip(self) -> str:
        """Path of the chip. ENODEV where none has the label any more."""
        if not self._label:
            return self._chip_path
        for path in (self._chip_path, *(f"/dev/gpiochip{number}" for number in range(MAX_CHIPS))):
            if chip_label(path) == self._label:
                return path
        raise OSError(errno.ENODEV, self._label)

    def _failed(self, error: OSError, now: float) -> None:
        self.close()
        self.error = error.errno or errno.EIO
        self._failures += 1
        self._retry_at = now + (RETRY_FAST_S if self._failures <= FAST_RETRIES else RETRY_SLOW_S)


class Cm108Output:
    """A sound card's line. A thread of its own writes it: a card that hangs must not hold up the others."""

    def __init__(
        self, card: str, active_low: bool, changed: Callable[[], None], after: Output | None = None
    ) -> None:
        """changed: called on this thread when the line is there, or failed. after: who had the line before
        and was released; this one waits for its last word, which may be of the other polarity."""
        self.actual: bool | None = None
        self.error = 0
        self._card = card
        self._active_low = active_low
        self._changed = changed
        self._after = after
        self._wanted = False
        self._stopping = False
        self._line: Cm108Line | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="cm108-ptt", daemon=True)
        self._thread.start()

    def apply(self, active: bool, now: float) -> None:
        """Tell the thread; `changed` is called when the line is there."""
        with self._wake:
            if active != self._wanted:
                self._wanted = active
                self._wake.notify()

    def deadline(self) -> float | None:
        return None

    def release(self) -> None:
        """Have the thread drive it inactive and end."""
        with self._wake:
            self._stopping = True
            self._wanted = False
            self._wake.notify()

    def close(self) -> None:
        """Drive it inactive and end the thread. A card that hangs is left behind after 0.5 s."""
        self.release()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        if self._after is not None:
            self._after.close()
            self._after = None
        stopping = False
        while not stopping:
            with self._wake:
                stopping, wanted = self._stopping, self._wanted
            self._write(wanted)
            with self._wake:
                if self._wanted == wanted and not self._stopping:
                    self._wake.wait(REFRESH_S)
        if self._line is not None:
            self._line.close()

    def _write(self, active: bool) -> None:
        before = (self.actual, self.error)
        try:
            if self._line is None:
                self._line = Cm108Line(self._card, active_low=self._active_low)
            self._line.set(active)
            self.actual, self.error = active, 0
        except OSError as error:
            if self._line is not None:
                self._line.close()
                self._line = None
            self.actual, self.error = None, error.errno or errno.EIO
        if (self.actual, self.error) != before:
            self._changed()


def chip_label(path: str) -> str:
    """The label of a chip; "" where there is none at that path."""
    try:
        return read_chip(path).label
    except OSError:
        return ""


def drop(kind_is_cm108: bool, place: str, pin: int, active_low: bool, label: str = "") -> None:
    """Drive one line inactive, once, and let it go. For whoever finds that its guard is dead. OSError."""
    if kind_is_cm108:
        line = Cm108Line(place, active_low=active_low)
        line.close()
        return
    output = GpioOutput(place, pin, active_low, label)
    output.apply(False, time.monotonic())
    error = output.error
    output.close()
    if error:
        raise OSError(error, "line")
