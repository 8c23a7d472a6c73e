"""Between the gateway and a process of its own that serves streams: messages, and sockets that go with them.

Both ends are this program, and nobody else has the pipe: what comes out of it is trusted.
"""

from __future__ import annotations

import logging
import os
import pickle
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from echostream.audio.device_ports import GapCause
from echostream.config.esp32_models import Relay
from echostream.config.recording_models import Recording
from echostream.network.esp32_admission import Admitted
from echostream.network.esp32_status import DeviceStatus, RelayCounters
from echostream.wire.esp32_hello import Opening

log = logging.getLogger(__name__)

MAX_BYTES: Final = 1 << 17
BUFFER_BYTES: Final = 1 << 20
MAX_WAITING: Final = 8192
"""Messages that wait for the other end to read; beyond, it is taken for hung."""

DRAIN_S: Final = 2.0

Word = Literal["changed", "closed", "written"]


@dataclass(frozen=True, slots=True)
class Take:
    """Serve this stream; its socket comes along. audio: what came with its first bytes."""

    number: int
    name: str
    address: str
    admitted: Admitted
    opening: Opening
    audio: bytes


@dataclass(frozen=True, slots=True)
class End:
    """End this stream: hand on what has come already, then close it."""

    number: int
    cause: GapCause


@dataclass(frozen=True, slots=True)
class Follow:
    """Its settings changed: others take it from here on."""

    number: int
    admitted: Admitted


@dataclass(frozen=True, slots=True)
class Rules:
    """What one device may cost the others."""

    relay: Relay


@dataclass(frozen=True, slots=True)
class Record:
    """Record by this from now on; None: nothing."""

    recording: Recording | None
    gateway_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End every stream and recording in order."""


@dataclass(frozen=True, slots=True)
class Over:
    """A stream ended by itself. rest: it flooded, and is to be refused for a while. last: how it was."""

    number: int
    cause: GapCause
    detail: str
    rest: bool
    last: DeviceStatus


@dataclass(frozen=True, slots=True)
class Told:
    """What the recorder tells: a meta file that changed, one whose recording is whole, that it wrote."""

    word: Word
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """How some of the streams are; comes at least once a second, so that one that hangs is noticed."""

    streams: tuple[tuple[int, DeviceStatus], ...]
    counters: RelayCounters


@dataclass(frozen=True, slots=True)
class Failed:
    """A bug there, for the log and the events of the gateway."""

    worker: str
    error: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the log, with its traceback if there is one; the gateway knows where logs go."""

    logger: str
    level: int
    text: str


Message = Take | End | Follow | Rules | Record | Stop | Over | Told | Seen | Failed | Said


class Pipe:
    """One end. `send` on any thread, never blocks; the rest on the thread that owns it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self._waiting: deque[tuple[bytes, socket.socket | None]] = deque()
        self._lock = threading.Lock()
        self._gone = False

    @property
    def waiting(self) -> int:
        """Messages that the other end has not taken yet."""
        return len(self._waiting)

    @property
    def stuck(self) -> bool:
        """The other end does not read."""
        return len(self._waiting) > MAX_WAITING

    def send(self, message: Message, along: socket.socket | None = None) -> None:
        """In order, at once or with a later `flush`. The socket that goes along is closed here after that."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if len(data) > MAX_BYTES:
            raise ValueError(f"a message of {len(data)} bytes: expected at most {MAX_BYTES}")
        with self._lock:
            self._waiting.append((data, along))
            self._flush()

    def flush(self) -> None:
        """Send what could not go before."""
        if self._waiting:
            with self._lock:
                self._flush()

    def receive(self) -> list[tuple[Message, socket.socket | None]] | None:
        """What came; None: the other end is gone, and all that it said was received."""
        found: list[tuple[Message, socket.socket | None]] = []
        while True:
            try:
                data, handles, _, _ = socket.recv_fds(self.sock, MAX_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return found
            except OSError as error:
                log.debug("pipe: %s", error)
                return found or None
            if not data:
                return found or None
            along = socket.socket(fileno=handles[0]) if handles else None
            found.append((pickle.loads(data), along))  # from this program, see above

    def drain(self) -> None:
        """Wait until everything is said, or nobody listens any more. Bounded."""
        until_s = time.monotonic() + DRAIN_S
        while self._waiting and not self._gone and time.monotonic() < until_s:
            with selectors.DefaultSelector() as selector:
                selector.register(self.sock, selectors.EVENT_WRITE)
                selector.select(0.1)
            self.flush()

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            while self._waiting:
                _, along = self._waiting.popleft()
                if along is not None:
                    along.close()
            self._gone = True
            self.sock.close()

    def _flush(self) -> None:
        while self._waiting and not self._gone:
            data, along = self._waiting[0]
            try:
                socket.send_fds(self.sock, [data], [] if along is None else [along.fileno()])
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("pipe: %s", error)  # its reader notices that the other end is gone
                self._gone = True
            self._waiting.popleft()
            if along is not None:
                along.close()


def pipe_of(handle: int) -> Pipe:
    """The pipe at a descriptor that this process was started with. Children of its own do not inherit it."""
    return Pipe(socket.socket(fileno=os.dup(handle)))
