"""The guard's heir: a second process that does nothing but wait for the guard's end.

When guard and gateway are killed in the same instant nobody else is left at once: the service manager has to
start a program first, which takes a tenth of a second here and several on a Raspberry Pi. The heir is forked
from the guard, knows which lines it holds, and drives them inactive milliseconds after it died without a
word. It holds no line itself, so that a chip that frees the lines of a dead process still does.
"""

from __future__ import annotations

import os
import signal
import socket

from echostream.hardware.ptt_drop import drop_lines
from echostream.hardware.ptt_kernel import stay_in_memory
from echostream.hardware.ptt_list import MAX_BYTES, complain, parse_list

IN_ORDER = b"\0"
"""The guard's last word: nothing is left to do."""


class Heir:
    """The guard's side. Made before there are threads. others: descriptors that are the guard's alone."""

    def __init__(self, *others: int) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        guard = os.getpid()
        if os.fork() == 0:
            # Whatever happens here, it must never go on as a second guard.
            try:
                self._link.close()
                for descriptor in others:
                    os.close(descriptor)
                os._exit(_wait(theirs, guard))
            finally:
                os._exit(1)
        theirs.close()
        self._link.setblocking(False)

    def leave(self, text: str) -> bool:
        """The list of lines as it is now. False when it must be said again: the heir did not listen."""
        return self._say(text.encode() or b"\n")

    def dismiss(self) -> None:
        """The lines are down, and the guard ends in order."""
        self._say(IN_ORDER)
        self._link.close()

    def _say(self, words: bytes) -> bool:
        try:
            self._link.send(words)
        except BlockingIOError:
            return False
        except OSError:  # it was killed: the service manager's own last wall still stands
            return True
        return True


def _wait(link: socket.socket, guard: int) -> int:
    """The heir's life. Returns its exit status."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    stay_in_memory()
    text = b""
    while True:
        try:
            words = link.recv(MAX_BYTES)
        except OSError:
            words = b""
        if words == IN_ORDER:
            return 0
        if not words:
            break
        text = words
    listed, _torn = parse_list(text.decode("utf-8", "replace"))
    status = drop_lines(listed)
    complain(f"guard {guard} was killed: {len(listed)} lines driven inactive")
    return status
