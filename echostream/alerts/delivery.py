"""Every message until it has arrived: one after the other for a target, each target for itself.

What waits is in the spool first. A target that fails is tried again, ever more rarely; nobody else waits for
it. No thread of its own: `work` is called by whoever owns it.
"""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from echostream.alerts.letters import Letter, from_item, in_one, next_ones, to_item
from echostream.alerts.sending_process import Answer, Request
from echostream.errors import SpoolUnavailable
from echostream.spool.item import Item

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Targets that are told at the same time."""
ANSWER_S: Final = 40.0
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 600.0
URGENT_PAUSE_S: Final = 10.0
"""Longest pause before something urgent is tried, however long the target has failed."""
URGENT: Final = 2
FAILED_AFTER: Final = 3
GIVE_UP_S: Final = 86_400.0
MOST_WAITING: Final = 500
_MOST_DELIVERED: Final = 2000
_LOAD: Final = 500


class Sender(Protocol):
    """sending_process.SendingProcess, or a test's own."""

    def ask(self, request: Request, now_s: float) -> bool: ...

    def answers(self) -> list[Answer]: ...

    def rest(self, now_s: float) -> None: ...

    def end(self) -> None: ...


class Waiting(Protocol):
    """patience.PatientSpool. waiting() may raise SpoolUnavailable; 0 is the number of what it has not yet."""

    @property
    def epoch(self) -> int: ...

    def put(self, items: Sequence[Item]) -> list[Item]: ...

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]: ...

    def done(self, numbers: Sequence[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A target that cannot be told, or messages that were given up. letters: those concerned."""

    target: str
    text: str
    letters: tuple[Letter, ...]
    given_up: bool = False


@dataclass(slots=True)
class Line:
    """One target. asked: number of the request that is on its way, 0: none."""

    name: str
    url: str | None
    queue: list[Letter] = field(default_factory=list)
    asked: int = 0
    asked_s: float = 0.0
    sending: tuple[Letter, ...] = ()
    failures: int = 0
    tried_s: float = 0.0
    next_s: float = 0.0
    text: str = ""

    @property
    def oldest_s(self) -> float | None:
        """Since when something waits, monotonic."""
        return min((letter.put_s for letter in (*self.sending, *self.queue)), default=None)


class Delivery:
    """One thread. urls: of the targets, by name; one without cannot be told."""

    def __init__(
        self,
        gateway: str,
        targets: Sequence[str],
        urls: Mapping[str, str],
        spool: Waiting,
        sender: Sender,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._gateway = gateway
        self._spool = spool
        self._sender = sender
        self._rng = rng
        self._lines = {name: Line(name, urls.get(name)) for name in targets}
        self._number = 0
        self._epoch = spool.epoch
        self._loaded = False
        self._delivered: OrderedDict[str, None] = OrderedDict()
        self.sent = 0
        self.dropped = 0

    @property
    def lines(self) -> Sequence[Line]:
        return list(self._lines.values())

    @property
    def unreachable(self) -> frozenset[str]:
        """Targets that cannot be told, as it looks."""
        lines = self._lines.values()
        return frozenset(line.name for line in lines if line.url is None or line.failures >= FAILED_AFTER)

    def load(self, now_s: float) -> None:
        """What waits in the spool, of an earlier run as well. Once more later, when that does not answer."""
        epoch = self._spool.epoch
        try:
            items = self._all_items()
        except SpoolUnavailable:
            return
        known = {letter.id: letter for line in self._lines.values() for letter in line.queue}
        on_way = {letter.id for line in self._lines.values() for letter in line.sending}
        for line in self._lines.values():
            line.queue.clear()
        gone: list[int] = []
        for item in items:
            letter = from_item(item, now_s)
            if letter is None or letter.target not in self._lines or letter.id in self._delivered:
                gone.append(item.number)
            elif letter.id in on_way:
                self._renumber(self._lines[letter.target], letter)
            else:
                before = known.pop(letter.id, letter)
                self._queue(replace(letter, put_s=before.put_s), gone)
        for letter in known.values():
            if letter.number == 0:  # not on the disk yet
                self._queue(letter, gone)
        self._epoch, self._loaded = epoch, True
        self._spool.done(gone)

    def post(self, letters: Sequence[Letter], now_s: float) -> None:
        """On the disk when this returns, unless that refuses."""
        known = [letter for letter in letters if letter.target in self._lines]
        if not known:
            return
        items = self._spool.put([to_item(letter) for letter in known])
        gone: list[int] = []
        for letter, item in zip(known, items, strict=True):
            self._queue(replace(letter, number=item.number, put_s=now_s), gone)
        self._spool.done(gone)

    def work(self, now_s: float) -> list[Failure]:
        """What came back, and the next ones on their way."""
        if not self._loaded or self._spool.epoch != self._epoch:
            self.load(now_s)
        failures: list[Failure] = []
        for answer in self._sender.answers():
            failures += self._answered(answer, now_s)
        for line in self._lines.values():
            if line.asked and now_s - line.asked_s > ANSWER_S:
                failures += self._failed(line, "no answer in time", now_s)
                if not any(other.asked for other in self._lines.values()):
                    self._sender.end()  # what hangs there hangs on its own
            failures += self._too_old(line, now_s)
        self._send(now_s)
        if not any(line.asked for line in self._lines.values()):
            self._sender.rest(now_s)
        return failures

    def next_s(self, now_s: float) -> float:
        """Seconds until there is something to do, at most one."""
        if sum(1 for line in self._lines.values() if line.asked) >= AT_ONCE:
            return 1.0
        waiting = [line for line in self._lines.values() if line.queue and not line.asked and line.url]
        return min([1.0, *(max(0.05, self._due_s(line) - now_s) for line in waiting)])

    def busy(self, now_s: float) -> bool:
        """Whether something is on its way, or could be at once."""
        return any(line.asked or self._ready(line, now_s) for line in self._lines.values())

    # ---- inside

    def _all_items(self) -> list[Item]:
        found: list[Item] = []
        while items := self._spool.waiting(found[-1].number if found else 0, _LOAD):
            found += items
        return found

    @staticmethod
    def _renumber(line: Line, letter: Letter) -> None:
        line.sending = tuple(
            replace(one, number=letter.number) if one.id == letter.id else one for one in line.sending
        )

    def _queue(self, letter: Letter, gone: list[int]) -> None:
        line = self._lines[letter.target]
        line.queue.append(letter)
        if len(line.queue) > MOST_WAITING:
            least = min(line.queue, key=lambda one: (one.weight, one.number))
            line.queue.remove(least)
            gone.append(least.number)
            self.dropped += 1

    def _send(self, now_s: float) -> None:
        under_way = sum(1 for line in self._lines.values() if line.asked)
        ready = [line for line in self._lines.values() if self._ready(line, now_s)]
        ready.sort(key=lambda line: (-max(letter.weight for letter in line.queue), line.tried_s))
        for line in ready[: max(0, AT_ONCE - under_way)]:
            assert line.url is not None
            letters = next_ones(line.queue)
            title, body, kind = in_one(self._gateway, letters)
            self._number += 1
            if not self._sender.ask(Request(self._number, line.url, title, body, kind), now_s):
                line.next_s = now_s + FIRST_PAUSE_S
                continue
            line.asked, line.asked_s, line.tried_s = self._number, now_s, now_s
            line.sending = letters
            del line.queue[: len(letters)]

    def _ready(self, line: Line, now_s: float) -> bool:
        if line.url is None or line.asked or not line.queue:
            return False
        return now_s >= self._due_s(line)

    def _due_s(self, line: Line) -> float:
        """When the target is tried next. Something urgent and new does not wait for a long pause's end."""
        new = any(letter.weight >= URGENT and letter.put_s > line.tried_s for letter in line.queue)
        return min(line.next_s, line.tried_s + URGENT_PAUSE_S) if new else line.next_s

    def _answered(self, answer: Answer, now_s: float) -> list[Failure]:
        if answer.number == 0:
            under_way = [line for line in self._lines.values() if line.asked]
            return [failure for line in under_way for failure in self._failed(line, answer.text, now_s)]
        line = next((line for line in self._lines.values() if line.asked == answer.number), None)
        if line is None:
            return []  # given up long ago
        if not answer.ok:
            return self._failed(line, answer.text, now_s)
        if line.failures:
            log.info("alerts: %s can be told again", line.name)
        arrived, line.sending, line.asked = line.sending, (), 0
        line.failures, line.next_s, line.text = 0, now_s, ""
        self.sent += len(arrived)
        self._done(arrived)
        return []

    def _failed(self, line: Line, text: str, now_s: float) -> list[Failure]:
        letters, line.sending, line.asked = line.sending, (), 0
        line.queue[:0] = letters
        line.failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(line.failures - 1, 10))
        line.next_s = now_s + pause_s * (0.75 + 0.25 * self._rng())
        if text != line.text:
            log.error("alerts: %s was not told: %s; it is tried again", line.name, text)
        line.text = text
        return [Failure(line.name, text, letters)] if line.failures == FAILED_AFTER else []

    def _too_old(self, line: Line, now_s: float) -> list[Failure]:
        old = [letter for letter in line.queue if now_s - letter.put_s > GIVE_UP_S]
        if not old:
            return []
        line.queue[:] = [letter for letter in line.queue if now_s - letter.put_s <= GIVE_UP_S]
        self.dropped += len(old)
        self._done(old)
        return [Failure(line.name, line.text or "it could not be told", tuple(old), given_up=True)]

    def _done(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._delivered[letter.id] = None
        while len(self._delivered) > _MOST_DELIVERED:
            self._delivered.popitem(last=False)
        self._spool.done([letter.number for letter in letters])
