"""The thread that looks once a second: on time, ended at once, and not ended by a look that fails."""

from __future__ import annotations

import threading
import time
from typing import cast

import pytest

from echostream.coordinator import worker
from echostream.events import Event, WorkerFailed
from echostream.vitals import watch
from echostream.vitals.model import Vitals
from echostream.vitals.watch import VitalsWatch

VITALS = cast(Vitals, object())


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.02)
    monkeypatch.setattr(worker, "RESTART_MIN_S", 0.02)


def test_it_looks_again_and_again_and_ends_at_once() -> None:
    told: list[Vitals] = []
    enough = threading.Event()

    def tell(vitals: Vitals) -> None:
        told.append(vitals)
        if len(told) == 3:
            enough.set()

    one = VitalsWatch(lambda: VITALS, tell, lambda event: None)
    one.start()
    assert enough.wait(5)
    began_s = time.monotonic()
    one.request_stop()
    assert one.join(1.0)
    assert time.monotonic() - began_s < 0.5
    assert set(map(id, told)) == {id(VITALS)}


def test_a_look_that_fails_is_told_of_and_looked_again() -> None:
    events: list[Event] = []
    enough = threading.Event()
    failed = [OSError("a sensor"), ValueError("a bug")]

    def look() -> Vitals:
        if failed:
            raise failed.pop()
        return VITALS

    one = VitalsWatch(look, lambda vitals: enough.set(), events.append)
    one.start()
    assert enough.wait(5)
    one.request_stop()
    assert one.join(1.0)
    assert [event.name for event in events if isinstance(event, WorkerFailed)] == ["vitals", "vitals"]
