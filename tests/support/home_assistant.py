"""Home Assistant itself, in an environment of its own: it judges what we publish for it.

The environment is made once for a clone, of requirements-home-assistant.txt, and takes about 320 MB. Only one
process makes it; others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PINS = REPOSITORY / "requirements-home-assistant.txt"
ENVIRONMENT = REPOSITORY / ".venv-home-assistant"
PROGRAM = Path(__file__).with_name("home_assistant_program.py")
MAKING_S = 480.0
ANSWER_S = 60.0


class CannotBeMade(Exception):
    """Why there is no Home Assistant here."""


def python() -> Path:
    """The interpreter that has Home Assistant; makes it first where there is none."""
    interpreter = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if interpreter is None:
        raise CannotBeMade("Home Assistant 2024.3 needs Python 3.11, and there is none here")
    stamp = ENVIRONMENT / "made-of"
    wanted = hashlib.sha256(PINS.read_bytes() + interpreter.encode()).hexdigest()
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(interpreter)
            stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "python"


def _make(interpreter: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(ENVIRONMENT), "--disable-pip-version-check"]
    pip += [
        "install",
        "-q",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-binary",
        "paho-mqtt",
        "-r",
        str(PINS),
    ]
    for command in ([interpreter, "-m", "venv", "--without-pip", str(ENVIRONMENT)], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING_S, check=False)
        except subprocess.TimeoutExpired:
            raise CannotBeMade(f"pip has not installed Home Assistant after {MAKING_S:.0f} s") from None
        if done.returncode != 0:
            raise CannotBeMade(f"pip could not install Home Assistant: {done.stderr.strip()[-300:]}")


def refusals(messages: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Topic -> why Home Assistant's own schemas refuse its discovery message."""
    found: dict[str, str] = json.loads(_run(["schemas"], json.dumps(list(messages))))
    return found


def _run(arguments: list[str], text: str) -> str:
    command = [str(python()), str(PROGRAM), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class HomeAssistant:
    """One that runs, with its MQTT integration connected to a broker on this machine."""

    def __init__(self, port: int, folder: Path) -> None:
        self._log = (folder / "home-assistant.log").open("w+")
        self._process = subprocess.Popen(
            [str(python()), str(PROGRAM), "run", str(port), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """Entity -> its state, and its attributes."""
        found: dict[str, dict[str, Any]] = self._ask({"do": "states"})
        return found

    def call(self, domain: str, service: str, entity: str, **values: object) -> None:
        """What a person does in its window."""
        self._ask(
            {"do": "call", "domain": domain, "service": service, "data": {"entity_id": entity, **values}}
        )

    def wait(self, so: Callable[[dict[str, dict[str, Any]]], bool], within_s: float = ANSWER_S) -> None:
        """Until the states are so."""
        deadline_s = time.monotonic() + within_s
        while not so(states := self.states()):
            assert time.monotonic() < deadline_s, f"{states}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _ask(self, question: dict[str, object]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log()
        return json.loads(line)
