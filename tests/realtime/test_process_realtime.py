"""What a process did for real time is told as it is."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

from echostream.realtime.memory import Locked
from echostream.realtime.process import QUICK, RealTime
from echostream.realtime.scheduling import AUDIO_PRIORITY, SERVICE_PRIORITY, Scheduling


class Kernel:
    """Permits, or not; remembers who asked."""

    def __init__(self, why: str = "") -> None:
        self._why = why
        self.asked: list[tuple[int, int]] = []

    def take(self, priority: int, thread_id: int = 0) -> Scheduling:
        self.asked.append((priority, thread_id))
        return Scheduling("other", 0, self._why) if self._why else Scheduling("fifo", priority)


def made(kernel: Kernel, asked: bool = True, locked: Locked | None = None) -> RealTime:
    return RealTime(asked, kernel.take, lambda: locked or Locked(True))


def test_all_is_well() -> None:
    kernel = Kernel()
    realtime = made(kernel)
    realtime.enter("capture-fire")
    realtime.settle(lambda: False)
    try:
        status = realtime.status
        assert (status.scheduling, status.locked, status.why) == ("fifo", True, "")
        assert kernel.asked[0] == (AUDIO_PRIORITY, 0)
    finally:
        realtime.stop()


def test_one_refusal_is_enough_to_say_that_it_is_not_real_time() -> None:
    realtime = made(Kernel("not here"), locked=Locked(False, "no lock"))
    realtime.enter("capture-fire")
    realtime.settle(lambda: False)
    try:
        status = realtime.status
        assert (status.scheduling, status.locked) == ("other", False)
        assert status.why == "not here; no lock"
    finally:
        realtime.stop()


def test_who_did_not_ask_gets_nothing_and_garbage_is_kept_out_all_the_same() -> None:
    kernel = Kernel()
    realtime = made(kernel, asked=False)
    realtime.enter("capture-fire")
    realtime.settle(lambda: False)
    try:
        assert kernel.asked == []
        assert realtime.status.why == "gateway.realtime is false"
        assert not gc.isenabled()
    finally:
        realtime.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_threads_that_hold_the_interpreter_come_next_and_each_once() -> None:
    kernel = Kernel()
    realtime = made(kernel)
    realtime.enter("capture-fire")
    gate = threading.Event()
    names = ("coordinator", "filing", "udp")
    threads = [threading.Thread(target=gate.wait, name=name) for name in names]
    for thread in threads:
        thread.start()
    try:
        realtime.see_to_threads()
        realtime.see_to_threads()
        told = [Path(f"/proc/self/task/{thread.native_id}/comm").read_text().strip() for thread in threads]
    finally:
        gate.set()
        for thread in threads:
            thread.join()
    lifted = [thread_id for priority, thread_id in kernel.asked if priority == SERVICE_PRIORITY]
    by_name = {thread.name: lifted.count(thread.native_id or 0) for thread in threads}
    assert by_name == {"coordinator": 1, "filing": 0, "udp": 1}
    assert told == list(names), "as top -H shows them"


def test_nothing_is_lifted_where_audio_itself_was_refused() -> None:
    kernel = Kernel("no")
    realtime = made(kernel)
    realtime.enter("capture-fire")
    realtime.see_to_threads()
    assert kernel.asked == [(AUDIO_PRIORITY, 0)]


def test_what_works_for_seconds_never_comes_first() -> None:
    assert not QUICK & {"filing", "index", "retention", "s3", "report", "event-table", "record-settle"}
    assert not QUICK & {"esp32", "recorder"}, "they work as long as there are microphones"
