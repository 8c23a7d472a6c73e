"""One TCP connection of a device: its first line, its stream, and when enough is enough."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol

from echostream.audio.device_ports import GapCause
from echostream.config.esp32_models import Relay
from echostream.network.esp32_admission import Refused, plain_address
from echostream.network.esp32_device import DeviceStream
from echostream.network.esp32_limits import FLOOD_REMEDY
from echostream.network.esp32_status import RelayCounters
from echostream.network.esp32_workers import RemoteStream
from echostream.wire.esp32_hello import Hello, Opening
from echostream.wire.strict_text import Malformed

READ_BYTES: Final = 1 << 16
"""Read at a time: two seconds of 16 kHz; the next device has its turn then."""
OPENING_BYTES: Final = 4096
"""Read at a time while it is not known how fast a device may send."""
BURST_BYTES: Final = 1 << 18
"""Read at most when the first audio is there: eight seconds of 16 kHz."""
LAST_BYTES: Final = 1 << 20
"""Read at most of a connection whose place is taken by another one."""
LINE_S: Final = 5.0
"""How long the rest of a hello line may take once its beginning is there."""
# 10 s of silence, then three probes 5 s apart: a device without power is noticed after 25 s.
_KEEP_ALIVE: Final = (
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)


class Desk(Protocol):
    """Who lets streams in and keeps the books."""

    counters: RelayCounters

    def admit(
        self, carrier: Connection, hello: Hello | None, now: float
    ) -> DeviceStream | RemoteStream | None: ...

    def keeps(self, stream: DeviceStream, hello: Hello | None, now: float) -> bool: ...

    def refuse(self, address: str, refusal: Refused, now: float) -> None: ...

    def end(self, stream: DeviceStream, cause: GapCause, detail: str, now: float) -> None: ...

    def rest(self, stream: DeviceStream, now: float) -> None: ...


class Connection:
    """Owns its socket. On the thread of whoever reads it.

    buffer: shared by all connections, READ_BYTES long. on_close(self): called before the socket is closed.
    watched_by: where the relay waits for it, None while it does not.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        desk: Desk,
        relay: Relay,
        buffer: memoryview,
        on_close: Callable[[Connection], None],
        now: float,
        opening: Opening | None = None,
    ) -> None:
        self.sock = sock
        self.address = plain_address(address)
        self.open = True
        self.opened_at_s = now
        self.stream: DeviceStream | None = None
        self.resume_at_s = 0.0
        self.watched_by: selectors.BaseSelector | None = None
        self._desk = desk
        self._relay = relay
        self._buffer = buffer
        self._on_close = on_close
        self._opening = opening or Opening()
        self._kept_since_s = now if self._opening.pending else None
        self._remote: RemoteStream | None = None
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # it was reset already: the first read will say so
            for level, option, value in _KEEP_ALIVE:
                sock.setsockopt(level, option, value)

    @property
    def often(self) -> bool:
        """It is read often: it may go on the air, or nobody knows yet who it is."""
        return self.stream is None or self.stream.talks

    def read(self, now: float) -> bool:
        """Take what is there. False: not now, `resume_at_s` says when; or it was closed."""
        stream, room = self.stream, OPENING_BYTES
        if stream is not None:
            room = min(stream.limit.room_bytes(now), READ_BYTES)
            if room < stream.least_bytes:
                self.resume_at_s = now + stream.limit.wait_s(stream.least_bytes)
                self._desk.counters.throttled += 1
                return False
        count = self._receive(room, now)
        if count > 0:
            self._take(self._buffer[:count], now)
        return self.open

    def begin(self, stream: DeviceStream, audio: bytes, now: float) -> None:
        """It was let in elsewhere; `audio` came with its first bytes."""
        self.stream = stream
        if audio:
            self._feed(stream, audio, now)

    def check(self, now: float) -> None:
        """What time alone decides; a few times a second."""
        if not self._opening.decided:
            self._check_opening(now)
        stream = self.stream
        if stream is None or not self.open:
            return
        stream.check(now)
        if now - stream.progress.at_s > self._relay.silence_s:
            self.close(f"silent for {self._relay.silence_s:.0f} s", now)
        elif stream.limit.floods(now):
            self._desk.rest(stream, now)
            self.close(FLOOD_REMEDY.format(stream.limit.speed(now)), now)

    def finish(self, now: float) -> None:
        """Another connection takes its place: hand on what has come already, then close the socket."""
        if self._remote is not None:
            self._remote.finish("device gone")
        left, stream = LAST_BYTES, self.stream
        while stream is not None and left > 0:
            try:
                count = self.sock.recv_into(self._buffer)
            except OSError:
                break
            if count == 0:
                break
            self._take(self._buffer[:count], now)
            left -= count
        self._close_socket()

    def judge_again(self, relay: Relay, now: float) -> None:
        """The rules changed: it goes on, goes on to others who take it, or ends and connects again."""
        self._relay = relay
        if self.stream is not None and not self._desk.keeps(self.stream, self._opening.hello, now):
            self.close("its settings changed", now, "stopped")

    def close(self, detail: str, now: float, cause: GapCause = "device gone") -> None:
        """End it, its stream too. Idempotent."""
        self._close_socket()
        if self.stream is not None:
            self._desk.end(self.stream, cause, detail, now)

    # ---- inside

    def _feed(self, stream: DeviceStream, data: bytes | memoryview, now: float) -> None:
        """The first audio goes with all that waits behind it in the kernel: a device that kept some sends it
        at once, and only of the whole burst can be said when its first sample was taken up."""
        if not stream.began:
            data = bytes(data)
            data += self._rest_of_burst(min(BURST_BYTES, stream.limit.room_bytes(now) - len(data)))
        # Not the time at which the round began: bytes may have come since, and none may seem to have come
        # before it was taken up.
        stream.feed(data, time.monotonic())

    def _rest_of_burst(self, left: int) -> bytes:
        parts: list[bytes] = []
        while self.open and left > 0:
            try:
                count = self.sock.recv_into(self._buffer, min(left, READ_BYTES))
            except OSError:
                break  # nothing more; an error will come again with the next read
            if count == 0:
                break
            parts.append(bytes(self._buffer[:count]))
            left -= count
        return b"".join(parts)

    def _close_socket(self) -> None:
        if self.open:
            self.open = False
            self._on_close(self)
            self.sock.close()

    def _receive(self, room: int, now: float) -> int:
        try:
            count = self.sock.recv_into(self._buffer, room)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self.close(f"connection lost: {error.strerror or error}", now)
            return 0
        if count == 0:
            self.close("it closed the connection", now)
        return count

    def _take(self, data: bytes | memoryview, now: float) -> None:
        if self.stream is not None and self._opening.decided:
            self._feed(self.stream, data, now)
            return
        try:
            audio = self._opening.feed(bytes(data))
        except Malformed as error:
            self._refuse(Refused("bad_hello", str(error)), now)
            return
        if not self._opening.pending:
            self._kept_since_s = None
        elif self._kept_since_s is None:
            self._kept_since_s = now
        self._opened(audio, now)

    def _opened(self, audio: bytes, now: float) -> None:
        """Let it in, once it is known who it is; hand on the audio that came with its first bytes."""
        if self.stream is None and (self._opening.hello is not None or self._opening.decided):
            stream = self._desk.admit(self, self._opening.hello, now)
            if isinstance(stream, RemoteStream):
                self._hand_over(stream, audio)
                return
            self.stream = stream
            if stream is None:
                self._close_socket()
        if self.stream is not None and audio:
            self._feed(self.stream, audio, now)

    def _hand_over(self, stream: RemoteStream, audio: bytes) -> None:
        """Another process serves it from here on. Here only the books know of it."""
        self._remote = stream
        self.open = False
        self._on_close(self)
        stream.hand_over(self.sock, self._opening, audio)

    def _check_opening(self, now: float) -> None:
        if self._kept_since_s is None:
            if self.stream is None and now - self.opened_at_s > self._relay.silence_s:
                self._refuse(Refused("says_nothing", "not a byte came"), now)
        elif self._opening.waits_for_line:
            if now - self._kept_since_s > LINE_S:
                self._refuse(Refused("bad_hello", f"no end of line within {LINE_S:.0f} s"), now)
        elif 1000 * (now - self._kept_since_s) > self._relay.hello_wait_ms:
            self._kept_since_s = None
            self._opened(self._opening.give_up(), now)

    def _refuse(self, refusal: Refused, now: float) -> None:
        self._desk.refuse(self.address, refusal, now)
        self.close(refusal.message, now)
