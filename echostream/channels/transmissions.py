"""Tells when this gateway begins and ends to transmit on a channel, and whether a channel can talk at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from echostream.channels import channel_state as cs
from echostream.events import ChannelOnline, Opener, Post, TransmissionChanged


@dataclass(slots=True)
class _Transmission:
    """openers: who has held the valve so far. began_s: when it opened, monotonic; None: not yet."""

    openers: set[Opener] = field(default_factory=set)
    began_s: float | None = None
    why: str = "released"


class Transmissions:
    """Follows the steps of every channel's state; posts TransmissionChanged and ChannelOnline."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._running: dict[str, _Transmission] = {}

    def follow(
        self,
        channel_id: str,
        before: cs.ChannelState,
        after: cs.ChannelState,
        event: cs.Input,
        commands: Sequence[cs.Command],
        now: float,
    ) -> None:
        """One step of a channel, with what it was stepped by and what came of it."""
        if before.online != after.online:
            self._post(ChannelOnline(channel_id, after.online))
        running = self._running.get(channel_id)
        if running is not None and before.phase in (cs.Phase.STARTING, cs.Phase.OPEN):
            running.openers |= before.holding
        for command in commands:
            match command:
                case cs.Arm():
                    self._running[channel_id] = _Transmission(set(after.holding))
                case cs.OpenValve():
                    self._began(channel_id, after, now)
                case cs.TimedOut() if not after.wants_to_talk:
                    self._because(channel_id, "time-out")
                case cs.CloseValve() if isinstance(event, cs.MicrophoneMuted):
                    self._because(channel_id, "muted")
                case cs.AbortValve() | cs.AnnounceEnd():
                    self._because_of(channel_id, event)
                    self.ended(channel_id, now)
        if running is not None and after.phase is cs.Phase.OPEN:
            running.openers |= after.holding

    def ended(self, channel_id: str, now: float, why: str = "") -> None:
        """It is over, if there was one; why: another reason than the one that is known."""
        running = self._running.pop(channel_id, None)
        if running is None or running.began_s is None:
            return  # nobody has heard of it
        openers = tuple(sorted(running.openers))
        lasted_s = max(0.0, now - running.began_s)
        self._post(TransmissionChanged(channel_id, False, openers, lasted_s, why or running.why))

    def removed(self, channel_id: str, state: cs.ChannelState, now: float) -> None:
        """The channel is."""
        self.ended(channel_id, now, "removed")
        if state.online:
            self._post(ChannelOnline(channel_id, False))

    def _began(self, channel_id: str, after: cs.ChannelState, now: float) -> None:
        running = self._running.setdefault(channel_id, _Transmission())
        running.openers |= after.holding
        running.began_s = now
        self._post(TransmissionChanged(channel_id, True, tuple(sorted(running.openers))))

    def _because(self, channel_id: str, why: str) -> None:
        running = self._running.get(channel_id)
        if running is not None:
            running.why = why

    def _because_of(self, channel_id: str, event: cs.Input) -> None:
        match event:
            case cs.SourceLost():
                self._because(channel_id, "card")
            case cs.OnlineChanged(online=False):
                self._because(channel_id, "offline")
