"""ESP32 microphones that keep a record of every sample they handed over, and when.

Written apart from the simulator that EchoStream ships: what proves the recorder must not share its mistakes.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import math
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LOOP_S = 20
RETRY_S = 0.1
"""Far sooner than real firmware: a round of torture lasts seconds."""
IDLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Firmware:
    """What one device is like. chunk: bytes of a write. kept_s: audio it keeps while it cannot send."""

    name: str
    rate_hz: int = 16_000
    form: Literal["s16le", "u8"] = "s16le"
    chunk: int = 8192
    kept_s: float = 0.0

    @property
    def sample_bytes(self) -> int:
        return 2 if self.form == "s16le" else 1


@dataclass(slots=True)
class Connection:
    """first_s: monotonic seconds at which its first sample was taken up; connected_s: at which the gateway
    had taken the connection (the first write says less: to a gateway that died since it still succeeds).
    handed_s, handed: after each write that the network took, when that was, and how many whole samples had
    gone so far."""

    firmware: Firmware
    number: int
    first_s: float
    connected_s: float
    offset: int
    handed_s: list[float] = field(default_factory=list)
    handed: list[int] = field(default_factory=list)
    bytes_sent: int = 0
    position: int = 0
    waiting: bytes = b""

    def handed_by(self, at_s: float) -> int:
        """Samples that the network had taken at that moment."""
        index = bisect.bisect_right(self.handed_s, at_s)
        return self.handed[index - 1] if index else 0

    def handed_at(self, position: int) -> float:
        """Monotonic seconds at which the network had taken that sample; infinite when it never did."""
        index = bisect.bisect_right(self.handed, position)
        return self.handed_s[index] if index < len(self.handed_s) else math.inf


class KnownDevices(threading.Thread):
    """All devices of one gateway, on one thread. They connect again whenever they are thrown out."""

    def __init__(self, firmwares: Sequence[Firmware], port: int, seed: int) -> None:
        super().__init__(name=f"devices-{port}", daemon=True)
        self._port = port
        self._stopping = threading.Event()
        self._devices = [_Device(one, port, seed + at) for at, one in enumerate(firmwares)]

    def run(self) -> None:
        while not self._stopping.is_set():
            due_s = min(device.turn(time.monotonic()) for device in self._devices)
            self._stopping.wait(max(0.001, min(due_s - time.monotonic(), IDLE_S)))

    def stop(self) -> None:
        self._stopping.set()
        self.join(5)
        for device in self._devices:
            device.hang_up()

    def connections(self) -> list[Connection]:
        """All so far, of all devices."""
        return [one for device in self._devices for one in list(device.connections)]

    def sound(self, connection: Connection, first: int, count: int) -> NDArray[np.int16]:
        """What a connection's samples from `first` on are worth in 16 bit, shape (count,)."""
        device = next(one for one in self._devices if one.firmware is connection.firmware)
        return device.sound(connection, first, count)


class _Device:
    def __init__(self, firmware: Firmware, port: int, seed: int) -> None:
        self.firmware = firmware
        self.connections: list[Connection] = []
        self._port = port
        self._socket: socket.socket | None = None
        self._retry_at_s = 0.0
        self._lost_s = time.monotonic()
        self._raw = _loop(firmware, seed)
        size = firmware.sample_bytes
        self._bytes = self._raw.tobytes()
        assert len(self._bytes) == size * self._raw.size

    def sound(self, connection: Connection, first: int, count: int) -> NDArray[np.int16]:
        at = (connection.offset + first + np.arange(count)) % self._raw.size
        part = self._raw[at]
        if self.firmware.form == "s16le":
            return part.astype(np.int16)
        return ((part.astype(np.int16) - 128) << 8).astype(np.int16)

    def turn(self, now: float) -> float:
        """Do what is due; returns when it next wants to be asked."""
        if self._socket is None:
            if now < self._retry_at_s:
                return self._retry_at_s
            self._connect(now)
            if self._socket is None:
                return self._retry_at_s
        try:
            return self._send()
        except OSError:
            self.hang_up()
            return now

    def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._lost_s = time.monotonic()

    def _connect(self, now: float) -> None:
        one = self.firmware
        hello = {"hello": "echostream", "device": one.name, "rate": one.rate_hz, "format": one.form}
        link = socket.socket()
        link.settimeout(1.0)
        try:
            link.connect(("127.0.0.1", self._port))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(json.dumps(hello).encode() + b"\n")
            link.setblocking(False)
        except OSError:
            link.close()
            self._retry_at_s = now + RETRY_S
            return
        self._socket = link
        now = time.monotonic()
        number = len(self.connections) + 1
        kept_s = min(one.kept_s, now - self._lost_s)
        self.connections.append(
            Connection(one, number, now - kept_s, now, (number * 104_729) % self._raw.size)
        )

    def _send(self) -> float:
        assert self._socket is not None
        connection, one = self.connections[-1], self.firmware
        with contextlib.suppress(BlockingIOError):
            while True:
                if not connection.waiting:
                    count = one.chunk // one.sample_bytes
                    full_s = connection.first_s + (connection.position + count) / one.rate_hz
                    if full_s > time.monotonic():
                        return full_s
                    connection.waiting = self._read(connection.offset + connection.position, count)
                    connection.position += count
                taken = self._socket.send(connection.waiting)
                connection.waiting = connection.waiting[taken:]
                connection.bytes_sent += taken
                connection.handed_s.append(time.monotonic())
                connection.handed.append(connection.bytes_sent // one.sample_bytes)
        return time.monotonic() + 0.02

    def _read(self, at: int, count: int) -> bytes:
        size, whole = self.firmware.sample_bytes, self._raw.size
        at %= whole
        part = self._bytes[size * at : size * (at + count)]
        return part + self._bytes[: size * count - len(part)]


def _loop(firmware: Firmware, seed: int) -> NDArray[np.int16] | NDArray[np.uint8]:
    """Noise on a wandering tone: no two places of it are alike, and a codec keeps most of it."""
    rng = np.random.default_rng(seed)
    size = LOOP_S * firmware.rate_hz
    tone = np.sin(
        2 * np.pi * np.cumsum(500 + 300 * np.sin(np.arange(size) / firmware.rate_hz)) / firmware.rate_hz
    )
    sound = 6000 * tone + rng.normal(scale=800, size=size)
    if firmware.form == "u8":
        coarse: NDArray[np.uint8] = np.clip(np.rint(sound / 256) + 128, 0, 255).astype(np.uint8)
        return coarse
    fine: NDArray[np.int16] = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
    return fine
