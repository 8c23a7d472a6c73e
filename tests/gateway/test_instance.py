"""One gateway of a name at a time, found by its lock; signals that arrive at the worst moment."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from echostream.instance import Instance, InstanceError, places, runtime_dir, signal_running, sweep
from echostream.signals import Waker


def test_second_of_a_name_is_refused_and_another_name_is_not(tmp_path: Path) -> None:
    with Instance("a", tmp_path):
        with pytest.raises(InstanceError, match=str(os.getpid())), Instance("a", tmp_path):
            pass
        with Instance("b", tmp_path):
            pass


def test_name_is_free_again_after_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with Instance("a", tmp_path):
            pass


def test_file_of_a_gateway_that_was_killed_signals_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.pid").write_text("1\n", "ascii")
    with pytest.raises(InstanceError, match="no gateway runs"):
        signal_running("a", signal.SIGHUP, tmp_path)


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="no gateway runs"):
        signal_running("a", signal.SIGHUP, tmp_path)


def test_running_gateway_gets_the_signal(tmp_path: Path) -> None:
    seen: list[int] = []
    with Waker((signal.SIGHUP,), seen.append) as waker, Instance("a", tmp_path):
        # flock belongs to the open file: this process may look at its own lock through another one
        assert signal_running("a", signal.SIGHUP, tmp_path) == os.getpid()
        assert waker.wait(2.0)
    assert seen == [signal.SIGHUP]


def test_a_service_is_found_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks after it has a folder of his own, and no gateway in it."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "own"))
    (tmp_path / "run" / "north").mkdir(parents=True)
    seen: list[int] = []
    with Waker((signal.SIGHUP,), seen.append) as waker, Instance("north", tmp_path / "run" / "north"):
        assert signal_running("north", signal.SIGHUP, *places("north", tmp_path / "run")) == os.getpid()
        assert waker.wait(2.0)
    with pytest.raises(InstanceError, match="no gateway runs"):
        signal_running("north", signal.SIGHUP, *places("north", tmp_path / "run"))
    assert not (tmp_path / "own").exists(), "who only looks makes nothing"


def test_root_is_not_sent_after_a_process_that_is_not_the_files_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder writes into the file what he likes."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with Instance("a", tmp_path):
        real = os.stat

        def stat(path: str | Path) -> os.stat_result:
            found = real(path)
            return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))

        monkeypatch.setattr(os, "stat", stat)
        with pytest.raises(InstanceError, match="no gateway runs"):
            signal_running("a", signal.SIGHUP, tmp_path)
        monkeypatch.undo()


def test_what_killed_runs_left_is_removed_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = [
        *(f"echostream-{dead.pid}-x7q", f"cards-{dead.pid}", f"echostream-{os.getpid()}-abc", "echostream-1"),
        *("north", f"recordings-{dead.pid}", "echostream-", "cards-0", "cards-99999999999"),
    ]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    assert sorted(path.name for path in sweep(tmp_path)) == [
        f"cards-{dead.pid}",
        f"echostream-{dead.pid}-x7q",
    ]
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_runtime_directory_of_systemd_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    assert runtime_dir() == tmp_path / "one"
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700


def test_thousand_signals_during_the_wait_hang_nothing() -> None:
    seen: list[int] = []
    with Waker((signal.SIGUSR1,), seen.append) as waker:
        done = threading.Event()

        def fire() -> None:
            for _ in range(1000):
                os.kill(os.getpid(), signal.SIGUSR1)
            done.set()
            waker.wake()

        thread = threading.Thread(target=fire, name="fire")
        thread.start()
        while not done.is_set():
            waker.wait(5.0)
        thread.join(5.0)
    assert seen


def test_waker_gives_the_handlers_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Waker((signal.SIGUSR1,), lambda number: None):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before


def test_wait_times_out_when_nothing_comes() -> None:
    with Waker((signal.SIGUSR1,), lambda number: None) as waker:
        assert not waker.wait(0.01)
        waker.wake()
        assert waker.wait(1.0)
        assert not waker.wait(0.0)
