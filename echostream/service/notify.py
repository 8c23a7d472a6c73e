"""What the service manager is told, by datagrams (sd_notify(3)). Without a manager nothing is said.

A manager that does not read must not hold the gateway up: a datagram is sent or given up, never waited for.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")
_MOST_STATUS: Final = 400
"""Characters of a status line; `systemctl status` shows it in one row."""


class Notifier:
    """Talks to the manager at `address` ("" where there is none). Any thread.

    watchdog_s: how often it wants to hear from us at least; None: it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s if address else None
        self.failures = 0
        """Datagrams that could not be sent."""
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @property
    def managed(self) -> bool:
        """Somebody listens."""
        return self._address.startswith(("/", "\0"))

    def ready(self, status: str = "") -> bool:
        """The start, or a reload, is complete."""
        return self._send("READY=1", *_status(status))

    def status(self, line: str) -> bool:
        """What `systemctl status` shows."""
        return self._send(*_status(line))

    def watchdog(self) -> bool:
        """We are alive."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """The end has begun."""
        return self._send("STOPPING=1", *_status(status))

    def reloading(self) -> bool:
        """A reload has begun; `ready` ends it. The stamp is what newer managers tell it apart by."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def extend_timeout(self, by_s: float) -> bool:
        """Start, reload or stop needs so much longer, counted from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(by_s * 1e6)}")

    def _send(self, *lines: str) -> bool:
        """False: nobody listens, or the datagram was not taken."""
        if not lines or not self.managed:
            return False
        said = "\n".join(lines).encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
                speaking.sendto(said, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
        except OSError:
            self.failures += 1
            return False
        return True


def from_environment(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """As systemd says it; taken out of the environment, that no child speaks in our name."""
    address = environment.pop(_SOCKET, "")
    period_us, pid = (environment.pop(name, "") for name in _WATCHDOG)
    watched = period_us.isdigit() and int(period_us) > 0 and pid in ("", str(os.getpid()))
    return Notifier(address, int(period_us) / 1e6 if watched else None)


def _status(line: str) -> tuple[str, ...]:
    """One line, whatever is in it: a line break would be read as another message."""
    words = " ".join(line.split())
    return (f"STATUS={words[:_MOST_STATUS]}",) if words else ()
