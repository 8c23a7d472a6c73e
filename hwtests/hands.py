"""Somebody at the machine who unplugs and plugs in what the tests ask for.

A person reads it on the terminal. $ECHOSTREAM_HANDS names a program that does it instead: it is called with
"pull" or "plug" and the card's name.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import pytest

PERSON_S = 120.0
"""How long somebody may take to go to the machine."""
LOOK_S = 0.01


class Hands:
    """`ask` skips the test where nobody can help."""

    def __init__(self) -> None:
        self._program = os.environ.get("ECHOSTREAM_HANDS", "")

    def ask(self, what: str, card: str, words: str, done: Callable[[], bool]) -> float:
        """what: "pull" or "plug". words: for a person. The monotonic time at which it was seen to be done."""
        if self._program:
            subprocess.run([self._program, what, card], check=True, timeout=30)
        else:
            self._say(f"\n>>> {words} Within {PERSON_S:.0f} s.\n")
        deadline_s = time.monotonic() + PERSON_S
        while not done():
            if time.monotonic() > deadline_s:
                pytest.skip(f"nobody did it within {PERSON_S:.0f} s: {words}")
            time.sleep(LOOK_S)
        return time.monotonic()

    def _say(self, text: str) -> None:
        """On the terminal itself, because what a test prints is kept from it."""
        try:
            with open("/dev/tty", "w", encoding="utf-8") as terminal:
                terminal.write(text)
        except OSError:
            pytest.skip("no terminal on which somebody could be asked to unplug a card")
