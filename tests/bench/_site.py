"""A whole gateway as the service runs it, on four virtual cards: a process of its own, and its server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ
from echostream.simulator.control_server import ControlServer
from echostream.simulator.microphone import Microphone
from echostream.simulator.virtual_cards import VirtualCards
from tests.bench._speech import speech

CARDS: Final = ("idle_1", "idle_2", "idle_3", "idle_4")
HISS_DBFS: Final = -60.0
ROOT: Final = Path(__file__).parents[2]
TONES_HZ: Final = (349.0, 433.7, 600.9, 788.5, 1153.4, 1321.2, 1092.4, 1232.2, 669.9, 879.0)


def hiss(duration_s: float = 10.0) -> NDArray[np.int16]:
    """What a receiver with a shut squelch gives a card."""
    noise = np.random.default_rng(7).standard_normal(round(duration_s * RATE_HZ))
    return np.round(noise * 32768 * 10 ** (HISS_DBFS / 20)).astype(np.int16)


def tone(hz: float, duration_s: float) -> NDArray[np.int16]:
    """A sine at -12 dBFS."""
    wave = np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)
    return np.round(8192 * wave).astype(np.int16)


def document(url: str, folder: Path, cards: tuple[str, ...] = CARDS) -> dict[str, Any]:
    """Half-duplex channels with voice-operated valves, recorded, each with ten two-tone pages to hear."""
    pairs = [(a, b) for a in TONES_HZ[:5] for b in TONES_HZ[5:7]]
    pages = [
        {"tone_id": f"page-{n}", "tone_a_hz": a, "tone_b_hz": b, "record_length_s": 5}
        for n, (a, b) in enumerate(pairs)
    ]
    return {
        "gateway": {"id": "idle", "affiliation_id": "idle"},
        "control_server": {"url": url, "probe_s": 0.2},
        "channels": [
            {"id": card, "card": card, "tot_s": 3600, "vox": {"enabled": True, "hang_ms": 10_000}}
            for card in cards
        ],
        "tones": {card: {"detect": True, "alert_tones": pages, "detect_new_tones": True} for card in cards},
        "recording": {"enabled": True, "directory": str(folder / "recordings")},
        "events": {"directory": str(folder / "events")},
    }


class Site:
    """Cards, a control server, microphones before the cards. The gateway is started by whoever looks."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """AudioError, LibraryMissing where there can be no virtual cards."""
        self.folder = folder
        self.cards = VirtualCards(CARDS, folder)
        stack.callback(self.cards.close)
        self.server = ControlServer("127.0.0.1", 0, aes_key="generate")
        self.server.start()
        stack.callback(self.server.stop)
        self._microphones: list[Microphone] = []
        stack.callback(self.hush)

    def quiet(self) -> None:
        """Only hiss before every microphone."""
        self._speak(hiss(), 0.0)

    def talk(self) -> None:
        """Somebody talks into every microphone without end."""
        self._speak(speech(30.0), 0.0)

    def page(self) -> None:
        """A page of ten that are known, and then speech, into the first microphone; hiss into the others."""
        self.quiet()
        self._microphones.pop(0).close()
        paged = np.concatenate((tone(TONES_HZ[0], 1.0), tone(TONES_HZ[5], 3.0), speech(8.0)[: 8 * RATE_HZ]))
        self._microphones.insert(0, Microphone(self.cards[CARDS[0]], paged, pause_s=5.0))

    def hush(self) -> None:
        """Nobody stands there."""
        for microphone in self._microphones:
            microphone.close()
        self._microphones = []

    def _speak(self, recording: NDArray[np.int16], pause_s: float) -> None:
        self.hush()
        for name in CARDS:
            self._microphones.append(Microphone(self.cards[name], recording, pause_s=pause_s))

    def gateway(self, settings: dict[str, Any], log: Path, *more: str) -> subprocess.Popen[str]:
        """`echostream run` with this configuration, as the unit starts it."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(settings), "utf-8")
        command = [sys.executable, "-m", "echostream", "run", "--config", str(path), "--no-live"]
        with log.open("wb") as stream:
            return subprocess.Popen(
                [*command, *more],
                env={**os.environ, **self.cards.environment(), "RUNTIME_DIRECTORY": str(self.folder)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                text=True,
            )
