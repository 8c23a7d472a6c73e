"""Several indexes are made at the same moment, as when a reload names another folder."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from echostream.index.door import open_index

MANY = 6


def test_indexes_of_several_folders_are_made_at_the_same_moment(tmp_path: Path) -> None:
    together = threading.Barrier(MANY)

    def make(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        together.wait(5.0)
        with open_index(folder, None) as index:
            return len(index.list().recordings)

    with ThreadPoolExecutor(MANY, "make") as pool:
        assert list(pool.map(make, range(MANY))) == [0] * MANY
