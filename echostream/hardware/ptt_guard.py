"""The process that holds the lines which key radios: `python -m echostream.hardware.ptt_guard`.

A line must go off when the gateway stops, crashes, hangs or is killed, and the kernel does not see to that:
Raspberry Pi kernels leave a released output at its last level, and a sound card's line knows nothing of
processes. So no gateway owns its lines. This guard does, and keys on lease:

- a line comes up inactive, is made inactive before it is released, and then an input pulled towards inactive;
- a keyed line that is not renewed for 200 ms drops (the gateway hangs);
- the end of the socket, or of the gateway's process, drops its lines at once (crash, kill -9, stop);
- a line that is keyed for longer than its limit drops and stays off until it is unkeyed;
- rubbish on the socket drops the lines and ends the conversation;
- a guard that hangs while a line is keyed is killed by the kernel after 350 ms (ptt_kernel).

It is one of two things. **A service** (`--listen`, systemd/echostream-ptt-guard.service): gateways connect
to its socket, one after another and several at once. Between them it holds their lines inactive, and it lists
them in a file, so that it claims them at boot and after its own restart before any gateway has come. SIGTERM
ends it. **A child** of one gateway, where there is no such service: started in a session of its own with one
end of a socket pair as standard input. It ends when the gateway is gone; SIGTERM makes it drop every line and
refuse to key from then on, but it goes on holding the lines until then: whichever of the two a service
manager stops first, no line comes up again.

A second process, its heir, drives the lines inactive when it was killed; when that was killed too: ptt_drop.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from typing import Final

from echostream.errors import WireError
from echostream.hardware import ptt_unit
from echostream.hardware.ptt_caller import Caller, peer_of, watch_process
from echostream.hardware.ptt_drop import drop_listed
from echostream.hardware.ptt_heir import Heir
from echostream.hardware.ptt_held import HeldLines
from echostream.hardware.ptt_kernel import DeadMan, run_first, stay_in_memory
from echostream.hardware.ptt_list import complain
from echostream.hardware.ptt_protocol import OtherVersion

EXIT_USAGE: Final = 2
EXIT_RUBBISH: Final = 3
MAX_CALLERS: Final = 16
NOBODY: Final = ptt_unit.Admitted(frozenset(), None)
USAGE: Final = """\
usage: ptt_guard [--lines-file FILE]    as a child, by a gateway
       ptt_guard --listen [PATH] [--user NAME] [--lines-file FILE]    as a service, at PATH or the unit's
       ptt_guard --drop FILE    what ptt_drop does
"""


class Guard:
    """Serves gateways. listener: where they connect; None for a child, which is given its one by `serve`.

    admitted: who may connect. heir: who drives the lines inactive should this process be killed.
    """

    def __init__(
        self,
        listener: socket.socket | None = None,
        lines_file: str | None = None,
        admitted: ptt_unit.Admitted = NOBODY,
        heir: Heir | None = None,
    ) -> None:
        self._listener = listener
        self._admitted = admitted
        self._poll = select.poll()
        self._callers: list[Caller] = []
        self._stopping = False
        self._wake_in, self._wake_out = socket.socketpair()
        for sock in (self._wake_in, self._wake_out):
            sock.setblocking(False)
        self._poll.register(self._wake_in, select.POLLIN)
        self._heir = heir
        self._lines = HeldLines(self._wake, lines_file, heir.leave if heir is not None else None)
        self._dead_man = DeadMan()
        self._unit = ptt_unit.Unit()

    def serve(self, link: socket.socket, gateway_pid: int) -> int:
        """As a child: serve this gateway until it is gone, then drop everything. Returns the exit status."""
        self._take_signals()
        self._welcome(Caller(link, gateway_pid, watch_process(gateway_pid), self._lines))
        try:
            while self._callers and os.getppid() == gateway_pid:
                self._turn()
        except WireError as error:
            complain(f"{error}: dropping every line")
            return EXIT_RUBBISH
        finally:
            self._drop_all()
        return 0

    def listen(self) -> int:
        """As a service: hold what is listed, serve who connects, until SIGTERM. Returns the exit status."""
        assert self._listener is not None
        self._take_signals()
        self._lines.restore()
        self._listener.setblocking(False)
        self._poll.register(self._listener, select.POLLIN)
        self._unit.ready(self._status())
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._drop_all()
        return 0

    def _turn(self) -> None:
        """Wait for something, handle it, and bring every line to where it must be."""
        ready = {fd for fd, _event in self._poll.poll(self._timeout_ms())}
        if self._wake_in.fileno() in ready:
            self._drain_wakes()
        # Who is gone first: a successor of the same name may have connected already.
        for caller in [one for one in self._callers if one.process in ready]:
            self._farewell(caller)
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)
        for caller in [one for one in self._callers if one.link.fileno() in ready]:
            self._hear(caller)
        now = time.monotonic()
        self._lines.apply(now, self._stopping)
        for caller in list(self._callers):
            if not caller.tell(now, self._stopping):
                self._farewell(caller)
        self._dead_man.wind(self._lines.keyed)
        self._unit.alive(now, self._status)

    def _timeout_ms(self) -> float | None:
        ends = (self._lines.deadline(), self._unit.deadline(), *(one.deadline() for one in self._callers))
        due = [at for at in ends if at is not None]
        return max(0.0, (min(due) - time.monotonic()) * 1000) if due else None

    def _accept(self, listener: socket.socket) -> None:
        try:
            link, _address = listener.accept()
        except OSError:  # gone again, or no descriptors: the next turn tries again
            return
        try:
            peer = peer_of(link)
        except OSError:
            link.close()
            return
        may = peer.user in self._admitted.users or self._admitted.group in peer.groups
        if may and len(self._callers) < MAX_CALLERS:
            self._welcome(Caller(link, peer.pid, peer.process, self._lines, self._attached))
            return
        why = f"is one too many ({MAX_CALLERS} are served)" if may else "may not key"
        complain(f"process {peer.pid} of user {peer.user} {why}: refused")
        link.close()
        if peer.process is not None:
            os.close(peer.process)

    def _attached(self, caller: Caller, instance: str) -> int | None:
        """The process that has this name already, if it is another one. The same one knows what it does: it
        gave its old conversation up."""
        for other in list(self._callers):
            if other is caller or other.instance != instance or not instance:
                continue
            if other.pid != caller.pid:
                complain(
                    f"process {caller.pid} calls itself {instance!r} as process {other.pid} does: refused"
                )
                return other.pid
            self._farewell(other)
        return None

    def _welcome(self, caller: Caller) -> None:
        self._callers.append(caller)
        self._poll.register(caller.link, select.POLLIN)
        if caller.process is not None:
            self._poll.register(caller.process, select.POLLIN)

    def _farewell(self, caller: Caller) -> None:
        """The gateway is gone, or out of favour: its lines are held inactive."""
        if caller not in self._callers:
            return
        self._callers.remove(caller)
        self._poll.unregister(caller.link)
        if caller.process is not None:
            self._poll.unregister(caller.process)
        caller.close()

    def _hear(self, caller: Caller) -> None:
        if caller not in self._callers:
            return
        try:
            if caller.receive():
                return
        except WireError as error:
            if self._listener is None:
                raise
            complain(f"process {caller.pid}: {error}: dropping its lines, hanging up")
            self._farewell(caller)
            if isinstance(error, OtherVersion) and not any(one.instance for one in self._callers):
                complain("serves no other gateway and ends, to be started again as the installed release")
                self._stopping = True
            return
        self._farewell(caller)

    def _drop_all(self) -> None:
        self._dead_man.wind(False)
        self._lines.close()
        for caller in list(self._callers):
            self._farewell(caller)
        if self._heir is not None:
            self._heir.dismiss()

    def _take_signals(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the heir's end
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

    def _status(self) -> str:
        served = [f"process {one.pid}" for one in self._callers if one.instance is not None]
        held = len(self._lines)
        return f"holds {held} line{'s' * (held != 1)}, serves {', '.join(served) or 'no gateway now'}"


def as_child(lines_file: str | None) -> int:
    """Serve the gateway that started this process. Returns the exit status."""
    gateway_pid = os.getppid()
    try:
        link = socket.socket(fileno=os.dup(0))
    except OSError:
        complain("started by the gateway, with a socket as standard input; by hand: --listen PATH\n" + USAGE)
        return EXIT_USAGE
    # The gateway's end of the socket must be the only other one, and ours must be the only one here.
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    with link:
        heir = Heir(link.fileno())
        return Guard(None, lines_file, heir=heir).serve(link, gateway_pid)


def as_service(path: str | None, user: str | None, lines_file: str | None) -> int:
    """Serve whoever connects. Returns the exit status."""
    try:
        listener = ptt_unit.inherited_socket() if path is None else ptt_unit.own_socket(path)
        admitted = ptt_unit.admitted(user)
    except (OSError, LookupError) as error:
        complain(str(error))
        return EXIT_USAGE
    with listener:
        heir = Heir(listener.fileno())
        return Guard(listener, lines_file, admitted, heir).listen()


def main(arguments: list[str]) -> int:
    """Command line, see USAGE. By hand, because argparse alone costs as much as all else."""
    options: dict[str, str | None] = {}
    words = list(arguments)
    while words:
        option = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("--") else None
        known = option in ("--drop", "--lines-file", "--listen", "--user") and option not in options
        if not known or (value is None and option != "--listen"):
            sys.stderr.write(USAGE)
            return EXIT_USAGE
        options[option] = value
    dropped = options.get("--drop")
    if dropped is not None:
        return drop_listed(dropped)
    run_first()
    stay_in_memory()
    if "--listen" in options:
        return as_service(options["--listen"], options.get("--user"), options.get("--lines-file"))
    return as_child(options.get("--lines-file"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
