"""The lines that a guard holds: for the gateway that keys them, inactive for one that is to come again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from echostream.hardware import ptt_lease
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_lease import Lease
from echostream.hardware.ptt_list import Listed, Place, complain, format_list, read_list, write_list
from echostream.hardware.ptt_outputs import Cm108Output, GpioOutput, Output, chip_label

_PHASES: Final = {
    ptt_lease.IDLE: protocol.UNKEYED,
    ptt_lease.KEYED: protocol.KEYED,
    ptt_lease.EXPIRED: protocol.EXPIRED,
    ptt_lease.LATCHED: protocol.LATCHED,
}


class HeldLine:
    """One output with its lease. caller: who keys it, None while nobody does; instance: the gateway that it
    is held for, "" for none. told: the state that the caller last heard."""

    def __init__(
        self,
        place: Place,
        active_low: bool,
        label: str,
        wake: Callable[[], None],
        after: Output | None = None,
    ) -> None:
        self.place = place
        self.active_low = active_low
        self.label = label
        self.instance = ""
        self.caller: object | None = None
        self.told: tuple[int, int] | None = None
        self.lease = Lease(0.0)
        self.output: Output
        if place.cm108:
            self.output = Cm108Output(place.path, active_low, wake, after)
        else:
            self.output = GpioOutput(place.path, place.pin, active_low, label)

    def give(self, caller: object, instance: str, max_key_s: float) -> None:
        """It is this gateway's from now on, unkeyed. One without a name only borrows it."""
        self.caller, self.told = caller, None
        self.instance = instance or self.instance
        self.lease = Lease(max_key_s)

    def take_back(self) -> None:
        """Its gateway is gone."""
        self.caller = None
        self.lease = Lease(0.0)

    def apply(self, now: float, stopping: bool) -> None:
        """Bring the line to where it must be at `now`."""
        self.output.apply(self.lease.wanted(now) and not stopping, now)

    def state(self, stopping: bool) -> tuple[int, int] | None:
        """State and errno as the gateway is to be told; None while the line is on its way there."""
        if self.output.error:
            return protocol.FAULT, self.output.error
        keyed = self.lease.phase == ptt_lease.KEYED and not stopping
        if self.output.actual is not keyed:
            return None
        return (protocol.STOPPING if stopping else _PHASES[self.lease.phase]), 0

    def deadline(self) -> float | None:
        """When `apply` is due again."""
        due = [at for at in (self.lease.deadline(), self.output.deadline()) if at is not None]
        return min(due, default=None)


class HeldLines:
    """All lines of a guard. list_file: where they are listed for a successor and for `--drop`.

    wake: called, on a thread of the card's, when a sound card has news. leave: called with the text of the
    list when that changed; False: to be called again.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        list_file: str | None = None,
        leave: Callable[[str], bool] | None = None,
    ) -> None:
        self._wake = wake
        self._leave = leave
        self._list_file = list_file
        self._lines: dict[Place, HeldLine] = {}
        self._let_go: dict[Place, Output] = {}
        self._list_is_old = False
        self._heir_is_old = False

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def keyed(self) -> bool:
        """Is a line up, or meant to be?"""
        return any(line.output.actual or line.lease.phase == ptt_lease.KEYED for line in self._lines.values())

    def restore(self) -> None:
        """Claim what the list names, inactive."""
        if self._list_file is None:
            return
        try:
            listed, torn = read_list(self._list_file)
        except OSError as error:
            complain(f"{self._list_file}: {error.strerror}: no line is held before a gateway comes")
            return
        if torn:
            complain(f"{self._list_file}: {torn} lines cannot be read and are left out")
        for one in listed:
            line = HeldLine(one.place, one.active_low, one.label, self._wake)
            line.instance = one.instance
            self._lines[one.place] = line
        self._leave_list()
        self.apply(time.monotonic(), False)
        self._let_go_nameless()

    def take(
        self, caller: object, instance: str, place: Place, active_low: bool, max_key_s: float
    ) -> HeldLine | None:
        """Give a line to a gateway. One that is held already goes over as it is, without a glitch. None while
        it is given to somebody already."""
        line = self._lines.get(place)
        if line is not None and line.caller is not None:
            return None
        if line is not None and line.active_low != active_low:
            self.let_go(line)
            line = None
        if line is None:
            label = "" if place.cm108 else chip_label(place.path)
            before = self._let_go.pop(place, None)
            line = self._lines[place] = HeldLine(place, active_low, label, self._wake, before)
        line.give(caller, instance, max_key_s)
        self._write()
        return line

    def let_go(self, line: HeldLine) -> None:
        """Inactive, and free for others."""
        line.output.release()
        if line.place.cm108:  # its thread may still be writing
            self._let_go[line.place] = line.output
        if self._lines.get(line.place) is line:
            del self._lines[line.place]
        self._write()

    def let_go_unclaimed(self, instance: str) -> None:
        """A gateway has named all of its lines: those held for it that it did not name go."""
        for line in list(self._lines.values()):
            if line.caller is None and line.instance == instance:
                self.let_go(line)

    def take_back(self, caller: object) -> None:
        """A gateway is gone: hold its lines inactive for when it comes again. Those of one without a name (a
        test by hand) go, unless they were only borrowed."""
        for line in self._lines.values():
            if line.caller is caller:
                line.take_back()
        self._let_go_nameless()

    def apply(self, now: float, stopping: bool) -> None:
        """Bring every line to where it must be at `now`."""
        for line in self._lines.values():
            line.apply(now, stopping)
        if self._heir_is_old:
            self._leave_list()
        if self._list_is_old:
            self._write_if_quiet()

    def deadline(self) -> float | None:
        """When `apply` is due again."""
        due = [at for line in self._lines.values() if (at := line.deadline()) is not None]
        return min(due, default=None)

    def close(self) -> None:
        """All inactive and free. GPIO lines take microseconds; a card that hangs takes its time, and holds
        nobody up. The list stays."""
        for line in self._lines.values():
            line.take_back()
            line.output.release()
        for line in self._lines.values():
            line.output.close()
        if self._list_is_old:
            self._write_if_quiet()
        self._lines.clear()

    def _let_go_nameless(self) -> None:
        for line in list(self._lines.values()):
            if line.caller is None and not line.instance:
                self.let_go(line)

    def _write(self) -> None:
        """The list has changed: for the heir at once, on the disk while no line is up."""
        self._leave_list()
        self._list_is_old = True
        self._write_if_quiet()

    def _listed(self) -> list[Listed]:
        return [Listed(one.instance, one.place, one.active_low, one.label) for one in self._lines.values()]

    def _leave_list(self) -> None:
        if self._leave is not None:
            self._heir_is_old = not self._leave(format_list(self._listed()))

    def _write_if_quiet(self) -> None:
        """A disk can take seconds, and leases do not wait. Lines are taken before they are keyed: none is up
        that is not listed, but one of a reload under an over."""
        if self._list_file is None or self.keyed:
            return
        self._list_is_old = False
        try:
            write_list(self._list_file, self._listed())
        except OSError as error:  # disk full: everything else works
            complain(f"{self._list_file}: {error.strerror}: lines are not held after a restart")
