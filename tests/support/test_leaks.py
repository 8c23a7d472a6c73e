"""The watch over leaks, on tests that leak."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
GRACE_S = 0.4

LEAKY = """
import socket, subprocess, sys, threading, time
import pytest

KEEP = []
stop = threading.Event()

def nap():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])

def test_thread():
    threading.Thread(target=stop.wait, args=(600,), name="forgotten").start()

def test_socket():
    KEEP.append(socket.socket())

def test_pipe_and_file(tmp_path):
    import os
    KEEP.append(os.pipe())
    KEEP.append(open(tmp_path / "log", "w"))

def test_child():
    KEEP.append(nap())

def test_zombie():
    KEEP.append(subprocess.Popen(["true"]))
    time.sleep(0.1)

def test_socket_reopened_at_the_same_number():
    number = KEEP[0].fileno()
    KEEP[0].close()
    KEEP[0] = socket.socket()
    assert KEEP[0].fileno() == number

@pytest.fixture
def echo():
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.accept, name="tidy")
    thread.start()
    with socket.create_connection(server.getsockname()):
        thread.join()
    yield
    server.close()

def test_tidy(echo, tmp_path, capfd):
    child = nap()
    child.kill()
    child.wait()

def test_ends_within_the_grace():
    threading.Thread(target=time.sleep, args=(0.2,), name="ending").start()

def test_last():
    for thing in KEEP:
        if isinstance(thing, subprocess.Popen):
            thing.kill()
            thing.wait()
"""
LEAKING = re.findall(r"def (test_\w+)", LEAKY)[:6]
LEAKY_MODULE = '''
import subprocess
import pytest

@pytest.fixture(scope="module")
def daemon():
    """Leaves its parent, as `pulseaudio --daemonize` does."""
    subprocess.run(["sh", "-c", "sleep 5 >/dev/null 2>&1 & :"], check=True)

def test_uses(daemon):
    pass
'''


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of tests that leak, under this project's own conftest."""
    folder = tmp_path_factory.mktemp("leaky")
    frame = (REPOSITORY / "tests" / "conftest.py").read_text()
    (folder / "conftest.py").write_text(f"{frame}\nleaks.GRACE_S = {GRACE_S}\n")
    (folder / "test_leaky.py").write_text(LEAKY)
    (folder / "test_leaky_module.py").write_text(LEAKY_MODULE)
    support = REPOSITORY / "tests" / "support"
    settings = ["-c", "/dev/null", f"--rootdir={folder}", "-o", f"pythonpath={support}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--import-mode=importlib", *settings, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def left_behind(outcome: str, test: str) -> str:
    """What the error of `test` says, or "" where it has none."""
    pattern = rf"^_+ ERROR at teardown of {test} _+\n(.*?)(?=^_+ ERROR|^=+ )"
    found = re.search(pattern, outcome, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("test_thread", "threading.Thread 'forgotten'"),
        ("test_socket", "socket:["),
        ("test_pipe_and_file", "pipe:["),
        ("test_pipe_and_file", "/log"),
        ("test_child", "time.sleep(30)"),
        ("test_zombie", "nobody waited for it"),
        ("test_socket_reopened_at_the_same_number", "socket:["),
        ("test_uses", "sleep 5"),
    ],
)
def test_what_is_left_behind_fails_the_test_by_name(outcome: str, test: str, said: str) -> None:
    assert said in left_behind(outcome, test), outcome


def test_a_thread_is_shown_with_its_stack(outcome: str) -> None:
    assert "in wait" in left_behind(outcome, "test_thread"), outcome


def test_a_thread_that_runs_on_does_not_keep_pytest_from_ending(outcome: str) -> None:
    assert "ended by force: still running are forgotten" in outcome


def test_a_leak_is_reported_once(outcome: str) -> None:
    """By the test, and not by its module and the session once more."""
    reports = re.findall(r"^_+ ERROR at (?:setup|teardown) of (\w+) _+$", outcome, re.MULTILINE)
    assert reports == [*LEAKING, "test_uses"], outcome


def test_tidy_tests_pass(outcome: str) -> None:
    for test in ("test_tidy", "test_ends_within_the_grace"):
        assert f"PASSED test_leaky.py::{test}" in outcome, outcome
        assert not left_behind(outcome, test), outcome
