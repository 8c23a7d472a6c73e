"""Stand-ins for the spool and the process behind messages to people, which a test has in its hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from echostream.alerts.delivery import Delivery, Waiting
from echostream.alerts.letters import Letter
from echostream.alerts.sending_process import Answer, Request
from echostream.spool.item import Item


class Post:
    """A sender in which the test answers. broken: it cannot be asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.waiting: list[Answer] = []
        self.broken = False
        self.ends = 0

    def ask(self, request: Request, now_s: float) -> bool:
        if not self.broken:
            self.asked.append(request)
        return not self.broken

    def answers(self) -> list[Answer]:
        found, self.waiting = self.waiting, []
        return found

    def rest(self, now_s: float) -> None:
        pass

    def end(self) -> None:
        self.ends += 1

    def answer(self, ok: bool, text: str = "it hung up") -> None:
        """To all that was asked."""
        self.waiting += [Answer(request.number, ok, "" if ok else text) for request in self.asked]
        self.asked = []


class Memory:
    """A spool that is none."""

    def __init__(self) -> None:
        self.epoch = 0
        self.items: dict[int, Item] = {}
        self._next = 1

    def put(self, items: Sequence[Item]) -> list[Item]:
        put = []
        for item in items:
            put.append(replace(item, number=self._next))
            self.items[self._next] = put[-1]
            self._next += 1
        return put

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]:
        return [item for number, item in sorted(self.items.items()) if number > after][:limit]

    def done(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.items.pop(number, None)

    def renumber(self) -> None:
        """As a spool does that was in memory and goes to the disk."""
        items, self.items = list(self.items.values()), {}
        self.put(items)
        self.epoch += 1


def letter(target: str = "chief", text: str = "gone", weight: int = 1) -> Letter:
    """Of an alert."""
    return Letter(target, f"station-7: {text}", text, "warning", weight, 1_000_000)


def delivery(spool: Waiting, post: Post, targets: Sequence[str] = ("chief", "desk")) -> Delivery:
    """A target called unread has no address."""
    urls = {name: f"json://{name}" for name in targets if name != "unread"}
    return Delivery("station-7", targets, urls, spool, post, rng=lambda: 1.0)
