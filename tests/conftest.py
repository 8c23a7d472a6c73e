"""The frame around every test: nothing may be left behind, and property tests repeat themselves exactly."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator

import leaks
import pytest
from hypothesis import settings

# The same inputs in every run: a new failure is a change of ours. --hypothesis-profile=search looks further.
settings.register_profile("echostream", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("echostream")

leaks.mark_this_run()
os.environ["ECHOSTREAM_PTT_GUARD"] = ""  # never the guard of a gateway that is installed on this machine
os.environ.pop("PYTHONUNBUFFERED", None)  # programs under test buffer their output as they do for anyone


def _leaves_nothing(what: str, orphans: bool) -> Iterator[None]:
    before = leaks.Snapshot.take(orphans)
    yield
    left = leaks.leaks_since(before, leaks.GRACE_S, orphans)
    if left:
        pytest.fail(f"{what} left behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def session_leaves_nothing() -> Iterator[None]:
    """Session fixtures end what they start."""
    yield from _leaves_nothing("the session's fixtures", orphans=True)


@pytest.fixture(autouse=True, scope="module")
def module_leaves_nothing(session_leaves_nothing: None) -> Iterator[None]:
    """Module fixtures end what they start, and no test leaves a process that daemonised."""
    yield from _leaves_nothing("this module", orphans=True)


@pytest.fixture(autouse=True)
def test_leaves_nothing(module_leaves_nothing: None) -> Iterator[None]:
    """A test ends what it starts; pytest takes this fixture down after all others of the test."""
    yield from _leaves_nothing("this test", orphans=False)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread that was left running, and reported above, must not keep the interpreter from ending."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread()]
    running = [one.name for one in others if not one.daemon]
    if running:
        sys.stdout.flush()
        sys.stderr.write(f"ended by force: still running are {', '.join(running)}\n")
        sys.stderr.flush()
        os._exit(pytest.ExitCode.TESTS_FAILED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where another sound server is installed, `make` leaves it, and PulseAudio out; CI has PulseAudio."""
    if shutil.which("pulseaudio") is not None or "CI" in os.environ:
        return
    skip = pytest.mark.skip(reason="no pulseaudio here: `make` says why, and real PortAudio is not tested")
    for item in items:
        if item.get_closest_marker("real_audio") is not None:
            item.add_marker(skip)
