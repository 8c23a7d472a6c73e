"""GPIO inputs of the board, by lgpio, which is the one GPIO library that works on every Raspberry Pi.

The library is imported by the first GpioInputs that opens, not before, because importing it has effects: it
starts the daemon thread named "lgpio-notify" here (one a process, it ends with the process), makes a FIFO in
its working directory and changes the process's own to that; both are undone. Opening a chip starts two native
threads that sleep while no line is watched.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from echostream.errors import GpioError, LibraryMissing
from echostream.hardware.gpio_chips import explain, find_chip, list_chips
from echostream.hardware.gpio_lines import InputLine, InputLines, OnChange, OnEdge, Pull
from echostream.hardware.gpio_uapi import ChipInfo, read_line_info

__all__ = ["ChipInfo", "GpioInputs", "InputLine", "OnChange", "Pull", "find_chip", "list_chips"]

NOTIFY_THREAD: Final = "lgpio-notify"

_import_lock = threading.Lock()


class GpioInputs(InputLines):
    """Watched pins of one chip.

    chip: "auto" (the header's), a driver label, or a /dev path.
    debounce_ms: after an edge, further ones are ignored for this long; then the level is read again.
    reread_ms: period of the slow re-read that catches a missed edge.
    confirm_ms: an edge must last this long before it counts (0: the first edge counts).
    Closing takes 0.1 s, in which the library lets no Python thread run: close only when all audio has ended.
    """

    def __init__(
        self, chip: str = "auto", debounce_ms: float = 20, reread_ms: float = 250, confirm_ms: float = 0
    ) -> None:
        super().__init__(_Lgpio(chip), debounce_ms, reread_ms, confirm_ms)


class _Lgpio:
    """lgpio as a LineBackend."""

    def __init__(self, chip: str) -> None:
        self._wish = chip
        self._chip: ChipInfo | None = None
        self._library: Any = None
        self._handle = -1
        self._callbacks: dict[int, Any] = {}
        self._on_edge: OnEdge | None = None

    def open(self, on_edge: OnEdge) -> None:
        chip = find_chip(self._wish)
        library = _lgpio()
        try:
            self._handle = library.gpiochip_open(int(chip.path.removeprefix("/dev/gpiochip")))
        except (ValueError, library.error) as error:
            raise GpioError(f"{chip.path}: {error}") from error
        self._chip, self._library, self._on_edge = chip, library, on_edge

    def claim(self, pin: int, *, active_low: bool, pull: Pull) -> None:
        library, chip = self._opened()
        if not 0 <= pin < chip.lines:
            raise GpioError(f"BCM {pin}: {chip.path} ({chip.label}) has lines 0 to {chip.lines - 1}")
        biases = {"up": library.SET_PULL_UP, "down": library.SET_PULL_DOWN, "none": library.SET_PULL_NONE}
        flags = biases[pull] | (library.SET_ACTIVE_LOW if active_low else 0)
        try:
            library.gpio_claim_alert(self._handle, pin, library.BOTH_EDGES, flags)
        except library.error as error:
            raise self._refused(error, chip, pin) from error
        self._callbacks[pin] = library.callback(self._handle, pin, library.BOTH_EDGES, self._event())

    def read(self, pin: int) -> bool:
        library, _chip = self._opened()
        try:
            return bool(library.gpio_read(self._handle, pin))
        except library.error as error:
            raise GpioError(f"BCM {pin}: {error}") from error

    def release(self, pin: int) -> None:
        library, _chip = self._opened()
        callback = self._callbacks.pop(pin, None)
        if callback is not None:
            callback.cancel()
        with contextlib.suppress(library.error):  # not held any more: what we want
            library.gpio_free(self._handle, pin)

    def close(self) -> None:
        library, _chip = self._opened()
        library.gpiochip_close(self._handle)
        self._handle, self._chip = -1, None

    def _opened(self) -> tuple[Any, ChipInfo]:
        if self._chip is None:
            raise GpioError("the GPIO chip is closed")
        return self._library, self._chip

    def _event(self) -> Callable[[int, int, int, int], None]:
        on_edge = self._on_edge
        assert on_edge is not None

        def event(_chip: int, pin: int, level: int, tick_ns: int) -> None:
            if level in (0, 1):  # 2 is the library's own watchdog
                on_edge(pin, bool(level), tick_ns / 1e9)

        return event

    @staticmethod
    def _refused(error: Exception, chip: ChipInfo, pin: int) -> GpioError:
        """The library keeps no errno for a refused claim: the kernel is asked who holds the line."""
        try:
            used = read_line_info(chip.path, pin).used
        except OSError as reason:
            return explain(reason, chip.path, pin)
        if used:
            return explain(OSError(errno.EBUSY, ""), chip.path, pin)
        return GpioError(f"BCM {pin} on {chip.path}: {error}")


def _lgpio() -> Any:
    """The library, imported once, with the working directory as it was before."""
    with _import_lock, _private_directory() as directory:
        before = os.environ.get("LG_WD")
        os.environ["LG_WD"] = directory
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            library = importlib.import_module("lgpio")
        except ImportError as error:
            raise LibraryMissing(
                f"lgpio does not load ({error}): pip install lgpio, or apt install python3-lgpio; "
                "where pip has to build it: apt install swig gcc python3-dev"
            ) from error
        except OSError as error:
            raise GpioError(f"lgpio cannot make its FIFO in {directory}: {error}") from error
        finally:
            os.fchdir(here)
            os.close(here)
            if before is None:
                del os.environ["LG_WD"]
            else:
                os.environ["LG_WD"] = before
        thread = getattr(library, "_notify_thread", None)
        if isinstance(thread, threading.Thread):
            thread.name = NOTIFY_THREAD
        return library


@contextlib.contextmanager
def _private_directory() -> Iterator[str]:
    """A directory for the library's FIFO, which has no name any more once both its ends are open."""
    directory = tempfile.mkdtemp(prefix="echostream-gpio-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
