"""What a channel does about its push-to-talk: a pure step function.

`step(state, event, now) -> (state, commands)`; no clock, no thread, no I/O. The order on the wire follows
from it: transmit_started has left the socket before the valve opens, transmit_ended is sent after the valve
has drained.

```
            wants to talk and online               announced
   IDLE ───────────────────────────> STARTING ───────────────> OPEN
    ^                                    │ released / TOT / lost  │
    └──────────── drained ── DRAINING <──┴───────────────────────┘
```
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from echostream.events import Opener


class Phase(StrEnum):
    """Where a transmission is."""

    IDLE = "idle"
    STARTING = "starting"
    OPEN = "open"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the step needs to know of the channel. `full_duplex` trusts COS while the channel plays."""

    tot_s: float
    full_duplex: bool = False


@dataclass(frozen=True, slots=True)
class ChannelState:
    """Frozen: every step makes a new one. Times are monotonic seconds."""

    settings: Settings
    phase: Phase = Phase.IDLE
    active: frozenset[Opener] = frozenset()
    online: bool = False
    source: bool = True
    playing: bool = False
    muted: bool = False
    latched: bool = False
    barred: frozenset[Opener] = frozenset()
    transmission: int = 0
    held_since_s: float = 0.0
    drain_until_s: float = 0.0
    retry_at_s: float = 0.0

    @property
    def wants_to_talk(self) -> bool:
        """Something that may open the valve is active, there is a source to hear, and no latch."""
        return bool(self.holding)

    @property
    def local(self) -> bool:
        """Somebody at this channel holds the valve: what is passed through to it gives way."""
        return bool(_own(self._counted))

    @property
    def passes_through(self) -> bool:
        """The valve is held by a passthrough alone."""
        return Opener.PASSTHROUGH in self.active and not self.local

    @property
    def pages_out(self) -> bool:
        """A page is being sent: its tones take the place of whatever else would be."""
        return Opener.PAGE in self.active

    @property
    def card_talks(self) -> bool:
        """What the channel's own card captures is sent, alone or with what network microphones say."""
        return bool(self.holding - _DEVICES - _FROM_ELSEWHERE)

    @property
    def holding(self) -> frozenset[Opener]:
        """Who holds the valve. A latch is for everybody at the channel, but not for network microphones: they
        are barred by themselves, until they are quiet, and bar nobody else. They need no card either."""
        openers = self._counted
        return openers if self.source and not self.latched else openers & _DEVICES

    @property
    def _counted(self) -> frozenset[Opener]:
        return self.audible(self.active - self._inhibited - self.barred)

    def audible(self, openers: frozenset[Opener]) -> frozenset[Opener]:
        """Without those that a muted microphone has."""
        return openers & _FROM_ELSEWHERE if self.muted else openers

    def watched(self, openers: frozenset[Opener]) -> bool:
        """Whether one of them is of this channel and watched by the time-out timer."""
        return bool(_own(openers) - self.barred - {Opener.STREAM})

    @property
    def endless(self) -> bool:
        """Only microphones that are to be on the air always hold the valve: the time-out timer rests."""
        return self.holding == {Opener.STREAM}

    @property
    def _inhibited(self) -> frozenset[Opener]:
        # What the channel plays must not open its own valve: VOX hears the loudspeaker, and a simplex
        # radio that is keyed cannot be receiving, whatever its squelch line says.
        if not self.playing:
            return frozenset()
        return frozenset({Opener.VOX}) if self.settings.full_duplex else frozenset({Opener.VOX, Opener.COS})

    @property
    def due_at_s(self) -> float | None:
        """When `Tick` should come next."""
        if self.phase is Phase.DRAINING:
            return self.drain_until_s
        if self.phase in (Phase.STARTING, Phase.OPEN):
            return None if self.endless else self.held_since_s + self.settings.tot_s
        return self.retry_at_s if self.wants_to_talk and self.online else None


# ---- inputs


@dataclass(frozen=True, slots=True)
class OpenerChanged:
    opener: Opener
    active: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class OnlineChanged:
    """Signalling is up, a session with a key is there, and the channel may transmit; or not."""

    online: bool


@dataclass(frozen=True, slots=True)
class PlayingChanged:
    playing: bool


@dataclass(frozen=True, slots=True)
class MicrophoneMuted:
    """Nothing that is heard at this channel is sent, from now on; or again."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Announced:
    transmission: int
    sent: bool


@dataclass(frozen=True, slots=True)
class Drained:
    transmission: int


@dataclass(frozen=True, slots=True)
class SourceLost:
    """No more frames come: nothing is left to drain."""


@dataclass(frozen=True, slots=True)
class SourceBack:
    """Frames come again: a key that is still down talks again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of `due_at_s` has come."""


Input = (
    OpenerChanged
    | OnlineChanged
    | PlayingChanged
    | MicrophoneMuted
    | Announced
    | Drained
    | SourceLost
    | SourceBack
    | Tick
)


# ---- commands


@dataclass(frozen=True, slots=True)
class Arm:
    """Hold the pre-roll of this key-up: from `at_s` back."""

    transmission: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Announce:
    """Send transmit_started."""

    transmission: int


@dataclass(frozen=True, slots=True)
class OpenValve:
    transmission: int


@dataclass(frozen=True, slots=True)
class CloseValve:
    """Stop after the frame at hand; what waits is still sent."""

    transmission: int


@dataclass(frozen=True, slots=True)
class AbortValve:
    """Stop at once and forget what waits: there is nobody to send it to."""

    transmission: int


@dataclass(frozen=True, slots=True)
class AnnounceEnd:
    """Send transmit_ended."""

    transmission: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Say that the time-out timer has latched the channel."""


Command = Arm | Announce | OpenValve | CloseValve | AbortValve | AnnounceEnd | TimedOut

Stepped = tuple[ChannelState, list[Command]]

DRAIN_LIMIT_S = 1.0
RETRY_S = 0.2


def step(state: ChannelState, event: Input, now: float) -> Stepped:
    """The one place where a channel's state changes."""
    match event:
        case OpenerChanged(opener, active, at_s):
            openers = state.active | {opener} if active else state.active - {opener}
            # The time-out timer counts from the press, also over a reconnect: a stuck button stays bounded.
            # Whoever speaks over a passthrough has all of it, and so has the passthrough afterwards.
            before, after = state.audible(state.active), state.audible(openers)
            same = bool(before) and state.watched(before) == state.watched(after)
            held_since_s = state.held_since_s if same else now
            # Released entirely: the latch of the time-out timer opens again.
            latched = state.latched and bool(_own(openers) - _DEVICES)
            barred = state.barred & openers
            state = replace(state, active=openers, latched=latched, barred=barred, held_since_s=held_since_s)
            return _settle(state, at_s, now)
        case OnlineChanged(online):
            return _online_changed(state, online, now)
        case PlayingChanged(playing):
            return _settle(replace(state, playing=playing), now, now)
        case MicrophoneMuted(muted):
            if muted == state.muted:
                return state, []
            return _settle(replace(state, muted=muted, held_since_s=now), now, now)
        case Announced(transmission, sent):
            return _announced(state, transmission, sent, now)
        case Drained(transmission):
            if state.phase is Phase.DRAINING and transmission == state.transmission:
                return _ended(state, now)
            return state, []
        case SourceLost():
            return _source_lost(state, now)
        case SourceBack():
            return _settle(replace(state, source=True), now, now)
        case Tick():
            return _tick(state, now)


_DEVICES = frozenset({Opener.DEVICE, Opener.STREAM})
_FROM_ELSEWHERE = frozenset({Opener.PASSTHROUGH, Opener.PAGE})


def _own(openers: frozenset[Opener]) -> frozenset[Opener]:
    return openers - {Opener.PASSTHROUGH}


def _settle(state: ChannelState, at_s: float, now: float) -> Stepped:
    """Start or stop a transmission so that it agrees with what the openers say."""
    if state.phase is Phase.IDLE and state.wants_to_talk and state.online and now >= state.retry_at_s:
        number = state.transmission + 1
        state = replace(state, phase=Phase.STARTING, transmission=number)
        return state, [Arm(number, at_s), Announce(number)]
    if state.phase is Phase.OPEN and not state.wants_to_talk:
        return _drain(state, now)
    return state, []  # STARTING waits for its announcement, DRAINING for its last packet


def _drain(state: ChannelState, now: float) -> Stepped:
    state = replace(state, phase=Phase.DRAINING, drain_until_s=now + DRAIN_LIMIT_S)
    return state, [CloseValve(state.transmission)]


def _announced(state: ChannelState, transmission: int, sent: bool, now: float) -> Stepped:
    if state.phase is not Phase.STARTING or transmission != state.transmission:
        return state, []
    if not sent:
        # The outbox was full, or the connection is going. A key that is still down must not be forgotten.
        state = replace(state, phase=Phase.IDLE, retry_at_s=now + RETRY_S)
        return state, [AbortValve(transmission)]
    state = replace(state, phase=Phase.OPEN)
    if state.wants_to_talk:
        return state, [OpenValve(transmission)]
    # Released before the announcement was out: what was said between press and release is still sent.
    state, commands = _drain(state, now)
    return state, [OpenValve(transmission), *commands]


def _online_changed(state: ChannelState, online: bool, now: float) -> Stepped:
    state = replace(state, online=online)
    if online:
        return _settle(state, now, now)
    if state.phase is Phase.IDLE:
        return state, []
    return replace(state, phase=Phase.IDLE), [AbortValve(state.transmission)]


def _source_lost(state: ChannelState, now: float) -> Stepped:
    # VOX and microphones speak through frames that no longer come; nobody would ever take them back.
    active = state.active - {Opener.VOX} - _DEVICES
    state = replace(state, source=False, active=active, barred=state.barred & active)
    if state.phase is Phase.DRAINING:
        return _ended(state, now)
    if state.phase is Phase.OPEN:  # what waits would have been sent with the next frames: there are none
        abort = AbortValve(state.transmission)
        state, commands = _ended(state, now)
        return state, [abort, *commands]
    return _settle(state, now, now)


def _tick(state: ChannelState, now: float) -> Stepped:
    due = state.due_at_s
    if due is None or now < due:
        return state, []
    if state.phase is Phase.IDLE:
        return _settle(state, now, now)
    if state.phase is Phase.DRAINING:
        abort = AbortValve(state.transmission)
        state, commands = _ended(state, now)
        return state, [abort, *commands]
    state = _timed_out(state)
    if state.wants_to_talk:  # who is left goes on, and has all of the time
        return replace(state, held_since_s=now), [TimedOut()]
    if state.phase is Phase.STARTING:
        # Its announcement is on its way already: without an end the members would believe in a talker.
        number = state.transmission
        return replace(state, phase=Phase.IDLE), [TimedOut(), AbortValve(number), AnnounceEnd(number)]
    state, commands = _drain(state, now)
    return state, [TimedOut(), *commands]


def _timed_out(state: ChannelState) -> ChannelState:
    """Whoever held the valve for too long holds it no more."""
    if Opener.PASSTHROUGH in state.active and not state.watched(state._counted):
        # A passthrough that outlasts the timer is over on this channel; nobody has to release anything.
        return replace(state, active=state.active - {Opener.PASSTHROUGH})
    held = _own(state.active) - {Opener.STREAM}
    latched = state.latched or bool(held - {Opener.DEVICE}) or not held
    return replace(state, latched=latched, barred=state.barred | (held & {Opener.DEVICE}))


def _ended(state: ChannelState, now: float) -> Stepped:
    ended: list[Command] = [AnnounceEnd(state.transmission)]
    state, commands = _settle(replace(state, phase=Phase.IDLE), now, now)
    return state, [*ended, *commands]
