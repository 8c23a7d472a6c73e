"""The jumper between two pins, and what uses it."""

from __future__ import annotations

import queue
import time

import pytest

from echostream.errors import EchoStreamError, GpioError, LibraryMissing
from echostream.hardware.gpio import ChipInfo, GpioInputs
from echostream.hardware.gpio_chips import explain
from echostream.hardware.gpio_uapi import OutputRequest
from hwtests.machine import IN_PIN, OUT_PIN


class Wire:
    """The jumper: drives one end, collects what the other end reports."""

    def __init__(self, chip: ChipInfo, debounce_ms: float) -> None:
        self.changes: queue.Queue[tuple[bool, float]] = queue.Queue()
        self._output = OutputRequest(chip.path, OUT_PIN, active_low=False, consumer="echostream-hwtest")
        self.inputs = GpioInputs(chip.path, debounce_ms=debounce_ms, reread_ms=1000)
        try:
            self.inputs.start()
            self.line = self.inputs.watch(
                IN_PIN,
                active_low=False,
                pull="down",
                on_change=lambda active, at_s: self.changes.put((active, at_s)),
            )
        except EchoStreamError:
            self.close()
            raise

    def drive(self, level: bool) -> float:
        """Set the output; the monotonic time just before."""
        at_s = time.monotonic()
        self._output.set(level)
        return at_s

    def change(self, timeout_s: float = 0.5) -> tuple[bool, float] | None:
        """The next report."""
        try:
            return self.changes.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def follows(self) -> bool:
        """Does the input go where the output goes?"""
        for level in (True, False, True, False):
            self.drive(level)
            change = self.change()
            if change is None or change[0] is not level:
                return False
            time.sleep(0.03)
        return True

    def close(self) -> None:
        self.inputs.close()
        self._output.set(False)
        self._output.park()
        self._output.close()


def make_wire(chip: ChipInfo, debounce_ms: float) -> Wire:
    """A wire, or a skip that says why there is none."""
    try:
        return Wire(chip, debounce_ms)
    except (GpioError, LibraryMissing) as error:
        pytest.skip(str(error))
    except OSError as error:
        pytest.skip(str(explain(error, chip.path, OUT_PIN)))
