"""Keyed lines without a radio: the same contract, with the guard's own leases and a log of what was keyed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from echostream.hardware import ptt_lease
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_lease import Lease
from echostream.hardware.ptt_lines import PttLineSpec, PttOutput

JOIN_S = 2.0

_STATES = {
    ptt_lease.IDLE: protocol.UNKEYED,
    ptt_lease.KEYED: protocol.KEYED,
    ptt_lease.EXPIRED: protocol.EXPIRED,
    ptt_lease.LATCHED: protocol.LATCHED,
}


class MockPttLines:
    """PttLines' contract. `log`: (monotonic seconds, channel, keyed) of every change, in order."""

    def __init__(
        self,
        lines: Sequence[PttLineSpec],
        chip: str = "auto",
        on_change: Callable[[str, bool], None] | None = None,
    ) -> None:
        """on_change(channel, keyed): what is wired to the lines; called as they change, never blocks."""
        self.log: list[tuple[float, str, bool]] = []
        self._on_change = on_change
        self.restarts = 0
        self.guard_pid: int | None = None
        self.guard_kind: str | None = None
        self._broken: dict[str, str] = {}
        self._outputs: dict[str, PttOutput] = {}
        self._leases: dict[int, Lease] = {}
        self._next_number = 0
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._closing = False
        for spec in lines:
            self._make(spec)

    def start(self) -> None:
        """Start the thread that ends leases. Idempotent."""
        with self._changed:
            if self._thread is None:
                for output in self._outputs.values():
                    self._settle(output)
                self._thread = threading.Thread(target=self._run, name="ptt-mock", daemon=True)
                self._thread.start()

    def output(self, channel_id: str) -> PttOutput:
        """The line of a channel. KeyError when it has none."""
        with self._changed:
            return self._outputs[channel_id]

    def reconfigure(self, lines: Sequence[PttLineSpec]) -> None:
        """Take these lines instead; one that did not change is not touched."""
        wanted = {spec.channel_id: spec for spec in lines}
        if len(wanted) != len(lines):
            raise ValueError("one channel has two PTT lines")
        with self._changed:
            gone = [output for name, output in self._outputs.items() if wanted.get(name) != output.spec]
        for output in gone:  # without our lock: key() takes the output's first, then ours
            output.unkey()
        with self._changed:
            for output in gone:
                output.told(None, "removed by a new configuration")
                del self._outputs[output.spec.channel_id], self._leases[output.number]
            for spec in lines:
                if spec.channel_id not in self._outputs:
                    self._settle(self._make(spec))

    def break_line(self, channel_id: str, fault: str | None) -> None:
        """A line that cannot be keyed, for this reason; None mends it."""
        with self._changed:
            if fault is None:
                self._broken.pop(channel_id, None)
            else:
                self._broken[channel_id] = fault
            self._settle(self._outputs[channel_id])

    def close(self) -> None:
        """Drop every line and end the thread. Idempotent."""
        with self._changed:
            outputs = list(self._outputs.values())
        for output in outputs:
            output.unkey()
        with self._changed:
            for output in outputs:
                output.told(None, "closed")
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _make(self, spec: PttLineSpec) -> PttOutput:
        if spec.channel_id in self._outputs:
            raise ValueError(f"channel {spec.channel_id} has two PTT lines")
        output = PttOutput(spec, self._next_number, self._send)
        self._next_number += 1
        self._outputs[spec.channel_id] = output
        self._leases[output.number] = Lease(spec.max_key_s)
        return output

    def _send(self, message: protocol.Message) -> bool:
        with self._changed:
            lease = self._leases.get(message.line)
            if lease is None or self._closing or self._thread is None:
                return False
            if message.kind == protocol.KEY:
                lease.key(time.monotonic())
            else:
                lease.unkey()
            for output in self._outputs.values():
                if output.number == message.line:
                    self._settle(output)
            self._changed.notify_all()
            return True

    def _settle(self, output: PttOutput) -> None:
        """Evaluate a lease; tell and log what changed."""
        now = time.monotonic()
        fault = self._broken.get(output.spec.channel_id)
        keyed = self._leases[output.number].wanted(now) and fault is None
        if keyed != output.keyed:
            self.log.append((now, output.spec.channel_id, keyed))
            if self._on_change is not None:
                self._on_change(output.spec.channel_id, keyed)
        state = protocol.FAULT if fault else _STATES[self._leases[output.number].phase]
        if protocol.STATE_NAMES[state] != output.state or not output.claimed:
            if state == protocol.LATCHED:
                fault = f"keyed for longer than {output.spec.max_key_s:.0f} s: off until it is unkeyed"
            output.told(state, fault)

    def _run(self) -> None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                due = [at for lease in self._leases.values() if (at := lease.deadline()) is not None]
                if not due or min(due) > now:
                    self._changed.wait(min(due) - now if due else None)
                for output in self._outputs.values():
                    self._settle(output)
