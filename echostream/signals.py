"""Signals and other threads wake the main thread through a pipe.

A signal handler runs between any two instructions of the main thread, also inside `Event.wait`, which holds a
lock that `Event.set` wants: setting an event in a handler can hang the process. Writing to a pipe cannot.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType


class Waker:
    """While entered, `on_signal(number)` is called on the main thread for each signal; it only sets flags.

    `wait` returns True when a signal came or `wake` was called since the last `wait`.
    """

    def __init__(self, numbers: Sequence[signal.Signals], on_signal: Callable[[int], None]) -> None:
        self._numbers = tuple(numbers)
        self._on_signal = on_signal
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = {number: signal.signal(number, self._handle) for number in self._numbers}
        self._fd_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def __enter__(self) -> Waker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def wake(self) -> None:
        """From any thread, while entered."""
        with contextlib.suppress(BlockingIOError):  # full: the main thread will wake anyway
            os.write(self._write_fd, b"\0")

    def wait(self, timeout_s: float | None) -> bool:
        """On the main thread: until woken, or for `timeout_s`."""
        ready, _, _ = select.select([self._read_fd], [], [], timeout_s)
        if not ready:
            return False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read_fd, 4096):
                pass
        return True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._on_signal(number)
