"""The installed service is made to hang, and killed: it is back by itself, soon, and as it was.

Disturbs a gateway that is in use: sudo ECHOSTREAM_DISTURB=1 make hwtest ARGS="-k watchdog".
ECHOSTREAM_SERVICE names another unit (echostream@NAME.service).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echostream.service.health import Health, HealthError, find_health, read_health

UNIT = os.environ.get("ECHOSTREAM_SERVICE", "echostream.service")
INSTANCE = UNIT.removesuffix(".service").rpartition("@")[2]
START_S = 20.0
"""From its start to ready, cards and server included; READY at the latest 8 s after the start."""
ABORT_S, RESTART_S = 3.0, 2.0
"""TimeoutAbortSec= and RestartSec= of the unit."""
LOOK_S = 0.1


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"systemctl {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def shown(name: str) -> str:
    return systemctl("show", UNIT, f"--property={name}", "--value").strip()


def health() -> Health | None:
    """What the gateway wrote about itself a moment ago, or None."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    path = find_health(INSTANCE, Path(folder) if folder else None)
    if path is None:
        return None
    try:
        found = read_health(path)
    except HealthError:
        return None
    return found if found.current else None


def eventually(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(LOOK_S)
    return True


@pytest.fixture
def before() -> Health:
    """The running gateway, before it is disturbed."""
    if shutil.which("systemctl") is None:
        pytest.skip("no systemctl here")
    if os.environ.get("ECHOSTREAM_DISTURB") != "1":
        pytest.skip("set ECHOSTREAM_DISTURB=1 where the installed gateway may be stopped and killed")
    state = shown("ActiveState")
    if state != "active":
        pytest.skip(f"{UNIT} is {state or 'not there'}: sudo make install, then systemctl start {UNIT}")
    assert eventually(lambda: health() is not None, START_S), f"no health file of {INSTANCE} that is new"
    found = health()
    assert found is not None
    return found


def comes_back(before: Health, within_s: float) -> float:
    """Seconds until another process is ready, with every channel that was up before."""
    began_s = time.monotonic()

    def back() -> bool:
        now = health()
        return now is not None and now.pid != before.pid and now.ready

    assert eventually(back, within_s), f"not back within {within_s:.0f} s: {systemctl('show', UNIT)}"
    took_s = time.monotonic() - began_s
    up = {name for name, channel in before.channels.items() if channel.online}

    def as_before() -> bool:
        now = health()
        return now is not None and up <= {name for name, one in now.channels.items() if one.online}

    assert eventually(as_before, START_S), f"not all of {sorted(up)} are up again"
    assert shown("ActiveState") == "active"
    return took_s


def seconds(text: str) -> float:
    """Of what `systemctl show` prints: "10s", "1min 30s", "0"."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "": 1e-6}
    total = 0.0
    for word in text.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        total += float(number) * units[word.removeprefix(number)]
    return total


@pytest.mark.parametrize("signal_name", ["SIGSTOP", "SIGKILL", "SIGSEGV"])
def test_watchdog_and_manager_bring_it_back(before: Health, signal_name: str) -> None:
    watchdog_s = seconds(shown("WatchdogUSec"))
    assert 0 < watchdog_s <= 60
    restarts = int(shown("NRestarts"))
    systemctl("kill", "--kill-whom=main", f"--signal={signal_name}", UNIT)
    hang_s = watchdog_s + ABORT_S if signal_name == "SIGSTOP" else 0.0
    took_s = comes_back(before, hang_s + RESTART_S + START_S)
    print(f"{signal_name}: ready again after {took_s:.1f} s")
    assert int(shown("NRestarts")) == restarts + 1
    if signal_name == "SIGSTOP":
        assert took_s > watchdog_s / 2 - 1, "it was not the watchdog"
