"""Serves streams in a process of its own: those that are only recorded, when one core is full.

The gateway accepts a device, judges it and hands its socket over; here its bytes become samples, and the
samples a recording. What there is to tell goes back over the pipe. The gateway's end is the end of this.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from echostream.audio.device_ports import DeviceSink, GapCause, StreamInfo
from echostream.config.esp32_models import DeviceDefaults, Relay
from echostream.errors import StateError
from echostream.network.esp32_admission import Refused
from echostream.network.esp32_connection import READ_BYTES, Connection
from echostream.network.esp32_device import DeviceStream, bytes_per_s
from echostream.network.esp32_limits import SpeedLimit
from echostream.network.esp32_pipe import End, Follow, Message, Over, Pipe, Record, Rules, Seen, Stop, Take
from echostream.network.esp32_rounds import Rounds
from echostream.network.esp32_status import DeviceStatus, RelayCounters

log = logging.getLogger(__name__)

SEEN_EVERY_S: Final = 1.0
SEEN_AT_ONCE: Final = 50
"""Streams in one message."""


class Recorders(Protocol):
    """Who records what is served here."""

    def record_with(self, record: Record) -> None:
        """From now on by these settings. Every stream opened before was ended."""
        ...

    def open(self, info: StreamInfo, settings: DeviceDefaults) -> Sequence[DeviceSink]: ...

    def lost_s(self) -> dict[str, float]:
        """Of each device that is being written at this moment: audio that found its queue full."""
        ...


class StreamServer:
    """`run` until the pipe says so, or breaks. All of it on one thread."""

    def __init__(self, pipe: Pipe, relay: Relay, recorders: Recorders) -> None:
        self.counters = RelayCounters()
        self._pipe = pipe
        self._relay = relay
        self._recorders = recorders
        self._rounds = Rounds()
        self._rounds.often.register(pipe.sock, selectors.EVENT_READ)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._by_number: dict[int, Connection] = {}
        self._resting = set[int]()
        self._seen_at_s = 0.0
        self._over = False

    def run(self) -> None:
        """Serve, then end every stream."""
        try:
            while not self._over:
                self._round()
        finally:
            now = time.monotonic()
            for connection in list(self._by_number.values()):
                connection.finish(now)
                if connection.stream is not None:
                    self.end(connection.stream, "stopped", "the relay stops", now)
            self._rounds.close()

    # ---- what a connection asks of its desk

    def admit(self, carrier: Connection, hello: object, now: float) -> DeviceStream | None:
        """Never here: whoever comes was let in by the gateway."""
        raise StateError("a stream that was handed over asks to be let in")

    def keeps(self, stream: DeviceStream, hello: object, now: float) -> bool:
        """The gateway judges."""
        return True

    def refuse(self, address: str, refusal: Refused, now: float) -> None:
        """It spoke out of turn; that its stream is over is told as such."""
        log.warning("device at %s refused: %s", address, refusal.message)

    def end(self, stream: DeviceStream, cause: GapCause, detail: str, now: float) -> None:
        """A stream is over."""
        number = stream.info.stream
        if self._by_number.pop(number, None) is None:
            return
        stream.end(cause)
        last = stream.status(now, 0)
        self._pipe.send(Over(number, cause, detail, number in self._resting, last))
        self._resting.discard(number)

    def rest(self, stream: DeviceStream, now: float) -> None:
        """It flooded."""
        self._resting.add(stream.info.stream)

    # ---- inside

    def _round(self) -> None:
        rounds, now = self._rounds, time.monotonic()
        due_at_s = min(self._seen_at_s, rounds.due_at_s)
        ready = rounds.often.select(max(0.0, due_at_s - now))
        now = time.monotonic()
        if ready:
            self._hear(now)
        rounds.read_seldom(now)
        if rounds.check_due(now):
            rounds.check(now)
        if now >= self._seen_at_s:
            self._seen_at_s = now + SEEN_EVERY_S
            self._tell_seen(now)
        self._pipe.flush()
        self._over = self._over or self._pipe.stuck

    def _hear(self, now: float) -> None:
        messages = self._pipe.receive()
        if messages is None:
            self._over = True
            return
        for message, along in messages:
            self._obey(message, along, now)

    def _obey(self, message: Message, along: socket.socket | None, now: float) -> None:
        match message:
            case Take() if along is not None:
                self._take(message, along, now)
            case End(number, cause):
                connection = self._by_number.get(number)
                if connection is not None and connection.stream is not None:
                    connection.finish(now)
                    self.end(connection.stream, cause, "", now)
            case Follow(number, admitted):
                connection = self._by_number.get(number)
                if connection is not None and connection.stream is not None:
                    connection.stream.admitted = admitted
                    self._open_anew(connection.stream)
            case Rules(relay):
                self._relay = relay
                for connection in self._by_number.values():
                    connection.judge_again(relay, now)
            case Record():
                self._record_with(message)
            case Stop():
                self._over = True

    def _take(self, take: Take, sock: socket.socket, now: float) -> None:
        admitted = take.admitted
        info = StreamInfo(
            *(take.name, admitted.label, admitted.rate_hz, take.address, take.number),
            known=admitted.known,
            quarantined=admitted.quarantined,
        )
        limit = SpeedLimit(bytes_per_s(admitted), self._relay.most_speed, self._relay.burst_s, now)
        stream = DeviceStream(admitted, info, limit, self.counters, now, "tcp")
        connection = Connection(
            sock, take.address, self, self._relay, self._buffer, self._rounds.forget, now, take.opening
        )
        self._by_number[take.number] = connection
        stream.set_sinks(self._sinks_of(stream))
        connection.begin(stream, take.audio, now)
        self._rounds.add(connection)

    def _record_with(self, record: Record) -> None:
        streams = [one.stream for one in self._by_number.values() if one.stream is not None]
        for stream in streams:
            stream.end_sinks("stopped")
        self._recorders.record_with(record)
        for stream in streams:
            self._open_anew(stream)

    def _open_anew(self, stream: DeviceStream) -> None:
        stream.end_sinks("stopped")
        stream.set_sinks(self._sinks_of(stream))

    def _sinks_of(self, stream: DeviceStream) -> Sequence[DeviceSink]:
        try:
            return self._recorders.open(stream.info, stream.admitted.settings)
        except Exception:  # what is wrong with one device is no matter of the others
            self.counters.sink_errors += 1
            log.exception("device %s: nobody takes its audio", stream.info.name)
            return ()

    def _tell_seen(self, now: float) -> None:
        recorded = self._recorders.lost_s()
        seen: list[tuple[int, DeviceStatus]] = []
        for number, connection in self._by_number.items():
            if connection.stream is not None:
                status = connection.stream.status(now, 0)
                lost_s = recorded.get(status.name)
                seen.append((number, replace(status, recorded=lost_s is not None, lost_s=lost_s or 0.0)))
        for at in range(0, max(1, len(seen)), SEEN_AT_ONCE):
            self._pipe.send(Seen(tuple(seen[at : at + SEEN_AT_ONCE]), self.counters))
