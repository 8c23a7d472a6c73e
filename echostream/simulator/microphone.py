"""What stands before a virtual card: somebody who speaks into it, and somebody who listens to it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import threading
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import Side
from echostream.hardware.audio_layout import one_side
from echostream.simulator.file_cards import read_wav
from echostream.simulator.virtual_cards import HEARS, PLAYS, VirtualCard, end

log = logging.getLogger(__name__)

_CHUNK_S: Final = 0.02
_PIPE_BYTES: Final = 16_384
"""170 ms of audio ahead of pacat: enough for a busy interpreter, and a word is not late by much."""
_LATENCY_MS: Final = 20
_RETRY_S: Final = 0.2
_JOIN_S: Final = 2.0


class _Client:
    """A `pacat` or `parec` and the thread that feeds or drains it; started again when the card comes back."""

    def __init__(self, card: VirtualCard, thread_name: str) -> None:
        self._card = card
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name=thread_name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. Idempotent."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            log.error("thread %s has not ended within %.0f s", self._thread.name, _JOIN_S)

    def _work(self) -> None:
        while not self._stopping.is_set():
            process = self._start() if self._card.plugged else None
            if process is not None:
                with contextlib.suppress(OSError):  # the card was pulled, and pacat ended with it
                    self._move(process)
                with self._lock:
                    self._process = None
                with contextlib.suppress(OSError):  # closing flushes into a pipe that nobody reads
                    end(process)
            self._stopping.wait(_RETRY_S)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=self._card.client_environment(),
            )
            return self._process

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _move(self, process: subprocess.Popen[bytes]) -> None:
        """Move audio until the process ends or `_stopping`."""
        raise NotImplementedError


class Microphone(_Client):
    """Speaks a recording into a virtual card, again and again, with a pause after each time.

    Thread `microphone-CARD`. A card that is pulled stops it; it goes on when the card is back.
    """

    def __init__(
        self, card: VirtualCard, recording: Path | NDArray[np.int16], *, pause_s: float = 2.0
    ) -> None:
        """`recording`: a WAV of any rate, or int16 at 48 kHz, shape (n,), or (n, 2) into a stereo card.

        AudioError for a file that cannot be read.
        """
        spoken = read_wav(recording) if isinstance(recording, Path) else recording
        self._channels = 1 if spoken.ndim == 1 else spoken.shape[1]
        chunk = int(_CHUNK_S * RATE_HZ)
        pause = round(pause_s * RATE_HZ)
        pause += -(len(spoken) + pause) % chunk
        rest = np.zeros((pause, *spoken.shape[1:]), np.int16)
        self._loop = np.concatenate((spoken, rest)).astype("<i2").tobytes()
        self._chunk_bytes = 2 * chunk * self._channels
        self._at = 0
        super().__init__(card, f"microphone-{card.name}")

    def _command(self) -> list[str]:
        options = ("--playback", f"--device={HEARS}", f"--latency-msec={_LATENCY_MS}")
        return self._card.client("pacat", *options, channels=self._channels)

    def _move(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        while not self._stopping.is_set():
            data = self._loop[self._at : self._at + self._chunk_bytes]
            while data:
                data = data[os.write(pipe, data) :]
            self._at = (self._at + self._chunk_bytes) % max(self._chunk_bytes, len(self._loop))


class Loudspeaker(_Client):
    """Keeps what a virtual card played. Thread `loudspeaker-CARD`."""

    def __init__(self, card: VirtualCard, *, side: Side = "mono", keep_s: float = 60.0) -> None:
        """`side`: of a stereo card. `keep_s`: older audio is forgotten."""
        self._side = side
        self._channels = 1 if side == "mono" else 2
        self._keep_bytes = 2 * self._channels * round(keep_s * RATE_HZ)
        self._heard = bytearray()
        self._heard_lock = threading.Lock()
        super().__init__(card, f"loudspeaker-{card.name}")

    def heard(self) -> Samples:
        """Everything kept so far, shape (n,), int16."""
        with self._heard_lock:
            whole = len(self._heard) // (2 * self._channels) * 2 * self._channels
            heard = np.frombuffer(bytes(self._heard[:whole]), np.int16)
        return one_side(heard.reshape(-1, self._channels), self._side)

    def clear(self) -> None:
        """Forget it."""
        with self._heard_lock:
            self._heard.clear()

    def _command(self) -> list[str]:
        options = (f"--device={PLAYS}.monitor", f"--latency-msec={_LATENCY_MS}")
        return self._card.client("parec", *options, channels=self._channels)

    def _move(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while data := process.stdout.read(4096):
            with self._heard_lock:
                self._heard += data
                surplus = max(0, len(self._heard) - self._keep_bytes)
                del self._heard[: surplus // (2 * self._channels) * 2 * self._channels]
