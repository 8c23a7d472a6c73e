"""Pages that are ordered from elsewhere: they wait for their channel to be free, and go one at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from echostream.channels import channel_state as cs
from echostream.channels import page_out
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.page_desk import PageDesk
from echostream.channels.page_out import PageOut
from echostream.config.explain import did_you_mean
from echostream.config.tone_models import AlertTone
from echostream.coordinator.deadlines import Deadlines
from echostream.events import CommandAsked, Opener

log = logging.getLogger(__name__)

ORDER: Final = "order"
"""First of the deadlines of what is ordered: (ORDER, what, channel)."""
LOOK_S: Final = 0.1
WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 120.0
MOST_WAITING: Final = 8
"""For one channel."""

Step = Callable[[str, cs.Input, float], None]


class Done(Protocol):
    """Tells what came of an order."""

    def __call__(self, asked: CommandAsked, ok: bool, text: str) -> None: ...


class Refused(Exception):
    """Why an order is not carried out; its text is the answer."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A page whose channel is busy; until_s: monotonic, refused then."""

    asked: CommandAsked
    tone: AlertTone
    until_s: float


class PageOrders:
    """For all channels, on the coordinator's thread."""

    def __init__(
        self,
        channels: Mapping[str, ChannelRuntime],
        step: Step,
        pages: PageDesk,
        deadlines: Deadlines,
        done: Done,
    ) -> None:
        self._channels = channels
        self._step = step
        self._pages = pages
        self._deadlines = deadlines
        self._done = done
        self._sending: dict[str, PageOut] = {}
        self._waiting: dict[str, list[_Waiting]] = {}

    def order(self, runtime: ChannelRuntime, asked: CommandAsked, now: float) -> None:
        """Send it, or let it wait. Raises Refused."""
        tone = self._tone(asked)
        wait_s = number(asked, "wait_s", 0.0, LONGEST_WAIT_S, WAIT_S)
        channel_id = asked.channel_id
        waiting = self._waiting.get(channel_id, [])
        why, passes = page_out.obstacle(runtime)
        if waiting and not why:
            why, passes = "busy: another page waits there", True
        if not why:
            self._send(runtime, asked, tone, now)
            return
        if not passes or wait_s == 0:
            raise Refused(why)
        if len(waiting) >= MOST_WAITING:
            raise Refused(f"busy: {MOST_WAITING} pages wait there already")
        log.info("channel %s: page %s waits: %s", channel_id, tone.name, why)
        self._waiting[channel_id] = [*waiting, _Waiting(asked, tone, now + wait_s)]
        if channel_id not in self._sending:
            self._look_again(channel_id, now + LOOK_S)

    def look(self, channel_id: str, now: float) -> None:
        """The deadline (ORDER, "page", channel) has come: what is sent may be out, what waits may go."""
        page = self._sending.get(channel_id)
        if page is not None and (page.over or now >= page.until_s):
            self._end(channel_id, page, now)
        self._let_go(channel_id, now)
        if channel_id in self._sending or channel_id in self._waiting:
            self._look_again(channel_id, now + LOOK_S)

    def detach(self, channel_id: str, now: float) -> None:
        """The channel ends."""
        self._deadlines.cancel((ORDER, "page", channel_id))
        for waiting in self._waiting.pop(channel_id, []):
            self._done(waiting.asked, False, "the channel was taken away before it was free")
        page = self._sending.get(channel_id)
        if page is not None:
            self._end(channel_id, page, now)

    # ---- inside

    def _tone(self, asked: CommandAsked) -> AlertTone:
        wanted = asked.values.get("tone_id")
        plan = self._pages.plan(asked.channel_id)
        tones = {} if plan is None else {tone.tone_id: tone for tone in plan.alert_tones}
        tone = tones.get(wanted) if isinstance(wanted, str) else None
        if tone is None:
            near = did_you_mean(wanted, list(tones)) if isinstance(wanted, str) else ""
            raise Refused(f"page {wanted!r} is none of this channel's" + (f"; {near}" if near else ""))
        return tone

    def _let_go(self, channel_id: str, now: float) -> None:
        """The first that waits, if it may; those that have waited for long enough are refused."""
        waiting = self._waiting.get(channel_id)
        if not waiting:
            return
        runtime = self._channels[channel_id]
        why, passes = page_out.obstacle(runtime)
        late = [one for one in waiting if why and (now >= one.until_s or not passes)]
        left = [one for one in waiting if one not in late]
        first = left.pop(0) if left and not why else None
        if left:
            self._waiting[channel_id] = left
        else:
            del self._waiting[channel_id]
        for one in late:
            self._done(one.asked, False, why)
        if first is not None:
            try:
                self._send(runtime, first.asked, first.tone, now)
            except Refused as refused:
                self._done(first.asked, False, str(refused))

    def _send(self, runtime: ChannelRuntime, asked: CommandAsked, tone: AlertTone, now: float) -> None:
        page, why = page_out.prepared(runtime, tone, asked, now)
        if page is None:
            raise Refused(why)
        channel_id = asked.channel_id
        log.info("channel %s: page %s is sent, for %s", channel_id, page.name, asked.who)
        self._sending[channel_id] = page
        runtime.paged = page.network
        runtime.stream.page(page.speaker)
        self._look_again(channel_id, now + page.length_s)
        if page.network is not None:
            self._step(channel_id, cs.OpenerChanged(Opener.PAGE, True, now), now)

    def _end(self, channel_id: str, page: PageOut, now: float) -> None:
        ok, text = page.outcome
        del self._sending[channel_id]
        runtime = self._channels[channel_id]
        runtime.stream.page(None)
        runtime.paged = None
        self._step(channel_id, cs.OpenerChanged(Opener.PAGE, False, now), now)
        log.log(logging.INFO if ok else logging.ERROR, "channel %s: page %s", channel_id, text)
        self._done(page.asked, ok, text)

    def _look_again(self, channel_id: str, at_s: float) -> None:
        self._deadlines.set((ORDER, "page", channel_id), at_s)


def number(asked: CommandAsked, key: str, least: float, most: float, unsaid: float | None = None) -> float:
    """A value of an order; unsaid: what it is where it is not there. Raises Refused."""
    value = asked.values.get(key, unsaid)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(f"{key}: expected a number")
    if not least <= value <= most:
        raise Refused(f"{key} {value:g}: expected {least:g} to {most:g}")
    return float(value)
