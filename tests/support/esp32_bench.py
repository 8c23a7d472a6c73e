"""A relay on a free port, devices that are plain sockets, and sinks that keep everything."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from echostream.audio.device_ports import DeviceAudio, GapCause, StreamInfo
from echostream.audio.format import Samples
from echostream.config.esp32_models import DeviceDefaults, Esp32, Relay
from echostream.events import DeviceChange, DevicesChanged, Event
from echostream.network.esp32_relay import Esp32Relay

WAIT_S = 5.0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@dataclass
class Taken:
    """A sink that keeps what it is given."""

    info: StreamInfo
    blocks: list[DeviceAudio] = field(default_factory=list)
    causes: list[GapCause] = field(default_factory=list)

    def audio(self, block: DeviceAudio) -> None:
        assert not self.causes, "audio after the end"
        self.blocks.append(block)

    def ended(self, cause: GapCause) -> None:
        self.causes.append(cause)

    @property
    def samples(self) -> Samples:
        return np.concatenate([np.zeros(0, np.int16), *(block.samples for block in self.blocks)])


class Bench:
    """The relay under test, and what came out of it."""

    def __init__(self, esp32: Esp32, relay: Relay, tokens: dict[str, str]) -> None:
        self.streams: list[Taken] = []
        self.changes: list[DeviceChange] = []
        self.events: list[Event] = []
        self.relay = Esp32Relay(esp32, relay, tokens, self._open, self._post)
        self.open_sinks: Callable[[StreamInfo], list[Taken]] = lambda info: []
        self._new = threading.Condition()

    def _open(self, info: StreamInfo, settings: DeviceDefaults) -> list[Taken]:
        taken = Taken(info)
        with self._new:
            self.streams.append(taken)
        return [*self.open_sinks(info), taken]

    def _post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, DevicesChanged):
            self.changes.extend(event.changes)

    def named(self, name: str) -> Taken:
        """The newest stream of this name."""
        return next(one for one in reversed(self.streams) if one.info.name == name)

    def until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    @contextlib.contextmanager
    def device(
        self, source: str = "127.0.0.1", hello: Mapping[str, object] | None = None
    ) -> Iterator[socket.socket]:
        """A socket that is connected; its hello, if any, is sent."""
        with socket.create_connection(
            ("127.0.0.1", self.relay.tcp_port), timeout=WAIT_S, source_address=(source, 0)
        ) as sock:
            if hello is not None:
                sock.sendall(hello_line(**hello))
            yield sock


def hello_line(**fields: object) -> bytes:
    return json.dumps({"hello": "echostream", **fields}).encode() + b"\n"


@contextlib.contextmanager
def running(
    esp32: Esp32 | None = None, relay: Relay | None = None, tokens: dict[str, str] | None = None
) -> Iterator[Bench]:
    """esp32: its ports are replaced by free ones unless they are not the default."""
    esp32 = esp32 or Esp32(unknown="accept")
    if esp32.tcp_port == 9000:
        udp_port = free_port(socket.SOCK_DGRAM) if esp32.udp_port else None
        esp32 = esp32.model_copy(
            update={"bind": "127.0.0.1", "tcp_port": free_port(), "udp_port": udp_port, "enabled": True}
        )
    bench = Bench(esp32, relay or Relay(), tokens or {})
    bench.relay.start()
    try:
        assert bench.until(lambda: bench.relay.tcp_port != 0)
        assert bench.until(lambda: (bench.relay.udp_port != 0) == (esp32.udp_port is not None))
        yield bench
    finally:
        began_s = time.monotonic()
        bench.relay.request_stop()
        assert bench.relay.join(2.0)
        assert time.monotonic() - began_s < 1.0
    assert bench.relay.restarts == 0


def noise(count: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).integers(-32768, 32767, count, np.int16, endpoint=True)


def closed_by_relay(sock: socket.socket) -> bool:
    """Whether the other end closes within WAIT_S."""
    sock.settimeout(WAIT_S)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
