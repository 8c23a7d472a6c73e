"""Garbage is collected when nobody talks, and memory does not grow where somebody talks without end."""

from __future__ import annotations

import gc
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from echostream.realtime.garbage import (
    ENOUGH,
    LOADED,
    QUIET_EVERY_S,
    TOO_MANY,
    CollectionPlan,
    Housekeeper,
)


class Cycle:
    """Freed by the collector alone."""

    def __init__(self) -> None:
        self.me = self
        self.weight = bytearray(1000)


@pytest.fixture
def collector() -> Iterator[None]:
    """Whatever a test does to it."""
    was = gc.isenabled()
    yield
    (gc.enable if was else gc.disable)()


def test_nobody_talks_so_what_is_there_is_collected() -> None:
    plan = CollectionPlan(0.0)
    assert plan.generation(5.0, ENOUGH - 1, busy=False) is None
    assert plan.generation(10.0, ENOUGH, busy=False) == 1


def test_everything_is_walked_once_a_minute_and_not_under_a_talker() -> None:
    plan = CollectionPlan(0.0)
    assert plan.generation(QUIET_EVERY_S + 1, ENOUGH, busy=True) is None
    assert plan.generation(QUIET_EVERY_S + 2, 0, busy=False) == 2
    assert plan.generation(QUIET_EVERY_S + 3, 0, busy=False) is None


def test_talk_without_end_does_not_let_memory_grow() -> None:
    plan = CollectionPlan(0.0)
    assert plan.generation(5.0, TOO_MANY - 1, busy=True) is None
    assert plan.generation(10.0, TOO_MANY, busy=True) == 1


def test_old_cycles_do_not_pile_up_under_a_talker_who_never_ends() -> None:
    plan = CollectionPlan(0.0)
    walked = [at for at in range(0, 36_000, 5) if plan.generation(float(at), 0, busy=True) == 2]
    assert len(walked) == 9
    assert plan.generation(36_000.0 + QUIET_EVERY_S, 0, busy=False) == 2


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("who", ["busy", "also"])
def test_a_housekeeper_that_fails_leaves_the_garbage_to_python(
    who: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else memory would grow for ten years, and nobody be told."""

    def fails() -> bool:
        raise RuntimeError("a bug")

    gc.enable()
    busy: Callable[[], bool] = fails if who == "busy" else lambda: False
    also: Callable[[], object] = fails if who == "also" else lambda: None
    housekeeper = Housekeeper(busy, also, period_s=0.005)
    housekeeper.start()
    try:
        deadline_s = time.monotonic() + 5.0
        while not gc.isenabled() and time.monotonic() < deadline_s:
            time.sleep(0.005)
        assert gc.isenabled()
    finally:
        housekeeper.stop()
    assert "the housekeeper failed" in caplog.text


@pytest.mark.usefixtures("collector")
def test_python_does_not_collect_by_itself_meanwhile() -> None:
    housekeeper = Housekeeper(lambda: False, lambda: None, period_s=60.0)
    gc.enable()
    housekeeper.start()
    try:
        assert not gc.isenabled()
    finally:
        housekeeper.stop()
    assert gc.isenabled()


@pytest.mark.usefixtures("collector")
def test_memory_stays_flat_while_cycles_are_made_for_ever() -> None:
    """100 MB of cycles in all; what was collected by hand is seen to by the thread alone."""
    seen = threading.Event()
    housekeeper = Housekeeper(lambda: False, seen.set, period_s=0.005)
    gc.collect()
    tracemalloc.start()
    housekeeper.start()
    try:
        for _ in range(50):
            for _ in range(2000):
                Cycle()
            collected = housekeeper.collections
            for _ in range(400):
                if housekeeper.collections > collected:
                    break
                seen.clear()
                seen.wait(0.05)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        housekeeper.stop()
        tracemalloc.stop()
    assert housekeeper.collections >= 50
    assert peak < 20e6


@pytest.mark.usefixtures("collector")
def test_a_library_that_is_loaded_later_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hundred thousand objects are neither young nor garbage."""
    seen = threading.Semaphore(0)
    housekeeper = Housekeeper(lambda: False, seen.release, period_s=0.01)
    gc.collect()
    housekeeper.start()
    try:
        library = [[number] for number in range(20_000)]
        before = gc.get_freeze_count()
        for number in range(LOADED):
            monkeypatch.setitem(sys.modules, f"a_library.part_{number}", ModuleType("part"))
        assert all(seen.acquire(timeout=2.0) for _ in range(4))
        assert gc.get_freeze_count() > before + len(library) - 1000
    finally:
        housekeeper.stop()
    assert gc.get_freeze_count() == 0


def test_what_comes_besides_is_done_each_time() -> None:
    done = threading.Semaphore(0)
    housekeeper = Housekeeper(lambda: True, done.release, period_s=0.01)
    housekeeper.start()
    try:
        assert all(done.acquire(timeout=2.0) for _ in range(3))
    finally:
        housekeeper.stop()
