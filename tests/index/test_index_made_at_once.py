"""Several indexes are made at the same moment, as when a reload names another folder."""

from __future__ import annotations

import threading
from pathlib import Path

from echostream.index.door import open_index


def test_indexes_of_several_folders_are_made_at_the_same_moment(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(6)

    def make(folder: Path) -> None:
        folder.mkdir()
        together.wait(5.0)
        try:
            with open_index(folder, None) as index:
                assert not index.list().recordings
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(tmp_path / str(n),), name=f"make-{n}") for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert errors == []
