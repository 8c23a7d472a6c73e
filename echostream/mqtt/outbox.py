"""What is to be published, in which order: events from the disk, states of now, telemetry while it is of use.

Filled by thread `mqtt`, emptied by thread `mqtt-link`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from echostream.mqtt.message import Message
from echostream.spool.item import Item
from echostream.spool.kept_spool import KeptSpool

log = logging.getLogger(__name__)

READ_AHEAD: Final = 64
MOST_STATES: Final = 20_000
MOST_TELEMETRY: Final = 256
MOST_LATER: Final = 256
LATER_S: Final = (60.0, 300.0, 1800.0, 3600.0)
"""After how long an event is tried again that the broker did not take now; then always the last."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing to publish, or to subscribe to. number: the event's in the spool, else 0."""

    message: Message
    number: int = 0
    subscription: bool = False

    @property
    def identity(self) -> int | str:
        """The same for the same thing on another connection."""
        return self.number or self.message.topic


class Outbox:
    """wake: called when there is something new; any thread, never blocks."""

    def __init__(self, spool: KeptSpool, wake: Callable[[], None]) -> None:
        self.refused = 0
        """Messages that the broker would never take, and states for which there was no room."""
        self._spool = spool
        self._wake = wake
        self._lock = threading.Lock()
        self._online = False
        self._states: dict[str, Message] = {}
        self._due: dict[str, None] = {}
        self._telemetry: deque[Message] = deque(maxlen=MOST_TELEMETRY)
        # of thread mqtt-link alone:
        self._epoch = 0
        self._after = 0
        self._ahead: deque[Item] = deque()
        self._flying: set[int] = set()
        self._arrived: list[int] = []
        self._later: dict[int, tuple[float, Item]] = {}
        self._tries: dict[int | str, int] = {}
        self._states_later: dict[str, float] = {}

    # ---- thread mqtt

    def take(self, messages: Iterable[Message]) -> None:
        """Events are on the disk when this returns."""
        events = []
        with self._lock:
            for message in messages:
                if message.kind == "event":
                    events.append(to_item(message))
                elif message.kind == "state":
                    self._take_state(message)
                elif self._online:
                    self._telemetry.append(message)
        self._spool.put(events)
        self._wake()

    def _take_state(self, message: Message) -> None:
        if message.topic not in self._states and len(self._states) >= MOST_STATES:
            self.refused += 1
            return
        self._states[message.topic] = message
        self._due[message.topic] = None

    # ---- thread mqtt-link

    def connected(self) -> None:
        """A new connection: nothing of before counts as on its way, and every state is sent again."""
        with self._lock:
            self._online = True
            self._due = dict.fromkeys(topic for topic in self._states if topic not in self._states_later)
        self._flying.clear()
        self._rewind()

    def disconnected(self) -> None:
        """Telemetry is of no use any more."""
        with self._lock:
            self._online = False
            self._telemetry.clear()
        self._flying.clear()
        self._rewind()

    def next(self, kind: Literal["event", "state", "telemetry"], now: float) -> Outgoing | None:
        """The next of that kind to publish, which is on its way then. now: monotonic seconds."""
        if kind == "event":
            item = self._next_event(now)
            if item is None:
                return None
            self._flying.add(item.number)
            return Outgoing(of_item(item), item.number)
        with self._lock:
            for topic in [topic for topic, at in self._states_later.items() if at <= now]:
                del self._states_later[topic]
                self._due[topic] = None
            if kind == "telemetry":
                return Outgoing(self._telemetry.popleft()) if self._telemetry else None
            for topic in self._due:
                del self._due[topic]
                return Outgoing(self._states[topic])
        return None

    def arrived(self, outgoing: Outgoing) -> None:
        """The broker has it."""
        self._tries.pop(outgoing.identity, None)
        if outgoing.number:
            self._flying.discard(outgoing.number)
            self._arrived.append(outgoing.number)

    def never(self, outgoing: Outgoing) -> None:
        """The broker would refuse it each time."""
        self.refused += 1
        self.arrived(outgoing)

    def later(self, outgoing: Outgoing, now: float) -> float:
        """Not now: what comes after goes on. Seconds until it is tried again; 0: with the next connection."""
        number, message = outgoing.number, outgoing.message
        self._flying.discard(number)
        is_state = message.kind == "state"
        if not (is_state or number) or (number and len(self._later) >= MOST_LATER):
            return 0.0
        tries = self._tries[outgoing.identity] = self._tries.get(outgoing.identity, 0) + 1
        wait_s = LATER_S[min(tries, len(LATER_S)) - 1]
        if is_state:
            with self._lock:
                self._states_later[message.topic] = now + wait_s
        else:
            self._later[number] = (now + wait_s, to_item(message, number))
        return wait_s

    def was_put_off(self, outgoing: Outgoing) -> bool:
        """It did not go through before."""
        return outgoing.identity in self._tries

    def flush(self) -> None:
        """Let the disk forget what has arrived."""
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._spool.done(arrived)

    @property
    def unsaid(self) -> bool:
        """Something that should be said before the end waits."""
        with self._lock:
            if self._due:
                return True
        return bool(self._ahead or self._spool.waiting(self._after, 1))

    def _next_event(self, now: float) -> Item | None:
        for number, (at, item) in self._later.items():
            if at <= now:
                del self._later[number]
                return item
        while True:
            if self._spool.epoch != self._epoch:
                self._epoch = self._spool.epoch
                self._rewind()
            if not self._ahead:
                self.flush()
                self._ahead.extend(self._spool.waiting(self._after, READ_AHEAD))
                if self._spool.epoch != self._epoch:
                    continue  # the numbers changed while we looked
                if not self._ahead:
                    return None
                self._after = self._ahead[-1].number
            item = self._ahead.popleft()
            if item.number not in self._flying and item.number not in self._later:
                return item

    def _rewind(self) -> None:
        self.flush()
        self._after = 0
        self._ahead.clear()


def to_item(message: Message, number: int = 0) -> Item:
    """As the spool keeps it."""
    flags = f"{message.qos}{'r' if message.retain else '-'}"
    key = "\n".join((flags, message.message_id, message.content_type, message.topic))
    return Item(message.at_us, message.weight, message.lane, key, message.payload, number)


def of_item(item: Item) -> Message:
    """The event that the spool kept."""
    flags, message_id, content_type, topic = item.key.split("\n", 3)
    return Message(
        topic,
        item.body,
        qos=0 if flags[0] == "0" else 1,
        retain=flags[1:] == "r",
        lane=item.lane,
        weight=item.weight,
        at_us=item.at_us,
        content_type=content_type,
        message_id=message_id,
    )
