"""The event log after kills and power cuts: in order, with everything that had the time to reach the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from echostream.event_log.files import day_files, log_directory
from echostream.event_log.lines import decode
from echostream.event_log.reading import read

SURE_S = 8.0
"""A gateway that lived so long had told of its start, and waited for the disk."""


def faults(directory: Path, lives_s: Sequence[float]) -> list[str]:
    """What is wrong with it. directory: events.directory; lives_s: how long each gateway lived."""
    found = list(read(log_directory(directory)))
    wrong = []
    numbers = [one.number for one in found]
    if numbers != sorted(set(numbers)):
        wrong.append("event log: numbers are given twice, or are not in the order of writing")
    starts = sum(one.notice.kind == "gateway" and one.notice.data.get("state") == "started" for one in found)
    sure = sum(life_s >= SURE_S for life_s in lives_s)
    if starts < sure:
        wrong.append(f"event log: {starts} starts of {sure} gateways that lived for more than {SURE_S:.0f} s")
    broken = sum(_broken(path) for path in day_files(log_directory(directory)))
    if broken:
        wrong.append(f"event log: {broken} lines do not read, and were not cut off")
    return wrong


def _broken(path: Path) -> int:
    count = 0
    for line in path.read_bytes().splitlines():
        try:
            decode(line)
        except ValueError:
            count += 1
    return count
