"""Something that may hang for minutes (a name server, a server that says nothing), done on a thread that can
be given up: whoever stops does not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from echostream.uploads.body import Stopped

T = TypeVar("T")

STUCK_S: Final = 180.0
"""Without a byte that leaves: more than the time-outs of the requests within."""
GRACE_S: Final = 2.0
"""After the cut, for what is in the middle of something."""
_LOOK_S: Final = 1.0


class Stuck(Exception):
    """Nothing has moved for too long, and it was given up."""


class Errand(Generic[T]):
    """One of it. The thread is a daemon: nobody waits for one that was given up."""

    def __init__(self, what: Callable[[Errand[T]], T]) -> None:
        """what: gets this errand, for `wait`, `moved` and `given_up`."""
        self._what = what
        self._cut = threading.Event()
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._moved_s = time.monotonic()
        self.given_up = False
        self._thread = threading.Thread(target=self._run, name="s3-request", daemon=True)

    # ---- for what is done

    def wait(self, seconds: float) -> bool:
        """True: it is to end."""
        return self._cut.wait(seconds) if seconds > 0 else self._cut.is_set()

    def moved(self) -> None:
        """It goes on."""
        self._moved_s = time.monotonic()

    # ---- for its owner

    def cut(self) -> None:
        """Ask it to end. Any thread, does not wait."""
        self._cut.set()

    def outcome(self, stuck_s: float = STUCK_S) -> T:
        """Do it, and what comes of it. Raises what it raises, Stopped after `cut`, Stuck."""
        self._thread.start()
        while not self._done.wait(_LOOK_S):
            if self._cut.is_set():
                break
            if time.monotonic() - self._moved_s > stuck_s:
                self.cut()
                self.given_up = True
                raise Stuck
        if not self._done.is_set() and not self._done.wait(GRACE_S):
            self.given_up = True
            raise Stopped
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._what(self))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            self._done.set()
