"""Drives the lines of a list inactive, and ends: `python -m echostream.hardware.ptt_drop FILE`.

For ExecStopPost, when everybody who held them was killed. Every millisecond counts, so it imports next to
nothing, and asks for real-time scheduling before it imports the rest.
"""

from __future__ import annotations

import errno
import os
import sys

PRIORITY = 30

if __name__ == "__main__":
    try:  # noqa: SIM105 - contextlib takes time too
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:  # not permitted here
        pass

from echostream.hardware.ptt_list import Listed, complain, read_list  # noqa: E402 - they take the time
from echostream.hardware.ptt_outputs import drop  # noqa: E402


def drop_listed(path: str) -> int:
    """Drive every line of a list inactive. Returns the exit status: 1 when one could not be."""
    try:
        listed, _torn = read_list(path)
    except OSError as error:
        complain(f"{path}: {error.strerror}")
        return 1
    return drop_lines(listed)


def drop_lines(listed: list[Listed]) -> int:
    """As above."""
    status = 0
    # GPIO first: a sound card that hangs takes its time.
    for one in sorted(listed, key=lambda one: one.place.cm108):
        try:
            drop(one.place.cm108, one.place.path, one.place.pin, one.active_low, one.label)
        except OSError as error:
            if error.errno != errno.EBUSY:  # held by a guard that lives: it is in good hands
                complain(f"{one.place.path} line {one.place.pin}: {os.strerror(error.errno or 0)}")
                status = 1
    return status


if __name__ == "__main__":
    if len(sys.argv) != 2:
        complain("usage: ptt_drop FILE")
        sys.exit(2)
    sys.exit(drop_listed(sys.argv[1]))
