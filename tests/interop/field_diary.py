"""What a server saw of its clients, in order, with the time of each; and how it is to behave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

OfferMode = Literal["once", "same_port"]
Kind = Literal["open", "text", "datagram", "lost"]


@dataclass(frozen=True, slots=True, eq=False)
class Happening:
    """Something a client did. `at`: Unix seconds; of a datagram, when the kernel received it.

    opening: the number of the connection, counted from 1 over the server's life. body: a text frame's JSON,
    or its text where it is none; of `open` the handshake's request; of `lost` why ("close 1000", "eof").
    raw: a datagram's bytes, or a text frame's. port, sender: where a datagram arrived and whence it came.
    """

    at: float
    kind: Kind
    opening: int
    raw: bytes = b""
    body: Any = None
    port: int = 0
    sender: tuple[str, int] | None = None


@dataclass(slots=True)
class Manners:
    """How a server behaves. aes_key: base64, or "N/A".

    offer: `same_port`: an older server that repeats its offer after each connect. acknowledges: answers
    `transmit_ack`. relays: audio and push-to-talk. reflects: sends audio back to its sender too, as a faulty
    one would. known: its channels; None: any.
    """

    aes_key: str = "N/A"
    offer: OfferMode = "once"
    nested_users: bool = False
    acknowledges: bool = False
    relays: bool = True
    reflects: bool = False
    known: frozenset[str] | None = None
    names_subprotocol: bool = True
    udp_host: str = "127.0.0.1"


class Diary:
    """Happenings in order; written by the server's thread, read by any."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self._changed = threading.Condition()

    def note(self, happening: Happening) -> None:
        with self._changed:
            self.happenings.append(happening)
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Until `condition` holds, asked after each happening; AssertionError after `timeout_s`."""
        with self._changed:
            came = self._changed.wait_for(condition, timeout_s)
        assert came, f"not within {timeout_s} s; last: {self.happenings[-8:]}"

    def of(self, kind: Kind, opening: int | None = None) -> list[Happening]:
        """All of one kind, of every connection or of one."""
        return [e for e in list(self.happenings) if e.kind == kind and opening in (None, e.opening)]

    def messages(self, key: str, channel: str | None = None, opening: int | None = None) -> list[Happening]:
        """The text frames with this key, in order."""
        found = [e for e in self.of("text", opening) if isinstance(e.body, dict) and key in e.body]
        return [e for e in found if channel is None or e.body[key].get("channel_id") == channel]

    def audio(self, channel: str | None = None, opening: int | None = None) -> list[Happening]:
        """Datagrams of type audio."""
        found = [e for e in self.of("datagram", opening) if isinstance(e.body, dict)]
        found = [e for e in found if e.body.get("type") == "audio"]
        return [e for e in found if channel in (None, e.body.get("channel_id"))]

    def heartbeats(self, opening: int | None = None) -> list[Happening]:
        return [e for e in self.of("datagram", opening) if e.body == {"type": "KEEP_ALIVE"}]
