"""What a long run says of a gateway: looks at it become findings with limits, and a page. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

HOUR_S: Final = 3600.0
LONG_ENOUGH_H: Final = 1.0
"""In less, memory that is still being taken up would be called a leak."""
MOST_GROWTH_MB_A_DAY: Final = 10.0
MOST_GROWTH_FDS: Final = 8
MOST_GROWTH_THREADS: Final = 4
MOST_XRUNS_AN_HOUR: Final = 1.0
MOST_MISSING_FRAMES: Final = 0.002
"""Of those a clock of ours would have given: a card may be 100 ppm slow, a look late by some frames."""
MOST_TEMPERATURE_C: Final = 80.0
"""A Raspberry Pi slows its processor from here on."""


@dataclass(frozen=True, slots=True)
class Look:
    """The gateway at one moment. at_s: since the beginning. pid: None when it was not there, or hung.
    Counters are of the process, so they begin anew with another pid. away: channels that are not online, or
    whose card was there and is not. channels: those whose card is there, out of all_channels; a channel may
    have none.

    frames: captured of all channels whose card is there. late_p99_us: of wake-ups of audio threads, since the
    start. Sensors are None where the machine has none."""

    at_s: float
    pid: int | None
    healthy: bool = False
    away: tuple[str, ...] = ()
    channels: int = 0
    all_channels: int = 0
    frames: int = 0
    overruns: int = 0
    underruns: int = 0
    pss_mb: float = 0.0
    cpu_s: float = 0.0
    threads: int = 0
    fds: int = 0
    late_p99_us: float = 0.0
    late_max_us: float = 0.0
    temperature_c: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ok: None where there is nothing to judge by."""

    what: str
    found: str
    limit: str = ""
    ok: bool | None = None


def judge(looks: Sequence[Look], frame_ms: int = 20) -> list[Finding]:
    """Everything that can be said; at least two looks. ValueError with fewer."""
    if len(looks) < 2:
        raise ValueError("a run of which there are not two looks says nothing")
    return [*_life(looks), *_audio(looks, frame_ms), *_process(looks), *_machine(looks)]


def passed(findings: Sequence[Finding]) -> bool:
    """Nothing is beyond its limit."""
    return all(finding.ok is not False for finding in findings)


def render(looks: Sequence[Look], findings: Sequence[Finding], what: str) -> str:
    """The page, in Markdown. what: the gateway that was looked at."""
    hours = (looks[-1].at_s - looks[0].at_s) / HOUR_S
    verdict = "passed" if passed(findings) else "FAILED"
    lines = [f"# Soak: {what}", "", f"{verdict}: {hours:.2f} h, {len(looks)} looks.", ""]
    lines += ["| what | found | limit | |", "|---|---|---|---|"]
    words = {True: "ok", False: "**FAILED**", None: ""}
    lines += [f"| {one.what} | {one.found} | {one.limit} | {words[one.ok]} |" for one in findings]
    lines += [
        "",
        "| hour | memory MB | CPU % | threads | files | overruns | underruns | °C |",
        "|" + "---|" * 8,
    ]
    rows = _rows(looks)
    return "\n".join([*lines, *rows]) + "\n"


def as_json(looks: Sequence[Look], findings: Sequence[Finding]) -> str:
    """The same for machines, with every look."""
    document = {
        "passed": passed(findings),
        "findings": [asdict(one) for one in findings],
        "looks": [asdict(one) for one in looks],
    }
    return json.dumps(document, indent=1) + "\n"


def growth_a_day(points: Sequence[tuple[float, float]]) -> float:
    """Slope of a straight line through (seconds, value), for a day; 0 with fewer than two moments."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / max(1, count)
    mean_y = sum(y for _, y in points) / max(1, count)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * 24 * HOUR_S


def _life(looks: Sequence[Look]) -> list[Finding]:
    pids = [look.pid for look in looks if look.pid is not None]
    restarts = sum(a != b for a, b in pairwise(pids))
    silent = sum(look.pid is None for look in looks)
    sick = sum(look.pid is not None and not look.healthy for look in looks)
    outages = sorted({channel for look in looks for channel in look.away})
    cards = f"{min(look.channels for look in looks)} of {max(look.all_channels for look in looks)}"
    return [
        Finding("channels whose card was there all the time", cards),
        Finding("restarts", str(restarts), "0", restarts == 0),
        Finding("looks at which it said nothing", f"{silent} of {len(looks)}", "0", silent == 0),
        Finding("looks at which it was not healthy", f"{sick} of {len(looks)}", "0", sick == 0),
        Finding("channels that were away", ", ".join(outages) or "none", "none", not outages),
    ]


def _audio(looks: Sequence[Look], frame_ms: int) -> list[Finding]:
    hours = max(1e-9, (looks[-1].at_s - looks[0].at_s) / HOUR_S)
    found = []
    for name, counts in (
        ("overruns", [(look.pid, look.overruns) for look in looks]),
        ("underruns", [(look.pid, look.underruns) for look in looks]),
    ):
        total = _total(counts)
        allowed = max(1.0, MOST_XRUNS_AN_HOUR * hours)
        limit = f"{MOST_XRUNS_AN_HOUR:.0f} an hour"
        found.append(Finding(name, f"{total} ({total / hours:.1f} an hour)", limit, total <= allowed))
    expected = sum(
        before.channels * (after.at_s - before.at_s) * 1000 / frame_ms
        for before, after in pairwise(looks)
        if before.pid == after.pid is not None and before.channels == after.channels
    )
    moved = _total([(look.pid, look.frames) for look in looks])
    if expected:
        missing = 1 - moved / expected
        # One look may come half a second late.
        ok = missing <= MOST_MISSING_FRAMES or expected - moved <= 50 * max(look.channels for look in looks)
        limit = f"{MOST_MISSING_FRAMES:.1%}"
        found.append(
            Finding("captured frames that are missing", f"{missing:.2%} of {expected:.0f}", limit, ok)
        )
    last = looks[-1]
    late = f"p99 {last.late_p99_us / 1000:.1f} ms, longest {last.late_max_us / 1000:.1f} ms"
    return [*found, Finding("audio threads woken late", late)]


def _process(looks: Sequence[Look]) -> list[Finding]:
    lived = [look for look in looks if look.pid is not None]
    if len(lived) < 2:
        return []
    half = lived[len(lived) // 2 :]
    hours = (lived[-1].at_s - lived[0].at_s) / HOUR_S
    slope = growth_a_day([(look.at_s, look.pss_mb) for look in half])
    steady = hours >= LONG_ENOUGH_H
    memory = f"{lived[0].pss_mb:.1f} to {lived[-1].pss_mb:.1f} MB, {slope:+.1f} MB a day in the second half"
    seconds = max(1e-9, lived[-1].at_s - lived[0].at_s)
    cpu = _total([(look.pid, look.cpu_s) for look in lived]) / seconds * 100
    each = f", {cpu / lived[-1].channels:.1f} % a channel" if lived[-1].channels else ""
    limit = f"{MOST_GROWTH_MB_A_DAY:.0f} MB a day" if steady else f"judged from {LONG_ENOUGH_H:.0f} h on"
    tenth = max(1, len(half) // 10)
    found = [
        Finding("memory (PSS)", memory, limit, slope <= MOST_GROWTH_MB_A_DAY if steady else None),
        Finding("CPU of one core", f"{cpu:.1f} %{each}"),
    ]
    for name, most, values in (
        ("open files", MOST_GROWTH_FDS, [look.fds for look in half]),
        ("threads", MOST_GROWTH_THREADS, [look.threads for look in half]),
    ):
        early, late = max(values[:tenth]), max(values[-tenth:])
        found.append(Finding(name, f"{early}, later {late}", f"{most} more", late - early <= most))
    return found


def _machine(looks: Sequence[Look]) -> list[Finding]:
    found = []
    degrees = [look.temperature_c for look in looks if look.temperature_c is not None]
    if degrees:
        hot, limit = max(degrees), f"{MOST_TEMPERATURE_C:.0f} °C"
        found.append(Finding("temperature", f"at most {hot:.0f} °C", limit, hot < MOST_TEMPERATURE_C))
    for name, values in (
        ("under-voltage", [look.under_voltage for look in looks]),
        ("throttled", [look.throttled for look in looks]),
    ):
        told = [value for value in values if value is not None]
        if told:
            found.append(Finding(name, f"{sum(told)} of {len(told)} looks", "never", not any(told)))
    return found


def _total(counts: Sequence[tuple[int | None, int | float]]) -> int | float:
    """Of a counter that begins anew with every process, from the first look on."""
    lived = [(pid, count) for pid, count in counts if pid is not None]
    total: int | float = 0
    for (pid, count), (next_pid, next_count) in pairwise(lived):
        total += next_count - count if pid == next_pid else next_count
    return total


def _rows(looks: Sequence[Look]) -> list[str]:
    """The run in at most 24 lines, as each hour (or less) ended."""
    step = max(1, len(looks) // 24)
    rows = []
    for before, after in pairwise(looks[::step]):
        spans = after.at_s - before.at_s
        cpu = (after.cpu_s - before.cpu_s) / spans * 100 if before.pid == after.pid and spans > 0 else 0.0
        degrees = "" if after.temperature_c is None else f"{after.temperature_c:.0f}"
        rows.append(
            f"| {after.at_s / HOUR_S:.2f} | {after.pss_mb:.1f} | {cpu:.1f} | {after.threads} | {after.fds} | "
            f"{after.overruns} | {after.underruns} | {degrees} |"
        )
    return rows
