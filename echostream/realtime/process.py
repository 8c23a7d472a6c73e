"""What one process does to keep real time: scheduling, memory, garbage; and what came of it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.realtime.garbage import Housekeeper
from echostream.realtime.memory import Locked, few_heaps, give_back, lock_memory
from echostream.realtime.scheduling import (
    AUDIO_PRIORITY,
    SERVICE_PRIORITY,
    Policy,
    Scheduling,
    take_priority,
)

log = logging.getLogger(__name__)

QUICK: Final = frozenset(
    {
        *("MainThread", "coordinator", "udp", "ws-rx", "ws-tx", "tones", "stall-watch", "health", "vitals"),
        *("ptt-guard", "gpio-reread", "lgpio-notify", "page-recorder", "event-log"),
        *("mqtt", "mqtt-link", "alerts", "housekeeper"),
    }
)
"""Threads that run for a moment many times a second. One thread at a time holds the interpreter, and who
holds it while the kernel gives its core to another program keeps all audio waiting: 40 ms where all cores are
busy. What works for seconds at a time (filing, index, uploads, reports) is not among them, nor what grows
with the number of microphones (esp32, recorder): it would take the core from everything else on the machine,
and real time that takes 95 % of a core is stopped for 50 ms by the kernel, audio included."""
_LONGEST_NAME: Final = 15
"""Of a thread, to the kernel (TASK_COMM_LEN)."""


@dataclass(frozen=True, slots=True)
class RealtimeStatus:
    """`scheduling`: "fifo" only where every audio thread has it. `why`: what is missing, in words."""

    scheduling: Policy
    locked: bool
    why: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"scheduling": self.scheduling, "locked": self.locked, "why": self.why}


class RealTime:
    """Of one process. asked: whether the configuration wants more than every process gets."""

    def __init__(
        self,
        asked: bool = True,
        take: Callable[..., Scheduling] = take_priority,
        lock: Callable[[], Locked] = lock_memory,
    ) -> None:
        few_heaps()
        self._asked = asked
        self._take = take
        self._lock_memory = lock
        self._lock = threading.Lock()
        self._threads: dict[str, Scheduling] = {}
        self._memory = Locked(False, "not locked yet" if asked else "")
        self._housekeeper: Housekeeper | None = None
        self._told = False
        self._lifted: set[int] = set()
        self._named: set[int] = set()

    def enter(self, name: str) -> None:
        """Called first thing on a thread that moves audio."""
        if not self._asked:
            return
        scheduling = self._take(AUDIO_PRIORITY)
        with self._lock:
            self._threads[name] = scheduling
            first, self._told = not self._told, True
        if first:
            log.info(
                "real time: %s", scheduling.why or f"audio threads run under SCHED_FIFO {AUDIO_PRIORITY}"
            )

    def settle(self, busy: Callable[[], bool]) -> None:
        """Everything is built: what start-up made lives to the end. From now on garbage is collected when
        nobody talks (`busy`)."""
        give_back()
        if self._asked:
            self._memory = self._lock_memory()
            log.info("real time: %s", self._memory.why or "memory is locked")
        self.see_to_threads()
        self._housekeeper = Housekeeper(busy, self.see_to_threads)
        self._housekeeper.start()

    def see_to_threads(self) -> None:
        """Of those that are new: their names for `top -H`, and their turn. One thread at a time."""
        running = {one.native_id: one.name for one in threading.enumerate() if one.native_id is not None}
        for thread_id in running.keys() - self._named - {os.getpid()}:  # the first one's is the process's
            with contextlib.suppress(OSError):  # it ended meanwhile
                Path(f"/proc/self/task/{thread_id}/comm").write_text(
                    running[thread_id][:_LONGEST_NAME], "utf-8"
                )
        self._named = set(running)
        self._lift(running)

    def _lift(self, threads: Mapping[int, str]) -> None:
        """Let those that audio may have to wait for come next after the audio."""
        if not self._asked or self.status.scheduling != "fifo":
            return
        running = {thread_id for thread_id, name in threads.items() if name in QUICK}
        for thread_id in running - self._lifted:
            self._take(SERVICE_PRIORITY, thread_id)  # one that ended meanwhile is refused, which is well
        self._lifted = running

    def stop(self) -> None:
        """As every process is. Idempotent."""
        housekeeper, self._housekeeper = self._housekeeper, None
        if housekeeper is not None:
            housekeeper.stop()

    @property
    def status(self) -> RealtimeStatus:
        """Any thread."""
        if not self._asked:
            return RealtimeStatus("other", False, "gateway.realtime is false")
        with self._lock:
            threads = list(self._threads.values())
        refused = next((one.why for one in threads if one.policy != "fifo"), "")
        fifo = bool(threads) and not refused
        why = "; ".join(part for part in (refused, self._memory.why) if part)
        return RealtimeStatus("fifo" if fifo else "other", self._memory.locked, why)
