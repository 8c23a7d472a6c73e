"""What is so now: each thing's facts, put together of what happened and of what was seen."""

from __future__ import annotations

from collections.abc import Mapping

from echostream.mqtt.message import Message
from echostream.mqtt.payloads import encoded, milliseconds


class Facts:
    """The facts of one thing.

    A notice comes at once; a look comes once a second, and may have been taken before a notice that came
    first. So what a notice said is not unsaid by the next look, but by the one after it. seen: since the
    first look.
    """

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.seen = False
        self._told: set[str] = set()
        self._look: object = None

    def is_old(self, look: object) -> bool:
        """Whether a look, or what counts of it, says what the last one said, and nothing was told since."""
        old = not self._told and self._look == look
        self._look = None if self._told else look
        return old

    def tell(self, **values: object) -> None:
        """What a notice says."""
        self.values.update(values)
        self._told.update(values)

    def see(self, values: Mapping[str, object]) -> None:
        """What a look says."""
        self.seen = True
        self.values.update({key: value for key, value in values.items() if key not in self._told})
        self._told.clear()


class Retained:
    """What stands at the broker: the newest of each topic."""

    def __init__(self) -> None:
        self._values: dict[str, Mapping[str, object]] = {}
        self._messages: dict[str, Message] = {}

    def changed(self, topic: str, values: Mapping[str, object], at_us: int) -> list[Message]:
        """The message that makes it so; none where it is so already."""
        return [] if self._values.get(topic) == values else self.say(topic, values, at_us)

    def say(self, topic: str, values: Mapping[str, object], at_us: int) -> list[Message]:
        """The message that makes it so, changed or not."""
        self._values[topic] = dict(values)
        stamped = {**values, "timestamp": milliseconds(at_us)}
        return [self.keep(Message(topic, encoded(stamped), kind="state", retain=True, at_us=at_us))]

    def value(self, topic: str) -> Mapping[str, object]:
        return self._values.get(topic, {})

    def keep(self, message: Message) -> Message:
        self._messages[message.topic] = message
        return message

    def all(self) -> list[Message]:
        return list(self._messages.values())
