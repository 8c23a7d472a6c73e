"""A process that is killed while it writes: the index opens, and says what the files say."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from recorded import recording, written

from echostream.archive.file_names import place_of
from echostream.index.door import FILE_NAME, open_index

WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from recorded import MINUTE_US, NOON_US, recording, written
from echostream.index.door import open_index

directory, first = Path(sys.argv[1]), int(sys.argv[2])
with open_index(directory) as index:
    for n in range(first, first + 100_000):
        index.changed([written(directory, recording(n, NOON_US + n * MINUTE_US, notes=f"note {{n}}"), 1)])
        if n % 3 == 0 and n > first:
            index.delete(recording(n - 1, NOON_US + (n - 1) * MINUTE_US).id)
        print(n, flush=True)
"""


def test_whenever_it_is_killed_the_index_is_whole_and_right(tmp_path: Path) -> None:
    chance = random.Random(4)
    program = WRITER.format(path=[path for path in sys.path if path])
    written(tmp_path, recording(0))
    for first in (1, 1000, 2000, 3000):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(3, 25)):
                assert process.stdout.readline()
            time.sleep(chance.random() * 0.01)
            process.kill()
        connection = sqlite3.connect(tmp_path / FILE_NAME)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("INSERT INTO recording_words(recording_words) VALUES ('integrity-check')")
        connection.close()
        with open_index(tmp_path) as index:
            index.reconcile()
            audio = tmp_path.glob("20*/*.wav")
            # What has no meta file yet was begun a moment ago: it is not looked at before it is quiet.
            files = {
                f"{one.parent.name}/{one.name}" for one in audio if place_of(tmp_path, one).meta.exists()
            }
            assert {one.path for one in index.all()} == files
            assert {one.path for one in index.search("note*").recordings} <= files
            assert not list(tmp_path.glob("20*/.meta/*.gone"))
