"""What must hold on a booted Debian, in the order in which it is played. Each scene says what it saw."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Final

from tests.system.container import Failed
from tests.system.site import CONFIG, GUARD, KEYED, SERVICE, Site, note, repack

UNITS: Final = (SERVICE, GUARD)
TIMERS: Final = ("echostream-retention.timer", "echostream-report.timer")
MOST_EXPOSED: Final = 2.0
TRIAL_S: Final = 200.0
DROP_S: Final = 0.5


def check(holds: bool, what: str) -> None:
    """Raises Failed with what was expected."""
    if not holds:
        raise Failed(what)


def apt_install_brings_the_service_up(site: Site) -> None:
    began_s = time.monotonic()
    said = site.run("apt-get", "install", "-y", "--no-install-recommends", f"/srv/pins/{site.package.name}")
    note(f"apt install: {time.monotonic() - began_s:.1f} s; it said last:")
    note("\n".join(said.splitlines()[-12:]))
    if "did not start" in said:
        note(site.say("journalctl", "--no-pager", "-o", "cat", "-u", SERVICE))
    site.until_active()
    note(site.run("systemctl", "status", "--no-pager", "--lines=0", SERVICE))
    check("did not start" not in said, "it started at once")
    check(bool(site.status()), "a status line in `systemctl status`")
    site.until_active(10, GUARD)
    for timer in TIMERS:
        check(site.say("systemctl", "is-enabled", timer) == "enabled", f"{timer} is enabled")
    groups = site.run("id", "-nG", "echostream").split()
    check({"audio", "gpio", "plugdev"} <= set(groups), f"user echostream in audio, gpio, plugdev: {groups}")


def every_unit_is_hardened(site: Site) -> None:
    units = site.run("sh", "-c", "cd /lib/systemd/system && ls echostream*.service").split()
    for unit in units:
        name = unit.replace("@.", "@site.")
        said = site.run("systemd-analyze", "security", "--no-pager", name).splitlines()[-1]
        found = re.search(r": ([0-9.]+) ", said)
        check(found is not None, f"a score of {unit}: {said}")
        score = float(found.group(1)) if found else 10.0
        note(f"{unit}: {score}")
        check(score <= MOST_EXPOSED, f"{unit}: at most {MOST_EXPOSED}")


def a_press_goes_out_and_the_answer_keys_the_radio(site: Site) -> None:
    site.reaches_pins()
    took_s = site.until_active()
    note(f"active again after {took_s:.1f} s: {site.status()}")
    site.container.until(lambda: "2 of 2" in site.status() or "2 channels" in site.status(), 30)
    note(site.status())
    site.key_up()
    since_s = time.monotonic()
    note(f"keyed by the answer; down {site.dropped_s(since_s, 15.0):.1f} s later, when it was over")


def a_stopped_gateway_drops_its_lines_and_the_watchdog_restarts_it(site: Site) -> None:
    before = site.main_pid()
    site.key_up()
    since_s = time.monotonic()
    site.kill("STOP", before)
    down_s = site.dropped_s(since_s)
    note(f"line down {down_s * 1000:.0f} ms after SIGSTOP")
    check(down_s <= DROP_S, f"at most {DROP_S} s")
    took_s = site.container.until(lambda: site.main_pid() not in (0, before), 40)
    site.until_active()
    note(f"another process {took_s:.1f} s later; {site.status()}")
    check(site.pins.level(KEYED) == 0, "the line stays down")
    check("watchdog" in site.run("journalctl", "-u", SERVICE, "--no-pager").lower(), "the journal says so")


def a_killed_gateway_drops_its_lines(site: Site) -> None:
    before = site.main_pid()
    site.key_up()
    since_s = time.monotonic()
    site.kill("KILL", before)
    down_s = site.dropped_s(since_s)
    check(down_s <= DROP_S, f"down after {down_s:.2f} s: at most {DROP_S} s")
    held = site.pins.wait_held(KEYED, True, 1.0)
    note(
        f"line down {down_s * 1000:.0f} ms after SIGKILL; held inactive by {site.pins.consumer(KEYED) or '-'}"
    )
    check(held, "the guard goes on holding the line")
    site.container.until(lambda: site.main_pid() not in (0, before), 20)
    site.until_active()


def a_killed_guard_comes_back_with_its_lines_down(site: Site) -> None:
    before = site.main_pid(GUARD)
    gateway = site.main_pid()
    site.key_up()
    since_s = time.monotonic()
    site.kill("KILL", before)
    down_s = site.dropped_s(since_s)
    note(f"line down {down_s * 1000:.0f} ms after the guard's SIGKILL")
    check(down_s <= DROP_S, f"at most {DROP_S} s")
    site.container.until(lambda: site.main_pid(GUARD) not in (0, before), 10)
    check(site.main_pid() == gateway, "the gateway goes on")
    site.key_up()
    note("keyed again through the new guard")
    site.dropped_s(time.monotonic(), 15.0)


def both_killed_at_once_leave_nothing_keyed(site: Site) -> None:
    site.key_up()
    pids = [site.main_pid(unit) for unit in UNITS]
    since_s = time.monotonic()
    site.kill("KILL", *pids)
    down_s = site.dropped_s(since_s)
    note(f"line down {down_s * 1000:.0f} ms after both were killed")
    check(down_s <= DROP_S, f"at most {DROP_S} s")
    site.container.until(lambda: all(site.main_pid(unit) not in (0, *pids) for unit in UNITS), 20)
    site.until_active()


def stop_while_keyed_leaves_nothing_keyed(site: Site) -> None:
    site.key_up()
    since_s = time.monotonic()
    site.run("systemctl", "stop", SERVICE)
    note(f"stopped in {time.monotonic() - since_s:.1f} s, line down after {site.dropped_s(since_s):.2f} s")
    check(site.pins.wait_held(KEYED, True, 1.0), "the guard holds the line inactive while the gateway is off")
    began_s = time.monotonic()
    site.run("systemctl", "start", SERVICE)
    note(f"started to READY in {time.monotonic() - began_s:.1f} s")


def a_second_install_changes_nothing(site: Site) -> None:
    before = site.main_pid()
    said = site.run(
        "apt-get", "install", "-y", "--reinstall", "--no-install-recommends", f"/srv/pins/{site.package.name}"
    )
    note("\n".join(said.splitlines()[-4:]))
    config = json.loads(site.run("cat", "/etc/echostream/config.json"))
    check(config == CONFIG, "the configuration is as it was")
    site.until_active()
    note(f"process before {before}, after {site.main_pid()}")


def a_later_version_is_taken_after_its_trial(site: Site) -> None:
    later = repack(site.package, site.folder, "+later1")
    began_s = time.monotonic()
    note("\n".join(site.run("apt-get", "install", "-y", f"/srv/pins/{later.name}").splitlines()[-8:]))
    site.container.until(lambda: _settled(site), TRIAL_S)
    note(f"settled {time.monotonic() - began_s:.0f} s after the call")
    said = site.run("echostream", "versions")
    note(said)
    current = site.run("readlink", "/opt/echostream/current")
    check(current.endswith("+later1"), f"current is the later version: {current}")
    site.until_active()


def a_version_that_does_not_run_is_gone_back_from(site: Site) -> None:
    before = site.run("readlink", "/opt/echostream/current")
    broken = repack(site.package, site.folder, "+later2", broken=True)
    note("\n".join(site.say("apt-get", "install", "-y", f"/srv/pins/{broken.name}").splitlines()[-8:]))
    site.container.until(lambda: _settled(site), TRIAL_S)
    after = site.run("readlink", "/opt/echostream/current")
    note(site.run("echostream", "versions"))
    check(after == before, f"current is {after}, was {before}")
    site.until_active()
    note(site.status())


def remove_leaves_what_was_made_here(site: Site) -> None:
    site.run("touch", "/var/lib/echostream/made-here")
    note("\n".join(site.run("apt-get", "remove", "-y", "echostream").splitlines()[-4:]))
    check(site.say("systemctl", "is-active", SERVICE) != "active", "the service is off")
    left = site.say("sh", "-c", "grep -al '[/]opt/echostream' /proc/[0-9]*/cmdline 2>/dev/null")
    check(left == "", f"no process of it is left: {left}")
    for path in ("/etc/echostream/config.json", "/var/lib/echostream/made-here"):
        site.run("test", "-e", path)
    left = site.say(
        "sh", "-c", "ls -d /opt/echostream /usr/bin/echostream /lib/systemd/system/echostream* 2>/dev/null"
    )
    note(f"left: {left or 'nothing of the program'}")
    note("\n".join(site.run("apt-get", "purge", "-y", "echostream").splitlines()[-4:]))
    site.run("test", "-e", "/var/lib/echostream/made-here")


def _settled(site: Site) -> bool:
    return site.say("sh", "-c", "test -e /opt/echostream/trial.json && echo trial") != "trial"


SCENES: Final[tuple[Callable[[Site], None], ...]] = (
    apt_install_brings_the_service_up,
    every_unit_is_hardened,
    a_press_goes_out_and_the_answer_keys_the_radio,
    a_stopped_gateway_drops_its_lines_and_the_watchdog_restarts_it,
    a_killed_gateway_drops_its_lines,
    a_killed_guard_comes_back_with_its_lines_down,
    both_killed_at_once_leave_nothing_keyed,
    stop_while_keyed_leaves_nothing_keyed,
    a_second_install_changes_nothing,
    a_later_version_is_taken_after_its_trial,
    a_version_that_does_not_run_is_gone_back_from,
    remove_leaves_what_was_made_here,
)
