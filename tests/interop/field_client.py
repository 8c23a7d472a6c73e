"""A client as the field has it, written from the wire formats alone: no code of the gateway is in it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol


class FieldClient:
    """Joins channels of a server on entering, hangs up on leaving; hears text and datagrams on two threads.

    messages, datagrams: (Unix seconds, what came).
    """

    def __init__(
        self,
        url: str,
        channels: Iterable[object],
        name: str = "legacy",
        heartbeat_s: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._channels = list(channels)
        self._name = name
        self._heartbeat_s = heartbeat_s
        self._tls = tls
        self.messages: list[tuple[float, str]] = []
        self.datagrams: list[tuple[float, bytes]] = []
        self.offer: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        address = urlsplit(self._url)
        assert address.hostname is not None
        # A socket of our own: a proxy of the environment is then left out.
        sock = socket.create_connection((address.hostname, address.port or 443), timeout=5)
        names = [Subprotocol("audio-protocol")]
        self.ws: ClientConnection = self._stack.enter_context(
            connect(self._url, sock=sock, subprotocols=names, ssl=self._tls)
        )
        self.offer = json.loads(self.ws.recv(timeout=5))
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(0.2)
        self._threads = [
            threading.Thread(target=work, name=f"field-client-{work.__name__}")
            for work in (self._hear_text, self._hear_audio, self._beat)
        ]
        for thread in self._threads:
            thread.start()
        for channel in self._channels:
            self.connect(channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._stack.close()
        for thread in self._threads:
            thread.join(5)
        self.sock.close()

    def _who(self, channel: object) -> dict[str, Any]:
        return {
            "affiliation_id": f"{self._name}-id",
            "user_name": self._name,
            "agency_name": "Field",
            "channel_id": channel,
            "time": int(time.time()),
        }

    def connect(self, channel: object) -> None:
        self.say({"connect": self._who(channel)})

    def disconnect(self, channel: object) -> None:
        body = {"affiliation_id": f"{self._name}-id", "channel_id": channel, "time": int(time.time())}
        self.say({"disconnect": body})

    def started(self, channel: object, **more: Any) -> str:
        return self.say({"transmit_started": {**self._who(channel), **more}})

    def ended(self, channel: object, **more: Any) -> str:
        return self.say({"transmit_ended": {**self._who(channel), **more}})

    def say(self, body: dict[str, Any]) -> str:
        text = json.dumps(body)
        self.ws.send(text)
        return text

    def send(self, datagram: bytes) -> None:
        self.sock.sendto(datagram, (self.offer["udp_host"], self.offer["udp_port"]))

    def stream(self, datagrams: Iterable[bytes], period_s: float) -> None:
        """One every `period_s`, by the clock."""
        due = time.monotonic()
        for datagram in datagrams:
            self.send(datagram)
            due += period_s
            time.sleep(max(0.0, due - time.monotonic()))

    def bodies(self, key: str) -> list[dict[str, Any]]:
        """The text frames that are objects with this key."""
        found = []
        for _, text in list(self.messages):
            with contextlib.suppress(ValueError):
                body = json.loads(text)
                if isinstance(body, dict) and key in body:
                    found.append(body)
        return found

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        with self._changed:
            came = self._changed.wait_for(condition, timeout_s)
        assert came, f"{self._name}: not within {timeout_s} s; last: {self.messages[-4:]}"

    def _hear_text(self) -> None:
        while True:
            try:
                text = self.ws.recv()
            except (ConnectionClosed, OSError):
                return
            with self._changed:
                self.messages.append((time.time(), str(text)))
                self._changed.notify_all()

    def _hear_audio(self) -> None:
        while not self._stop.is_set():
            try:
                data = self.sock.recv(65536)
            except OSError:
                continue
            with self._changed:
                self.datagrams.append((time.time(), data))
                self._changed.notify_all()

    def _beat(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                self.send(b'{"type": "KEEP_ALIVE"}')
            if self._stop.wait(self._heartbeat_s):
                return
