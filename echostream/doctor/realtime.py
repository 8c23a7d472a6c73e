"""Group `realtime`: how punctually this machine wakes a thread, and how the gateway's own threads fare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.realtime.governor import advice, governors
from echostream.realtime.scheduling import AUDIO_PRIORITY, group_scheduling, take_priority
from echostream.realtime.wakeups import EDGES_US, WakeupSnapshot, from_counts, measure
from echostream.service.health import Health

MEASURED: Final = Kind(
    "realtime.measured",
    Level.OK,
    "a thread under {policy} wakes up {p50_us:.0f} µs late in the middle, {p99_us:.0f} µs at the 99th "
    "percentile, {max_us:.0f} µs at worst ({count} wake-ups now): {picture}",
)
LATE: Final = Kind(
    "realtime.late",
    Level.WARNING,
    "a thread under {policy} wakes up {p99_us:.0f} µs late at the 99th percentile, {max_us:.0f} µs at worst "
    "({count} wake-ups now): {picture}",
    "{advice}",
)
NOT_FIFO_HERE: Final = Kind("realtime.not_measured", Level.NOTE, "SCHED_FIFO was not measured: {why}")
GATEWAY: Final = Kind(
    "realtime.gateway",
    Level.OK,
    "the gateway's audio threads under {policy} wake up {p50_us:.0f} µs late in the middle, {p99_us:.0f} µs "
    "at the 99th percentile, {max_us:.0f} µs at worst ({count} wake-ups since its start): {picture}",
)
GATEWAY_LATE: Final = Kind(
    "realtime.gateway_late",
    Level.WARNING,
    "the gateway's audio threads under {policy} wake up {p99_us:.0f} µs late at the 99th percentile, "
    "{max_us:.0f} µs at worst ({count} wake-ups since its start): {picture}",
    "{advice}",
)
FIFO: Final = Kind("realtime.fifo", Level.OK, "the gateway's audio threads run under SCHED_FIFO{locked}")
OTHER: Final = Kind(
    "realtime.other",
    Level.WARNING,
    "the gateway's audio threads are ordinary ones: {why}",
    "LimitRTPRIO=30 in the unit allows it (systemctl cat echostream shows whether a drop-in takes it away)",
)
NOT_LOCKED: Final = Kind(
    "realtime.not_locked",
    Level.NOTE,
    "the gateway's memory is not locked: parts of it may have to be read from the disk again{why}",
    "LimitMEMLOCK=infinity in the unit allows it",
)
XRUNS: Final = Kind(
    "realtime.xruns",
    Level.WARNING,
    "channel {channel}: {overruns} times captured audio was lost, {underruns} times there was none to play "
    "({minutes:.0f} minutes of audio)",
    "see the wake-ups, the processor's clock and the power above; USB: another port, a powered hub",
)
NO_XRUNS: Final = Kind("realtime.no_xruns", Level.OK, "no audio was lost or missing on {channels} channels")
GROUPS: Final = Kind(
    "realtime.groups",
    Level.NOTE,
    "this kernel shares real time out among control groups: a service may be refused SCHED_FIFO",
    "add rt_group_sched=0 to /boot/firmware/cmdline.txt, then reboot",
)
UNLIMITED: Final = Kind(
    "realtime.unlimited",
    Level.NOTE,
    "nothing stops a runaway real-time thread on this machine (sched_rt_runtime_us is -1)",
    "sudo sysctl kernel.sched_rt_runtime_us=950000",
)
MEASURE_S: Final = 2.5
LATE_US: Final = 5000.0
"""A frame is 20 ms, and what waits at the card for it is more; later than this it begins to matter."""
XRUNS_AN_HOUR: Final = 1.0
FRAMES_A_MINUTE: Final = 3000
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_GENERAL: Final = "`top` shows what else runs; a gateway should have its machine for itself"


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("realtime", "kernel", _kernel),
        Check("realtime", "gateway", _gateway),
        Check("realtime", "xruns", _xruns),
        Check("realtime", "wakeups", _ordinary, within_s=3 * MEASURE_S + 5, alone=True, slow=True),
        Check(
            "realtime", "wakeups under SCHED_FIFO", _fifo, within_s=3 * MEASURE_S + 5, alone=True, slow=True
        ),
    ]


def _kernel(world: World) -> list[Finding]:
    findings = []
    if group_scheduling(world.root):
        findings.append(GROUPS.at())
    if world.text("/proc/sys/kernel/sched_rt_runtime_us") == "-1":
        findings.append(UNLIMITED.at())
    return findings


def _ordinary(world: World) -> list[Finding]:
    found, _ = measure(MEASURE_S)
    return [_told(found, "the ordinary scheduler", MEASURED, LATE, world)]


def _fifo(world: World) -> list[Finding]:
    found, taken = measure(MEASURE_S, enter=lambda: take_priority(AUDIO_PRIORITY))
    if taken.policy != "fifo":
        return [NOT_FIFO_HERE.at(why=taken.why)]
    return [_told(found, "SCHED_FIFO", MEASURED, LATE, world)]


def _gateway(world: World) -> list[Finding]:
    health = _current(world)
    if health is None:
        return []
    state, ups = health.realtime, health.wakeups
    fifo = state.scheduling == "fifo"
    findings = []
    if fifo:
        findings.append(FIFO.at(locked=", its memory is locked" if state.locked else ""))
    else:
        findings.append(OTHER.at(why=state.why or "it is not permitted"))
    if not state.locked:
        findings.append(NOT_LOCKED.at(why=f" ({state.why})" if state.why and fifo else ""))
    if ups.count:
        try:
            found = from_counts(ups.counts, ups.max_us)
        except ValueError:
            return findings  # of a version with other buckets
        policy = "SCHED_FIFO" if fifo else "the ordinary scheduler"
        findings.append(_told(found, policy, GATEWAY, GATEWAY_LATE, world))
    return findings


def _xruns(world: World) -> list[Finding]:
    health = _current(world)
    if health is None or not health.channels:
        return []
    findings = []
    for name, channel in health.channels.items():
        minutes = max(channel.capture_frames, channel.playback_frames) / FRAMES_A_MINUTE
        lost = channel.overruns + channel.underruns
        if lost and lost > XRUNS_AN_HOUR * minutes / 60:
            findings.append(
                XRUNS.at(
                    name,
                    channel=name,
                    overruns=channel.overruns,
                    underruns=channel.underruns,
                    minutes=minutes,
                )
            )
    return findings or [NO_XRUNS.at(channels=len(health.channels))]


def _current(world: World) -> Health | None:
    return world.health if world.health is not None and world.health.current else None


def _told(found: WakeupSnapshot, policy: str, good: Kind, late: Kind, world: World) -> Finding:
    p99_us = found.percentile_us(0.99)
    kind = late if p99_us > LATE_US else good
    words = next((text for one in governors(world.root) if (text := advice(one, p99_us))), "") or _GENERAL
    return kind.at(
        "",
        {"policy": policy, **found.as_dict()},
        policy=policy,
        count=found.count,
        p50_us=found.percentile_us(0.5),
        p99_us=p99_us,
        max_us=found.max_us,
        picture=picture(found.counts),
        advice=words,
    )


def picture(counts: Sequence[int]) -> str:
    """The histogram on one line, from the first bucket that has something to the last; logarithmic."""
    used = [at for at, count in enumerate(counts) if count]
    if not used:
        return "nothing"
    first, last = used[0], used[-1]
    most = max(counts).bit_length()
    bars = "".join(
        " " if not count else _BLOCKS[round((len(_BLOCKS) - 1) * count.bit_length() / most)]
        for count in counts[first : last + 1]
    )
    low = EDGES_US[first - 1] if first else 0
    high = EDGES_US[min(last, len(EDGES_US) - 1)]
    return f"{_us(low)} |{bars}| {_us(high)}"


def _us(value: int) -> str:
    return f"{value} µs" if value < 1000 else f"{value / 1000:.0f} ms"
