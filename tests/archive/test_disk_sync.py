"""What was written is on the disk soon, once for all files; a disk that is slow or refuses is told once."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from echostream.archive import disk_sync
from echostream.archive.disk_sync import DiskSync, sync_folder

PATIENCE_S = 10.0


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end_s:
        time.sleep(0.005)
    assert true()


@pytest.fixture
def synced_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times: list[float] = []
    monkeypatch.setattr(disk_sync, "sync_folder", lambda folder: times.append(time.monotonic()))
    return times


def test_a_folder_is_synchronised_by_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


def test_a_thousand_files_cost_one_sync(tmp_path: Path, synced_s: list[float]) -> None:
    worker = DiskSync(tmp_path, lambda event: None, period_s=0.2)
    worker.start()
    for _ in range(1000):
        worker.written()
    until(lambda: worker.synced > 0)
    time.sleep(0.5)
    worker.request_stop()
    assert worker.join(PATIENCE_S)
    assert 1 <= worker.synced <= 3  # one more for what came while the first one ran, one for the end
    assert all(later - earlier > 0.15 for earlier, later in pairwise(synced_s[:-1]))


def test_the_last_words_before_a_stop_are_on_the_disk(tmp_path: Path, synced_s: list[float]) -> None:
    worker = DiskSync(tmp_path, lambda event: None, period_s=60.0)
    worker.start()
    worker.written()
    until(lambda: worker.synced == 1)
    worker.written()
    worker.request_stop()
    assert worker.join(PATIENCE_S)
    assert len(synced_s) == 2


def test_a_disk_that_refuses_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk_sync, "sync_folder", refuse)
    worker = DiskSync(tmp_path, lambda event: None, period_s=0.01)
    with caplog.at_level(logging.WARNING):
        worker.start()
        for count in range(1, 4):
            worker.written()
            until(lambda: worker.failed >= count)  # noqa: B023 - called at once
        worker.request_stop()
        assert worker.join(PATIENCE_S)
    assert len(caplog.records) == 1
    assert "Input/output error" in caplog.text


def test_a_disk_that_is_slow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_sync, "SLOW_S", 0.02)
    monkeypatch.setattr(disk_sync, "sync_folder", lambda folder: time.sleep(0.05))
    worker = DiskSync(tmp_path, lambda event: None)
    with caplog.at_level(logging.WARNING):
        worker.start()
        worker.written()
        until(lambda: worker.synced > 0)
        worker.request_stop()
        assert worker.join(PATIENCE_S)
    assert worker.slowest_s >= 0.05
    assert "a power cut costs as much" in caplog.text
