"""What is asked of the kernel, and what is said where it refuses."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from echostream.realtime.rights import SYS_NICE, capable
from echostream.realtime.scheduling import (
    AUDIO_PRIORITY,
    SERVICE_PRIORITY,
    Scheduling,
    group_scheduling,
    refusal,
    take_priority,
)

UNITS = Path(__file__).parents[2] / "systemd"
GUARD_UNIT = UNITS / "echostream-ptt-guard.service"


def on_a_thread(work: Callable[[], object]) -> object:
    """Whatever it does to its thread ends with it."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()), name="asked")
    thread.start()
    thread.join(5.0)
    return found[0]


def refuse(number: int) -> Callable[[int, int, os.sched_param], None]:
    def set_scheduler(thread_id: int, policy: int, parameter: os.sched_param) -> None:
        raise OSError(number, os.strerror(number))

    return set_scheduler


def test_who_drops_a_radio_comes_before_the_audio_and_the_kernel_before_both() -> None:
    """The guard takes what its unit permits."""
    units = [*UNITS.glob("echostream.service"), *UNITS.glob("echostream@.service"), GUARD_UNIT]
    limits = {unit.name: int(re.findall(r"(?m)^LimitRTPRIO=(\d+)$", unit.read_text())[-1]) for unit in units}
    assert len(limits) == 3
    assert all(0 < SERVICE_PRIORITY < AUDIO_PRIORITY < limit < 50 for limit in limits.values()), limits


def test_first_in_first_out_is_asked_for_and_not_inherited() -> None:
    asked: list[tuple[int, int, int]] = []

    def set_scheduler(thread_id: int, policy: int, parameter: os.sched_param) -> None:
        asked.append((thread_id, policy, parameter.sched_priority))

    assert take_priority(20, 77, set_scheduler) == Scheduling("fifo", 20)
    assert asked == [(77, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 20)]


def test_a_refusal_is_an_answer_with_a_remedy_and_no_error() -> None:
    got = take_priority(20, 0, refuse(errno.EPERM))
    assert got.policy == "other"
    assert got.priority == 0
    assert "SCHED_FIFO" in got.why


def status(root: Path, capabilities: int) -> None:
    """/proc/self/status, as far as it is read."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/status").write_text(f"Name:\tpython\nCapEff:\t{capabilities:016x}\nThreads:\t1\n")


def test_too_low_a_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to a root without the capability, as in a container."""
    status(tmp_path, ~(1 << SYS_NICE) & 2**40 - 1)
    monkeypatch.setattr("resource.getrlimit", lambda which: (0, 0))
    why = refusal(PermissionError(errno.EPERM, "no"), 20, tmp_path)
    assert "RLIMIT_RTPRIO is 0" in why
    assert "LimitRTPRIO=" in why


def test_a_kernel_that_shares_real_time_out_is_told_from_a_missing_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status(tmp_path, 1 << SYS_NICE)
    monkeypatch.setattr("resource.getrlimit", lambda which: (0, 0))
    kernel = tmp_path / "proc/sys/kernel"
    kernel.mkdir(parents=True)
    (kernel / "sched_rt_runtime_us").write_text("950000\n")
    error = PermissionError(errno.EPERM, "no")
    assert not group_scheduling(tmp_path)
    assert "container" in refusal(error, 20, tmp_path)
    group = tmp_path / "sys/fs/cgroup/cpu"
    group.mkdir(parents=True)
    (group / "cpu.rt_runtime_us").write_text("0\n")
    assert group_scheduling(tmp_path)
    assert "rt_group_sched=0" in refusal(error, 20, tmp_path)


def test_a_kernel_tells_by_its_configuration_where_its_files_do_not(tmp_path: Path) -> None:
    config = tmp_path / f"boot/config-{os.uname().release}"
    config.parent.mkdir()
    config.write_text("CONFIG_A=y\n# CONFIG_RT_GROUP_SCHED is not set\n")
    assert not group_scheduling(tmp_path)
    config.write_text("CONFIG_A=y\nCONFIG_RT_GROUP_SCHED=y\nCONFIG_B=y\n")
    assert group_scheduling(tmp_path)


@pytest.mark.parametrize("text", ["", "CapEff:", "CapEff:\tnone\n", "Name:\tpython\n"])
def test_what_does_not_read_is_no_right(tmp_path: Path, text: str) -> None:
    assert not capable(SYS_NICE, tmp_path)
    status(tmp_path, 0)
    (tmp_path / "proc/self/status").write_text(text)
    assert not capable(SYS_NICE, tmp_path)


def test_what_is_no_question_of_rights_is_said_as_it_is() -> None:
    assert os.strerror(errno.EINVAL) in take_priority(20, 0, refuse(errno.EINVAL)).why


def permitted() -> str:
    found = on_a_thread(lambda: take_priority(1).why)
    assert isinstance(found, str)
    return found


def test_a_thread_gets_it_where_the_system_permits_and_what_it_starts_is_ordinary() -> None:
    if why := permitted():
        pytest.skip(why)

    def work() -> tuple[int, int, object]:
        take_priority(AUDIO_PRIORITY)
        policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        return policy, os.sched_getparam(0).sched_priority, on_a_thread(lambda: os.sched_getscheduler(0))

    assert on_a_thread(work) == (os.SCHED_FIFO, AUDIO_PRIORITY, os.SCHED_OTHER)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
