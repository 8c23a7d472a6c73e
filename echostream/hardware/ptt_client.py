"""The gateway's side of keying: finds or starts the PTT guard, watches over it, tells it what to key.

`ptt_guard` says how lines are kept safe from this process. This module keeps them safe from the guard: one
that died or hangs is noticed at once, its lines are driven inactive from here where that is permitted, and a
new one takes them over. Where there is a guard that is a service, that one is called, and called again until
it answers; else the guard is a child of ours.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Sequence
from typing import Final

from echostream.errors import GpioError, StateError, WireError
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.gpio_chips import explain, find_chip
from echostream.hardware.ptt_lines import PttLineSpec, PttOutput
from echostream.hardware.ptt_link import GuardLink, connect, guard_socket, instance_name
from echostream.hardware.ptt_mock import MockPttLines
from echostream.hardware.ptt_outputs import drop
from echostream.hardware.ptt_process import GuardProcess

__all__ = ["MockPttLines", "PttLineSpec", "PttLines", "PttOutput"]

log = logging.getLogger(__name__)

PING_S: Final = 0.25
PINGS_UNANSWERED: Final = 4
"""So many in a row, and the guard hangs. Counted, not timed: after a hang of our own all are answered."""
CLAIM_S: Final = 3.0
"""How long start() waits for the guard to have every line."""
BACK_OFF_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CALL_AGAIN_S: Final = 1.0
"""To call a service again costs less than to start a child."""
HEALTHY_S: Final = 10.0
"""A guard that lived for so long is replaced at once."""
JOIN_S: Final = 4.0


class PttLines:
    """Every keyed line of the gateway. Owns the thread "ptt-guard", and the guard where that is a child.

    lines: one per channel. chip: "auto", a driver label, or a /dev path.
    lines_file: where a child lists its lines for `ptt_drop`; None: in $RUNTIME_DIRECTORY, if any.
    guard: socket of a guard that is a service; None: what $ECHOSTREAM_PTT_GUARD names; where that is not set,
    the service's usual place; where nothing is there, or it is empty, the guard is a child.
    """

    def __init__(
        self,
        lines: Sequence[PttLineSpec],
        chip: str = "auto",
        lines_file: str | None = None,
        guard: str | None = None,
    ) -> None:
        self._socket_path = guard or guard_socket()
        self._chip = chip
        self._chip_path: str | None = None
        self._lines_file = lines_file or _default_lines_file()
        self._outputs: dict[str, PttOutput] = {}
        self._next_number = 0
        # Guards the outputs and the change from one guard to the next. key() never takes it.
        self._told = threading.Condition(threading.RLock())
        self._guard: GuardLink | None = None
        self._started = False
        self._refused_by: int | None = None
        self._said_other = 0
        self._fault = ""
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self.restarts = 0
        for spec in lines:
            self._make(spec)

    def start(self) -> None:
        """Start or call the guard and wait until it has the lines. A line that it cannot have is logged and
        has a `fault`; the guard goes on trying. Without lines no child is started, before there are some.

        Raises GpioError when there is no GPIO chip for the pins, or a child cannot be started. A service that
        does not answer is a fault of the lines, until it does. Idempotent.
        """
        with self._told:
            if self._closing.is_set():
                raise StateError("PTT lines were closed")
            self._started = True
            if self._thread is not None or (self._socket_path is None and not self._outputs):
                return
            self._find_chip(self._specs())
            try:
                self._connect()
            except GpioError as error:
                if self._socket_path is None:
                    raise
                self._unreachable(error)
            # A daemon: where the gateway dies without close(), the end of the socket tells the guard.
            self._thread = threading.Thread(target=self._run, name="ptt-guard", daemon=True)
            self._thread.start()
            self._await_lines()

    def output(self, channel_id: str) -> PttOutput:
        """The line of a channel. KeyError when it has none."""
        with self._told:
            return self._outputs[channel_id]

    def reconfigure(self, lines: Sequence[PttLineSpec]) -> None:
        """Take these lines instead. One that did not change is not touched, keyed or not; others drop first.

        Raises GpioError when there is no GPIO chip for the pins, ValueError for two lines of one channel; the
        lines are then as they were.
        """
        wanted = {spec.channel_id: spec for spec in lines}
        if len(wanted) != len(lines):
            raise ValueError("one channel has two PTT lines")
        with self._told:
            self._find_chip(lines)
            for channel_id, output in list(self._outputs.items()):
                if wanted.get(channel_id) != output.spec:
                    output.unkey()
                    self._send(protocol.Message(protocol.REMOVE, output.number))
                    output.told(None, "removed by a new configuration")
                    del self._outputs[channel_id]
            for spec in lines:
                if spec.channel_id not in self._outputs:
                    self._send(self._add(self._make(spec)))
            if self._started and self._thread is None:
                self.start()
            elif self._thread is not None:
                self._send(protocol.Message(protocol.COMPLETE))
                self._await_lines()

    def close(self) -> None:
        """Drop every line, end the guard and the thread. Idempotent, safe before start()."""
        with self._told:
            self._closing.set()
            for output in self._outputs.values():
                output.unkey()
            if self._guard is not None:
                self._guard.hang_up()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                log.error("thread ptt-guard did not end within %.0f s", JOIN_S)

    @property
    def guard_pid(self) -> int | None:
        """Process id of the guard; None while there is none."""
        guard = self._guard
        return None if guard is None else guard.pid

    @property
    def guard_kind(self) -> str | None:
        """ "unit" for a service, "child" for a process of ours; None while there is none."""
        guard = self._guard
        return None if guard is None else guard.kind

    def _specs(self) -> list[PttLineSpec]:
        with self._told:
            return [output.spec for output in self._outputs.values()]

    def _make(self, spec: PttLineSpec) -> PttOutput:
        if spec.channel_id in self._outputs:
            raise ValueError(f"channel {spec.channel_id} has two PTT lines")
        taken = {output.number for output in self._outputs.values()}
        if len(taken) == protocol.MAX_LINES:
            raise ValueError(f"more than {protocol.MAX_LINES} PTT lines")
        # The next number, not the lowest free one: what is still said of a removed line meets nobody.
        while self._next_number in taken:
            self._next_number = (self._next_number + 1) % protocol.MAX_LINES
        output = PttOutput(spec, self._next_number, self._send)
        self._next_number = (self._next_number + 1) % protocol.MAX_LINES
        self._outputs[spec.channel_id] = output
        return output

    def _find_chip(self, specs: Sequence[PttLineSpec]) -> None:
        if self._chip_path is None and any(spec.pin is not None for spec in specs):
            self._chip_path = self._chip if self._chip.startswith("/") else find_chip(self._chip).path

    def _add(self, output: PttOutput) -> protocol.Message:
        spec = output.spec
        flag = protocol.ADD_ACTIVE_LOW if spec.active_low else 0
        if spec.cm108 is not None:
            flag |= protocol.ADD_CM108
        place = spec.cm108 or self._chip_path or ""
        max_key_ms = round(spec.max_key_s * 1000)
        return protocol.Message(protocol.ADD, output.number, flag, spec.pin or 0, max_key_ms, place)

    def _send(self, message: protocol.Message) -> bool:
        guard = self._guard
        return guard is not None and guard.send(message)

    def _connect(self) -> None:
        """Start or call a guard and give it the lines; only then is it there for key()."""
        self._refused_by = None
        guard: GuardLink
        if self._socket_path is None:
            guard = GuardProcess(self._lines_file)
        else:
            guard = connect(self._socket_path, instance_name())
        for output in self._outputs.values():
            guard.send(self._add(output))
        guard.send(protocol.Message(protocol.COMPLETE))
        self._guard = guard

    def _unreachable(self, error: GpioError) -> None:
        if self._fault != str(error):  # said once, not with every try
            log.error("%s", error)
            self._fault = str(error)
        for output in self._outputs.values():
            output.told(None, self._fault)

    def _await_lines(self) -> None:
        if self._guard is None:
            return
        outputs = list(self._outputs.values())
        if not self._told.wait_for(
            lambda: self._refused_by is not None or all(output.claimed for output in outputs), CLAIM_S
        ):
            log.error("the PTT guard did not answer for every line within %.0f s", CLAIM_S)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            guard = self._guard
            if guard is not None:
                began = time.monotonic()
                self._serve(guard)
                self._retire(guard)
                failures = 0 if time.monotonic() - began > HEALTHY_S else failures
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            if self._closing.wait(min(pause_s, CALL_AGAIN_S) if self._socket_path else pause_s):
                return
            failures += 1
            with self._told:
                if self._closing.is_set():
                    return
                try:
                    self._connect()
                    self.restarts += 1
                except GpioError as error:
                    self._unreachable(error)

    def _serve(self, guard: GuardLink) -> None:
        """Listen to the guard until it is gone, hangs, or close() hangs up."""
        poll = select.poll()
        poll.register(guard.sock, select.POLLIN)
        unanswered, ping_at = 0, 0.0
        while True:
            wait_s = max(0.0, ping_at - time.monotonic())
            if poll.poll(wait_s * 1000):
                try:
                    messages = guard.receive()
                except WireError as error:
                    log.error("the PTT guard talks rubbish, killing it: %s", error)
                    guard.kill()
                    return
                if messages is None:
                    return
                unanswered = 0
                for message in messages:
                    self._handle(guard, message)
            elif unanswered == PINGS_UNANSWERED:
                log.error("the PTT guard hangs: killing it")
                guard.kill()
                return
            if time.monotonic() >= ping_at:
                guard.send(protocol.Message(protocol.PING))
                unanswered += 1
                ping_at = time.monotonic() + PING_S

    def _retire(self, guard: GuardLink) -> None:
        """The guard is gone, or must go: see to its lines from here."""
        other = self._refused_by
        again = "the PTT guard is being started again"
        if other is not None:
            again = f"process {other} is a gateway of this name and keys already: end one of the two"
        with self._told:
            self._guard = None
            for output in self._outputs.values():
                output.told(None, again)
        status = guard.reap()
        guard.close()
        # In order; and where another gateway keys, its lines are none of our business.
        if (self._closing.is_set() and status in (0, None)) or other is not None:
            return
        how = "hung up" if status is None else f"ended (status {status})"
        log.error("the PTT guard %s: driving its lines inactive", how)
        self._drop_lines()

    def _drop_lines(self) -> None:
        """Drive every line inactive from here. GPIO first: a sound card that hangs takes its time."""
        for spec in sorted(self._specs(), key=lambda spec: spec.cm108 is not None):
            try:
                place = spec.cm108 or self._chip_path or ""
                drop(spec.cm108 is not None, place, spec.pin or 0, spec.active_low)
            except OSError as error:
                if error.errno == errno.EBUSY and self._socket_path is not None:
                    continue  # a guard holds it, be it this one's successor
                log.error("channel %s: %s", spec.channel_id, self._explain(spec, error.errno or errno.EIO))

    def _handle(self, guard: GuardLink, message: protocol.Message) -> None:
        if message.kind == protocol.HELLO:
            log.info("PTT guard %d holds the keyed lines", message.value)
            guard.pid, self._fault = message.value, ""
        elif message.kind == protocol.REFUSED:
            if message.value != self._said_other:
                log.error("process %d is a gateway of this name: this one keys nothing", message.value)
            with self._told:
                self._refused_by = self._said_other = message.value
                self._told.notify_all()
        if message.kind != protocol.STATE:
            return
        with self._told:
            for output in self._outputs.values():
                if output.number == message.line:
                    self._tell(output, message.flag, message.number)
            self._told.notify_all()

    def _tell(self, output: PttOutput, state: int, number: int) -> None:
        spec, recovered = output.spec, output.state == "fault" and output.claimed
        fault: str | None = None
        if state == protocol.FAULT:
            fault = self._explain(spec, number)
            log.error("channel %s cannot be keyed: %s", spec.channel_id, fault)
        elif state == protocol.STOPPING:
            fault = "the service is being stopped"
            log.warning("channel %s: PTT guard was told to stop: no keying any more", spec.channel_id)
        elif state == protocol.EXPIRED:
            log.warning("channel %s: keying was not renewed in time, %s dropped", spec.channel_id, spec)
        elif state == protocol.LATCHED:
            fault = f"keyed for longer than {spec.max_key_s:.0f} s: off until it is unkeyed"
            log.error("channel %s: %s", spec.channel_id, fault)
        elif recovered:
            log.info("channel %s can be keyed again", spec.channel_id)
        output.told(state, fault)

    def _explain(self, spec: PttLineSpec, number: int) -> str:
        error = OSError(number, os.strerror(number))
        if spec.pin is not None:
            return str(explain(error, self._chip_path or self._chip, spec.pin))
        remedies = {
            errno.ENODEV: "the card is not plugged in",
            errno.ENOENT: "the card is not plugged in",
            errno.ENXIO: "the card has no HID lines",
            errno.EPERM: "the card is not of the CM108 kind",
            errno.EACCES: "permission denied: install the udev rule of docs/keying.md",
        }
        return f"{spec}: {remedies.get(number, error.strerror)}"


def _default_lines_file() -> str | None:
    """Below the service's runtime directory, which systemd makes and names."""
    directory = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return os.path.join(directory, "ptt-lines") if directory else None
