"""The process that sends: started when there is something to send, ended when there was nothing for a while.

See sending.py for why it is one, and what is said on its pipes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import echostream

log = logging.getLogger(__name__)

IDLE_S: Final = 60.0
END_S: Final = 1.0
COMMAND: Final = (sys.executable, "-m", "echostream.alerts.sending")


@dataclass(frozen=True, slots=True)
class Request:
    """One message to one address; number: by which its answer is known."""

    number: int
    url: str
    title: str
    body: str
    kind: str

    def __repr__(self) -> str:
        return f"Request({self.number})"


@dataclass(frozen=True, slots=True)
class Answer:
    """number 0: the process ended, and with it whatever it was sending."""

    number: int
    ok: bool
    text: str


class SendingProcess:
    """One thread at a time, but for its own that reads answers. on_answer: called from that thread: come and
    fetch it."""

    def __init__(self, on_answer: Callable[[], None], command: tuple[str, ...] = COMMAND) -> None:
        self._on_answer = on_answer
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._answers: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
        self._used_s = 0.0
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """None: there is none now."""
        return None if self._process is None else self._process.pid

    def ask(self, request: Request, now_s: float) -> bool:
        """Send this. False: not now, the process cannot be started or has just ended."""
        self._used_s = now_s
        if self._process is None and not self._start():
            return False
        assert self._process is not None
        assert self._process.stdin is not None
        line = {
            "number": request.number,
            "url": request.url,
            "title": request.title,
            "body": request.body,
            "kind": request.kind,
        }
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except OSError:
            self.end()
            return False
        return True

    def answers(self) -> list[Answer]:
        """Those that came since the last time."""
        found: list[Answer] = []
        with contextlib.suppress(queue.Empty):
            while True:
                start, answer = self._answers.get_nowait()
                if answer.number:
                    found.append(answer)
                elif self._process is not None and start == self.starts:
                    found.append(answer)
                    self.end()
        return found

    def rest(self, now_s: float) -> None:
        """Nothing is on its way: end it when that has been so for a while."""
        if self._process is not None and now_s - self._used_s > IDLE_S:
            self.end()

    def end(self) -> None:
        """At once, whatever it waits for. Takes END_S at most."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(OSError, ValueError):
            assert process.stdin is not None
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        if self._reader is not None:
            self._reader.join(END_S)
            self._reader = None

    def _start(self) -> bool:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=os.environ | {"PYTHONPATH": str(Path(echostream.__file__).parents[1])},
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the gateway, which has last words
            )
        except OSError as error:
            log.error("messages to people cannot be sent: %s: %s", self._command[0], error)
            return False
        self._process = process
        self.starts += 1
        self._reader = threading.Thread(
            target=self._read, args=(process, self.starts), name="alert-answers", daemon=True
        )
        self._reader.start()
        return True

    def _read(self, process: subprocess.Popen[str], start: int) -> None:
        assert process.stdout is not None
        with process.stdout as answers:
            for line in answers:
                try:
                    said = json.loads(line)
                    answer = Answer(int(said["number"]), bool(said["ok"]), str(said["text"]))
                except (ValueError, KeyError, TypeError):
                    continue  # a library that prints
                self._answers.put((start, answer))
                self._on_answer()
        self._answers.put((start, Answer(0, False, "the process that sends has ended")))
        self._on_answer()
