"""What keys a radio, as the rest of the gateway sees it: the specification of a line, and its output."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from echostream.hardware import ptt_protocol as protocol

MAX_KEY_S: Final = 300.0
"""Longest keying where nothing else is said: the guard's own limit, behind the channel's time-out timer."""
RENEW_S: Final = 0.05
"""key() is called every frame; a renewal is sent this often. A quarter of the lease."""


@dataclass(frozen=True, slots=True)
class PttLineSpec:
    """One keyed line: a pin of the GPIO header, or GPIO3 of a CM108-type card.

    pin: BCM number. cm108: the card as the configuration names it (ALSA id, USB port path), or /dev/hidrawN.
    Exactly one of the two. active_low: the line is driven low to key. max_key_s: after this long the line
    drops and stays off until it is unkeyed, whatever the gateway thinks.
    """

    channel_id: str
    pin: int | None = None
    cm108: str | None = None
    active_low: bool = False
    max_key_s: float = MAX_KEY_S

    def __post_init__(self) -> None:
        place = f"PTT line of channel {self.channel_id}"
        if (self.pin is None) == (self.cm108 is None):
            raise ValueError(f"{place}: expected a pin or a card, one of the two")
        if not 0 < self.max_key_s <= 4_000_000:
            raise ValueError(f"{place}: max_key_s {self.max_key_s}: expected more than 0, at most 4000000")

    def __str__(self) -> str:
        return f"BCM {self.pin}" if self.cm108 is None else f"GPIO3 of card {self.cm108}"


class PttOutput:
    """The line of one channel. `key` and `unkey` never block and never fail: a line that cannot be keyed is
    not `keyed`, and `fault` says why."""

    def __init__(self, spec: PttLineSpec, number: int, send: Callable[[protocol.Message], bool]) -> None:
        self.spec = spec
        self.number = number
        self.expiries = 0
        self.time_outs = 0
        self._send = send
        self._lock = threading.Lock()
        self._wanted = False
        self._unkey_owed = False
        self._sent_at = 0.0
        self._state: int | None = None
        self._fault: str | None = "not claimed yet"

    def key(self) -> None:
        """Key the radio, or keep it keyed: the line drops 200 ms after the last call. Cheap."""
        now = time.monotonic()
        if self._wanted and now - self._sent_at < RENEW_S:
            return
        with self._lock:
            if self._unkey_owed:
                self._unkey_owed = not self._send(protocol.Message(protocol.UNKEY, self.number))
            self._wanted = True
            self._sent_at = now
            self._send(protocol.Message(protocol.KEY, self.number))

    def unkey(self) -> None:
        """Drop the line. Cheap when it is not keyed."""
        if not self._wanted:
            return
        with self._lock:
            self._wanted = False
            # Where this gets lost the lease ends the over; only a latched line would wait for it in vain.
            self._unkey_owed = not self._send(protocol.Message(protocol.UNKEY, self.number))

    @property
    def keyed(self) -> bool:
        """The guard says that the line is active."""
        return self._state == protocol.KEYED

    @property
    def fault(self) -> str | None:
        """Why the line cannot be keyed now; None when it can."""
        return self._fault

    @property
    def state(self) -> str:
        """unkeyed, keyed, expired (not renewed in time), latched (timed out), fault or stopping."""
        return protocol.STATE_NAMES[protocol.FAULT if self._state is None else self._state]

    @property
    def claimed(self) -> bool:
        """The guard has answered for this line, be it with a fault."""
        return self._state is not None

    def told(self, state: int | None, fault: str | None) -> None:
        """The owner heard from the guard (None: there is none)."""
        self.expiries += state == protocol.EXPIRED
        self.time_outs += state == protocol.LATCHED
        self._state, self._fault = state, fault
        if state is None:
            self._sent_at = 0.0  # the next guard is told with the next frame
