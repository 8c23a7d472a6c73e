"""kill -9 in the middle of writing: what was said to be on the disk is there, once, and the log goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

from echostream.event_log.files import LogFiles, day_files
from echostream.event_log.lines import decode
from echostream.event_log.reading import Wanted, read, tail
from echostream.notices.notice import Notice

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000
ROUNDS = 6

WRITER = f"""
import pathlib, sys
from echostream.event_log.files import LogFiles
from echostream.notices.notice import Notice
files = LogFiles(pathlib.Path(sys.argv[1]))
while True:
    batch = [Notice("page", {NOON_US} + n % 2 * {DAY_US}, "x" * 3000) for n in range(5)]
    print(*[one.number for one in files.append(batch)], flush=True)
"""


def test_killed_while_it_writes(tmp_path: Path) -> None:
    chance, acknowledged = random.Random(7), list[int]()
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            first = process.stdout.readline()
            threading.Event().wait(chance.uniform(0.0, 0.15))
            process.kill()
            said = [first, *process.stdout.read().splitlines(keepends=True)]
        process.wait(10)
        acknowledged += [int(number) for line in said if line.endswith("\n") for number in line.split()]
    assert len(acknowledged) >= 5 * ROUNDS
    LogFiles(tmp_path).append([Notice("page", NOON_US, "after"), Notice("page", NOON_US + DAY_US, "after")])
    numbers = [one.number for one in read(tmp_path)]
    assert numbers == sorted(set(numbers))
    assert set(acknowledged) <= set(numbers)
    assert [one.notice.text for one in tail(tmp_path, Wanted(), 2)] == ["after", "after"]
    for path in day_files(tmp_path):
        for line in path.read_bytes().splitlines():
            decode(line)
