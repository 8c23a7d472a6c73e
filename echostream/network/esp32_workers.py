"""The gateway's side of a process that serves streams: starts it, hands sockets over, hears what it says.

One that ends by itself, or says nothing for a while, is started again; its devices connect again. The streams
of one device go to the same process always, so that one has ended before the next one begins.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import echostream
from echostream.audio.device_ports import GapCause, StreamInfo
from echostream.config.esp32_models import Relay
from echostream.config.recording_models import Recording
from echostream.network.esp32_admission import Admitted
from echostream.network.esp32_pipe import (
    End,
    Follow,
    Message,
    Pipe,
    Record,
    Rules,
    Take,
)
from echostream.network.esp32_status import DeviceGlance, DeviceStatus, RelayCounters, glance_of, sum_of
from echostream.wire.esp32_hello import Hello, Opening

log = logging.getLogger(__name__)

MODULE: Final = "echostream.relay_worker"
SILENT_S: Final = 15.0
"""A process that says nothing for so long hangs: it speaks once a second."""
START_S: Final = 30.0
"""The same before its first word: a Pi under load imports for seconds."""
KILLED_S: Final = 0.5
"""For the end of one that was killed; the microphones that are on the air wait meanwhile."""
RESTART_MIN_S: Final = 0.5
RESTART_MAX_S: Final = 30.0


def _nothing(path: Path) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class RecordJob:
    """What the processes record by, and who is told of their files; called on the relay's thread."""

    recording: Recording
    gateway_id: str
    changed: Callable[[Path], None] = _nothing
    closed: Callable[[Path], None] = _nothing
    written: Callable[[], None] = lambda: None


class RemoteStream:
    """A stream that is served by another process, as the books have it."""

    over: Final = "tcp"
    talks: Final = False

    def __init__(
        self, admitted: Admitted, info: StreamInfo, hello: Hello | None, worker: StreamWorker, now: float
    ) -> None:
        self.admitted = admitted
        self.info = info
        self.hello = hello
        self.began_s = now
        self.seen: DeviceStatus | None = None
        self._worker = worker

    @property
    def heard_s(self) -> float:
        """Monotonic seconds at which audio last came, as told last."""
        seen = self.seen
        return self.began_s if seen is None or seen.heard_s is None else seen.heard_s

    def hand_over(self, sock: socket.socket, opening: Opening, audio: bytes) -> None:
        """From here on its bytes are read there."""
        info = self.info
        self._worker.streams[info.stream] = self
        self._worker.send(Take(info.stream, info.name, info.address, self.admitted, opening, audio), sock)

    def finish(self, cause: GapCause) -> None:
        """It ends there, after what has come already."""
        if self._worker.streams.pop(self.info.stream, None) is not None:
            self._worker.send(End(self.info.stream, cause))

    def end(self, cause: GapCause) -> None:
        """In the books it is over; those who take it are told where it is served."""
        self.finish(cause)

    def follow(self, admitted: Admitted, info: StreamInfo) -> None:
        """Its settings changed."""
        self.admitted, self.info = admitted, info
        self._worker.send(Follow(info.stream, admitted))

    def status(self, now: float, connections: int) -> DeviceStatus:
        """Any thread. As told last."""
        seen, admitted = self.seen, self.admitted
        if seen is not None:
            return replace(seen, connections=connections)
        return DeviceStatus(
            self.info.name,
            self.info.label,
            connected=True,
            known=admitted.known,
            quarantined=admitted.quarantined,
            address=self.info.address,
            rate_hz=admitted.rate_hz,
            sample_format=admitted.sample_format,
            stream=self.info.stream,
            since_s=self.began_s,
            connections=connections,
        )

    def glance(self) -> DeviceGlance:
        """Any thread. As told last."""
        seen = self.seen
        return glance_of(self.status(self.began_s, 0) if seen is None else seen)


@dataclass(slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    pipe: Pipe
    heard_s: float
    spoke: bool = False


class StreamWorker:
    """One process, started again whenever it ends. On the relay's thread."""

    def __init__(
        self, number: int, selector: selectors.BaseSelector, on_words: Callable[[StreamWorker, float], None]
    ) -> None:
        self.name = f"esp32-worker-{number}"
        self.streams: dict[int, RemoteStream] = {}
        self.counters = RelayCounters()
        self._selector = selector
        self._on_words = on_words
        self._running: _Running | None = None
        self._pause_s = RESTART_MIN_S
        self._start_at_s = 0.0
        self._past = RelayCounters()

    @property
    def running(self) -> bool:
        return self._running is not None

    def send(self, message: Message, along: socket.socket | None = None) -> None:
        """To the process, if it is there; a socket for one that is not there is closed."""
        if self._running is not None:
            self._running.pipe.send(message, along)
        elif along is not None:
            along.close()

    def keep_up(self, relay: Relay, record: Record, now: float) -> str:
        """Start it when it is due; find out that it is gone. Returns why it ended, "" while it did not."""
        running = self._running
        if running is None:
            if now >= self._start_at_s:
                self._start(relay, record, now)
            return ""
        running.pipe.flush()
        limit_s = SILENT_S if running.spoke else START_S
        if running.pipe.stuck or now - running.heard_s > limit_s:
            return self.end("it hangs", now)
        return ""

    def receive(self, now: float) -> tuple[list[Message], str]:
        """What it said, and why it ended, if so."""
        running = self._running
        if running is None:
            return [], ""
        came = running.pipe.receive()
        if came is None:
            return [], self.end("it ended", now)
        if came:
            running.heard_s = now
            if not running.spoke:
                running.spoke = True
                self._pause_s = RESTART_MIN_S
        return [message for message, _ in came], ""

    def end(self, why: str, now: float) -> str:
        """Kill what is left of it; the next start is due after a pause."""
        running, self._running = self._running, None
        if running is None:
            return ""
        self._selector.unregister(running.pipe.sock)
        running.pipe.close()
        running.process.kill()
        try:
            code = str(running.process.wait(KILLED_S))
        except subprocess.TimeoutExpired:  # a thread of it hangs in the disk: the kernel ends it when it can
            code = "not yet: its disk hangs"
        self._past = sum_of((self._past, self.counters))
        self.counters = RelayCounters()
        self._start_at_s = now + self._pause_s
        self._pause_s = min(RESTART_MAX_S, 2 * self._pause_s)
        return f"{why} (exit code {code})"

    def close(self, until_s: float) -> list[Message]:
        """After `Stop`: what it still said, until it is gone or the time is over."""
        running = self._running
        said: list[Message] = []
        if running is not None and not running.spoke and not self.streams:
            self.end("stopped", time.monotonic())  # it has nothing to close, and may still be starting
            running = None
        while running is not None:
            came = running.pipe.receive()
            if came is None:
                break
            said += [message for message, _ in came]
            running.pipe.flush()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                log.error("%s has not closed its recordings in time", self.name)
                break
            with selectors.DefaultSelector() as selector:
                selector.register(running.pipe.sock, selectors.EVENT_READ)
                selector.select(min(left_s, 0.1))
        if running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.0, until_s - time.monotonic()))
            self.end("stopped", time.monotonic())
        return said

    @property
    def counted(self) -> RelayCounters:
        """Of this process and those before it."""
        return sum_of((self._past, self.counters))

    def _start(self, relay: Relay, record: Record, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = str(Path(echostream.__file__).parents[1])
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": package},
                start_new_session=True,  # Ctrl-C is for the gateway, which ends this one in order
            )
        except OSError as error:
            ours.close()
            self._start_at_s = now + self._pause_s
            self._pause_s = min(RESTART_MAX_S, 2 * self._pause_s)
            log.error("%s cannot be started: %s", self.name, error)
            return
        finally:
            theirs.close()
        self._running = _Running(process, Pipe(ours), now)
        self._selector.register(ours, selectors.EVENT_READ, lambda at_s: self._on_words(self, at_s))
        self.send(Rules(relay))
        self.send(record)
