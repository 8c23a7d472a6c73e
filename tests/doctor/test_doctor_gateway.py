"""A service that does not run, hangs, was undone, or has another configuration than the one that is there."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from typing import Any

import pytest
from doctor_health import health
from doctor_machine import Machine, channel, document, findings

from echostream.deploy.layout import Layout
from echostream.deploy.trial_file import Ended, Trial, end_trial, write_trial
from echostream.doctor import configuration, realtime, service
from echostream.doctor.model import Level
from echostream.doctor.realtime import picture
from echostream.doctor.world import Ran
from echostream.realtime.scheduling import Scheduling
from echostream.realtime.wakeups import BUCKETS, EDGES_US, WakeupSnapshot
from echostream.service.health import ChannelHealth, GuardHealth, LinkHealth, RealtimeHealth, WakeUps

serve = partial(findings, service.checks)
configured = partial(findings, configuration.checks)
GOOD = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "StatusText": "1 of 1 channels up",
    "WatchdogUSec": "10s",
    "UnitFileState": "enabled",
}


def systemd(machine: Machine, unit: str = "echostream.service", **changes: str) -> None:
    """It runs, and shows this unit so; others are not there."""
    machine.write("/run/systemd/system/x")
    told = {**GOOD, **changes}
    text = "".join(f"{key}={value}\n" for key, value in told.items())
    machine.programs[f"systemctl show {unit}"] = Ran(0, text)
    machine.programs.setdefault("systemctl show zzz", Ran(0, "LoadState=not-found\n"))


# ---- by systemd


def test_a_machine_without_systemd_is_no_failure(machine: Machine) -> None:
    assert serve(machine.world())["service.no_systemd"][0].level is Level.NOTE


def test_a_service_that_runs_shows_its_status_line(machine: Machine) -> None:
    systemd(machine)
    [found] = serve(machine.world())["service.runs"]
    assert found.found == "runs: 1 of 1 channels up"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ActiveState": "failed", "Result": "watchdog"}, "service.stopped", "(failed, watchdog)"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "service.begins", "(auto-restart)"),
        ({"ActiveState": "inactive"}, "service.stopped", "systemctl start echostream.service"),
        ({"UnitFileState": "disabled"}, "service.not_enabled", "systemctl enable echostream.service"),
        ({"NRestarts": "7"}, "service.restarted", "7 times"),
        ({"WatchdogUSec": "0"}, "service.no_watchdog", "systemctl cat echostream.service"),
        ({"LoadState": "not-found"}, "service.not_installed", "make install"),
    ],
)
def test_a_service_that_is_not_well(machine: Machine, changes: dict[str, str], code: str, words: str) -> None:
    systemd(machine, **changes)
    [found] = serve(machine.world())[code]
    assert words in f"{found.found} {found.remedy}"


def test_what_stands_beside_the_service(machine: Machine) -> None:
    systemd(machine)
    systemd(machine, "echostream-report.service", ActiveState="failed", Result="exit-code")
    systemd(machine, "echostream-retention.timer", ActiveState="inactive")
    found = serve(machine.world())
    assert [one.place for one in found["service.failed"]] == ["echostream-report.service"]
    assert [one.place for one in found["service.timer_off"]] == ["echostream-retention.timer"]


def test_a_machine_that_nobody_restarts_when_it_hangs(machine: Machine) -> None:
    systemd(machine)
    machine.programs["systemctl show --property=RuntimeWatchdogUSec"] = Ran(0, "RuntimeWatchdogUSec=0\n")
    assert "service.no_machine_watchdog" not in serve(machine.world())
    machine.write("/dev/watchdog")
    assert "service.no_machine_watchdog" in serve(machine.world())
    machine.programs["systemctl show --property=RuntimeWatchdogUSec"] = Ran(0, "RuntimeWatchdogUSec=15s\n")
    assert "service.no_machine_watchdog" not in serve(machine.world())


def test_a_guard_that_does_not_run_matters_where_radios_are_keyed(machine: Machine) -> None:
    systemd(machine)
    systemd(machine, "echostream-ptt-guard.service", ActiveState="inactive")
    assert "service.guard_stopped" not in serve(machine.world())
    machine.configure(document(channels=[channel(key={"pin": 12})]))
    [found] = serve(machine.world())["service.guard_stopped"]
    assert found.place == "echostream-ptt-guard.service"


def test_another_instance_is_asked_for_by_its_name(machine: Machine) -> None:
    systemd(machine, "echostream@north.service", StatusText="north is up")
    found = serve(machine.world(instance="north"))
    assert [(one.place, one.found) for one in found["service.runs"]] == [
        ("echostream@north.service", "runs: north is up")
    ]


# ---- by what the gateway writes


def test_a_healthy_gateway_says_so_and_what_is_away(machine: Machine) -> None:
    told = health(
        status="1 of 2 channels up",
        why=("the last configuration that worked is in force",),
        channels={"fire": ChannelHealth(online=True), "ems": ChannelHealth(online=False)},
        links={"server": LinkHealth(True), "mqtt": LinkHealth(False, "timed out")},
        guard=GuardHealth(1, "child", 2),
    )
    found = serve(machine.world(health=told))
    assert found["service.healthy"][0].found.startswith("the gateway 0.2.0 (process ")
    assert "the last configuration that worked" in found["service.told"][0].found
    assert [one.found for one in found["service.offline"]] == ["channel ems is not on the control server"]
    assert [one.found for one in found["service.link_down"]] == ["mqtt is not connected: timed out"]
    assert "2 times" in found["service.guard_restarted"][0].found
    assert "service.no_guard" not in found  # without systemd there is no other
    machine.write("/run/systemd/system/x")
    assert "service.no_guard" in serve(machine.world(health=told))


def test_an_unhealthy_gateway_is_a_failure(machine: Machine) -> None:
    found = serve(machine.world(health=health(healthy=False, why=("fire: no frame for 6 s",))))
    assert found["service.unhealthy"][0].level is Level.FAILURE
    assert "fire: no frame for 6 s" in found["service.unhealthy"][0].found


def test_a_gateway_that_stopped_writing_hangs_or_is_gone(machine: Machine) -> None:
    assert "service.gone" in serve(machine.world(health=health(age_s=60)))
    machine.write(f"/proc/{os.getpid()}/cmdline", "/opt/echostream/current/bin/python\0-m\0echostream\0run")
    assert "service.stale" in serve(machine.world(health=health(age_s=8)))
    assert "service.starting" in serve(machine.world(health=health(ready=False, healthy=False)))
    assert "service.gone" in serve(machine.world(health=health(age_s=60, pid=2**22 + 1)))
    assert "service.silent" in serve(machine.world())
    assert "service.unreadable" in serve(machine.world(unread_health="no health file"))


def test_one_cause_is_told_once(machine: Machine) -> None:
    told = health(
        why=("server is away: Connection refused",),
        channels={"fire": ChannelHealth(online=False)},
        links={"server": LinkHealth(False, "Connection refused")},
    )
    assert set(serve(machine.world(health=told))) == {
        "service.no_systemd",
        "service.healthy",
        "service.told",
    }


# ---- versions


def install(machine: Machine, *ids: str) -> Layout:
    layout = Layout(machine.root)
    for version in ids:
        machine.write(f"/opt/echostream/versions/{version}/release.json", "{}")
    layout.current.symlink_to(f"versions/{ids[-1]}")
    if len(ids) > 1:
        layout.previous.symlink_to(f"versions/{ids[-2]}")
    return layout


def test_the_versions_that_are_installed(machine: Machine) -> None:
    install(machine, "0.1.0", "0.2.0")
    assert serve(machine.world())["service.version"][0].found == "version 0.2.0 is installed, 0.1.0 before it"


def test_a_version_on_trial_and_one_that_was_undone(machine: Machine) -> None:
    layout = install(machine, "0.1.0", "0.2.0")
    write_trial(layout, Trial("0.2.0", "0.1.0", None, began_us=1))
    assert "version 0.2.0 is on trial" in serve(machine.world())["service.on_trial"][0].found
    now_us = machine.world().now_us()
    end_trial(layout, Ended(1, now_us, "0.2.0", "0.1.0", "went back", "channel fire is not online"))
    [found] = serve(machine.world())["service.went_back"]
    assert "channel fire is not online" in found.found
    assert "service.went_back" not in serve(machine.world(now_us=lambda: now_us + 40 * 86_400 * 10**6))


def test_a_trial_that_does_not_read_is_told(machine: Machine) -> None:
    layout = install(machine, "0.2.0")
    layout.trial_file.write_text("[]")
    assert "service.trial_broken" in serve(machine.world())


# ---- the configuration


def test_a_configuration_in_force_names_its_channels(machine: Machine) -> None:
    machine.configure(document())
    assert configured(machine.world())["configuration.in_force"][0].found == "in force, channels: fire"


def test_everything_that_is_wrong_is_told_at_once(machine: Machine) -> None:
    bad = channel(id="second", ptt={"pin": 99})
    machine.configure(document(channels=[channel(), bad], gpio={"reread_ms": 1}))
    found = configured(machine.world())["configuration.refused"]
    assert any("gpio" in one.place for one in found)
    machine.configure(document(channels=[channel(), bad]))
    [dropped] = configured(machine.world())["configuration.dropped"]
    assert (dropped.level, dropped.place) == (Level.FAILURE, "channels[1].ptt.pin")


def test_a_configuration_that_only_root_may_read_wants_root(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.configure("{")
    monkeypatch.setattr("echostream.doctor.configuration.os.access", lambda path, mode: False)
    assert set(configured(machine.world())) == {"configuration.hidden"}


def test_no_configuration_and_no_channel(machine: Machine) -> None:
    assert "configuration.none" in configured(machine.world())
    machine.configure(document(channels=[channel(enabled=False)]))
    assert {"configuration.no_channel", "configuration.refused"} & set(configured(machine.world()))


def secret(**more: Any) -> dict[str, Any]:
    return {"url": "ws://127.0.0.1:9", "aes_key": more}


def test_a_secret_that_is_missing_is_named_without_its_value(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOSTREAM_TEST_KEY", "hush")
    machine.configure(document(control_server=secret(file="/no/such/key")))
    [found] = configured(machine.world())["configuration.secret"]
    assert (found.level, found.place) == (Level.FAILURE, "control_server.aes_key")
    machine.configure(document(control_server=secret(env="ECHOSTREAM_TEST_KEY")))
    told = configured(machine.world())
    assert told["configuration.secrets"][0].found == "all secrets that are needed can be read (1)"
    assert "hush" not in json.dumps([one.found for ones in told.values() for one in ones])


def test_a_secret_of_what_is_switched_off_is_not_missed(machine: Machine) -> None:
    machine.configure(document(mqtt={"enabled": False, "password": {"file": "/no/such/password"}}))
    assert "configuration.secret" not in configured(machine.world())


def test_a_configuration_that_was_changed_since_it_was_read(machine: Machine) -> None:
    path = machine.configure(document())
    same = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "configuration.changed" not in configured(machine.world(health=health(config_sha256=same)))
    [found] = configured(machine.world(health=health(config_sha256="0" * 64)))["configuration.changed"]
    assert found.remedy == f"echostream reload --config {path}"


# ---- real time


def figures(**fields: Any) -> dict[str, Any]:
    counts = [0] * BUCKETS
    for at, count in fields.pop("at", {7: 900, 9: 100}).items():
        counts[at] = count
    ups = WakeUps(
        sum(counts),
        100.0,
        400.0,
        2.0 ** max(at for at in range(BUCKETS) if counts[at]),
        tuple(map(float, EDGES_US)),
        tuple(counts),
    )
    return {"wakeups": ups, **fields}


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = (0, 0, 0, 0, 0, 0, 90, 10) + (0,) * (BUCKETS - 8)
    taken = WakeupSnapshot(counts, 110.0), Scheduling("other", 0, "RLIMIT_RTPRIO is 0")
    monkeypatch.setattr(realtime, "measure", lambda duration_s, enter=None: taken)


@pytest.mark.usefixtures("no_measuring")
def test_threads_under_fifo_with_locked_memory_are_fine(machine: Machine) -> None:
    told = health(realtime=RealtimeHealth("fifo", True), **figures())
    found = findings(realtime.checks, machine.world(health=told))
    assert "its memory is locked" in found["realtime.fifo"][0].found
    assert "(1000 wake-ups since its start)" in found["realtime.gateway"][0].found
    assert not {"realtime.other", "realtime.not_locked"} & set(found)
    assert "RLIMIT_RTPRIO is 0" in found["realtime.not_measured"][0].found


@pytest.mark.usefixtures("no_measuring")
def test_late_ordinary_threads_are_told_with_what_helps(machine: Machine) -> None:
    policy = "/sys/devices/system/cpu/cpufreq/policy0"
    machine.write(f"{policy}/scaling_governor", "powersave\n")
    machine.write(f"{policy}/scaling_available_governors", "powersave performance\n")
    told = health(
        realtime=RealtimeHealth("other", False, "RLIMIT_RTPRIO is 0"), **figures(at={7: 10, 15: 90})
    )
    found = findings(realtime.checks, machine.world(health=told))
    assert "RLIMIT_RTPRIO is 0" in found["realtime.other"][0].found
    assert "echo performance" in found["realtime.gateway_late"][0].remedy
    assert "realtime.not_locked" in found


@pytest.mark.usefixtures("no_measuring")
def test_audio_that_was_lost_counts_against_the_time_that_passed(machine: Machine) -> None:
    hour = 60 * 3000
    channels = {
        "well": ChannelHealth(capture_frames=100 * hour, overruns=3),
        "ill": ChannelHealth(capture_frames=hour, overruns=3, underruns=20),
    }
    found = findings(realtime.checks, machine.world(health=health(channels=channels)))
    assert [one.place for one in found["realtime.xruns"]] == ["ill"]
    assert "3 times captured audio was lost, 20 times" in found["realtime.xruns"][0].found


def test_wake_ups_are_really_measured_here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "MEASURE_S", 0.2)
    found = findings(realtime.checks, machine.world())
    [told] = [one for code in ("realtime.measured", "realtime.late") for one in found.get(code, [])][:1]
    count = told.data["count"]
    assert isinstance(count, int)
    assert count >= 1


def test_a_kernel_that_keeps_real_time_for_groups(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "MEASURE_S", 0.1)
    machine.write("/sys/fs/cgroup/cpu/cpu.rt_runtime_us", "950000\n")
    machine.write("/proc/sys/kernel/sched_rt_runtime_us", "-1\n")
    assert {"realtime.groups", "realtime.unlimited"} <= set(findings(realtime.checks, machine.world()))


def test_a_histogram_fits_on_a_line() -> None:
    assert picture([0] * BUCKETS) == "nothing"
    counts = [0] * BUCKETS
    counts[6], counts[8], counts[14] = 1000, 30, 1
    assert picture(counts) == "32 µs |█ ▅     ▂| 16 ms"
