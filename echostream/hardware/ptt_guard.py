"""The process that holds the lines which key radios: `python -m echostream.hardware.ptt_guard`.

A line must go off when the gateway stops, crashes, hangs or is killed, and the kernel does not see to that:
Raspberry Pi kernels leave a released output at its last level, and a sound card's line knows nothing of
processes. So the gateway never owns the lines. It starts this guard, in a session of its own, with one end of
a socket pair as standard input, and keys on lease:

- a line comes up inactive, is made inactive before it is released, and then an input pulled towards inactive;
- a keyed line that is not renewed for 200 ms drops (the gateway hangs);
- the end of the socket, or of the gateway's process, drops every line at once (crash, kill -9, stop);
- a line that is keyed for longer than its limit drops and stays off until it is unkeyed;
- rubbish on the socket drops every line and ends the guard;
- SIGTERM and SIGINT drop every line and refuse to key from then on, but the guard goes on holding the lines
  until the gateway is gone: whichever of the two a service manager stops first, no line comes up again.

`python -m echostream.hardware.ptt_guard --drop FILE` drives the lines listed in FILE inactive and ends: for
ExecStopPost, when both processes were killed in the same instant. FILE is written by a guard that was started
with `--lines-file FILE`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import time
from typing import Final

from echostream.errors import WireError
from echostream.hardware import ptt_lease
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_lease import Lease
from echostream.hardware.ptt_outputs import Cm108Output, GpioOutput, Output, drop
from echostream.hardware.ptt_protocol import Message

EXIT_USAGE: Final = 2
EXIT_RUBBISH: Final = 3
MESSAGES_A_TURN: Final = 64
"""After so many messages the deadlines are looked at, however many more there are."""

_PHASES: Final = {
    ptt_lease.IDLE: protocol.UNKEYED,
    ptt_lease.KEYED: protocol.KEYED,
    ptt_lease.EXPIRED: protocol.EXPIRED,
    ptt_lease.LATCHED: protocol.LATCHED,
}


class GuardedLine:
    """One output with its lease, and what the gateway was last told of it."""

    def __init__(self, output: Output, max_key_s: float) -> None:
        self.output = output
        self.lease = Lease(max_key_s)
        self.told: tuple[int, int] | None = None

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


class Guard:
    """Serves one gateway until it is gone."""

    def __init__(self, link: socket.socket, lines_file: str | None = None) -> None:
        self._link = link
        self._lines_file = lines_file
        self._lines: dict[int, GuardedLine] = {}
        self._specs: dict[int, str] = {}
        self._stopping = False
        self._wake_in, self._wake_out = socket.socketpair()
        for sock in (link, self._wake_in, self._wake_out):
            sock.setblocking(False)

    def run(self, gateway_pid: int) -> int:
        """Serve until the gateway is gone, then drop everything. Returns the exit status."""
        self._take_signals()
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        gateway = _watch_process(gateway_pid)
        if gateway is not None:
            poll.register(gateway, select.POLLIN)
        try:
            self._send(Message(protocol.HELLO, value=os.getpid()))
            while True:
                ready = {fd for fd, _event in poll.poll(self._timeout_ms())}
                if gateway in ready or os.getppid() != gateway_pid:
                    return 0
                if self._wake_in.fileno() in ready:
                    self._drain_wakes()
                if self._link.fileno() in ready and not self._receive():
                    return 0
                self._apply()
        except WireError as error:
            sys.stderr.write(f"echostream PTT guard: {error}: dropping every line\n")
            return EXIT_RUBBISH
        finally:
            self._drop_all()

    def _take_signals(self) -> None:
        # The handlers do nothing by themselves: the number arrives on the wake socket and ends the poll.
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while numbers := self._wake_in.recv(64):
                if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                    self._stopping = True

    def _wake(self) -> None:
        """A card's thread has news. The number 0 is no signal."""
        with contextlib.suppress(OSError):  # full: then a wake is on its way already
            self._wake_out.send(b"\0")

    def _timeout_ms(self) -> float | None:
        due = [at for line in self._lines.values() if (at := line.deadline()) is not None]
        if not due:
            return None
        return max(0.0, (min(due) - time.monotonic()) * 1000)

    def _receive(self) -> bool:
        """Handle what is there. False at the end of the socket."""
        for _ in range(MESSAGES_A_TURN):
            try:
                data = self._link.recv(protocol.MAX_MESSAGE + 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._handle(protocol.unpack(data))
        return True

    def _handle(self, message: Message) -> None:
        line = self._lines.get(message.line)
        if message.kind == protocol.PING:
            self._send(Message(protocol.PONG))
        elif message.kind == protocol.ADD:
            self._add(message)
        elif message.kind == protocol.REMOVE:
            self._remove(message.line)
        elif message.kind not in (protocol.KEY, protocol.UNKEY):
            raise WireError(f"PTT guard message: kind {message.kind} is not for the guard")
        elif line is not None and message.kind == protocol.KEY:
            line.lease.key(time.monotonic())
        elif line is not None:
            line.lease.unkey()

    def _add(self, message: Message) -> None:
        self._remove(message.line)
        active_low = bool(message.flag & protocol.ADD_ACTIVE_LOW)
        output: Output
        if message.flag & protocol.ADD_CM108:
            output = Cm108Output(message.text, active_low, self._wake)
        else:
            output = GpioOutput(message.text, message.number, active_low)
        self._lines[message.line] = GuardedLine(output, message.value / 1000)
        kind = "cm108" if message.flag & protocol.ADD_CM108 else "gpio"
        self._specs[message.line] = f"{kind} {message.number} {int(active_low)} {message.text}"
        self._list_lines()

    def _remove(self, number: int) -> None:
        line = self._lines.pop(number, None)
        if line is not None:
            line.output.close()
            del self._specs[number]
            self._list_lines()

    def _apply(self) -> None:
        now = time.monotonic()
        for number, line in self._lines.items():
            line.apply(now, self._stopping)
            state = line.state(self._stopping)
            if state is not None and state != line.told:
                line.told = state
                self._send(Message(protocol.STATE, line=number, flag=state[0], number=state[1]))

    def _send(self, message: Message) -> None:
        # A gateway that does not read is told nothing more; its lines go on as they must.
        with contextlib.suppress(OSError):
            self._link.send(protocol.pack(message))

    def _list_lines(self) -> None:
        """Keep the list for --drop. Without it (disk full) everything else works."""
        if self._lines_file is None:
            return
        with contextlib.suppress(OSError), open(self._lines_file, "w", encoding="utf-8") as file:
            file.writelines(f"{spec}\n" for spec in self._specs.values())

    def _drop_all(self) -> None:
        """GPIO lines first: they take microseconds, while a card that hangs takes its time."""
        for line in sorted(self._lines.values(), key=lambda line: isinstance(line.output, Cm108Output)):
            line.output.close()
        self._lines.clear()


def _watch_process(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends: the socket alone does not say so when the
    gateway's end of it leaked into another process."""
    try:
        return os.pidfd_open(pid)
    except OSError:  # gone already (the end of the socket says so), or a kernel before 5.3
        return None


def drop_listed(path: str) -> int:
    """Drive every line of a list inactive. Returns the exit status: 1 when one could not be."""
    status = 0
    try:
        with open(path, encoding="utf-8") as file:
            specs = file.read().splitlines()
    except FileNotFoundError:
        return 0
    for spec in specs:
        kind, pin, active_low, place = spec.split(" ", 3)
        try:
            drop(kind == "cm108", place, int(pin), active_low == "1")
        except OSError as error:
            if error.errno != errno.EBUSY:  # held by a guard that lives: it is in good hands
                sys.stderr.write(f"echostream PTT guard: {spec}: {os.strerror(error.errno or 0)}\n")
                status = 1
    return status


def main(arguments: list[str]) -> int:
    """Command line: nothing, `--lines-file FILE`, or `--drop FILE`."""
    if len(arguments) == 2 and arguments[0] == "--drop":
        return drop_listed(arguments[1])
    if arguments and (len(arguments) != 2 or arguments[0] != "--lines-file"):
        sys.stderr.write("usage: ptt_guard [--lines-file FILE | --drop FILE]\n")
        return EXIT_USAGE
    gateway_pid = os.getppid()
    try:
        link = socket.socket(fileno=os.dup(0))
    except OSError:
        sys.stderr.write("the PTT guard is started by the gateway, with a socket as its standard input\n")
        return EXIT_USAGE
    # The gateway's end of the socket must be the only other one, and ours must be the only one here.
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    with link:
        return Guard(link, arguments[1] if arguments else None).run(gateway_pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
