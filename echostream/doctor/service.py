"""Group `service`: whether the gateway runs, by systemd and by what it writes of itself."""

from __future__ import annotations

from typing import Final

from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.trial_file import history, read_trial
from echostream.deploy.versions import current, previous
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.service.health import Health

NO_SYSTEMD: Final = Kind(
    "service.no_systemd", Level.NOTE, "systemd does not run here: whether the service runs is not looked at"
)
NOT_INSTALLED: Final = Kind(
    "service.not_installed",
    Level.NOTE,
    "is not installed",
    "sudo make install, or sudo apt install ./echostream_*.deb",
)
RUNS: Final = Kind("service.runs", Level.OK, "runs: {status}")
STOPPED: Final = Kind(
    "service.stopped",
    Level.FAILURE,
    "does not run ({state}{result})",
    "sudo systemctl start {unit}; `journalctl -u {unit} -n 50` says why it ended",
)
BEGINS: Final = Kind("service.begins", Level.NOTE, "is being started ({state})")
NOT_ENABLED: Final = Kind(
    "service.not_enabled",
    Level.WARNING,
    "does not start with the machine ({state})",
    "sudo systemctl enable {unit}",
)
RESTARTED: Final = Kind(
    "service.restarted",
    Level.WARNING,
    "was started again by itself, {count} times since the machine or somebody started it",
    "`journalctl -u {unit} -g 'watchdog|exited|Failed'` says why",
)
NO_WATCHDOG: Final = Kind(
    "service.no_watchdog",
    Level.WARNING,
    "runs without a watchdog: one that hangs stays so",
    "look for a drop-in that takes WatchdogSec away: systemctl cat {unit}",
)
FAILED: Final = Kind(
    "service.failed",
    Level.WARNING,
    "ended with an error the last time ({result})",
    "`journalctl -u {unit} -n 50` says why; then: sudo systemctl reset-failed {unit}",
)
TIMER_OFF: Final = Kind("service.timer_off", Level.WARNING, "is off", "sudo systemctl enable --now {unit}")
NO_MACHINE_WATCHDOG: Final = Kind(
    "service.no_machine_watchdog",
    Level.NOTE,
    "nobody restarts this machine when its kernel hangs, although it has a watchdog",
    "RuntimeWatchdogSec=15 in /etc/systemd/system.conf.d/watchdog.conf, section [Manager]; then reboot",
)
HEALTHY: Final = Kind("service.healthy", Level.OK, "the gateway {version} (process {pid}) is healthy")
UNHEALTHY: Final = Kind(
    "service.unhealthy",
    Level.FAILURE,
    "the gateway says that it is not healthy: {why}",
    "see the findings of the other groups; `journalctl -u echostream -n 50` says more",
)
TOLD: Final = Kind(
    "service.told",
    Level.WARNING,
    "the gateway says: {why}",
    "see the findings of the other groups; its log says since when: journalctl -u echostream",
)
STALE: Final = Kind(
    "service.stale",
    Level.FAILURE,
    "the gateway (process {pid}) has not said how it is for {age:.0f} s: it hangs",
    "systemd's watchdog restarts it; by hand: sudo systemctl restart echostream",
)
STARTING: Final = Kind("service.starting", Level.NOTE, "the gateway is starting{why}")
GONE: Final = Kind("service.gone", Level.NOTE, "no gateway runs now; the last one (process {pid}) has ended")
SILENT: Final = Kind("service.silent", Level.NOTE, "no gateway runs now")
UNREADABLE: Final = Kind(
    "service.unreadable", Level.WARNING, "what the gateway says of itself does not read: {why}", "restart it"
)
OFFLINE: Final = Kind(
    "service.offline",
    Level.WARNING,
    "channel {channel} is not on the control server",
    "see the group network, and whether the server has a channel of this id",
)
LINK_DOWN: Final = Kind(
    "service.link_down",
    Level.WARNING,
    "{link} is not connected: {why}",
    "see the groups network, mqtt and s3",
)
NO_GUARD: Final = Kind(
    "service.no_guard",
    Level.WARNING,
    "the guard of the keyed lines is a child of the gateway, not a service of its own",
    "sudo systemctl enable --now echostream-ptt-guard.socket; then restart echostream",
)
GUARD_RESTARTED: Final = Kind(
    "service.guard_restarted",
    Level.WARNING,
    "the guard of the keyed lines was started again {count} times",
    "`journalctl -u echostream-ptt-guard -n 50` says why",
)
GUARD_STOPPED: Final = Kind(
    "service.guard_stopped",
    Level.WARNING,
    "does not run ({state}), although the configuration has lines that key radios",
    "sudo systemctl start {unit}; `journalctl -u {unit} -n 50` says why it ended",
)
VERSION: Final = Kind("service.version", Level.OK, "version {current} is installed{previous}")
ON_TRIAL: Final = Kind(
    "service.on_trial",
    Level.NOTE,
    "version {new} is on trial ({phase}); if it is not well, {old} comes back by itself",
)
WENT_BACK: Final = Kind(
    "service.went_back",
    Level.WARNING,
    "the last upgrade, to {new}, was undone: {why}",
    "`echostream versions` and `journalctl -u echostream-trial` say more; then try the upgrade again",
)
TRIAL_BROKEN: Final = Kind(
    "service.trial_broken",
    Level.WARNING,
    "the trial of a version: {why}",
    "remove the file, restart the service",
)
TIMERS: Final = ("echostream-retention.timer", "echostream-report.timer")
GUARD: Final = "echostream-ptt-guard.service"
_SHOWN: Final = (
    *("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText", "WatchdogUSec"),
    "UnitFileState",
)
_MONTH_US: Final = 30 * 86_400 * 1_000_000


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("service", "units", _units, within_s=20.0),
        Check("service", "health", _health),
        Check("service", "versions", _versions),
    ]


def unit_of(world: World) -> str:
    """The service of this instance."""
    return "echostream.service" if world.instance == "echostream" else f"echostream@{world.instance}.service"


def _show(unit: str, world: World) -> dict[str, str] | None:
    """None: systemd does not run here. Without a unit of that name LoadState is not-found."""
    ran = world.run("systemctl", "show", unit, f"--property={','.join(_SHOWN)}")
    if ran.code != 0:
        return None
    return dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)


def _units(world: World) -> list[Finding]:
    unit = unit_of(world)
    if not world.path("/run/systemd/system").exists():
        return [NO_SYSTEMD.at()]
    told = _show(unit, world)
    if told is None:
        return [NO_SYSTEMD.at()]
    if told.get("LoadState") == "not-found":
        return [NOT_INSTALLED.at(unit)]
    return [*_main_unit(unit, told), *_beside(world), *_machine(world)]


def _main_unit(unit: str, told: dict[str, str]) -> list[Finding]:
    findings = []
    result = told.get("Result", "success")
    if told.get("ActiveState") in ("active", "reloading"):
        findings.append(RUNS.at(unit, status=told.get("StatusText") or told.get("SubState")))
        if told.get("WatchdogUSec", "0") in ("0", "infinity"):
            findings.append(NO_WATCHDOG.at(unit, unit=unit))
    elif told.get("ActiveState") == "activating":
        findings.append(BEGINS.at(unit, state=told.get("SubState")))
    else:
        reason = f", {result}" if result != "success" else ""
        findings.append(STOPPED.at(unit, unit=unit, state=told.get("ActiveState"), result=reason))
    if told.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "generated", "indirect"):
        findings.append(NOT_ENABLED.at(unit, unit=unit, state=told.get("UnitFileState") or "unknown"))
    restarts = told.get("NRestarts", "0")
    if restarts.isdigit() and int(restarts):
        findings.append(RESTARTED.at(unit, unit=unit, count=int(restarts)))
    return findings


def _beside(world: World) -> list[Finding]:
    """The guard, the timers, and what they start."""
    findings = []
    for unit in (GUARD, *TIMERS, *(timer.replace(".timer", ".service") for timer in TIMERS)):
        told = _show(unit, world)
        if told is None or told.get("LoadState") == "not-found":
            continue
        if unit == GUARD and told.get("ActiveState") not in ("active", "activating") and _keys(world):
            findings.append(GUARD_STOPPED.at(unit, unit=unit, state=told.get("ActiveState")))
        elif told.get("ActiveState") == "failed":
            findings.append(FAILED.at(unit, unit=unit, result=told.get("Result")))
        elif unit.endswith(".timer") and told.get("ActiveState") != "active":
            findings.append(TIMER_OFF.at(unit, unit=unit))
    return findings


def _keys(world: World) -> bool:
    channels = world.config.channels if world.config is not None else ()
    return any(channel.enabled and channel.key is not None for channel in channels)


def _machine(world: World) -> list[Finding]:
    """Whether systemd feeds the machine's own watchdog."""
    ran = world.run("systemctl", "show", "--property=RuntimeWatchdogUSec")
    off = ran.out.strip().partition("=")[2] in ("0", "infinity")
    return [NO_MACHINE_WATCHDOG.at()] if off and world.path("/dev/watchdog").exists() else []


def _health(world: World) -> list[Finding]:
    health = world.health
    if health is None:
        return [UNREADABLE.at(why=world.unread_health) if world.unread_health else SILENT.at()]
    if not health.current:
        lives = "echostream" in world.text(f"/proc/{health.pid}/cmdline")
        return [STALE.at(pid=health.pid, age=health.age_s()) if lives else GONE.at(pid=health.pid)]
    why = "; ".join(health.why)
    if not health.ready:
        return [STARTING.at(why=f" ({why})" if why else "")]
    if not health.healthy:
        return [UNHEALTHY.at(why=why or "it does not say why"), *_parts(health, world)]
    healthy = HEALTHY.at(version=health.version, pid=health.pid)
    return [healthy, *(TOLD.at(why=one) for one in health.why), *_parts(health, world)]


def _parts(health: Health, world: World) -> list[Finding]:
    """What is away, as far as `why` does not say it, and the guard."""
    server = health.links.get("server")
    findings = [
        LINK_DOWN.at(link=name, why=one.detail or "no reason is told")
        for name, one in health.links.items()
        if not one.up and not any(why.startswith(name) for why in health.why)
    ]
    if server is None or server.up:
        findings += [OFFLINE.at(channel=name) for name, one in health.channels.items() if not one.online]
    if health.guard.kind == "child" and world.path("/run/systemd/system").exists():
        findings.append(NO_GUARD.at())
    if health.guard.restarts:
        findings.append(GUARD_RESTARTED.at(count=health.guard.restarts))
    return findings


def _versions(world: World) -> list[Finding]:
    layout = Layout(world.root)
    now = current(layout)
    if now is None:
        return []
    before = previous(layout)
    findings = [VERSION.at(current=now, previous=f", {before} before it" if before else "")]
    try:
        trial = read_trial(layout)
    except DeployError as error:
        return [*findings, TRIAL_BROKEN.at(why=error)]
    if trial is not None:
        return [*findings, ON_TRIAL.at(new=trial.new, phase=trial.phase, old=trial.old)]
    ended = history(layout)
    if ended and ended[-1].outcome == "went back" and ended[-1].ended_us > world.now_us() - _MONTH_US:
        findings.append(WENT_BACK.at(new=ended[-1].new, why=ended[-1].why or "it was not healthy"))
    return findings
