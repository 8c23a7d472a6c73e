"""Messages to people: rules look at how the gateway is and at what happens, and targets are told."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from echostream.alerts import control, memory
from echostream.alerts.book import Now, RuleBook
from echostream.alerts.conditions import happening
from echostream.alerts.delivery import Delivery, Failure
from echostream.alerts.patience import PatientSpool
from echostream.alerts.post_room import PostRoom, notice_of, notice_of_failure
from echostream.alerts.rules import Incident, Saying, State
from echostream.alerts.sending_process import SendingProcess
from echostream.config.alert_models import Alerts as Settings
from echostream.config.models import Gateway
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.notices.notice import Notice
from echostream.spool.kept_spool import KeptSpool
from echostream.vitals.model import LinkVitals, Vitals

log = logging.getLogger(__name__)

KINDS: Final = frozenset({"page", "at_risk", "worker"})
"""Notices that a rule can be about."""
MOST_NOTICES: Final = 1000
SPOOL_BYTES: Final = 4_000_000
TICK_S: Final = 1.0
SAVE_S: Final = 60.0
LAST_WORDS_S: Final = 1.5
MOST_LINES: Final = 5


class Alerts(Worker):
    """Thread `alerts`. Beside the spool it keeps what is open (alerts.json), and takes acknowledgements from
    a folder (alerts.ack)."""

    def __init__(
        self,
        alerts: Settings,
        gateway: Gateway,
        urls: Mapping[str, str],
        spool: Path,
        tell: Callable[[Notice], None],
        post: Post,
    ) -> None:
        """urls: of the targets, by name. tell: everybody else, of an alert that was raised or is over."""
        super().__init__("alerts", post)
        self._tell = tell
        self._wake = threading.Event()
        self._pages: deque[Notice] = deque(maxlen=MOST_NOTICES)
        self._notices: deque[Notice] = deque(maxlen=MOST_NOTICES)
        self._vitals: Vitals | None = None
        self._book = RuleBook(alerts)
        self._spool = PatientSpool(KeptSpool(spool, SPOOL_BYTES))
        self._sender = SendingProcess(self._wake.set)
        self._delivery = Delivery(
            gateway.id, [target.name for target in alerts.targets], urls, self._spool, self._sender
        )
        self._post_room = PostRoom(gateway.id)
        self._memory = spool.with_suffix(".json")
        self._control = spool.with_suffix(".ack")
        self._opened = False
        self._saved: tuple[object, ...] = ()
        self._saved_s = 0.0
        self._unsaved: tuple[list[Incident], int, float] | None = None
        self._acknowledged: deque[control.Asked] = deque(maxlen=control.MOST_AT_ONCE)
        self._refused = ""
        self._link = LinkVitals("alerts", True, 0.0)
        self._since_s = time.monotonic()

    @property
    def workers(self) -> Sequence[Worker]:
        return [self]

    def take(self, notice: Notice) -> None:
        """Told what happened. Any thread, never blocks."""
        if notice.kind in KINDS:
            # Whatever else there is a flood of, no page gives way to it.
            (self._pages if notice.kind == "page" else self._notices).append(notice)
            self._wake.set()

    def look(self, vitals: Vitals) -> None:
        """Told how the gateway is, about once a second. Any thread, never blocks."""
        self._vitals = vitals
        self._wake.set()

    def link(self) -> LinkVitals | None:
        """Down while a target cannot be told."""
        return self._link

    def _unblock(self) -> None:
        self._wake.set()

    # ---- the thread

    def _work(self) -> None:
        self._open()
        tick_s = 0.0
        try:
            while not self._stopping.is_set():
                now_s = time.monotonic()
                self._wake.wait(min(self._delivery.next_s(now_s), self._post_room.next_s(now_s)))
                self._wake.clear()
                now = _now()
                sayings = self._heard(now)
                if now.now_s - tick_s >= TICK_S:
                    tick_s = now.now_s
                    sayings += self._asked(now) + self._book.tick(now, self._delivery.unreachable)
                self._say(sayings, now)
                self._fail(self._delivery.work(now.now_s), now)
                self._note_link(now.now_s)
                if not self._post_room.waits:
                    self._save(now.now_s)
        finally:
            if self._stopping.is_set():  # else it goes on where it was: see Worker
                self._end()

    def _heard(self, now: Now) -> list[Saying]:
        """What rules say of what came in since."""
        sayings: list[Saying] = []
        for notices in (self._pages, self._notices):
            while notices:
                what = happening(notices.popleft())
                if what is not None:
                    sayings += self._book.happened(what, now)
        vitals, self._vitals = self._vitals, None
        if vitals is not None:
            sayings += self._book.look(vitals, now)
        return sayings

    def _asked(self, now: Now) -> list[Saying]:
        sayings: list[Saying] = []
        while self._acknowledged:
            asked = self._acknowledged.popleft()
            for incident in self._book.open():
                if asked.first <= incident.number <= asked.last:
                    sayings += self._book.acknowledge(incident.number, asked.who, now)
        if not self._spool.stuck:
            self._spool.later(self._look_for_acknowledgements)
        return sayings

    def _say(self, sayings: Sequence[Saying], now: Now, last: bool = False) -> None:
        """Everybody hears of it at once, people as soon as it is clear how many sources it is about. What is
        open is written down when its messages are on the disk: told twice rather than never."""
        self._post_room.take(sayings, now.now_s)
        letters = self._post_room.letters(now, everything=last)
        self._delivery.post(letters, now.now_s)
        _write_into_log(sayings)
        for saying in sayings:
            self._tell(notice_of(saying))

    def _fail(self, failures: Sequence[Failure], now: Now) -> None:
        for failure in failures:
            self._tell(notice_of_failure(failure, now.at_us))

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        now_s = time.monotonic()
        try:
            control.prepare(self._control)
        except OSError as error:
            log.error(
                "%s cannot be made (%s): alerts cannot be acknowledged by command, and are told again after "
                "a restart; make the folder %s and let the gateway's user write there",
                self._control,
                error.strerror,
                self._control.parent,
            )
        self._book.restore(*memory.load(self._memory, now_s))
        self._delivery.load(now_s)

    def _end(self) -> None:
        """Last words are on the disk; those that can be said in a moment are said."""
        now = _now()
        self._say(self._heard(now), now, last=True)
        until_s = now.now_s + LAST_WORDS_S
        while (left_s := until_s - time.monotonic()) > 0 and self._delivery.busy(time.monotonic()):
            self._delivery.work(time.monotonic())
            self._wake.wait(min(left_s, 0.2))
            self._wake.clear()
        self._delivery.work(time.monotonic())
        self._sender.end()
        self._save(time.monotonic())
        self._spool.close()

    def _save(self, now_s: float) -> None:
        incidents = self._book.open()
        state = (*((one.number, one.told, one.escalated, one.acknowledged) for one in incidents),)
        if state == self._saved and not (incidents and now_s - self._saved_s > SAVE_S):
            return
        self._saved, self._saved_s = state, now_s
        waits, self._unsaved = self._unsaved is not None, (incidents, self._book.next_number, now_s)
        if not waits:
            self._spool.later(self._save_newest)

    # ---- on the thread of the disk

    def _save_newest(self) -> None:
        newest, self._unsaved = self._unsaved, None
        if newest is None:
            return
        try:
            memory.save(self._memory, *newest)
            self._refused = ""
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != self._refused:
                log.error(
                    "%s cannot be written (%s): what is open is forgotten at the end", self._memory, reason
                )
            self._refused = reason

    def _look_for_acknowledgements(self) -> None:
        self._acknowledged.extend(control.fetch(self._control))

    # ---- how it is

    def _note_link(self, now_s: float) -> None:
        bad = [line for line in self._delivery.lines if line.failures or (line.url is None and line.queue)]
        up = not bad
        if up != self._link.up:
            self._since_s = now_s
        waiting = sum(len(line.queue) + len(line.sending) for line in self._delivery.lines)
        oldest = [line.oldest_s for line in self._delivery.lines if line.oldest_s is not None]
        self._link = LinkVitals(
            "alerts",
            up,
            now_s - self._since_s,
            waiting,
            now_s - min(oldest) if oldest else 0.0,
            self._delivery.dropped + self._spool.dropped,
            self._delivery.sent,
            self._spool.bytes_waiting,
            "; ".join(f"{line.name}: {line.text or 'its address cannot be read'}" for line in bad[:3]),
        )


def _now() -> Now:
    at_s = time.time()
    return Now(time.monotonic(), round(at_s * 1e6), datetime.fromtimestamp(at_s))


def _write_into_log(sayings: Sequence[Saying]) -> None:
    """A few of each rule: the event log has them all."""
    counts = Counter((saying.incident.rule, saying.state) for saying in sayings)
    written: Counter[tuple[str, State]] = Counter()
    for saying in sayings:
        kind = (saying.incident.rule, saying.state)
        written[kind] += 1
        if written[kind] > MOST_LINES:
            continue
        more = counts[kind] - MOST_LINES
        others = f"; and {more} others" if written[kind] == MOST_LINES and more > 0 else ""
        level = logging.WARNING if saying.state in (State.RAISED, State.ESCALATED) else logging.INFO
        text = notice_of(saying).text
        log.log(level, "alert %d %s: %s%s", saying.incident.number, saying.state.value, text, others)
