"""What a test left behind: threads, descriptors (sockets, pipes, files), child processes and their orphans.

`Snapshot.take()` before, `leaks_since(before)` after. What a library keeps for the life of the process is
named in ALLOWED, each with the reason; nothing else is excused. Native threads that never run Python are not
seen as threads, but what they hold open is.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import cast

GRACE_S = 1.0
"""How long an end that was asked for may take: a socket of a joined thread, a child that was killed."""
POLL_S = 0.02
PF_KTHREAD = 0x00200000  # include/linux/sched.h: a thread of the kernel, not a program
MARK = "ECHOSTREAM_TEST_RUN"
"""Environment variable of every descendant of this test run, daemons that left their parent included."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """`kind`: thread, descriptor or process. `pattern`: found in the leak's description."""

    kind: str
    pattern: str
    reason: str


ALLOWED = (
    Allowed("thread", r"^lgpio\._callback_thread", "importing lgpio starts it; no call of lgpio ends it"),
    Allowed("descriptor", r"/\.lgd-nfy-?\d+", "lgpio's notification FIFO, open until the process ends"),
    Allowed("descriptor", r"/matplotlib/mpl-data/fonts/", "matplotlib opens its fonts once and keeps them"),
    Allowed(
        "process",
        r"multiprocessing[./]resource_tracker",
        "multiprocessing's own: started with the first pool, ends with this process",
    ),
)


@dataclass(frozen=True, slots=True)
class Leak:
    """`kind` as in Allowed. `identity`: the same for the same thing, and for nothing else of that kind."""

    kind: str
    identity: tuple[object, ...]
    description: str

    @property
    def allowed(self) -> bool:
        return any(one.kind == self.kind and re.search(one.pattern, self.description) for one in ALLOWED)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What this process holds at one moment."""

    held: frozenset[Leak]

    @classmethod
    def take(cls, orphans: bool = False) -> Snapshot:
        """`orphans`: also look for marked processes that are nobody's child here; reads all of /proc."""
        return cls(frozenset([*_threads(), *_descriptors(), *_processes(orphans)]))


_reported: set[tuple[str, tuple[object, ...]]] = set()
"""A test's leak is not its module's once more."""


def mark_this_run() -> None:
    """Let every process that starts from now on be found, wherever it goes."""
    os.environ[MARK] = str(os.getpid())


def leaks_since(before: Snapshot, grace_s: float, orphans: bool = False) -> list[str]:
    """Describe what is held now and was not `before`, once `grace_s` brought no end to it; each leak once."""
    known = {(leak.kind, leak.identity) for leak in before.held} | _reported
    deadline_s = time.monotonic() + grace_s
    collected = False
    while True:
        now = Snapshot.take(orphans).held
        left = [leak for leak in now if (leak.kind, leak.identity) not in known and not leak.allowed]
        if not left or time.monotonic() >= deadline_s:
            _reported.update((leak.kind, leak.identity) for leak in left)
            return sorted(_report(leak) for leak in left)
        if not collected:
            gc.collect()  # a socket in a cycle of references is warned of, and the warning is an error
            collected = True
        time.sleep(POLL_S)


def _threads() -> list[Leak]:
    found = []
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            kind = f"{type(thread).__module__}.{type(thread).__qualname__}"
            daemon = " daemon" if thread.daemon else ""
            found.append(Leak("thread", (id(thread), thread.ident), f"{kind} {thread.name!r}{daemon}"))
    return found


def _descriptors() -> list[Leak]:
    """Every open descriptor with what it points at; the one that lists them is gone when it is read."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        found.append(Leak("descriptor", (number, target), f"descriptor {number}: {target}"))
    return found


def _processes(orphans: bool) -> list[Leak]:
    """Children, zombies that nobody waited for included; with `orphans` also descendants that daemonised."""
    if not orphans and not _has_children():
        return []
    found = []
    own = os.getpid()
    mark = f"{MARK}={own}\0".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == own:
            continue
        process = Path("/proc", entry)
        try:
            # `pid (name) state ppid ...`: the name may hold spaces and brackets.
            fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
            state, parent, started = fields[0].decode(), int(fields[1]), int(fields[19])
            user_program = state != "Z" and not int(fields[6]) & PF_KTHREAD
            if parent != own and not (orphans and user_program and mark in _environment(process)):
                continue
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is another user's
        what = "ended, but nobody waited for it" if state == "Z" else command or "no command line"
        found.append(Leak("process", (int(entry), started), f"process {entry}: {what}"))
    return found


def _environment(process: Path) -> bytes:
    """`NAME=value\\0...`. It reads as empty for the moment in which a process becomes another program."""
    for _ in range(5):
        environment = (process / "environ").read_bytes()
        if environment:
            break
        time.sleep(0.002)
    return environment + b"\0"


def _has_children() -> bool:
    """Asks the kernel, and takes nothing from whoever waits for them."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _report(leak: Leak) -> str:
    if leak.kind != "thread":
        return leak.description
    frame = sys._current_frames().get(cast(int, leak.identity[1]))
    stack = "".join(traceback.format_stack(frame)) if frame else "  (ended while this was written)\n"
    return f"thread {leak.description}\n{stack}"
