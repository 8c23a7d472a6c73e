"""Memory is locked only where nothing can fail for it later."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from echostream.realtime.memory import few_heaps, give_back, lock_memory

LOCKS = """
from echostream.realtime.memory import lock_memory
import threading
answer = lock_memory()
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(40)]
[thread.start() for thread in threads]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(answer.locked, answer.why.replace(" ", "_") or "-", int(status["VmLck"].split()[0]),
      int(status["VmRSS"].split()[0]), int(status["VmSize"].split()[0]))
gate.set()
"""


def test_a_finite_limit_locks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts what is set aside, not what is used: later allocations would fail."""
    asked: list[int] = []

    def lock(flags: int) -> int:
        asked.append(flags)
        return 0

    monkeypatch.setattr("echostream.realtime.memory.capable", lambda which: False)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (8_388_608, 8_388_608))
    answer = lock_memory(lock)
    assert not answer.locked
    assert "RLIMIT_MEMLOCK is 8192 kB" in answer.why
    assert asked == []


def test_pages_are_locked_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def lock(flags: int) -> int:
        asked.append(flags)
        return 0

    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert lock_memory(lock).locked
    assert asked == [1 | 2 | 4]  # MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT of mlockall(2)


def test_a_refusal_of_the_kernel_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    answer = lock_memory(lambda flags: -1)
    assert not answer.locked
    assert answer.why


def test_forty_stacks_cost_what_they_use() -> None:
    """In a process of its own: what is locked stays so. A stack is 8 MB of address space."""
    output = subprocess.run([sys.executable, "-c", LOCKS], capture_output=True, text=True, check=True).stdout
    locked, why, locked_kb, resident_kb, size_kb = output.split()
    if locked != "True":
        pytest.skip(why.replace("_", " "))
    assert int(locked_kb) > 0
    assert int(size_kb) > 40 * 8000
    assert int(resident_kb) < 60_000


def test_heaps_are_few_and_what_is_free_goes_back() -> None:
    assert isinstance(few_heaps(), bool)
    assert isinstance(give_back(), bool)
