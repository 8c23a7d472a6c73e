"""Who is passed through to whom: a pure step function.

`step(state, event, now) -> (state, commands)`; no clock, no thread, no audio. A page opens the way from its
channel (the source) to another (the target) for a while; the same channel's next page extends it. A target
has one source at a time: the page of higher priority takes it, and whoever had it waits, to go on when it is
free again if its time is not over. What arrived through a passthrough is never passed on again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MAX_WAITING: Final = 32


@dataclass(frozen=True, slots=True)
class Route:
    """From one channel to another. network: also to the target's members; key: also on its radio.

    echo_free: the source's card cannot hear the source's own loudspeaker (full duplex), so what it captures
    is never what was passed through to it.
    """

    source: str
    target: str
    network: bool = True
    key: bool = False
    end_tone: bool = True
    echo_free: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A way that is open, or waits to be. Times are monotonic seconds; priority 9 is the highest."""

    route: Route
    tone_id: str
    name: str
    priority: int
    started_s: float
    until_s: float

    def remaining_s(self, now: float) -> float:
        """0 when it is over."""
        return max(0.0, self.until_s - now)


@dataclass(frozen=True, slots=True)
class Passages:
    """The state: the ways that are open, one a target at most, and those that wait, oldest first."""

    running: tuple[Passage, ...] = ()
    waiting: tuple[Passage, ...] = ()

    @property
    def due_at_s(self) -> float | None:
        """When `Tick` should come next."""
        return min((passage.until_s for passage in self.running), default=None)

    def to(self, target: str) -> Passage | None:
        """What is passed through to a channel now."""
        return next((passage for passage in self.running if passage.route.target == target), None)

    def of(self, source: str) -> Passage | None:
        """What is passed on from a channel now."""
        return next((passage for passage in self.running if passage.route.source == source), None)


# ---- inputs


@dataclass(frozen=True, slots=True)
class PageFollows:
    """A page was heard on the route's source: pass on what follows for `length_s`."""

    route: Route
    tone_id: str
    name: str
    priority: int
    length_s: float


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """A channel was removed, or listens by another plan: nothing leads from it any more.

    as_target: nor to it.
    """

    channel_id: str
    as_target: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of `due_at_s` has come."""


Input = PageFollows | ChannelGone | Tick


# ---- commands


class EndReason(StrEnum):
    """Why a passage ended."""

    OVER = "its time is over"
    HIGHER = "a page of higher priority"
    GONE = "the channel is gone or changed"


@dataclass(frozen=True, slots=True)
class Start:
    """Open the way."""

    passage: Passage


@dataclass(frozen=True, slots=True)
class Extend:
    """It is open and stays so for longer."""

    passage: Passage


@dataclass(frozen=True, slots=True)
class End:
    """Shut it, unmistakably."""

    passage: Passage
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Wait:
    """Another one has the target; this one follows if its time is not over by then."""

    passage: Passage


@dataclass(frozen=True, slots=True)
class Refuse:
    """It will not be passed on. `why` is one clause for people."""

    passage: Passage
    why: str


Command = Start | Extend | End | Wait | Refuse
Stepped = tuple[Passages, list[Command]]


def step(state: Passages, event: Input, now: float) -> Stepped:
    """The one place where passages change."""
    match event:
        case PageFollows(route, tone_id, name, priority, length_s):
            wanted = Passage(route, tone_id, name, priority, now, now + length_s)
            return _asked(state, wanted)
        case ChannelGone(channel_id, as_target):
            return _gone(state, channel_id, as_target, now)
        case Tick():
            over = [passage for passage in state.running if passage.until_s <= now]
            ended: list[Command] = [End(passage, EndReason.OVER) for passage in over]
            running = tuple(passage for passage in state.running if passage not in over)
            state, started = _promoted(replace(state, running=running), now)
            return state, [*ended, *started]


def _asked(state: Passages, wanted: Passage) -> Stepped:
    if wanted.remaining_s(wanted.started_s) <= 0:
        return state, []
    for passage in state.running:
        if _same_way(passage, wanted):
            longer = _extended(passage, wanted)
            running = tuple(longer if one is passage else one for one in state.running)
            return replace(state, running=running), [Extend(longer)]
    for passage in state.waiting:
        if _same_way(passage, wanted):
            wanted = _extended(replace(passage, started_s=wanted.started_s), wanted)
            state = replace(state, waiting=tuple(one for one in state.waiting if one is not passage))
            break
    why = _never(state, wanted)
    if why:
        return state, [Refuse(wanted, why)]
    rivals = _rivals(state, wanted)
    if any(rival.priority >= wanted.priority for rival in rivals):
        if len(state.waiting) >= MAX_WAITING:
            return state, [Refuse(wanted, f"{MAX_WAITING} pages wait already")]
        return replace(state, waiting=(*state.waiting, wanted)), [Wait(wanted)]
    # Who is put out goes on later with what is left of its time, before whoever waits already.
    running = (*(passage for passage in state.running if passage not in rivals), wanted)
    waiting = (*rivals, *state.waiting)[:MAX_WAITING]
    ended: list[Command] = [End(rival, EndReason.HIGHER) for rival in rivals]
    return Passages(running, waiting), [*ended, Start(wanted)]


def _gone(state: Passages, channel_id: str, as_target: bool, now: float) -> Stepped:
    def touched(passage: Passage) -> bool:
        return passage.route.source == channel_id or (as_target and passage.route.target == channel_id)

    ended: list[Command] = [End(passage, EndReason.GONE) for passage in state.running if touched(passage)]
    left = Passages(
        tuple(passage for passage in state.running if not touched(passage)),
        tuple(passage for passage in state.waiting if not touched(passage)),
    )
    state, started = _promoted(left, now)
    return state, [*ended, *started]


def _promoted(state: Passages, now: float) -> Stepped:
    """Those that waited and may go on now, the highest priority first."""
    commands: list[Command] = []
    waiting = [passage for passage in state.waiting if passage.until_s > now]
    for passage in sorted(waiting, key=lambda passage: -passage.priority):
        tried = replace(state, waiting=())
        if not _rivals(tried, passage) and not _never(tried, passage):
            begun = replace(passage, started_s=now)
            state = replace(state, running=(*state.running, begun))
            waiting.remove(passage)
            commands.append(Start(begun))
    return replace(state, waiting=tuple(waiting)), commands


def _same_way(one: Passage, other: Passage) -> bool:
    return (one.route.source, one.route.target) == (other.route.source, other.route.target)


def _extended(passage: Passage, wanted: Passage) -> Passage:
    """Never shorter, never less urgent, and named after the newest page."""
    return replace(
        passage,
        tone_id=wanted.tone_id,
        name=wanted.name,
        priority=max(passage.priority, wanted.priority),
        until_s=max(passage.until_s, wanted.until_s),
    )


def _never(state: Passages, wanted: Passage) -> str:
    """Why it must not even wait; empty where it may."""
    source, target = wanted.route.source, wanted.route.target
    if source == target:
        return "it leads back to its own channel"
    into = state.to(source)
    if into is not None and not wanted.route.echo_free:
        return f"the page may be what {into.route.source} is passing through to {source}"
    reached = target
    for _ in range(len(state.running)):
        onward = state.of(reached)
        if onward is None:
            break
        reached = onward.route.target
        if reached == source:
            return f"it would go round: {target} is passed through to {source}"
    return ""


def _rivals(state: Passages, wanted: Passage) -> list[Passage]:
    """Who is in its way: whoever has the target, and what the target itself passes on of what it hears."""
    return [
        passage
        for passage in state.running
        if passage.route.target == wanted.route.target
        or (passage.route.source == wanted.route.target and not passage.route.echo_free)
        or (passage.route.source == wanted.route.source and passage.route.target != wanted.route.target)
    ]
