"""kill -9 of whoever writes: what put() returned is there, and nothing is there by halves."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from echostream.spool.spool import Spool

REPOSITORY = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from echostream.spool.spool import Item, Spool
spool = Spool(Path(sys.argv[1]), 10_000_000)
while True:
    put = spool.put([Item(1, 1, "lane", "key", b"a" * 200), Item(1, 1, "lane", "key", b"b" * 200)])
    if put[0].number % 5 == 0:
        spool.done([put[0].number - 2])
    sys.stdout.write(f"{put[-1].number}\\n")
    sys.stdout.flush()
"""


def test_what_was_put_survives_kill_minus_nine(tmp_path: Path) -> None:
    path, chance, told = tmp_path / "s.sqlite3", random.Random(1), 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        ) as process:
            assert process.stdout is not None
            told = int(process.stdout.readline())
            time.sleep(chance.uniform(0.01, 0.1))
            process.kill()
            rest = process.stdout.read().splitlines()
        told = max([told, *(int(line) for line in rest[:-1])])
        with Spool(path, 10_000_000) as spool:
            assert not (tmp_path / "s.sqlite3.broken").exists()
            numbers = [one.number for one in spool.waiting(limit=1_000_000)]
            assert numbers[-1] >= told
            assert numbers[-1] % 2 == 0, "half a batch"
            assert spool.count == len(numbers)
            assert spool.bytes_waiting == sum(one.bytes for one in spool.waiting(limit=1_000_000))
