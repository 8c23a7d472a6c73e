"""What follows a page: its line in the log, its recording, its way to another channel.

Everything here runs on the coordinator's thread. Who is passed through to whom is decided by the pure
`tones.passthrough`; this file puts taps, bridges and openers where it says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from echostream.archive.page_recorder import PageRecorder, PageToRecord
from echostream.archive.recording import ToneMark
from echostream.audio.format import Frame, Samples, samples_per_frame
from echostream.audio.tone import beep
from echostream.channels import channel_state as cs
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.frame_bridge import FrameBridge
from echostream.channels.page_rings import PageRings
from echostream.channels.page_words import heard_in_words, is_page, missed_in_words
from echostream.channels.tone_listener import ToneListener
from echostream.channels.transmit_path import FrameSource
from echostream.config.tone_models import TonePlan
from echostream.coordinator.deadlines import Deadlines
from echostream.events import (
    Opener,
    PassthroughChanged,
    Post,
    ToneDetected,
    ToneMissed,
)
from echostream.tones import passthrough as through
from echostream.tones.heard import Kind

log = logging.getLogger(__name__)

PASSAGES: Final = ("passages",)
END_TONE: Final = ((1000.0, 160), (700.0, 240))
"""Hz and ms of the two falling beeps."""
END_TONE_DBFS: Final = -14.0
CLOSING_S: Final = 0.9
"""From the end of a passage to the end of its tone: what is queued, and the beeps."""


class Ears(Protocol):
    """Who listens: the thread `tones`."""

    def set(self, listener: ToneListener) -> None: ...

    def remove(self, channel_id: str) -> None: ...


@dataclass(slots=True)
class ChannelPages:
    """What was heard on a channel, for whoever looks. Counters since the channel began."""

    pages: int = 0
    new_tones: int = 0
    passthrough_s: float = 0.0
    passthrough_frames_lost: int = 0
    last: ToneDetected | None = None


@dataclass(slots=True)
class _Bridged:
    """A passage's frames on their way. `closing`: its time is over, its end is still to be heard."""

    passage: through.Passage
    speaker: FrameBridge
    network: FrameBridge | None
    tap: Callable[[Frame], None]
    closing: bool = False


class PageDesk:
    """One for all channels. `ears` is set by the owner of that thread; None: nobody listens."""

    def __init__(
        self,
        channels: Mapping[str, ChannelRuntime],
        step: Callable[[str, cs.Input, float], None],
        deadlines: Deadlines,
        post: Post,
        unix_offset: Callable[[], float],
    ) -> None:
        self._channels = channels
        self._step = step
        self._deadlines = deadlines
        self._post = post
        self._unix_offset = unix_offset
        self._plans: Mapping[str, TonePlan] = {}
        self._bridged: dict[str, _Bridged] = {}
        self.rings = PageRings()
        """Where what is recorded on request comes from."""
        self._in_force: dict[str, TonePlan | None] = {}
        self.ears: Ears | None = None
        self.mark: Callable[[str, ToneMark], None] = nobody
        """Told each page, for whatever else is being recorded of its channel."""
        self.passages = through.Passages()
        self.heard: dict[str, ChannelPages] = {}

    # ---- composition

    def set_plans(self, plans: Mapping[str, TonePlan]) -> None:
        """What each channel listens for from now on; `attach` puts it in force."""
        self._plans = plans

    def set_recorder(self, recorder: PageRecorder | None) -> None:
        """Who records from now on; None: nobody. `attach` puts the channels' rings in place."""
        self.rings.set_recorder(recorder)

    def recording(self, channel_id: str) -> bool:
        """Whether a page of a channel is being recorded. Any thread."""
        return self.rings.recording(channel_id)

    def plan(self, channel_id: str) -> TonePlan | None:
        """What a channel listens for."""
        return self._plans.get(channel_id)

    def attach(self, runtime: ChannelRuntime, now: float) -> None:
        """Listen on a channel by its plan, new or changed. Its audio goes on untouched."""
        channel_id = runtime.config.id
        plan = self._plans.get(channel_id)
        if _way_on(plan) != _way_on(self._in_force.get(channel_id)):
            self._apply(through.ChannelGone(channel_id, as_target=False), now)
        self._in_force[channel_id] = plan
        self.heard.setdefault(channel_id, ChannelPages())
        transmit, frame_ms = runtime.stream.transmit, runtime.frame_ms
        ring = self.rings.of_plan(channel_id, plan if self.ears is not None else None, frame_ms, now)
        tapped = () if ring is None else (ring,)
        if self.ears is None or plan is None or not plan.detect:
            self._stop_listening(channel_id)
            transmit.raw_taps, transmit.taps = (), tapped
            return
        listener = ToneListener(channel_id, plan, runtime.config.input_gain_db, frame_ms, self._unix_offset)
        onward = self.passages.of(channel_id)
        passing = () if onward is None else (self._bridged[onward.route.target].tap,)
        transmit.taps = (*tapped, *passing)
        transmit.raw_taps = (listener.tap,)
        self.ears.set(listener)

    def _stop_listening(self, channel_id: str) -> None:
        if self.ears is not None:
            self.ears.remove(channel_id)

    def detach(self, channel_id: str, now: float) -> None:
        """The channel is being removed: nothing leads from it or to it any more."""
        self._apply(through.ChannelGone(channel_id), now)
        self._close(channel_id, now)
        self._stop_listening(channel_id)
        self.rings.drop(channel_id)
        self._in_force.pop(channel_id, None)
        self.heard.pop(channel_id, None)

    # ---- the coordinator's events

    def handle(self, event: ToneDetected | ToneMissed, now: float) -> None:
        """One finding."""
        match event:
            case ToneDetected():
                self._heard(event, now)
            case ToneMissed():
                log.info("%s", missed_in_words(event))

    def handle_deadline(self, key: tuple[str, ...], now: float) -> None:
        """PASSAGES, or ("closing", target)."""
        if key == PASSAGES:
            self._apply(through.Tick(), now)
        else:
            self._close(key[1], now)

    def follow(self, runtime: ChannelRuntime) -> None:
        """A channel's state has changed: whose frames it sends, and whether its loudspeaker is mute."""
        bridged = self._bridged.get(runtime.config.id)
        state, stream = runtime.state, runtime.stream
        if state.phase is cs.Phase.DRAINING:
            return  # what is sent last is of whoever held the valve
        network: FrameSource | None = None
        if state.pages_out:
            network = runtime.paged
        elif bridged is not None and state.passes_through:
            network = bridged.network
        if network is not runtime.inserted:
            runtime.inserted = network
            stream.transmit.insert(network)
        if state.phase is not cs.Phase.IDLE:
            stream.mute(runtime.deaf)

    # ---- inside

    def _heard(self, event: ToneDetected, now: float) -> None:
        pages = self.heard.get(event.channel_id)
        if pages is None:
            return  # the channel was removed while the event waited
        log.info("%s", heard_in_words(event))
        if event.detection.kind is Kind.NEW_TONES:
            pages.new_tones += 1
        if not is_page(event):
            return
        self.mark(event.channel_id, tone_mark(event))
        pages.pages += 1
        pages.last = event
        if event.record_length_s <= 0:
            return
        self._record(event, now)
        plan = self._plans.get(event.channel_id)
        if plan is not None and plan.passthrough and plan.passthrough_channel is not None:
            self._pass_on(event, plan, plan.passthrough_channel, now)

    def _record(self, event: ToneDetected, now: float) -> None:
        page = PageToRecord(
            event.channel_id,
            event.detection.tone_id,
            event.position,
            event.started_at_s,
            now + event.record_length_s,
            self._channels[event.channel_id].config.name,
            tone_mark(event),
        )
        self.rings.record(page)

    def _pass_on(self, event: ToneDetected, plan: TonePlan, target: str, now: float) -> None:
        source = self._channels[event.channel_id]
        if target not in self._channels:
            log.error("%s is not passed through: channel %s does not run", event.name, target)
            return
        route = through.Route(
            event.channel_id,
            target,
            plan.passthrough_network,
            plan.passthrough_key,
            plan.passthrough_end_tone,
            echo_free=source.config.duplex == "full",
        )
        tone_id = event.detection.tone_id
        self._apply(
            through.PageFollows(route, tone_id, event.name, event.priority, event.record_length_s), now
        )

    def _apply(self, event: through.Input, now: float) -> None:
        self.passages, commands = through.step(self.passages, event, now)
        due_at_s = self.passages.due_at_s  # first: whatever goes wrong below, what is open ends
        if due_at_s is None:
            self._deadlines.cancel(PASSAGES)
        else:
            self._deadlines.set(PASSAGES, due_at_s)
        for command in commands:
            self._obey(command, now)

    def _obey(self, command: through.Command, now: float) -> None:
        passage = command.passage
        route, left_s = passage.route, passage.remaining_s(now)
        way = f"{passage.name}: {route.source} to {route.target}"
        match command:
            case through.Start():
                log.info("Passed through %s, for %.0f s", way, left_s)
                self._open(passage, now)
                self._tell(passage, left_s)
            case through.Extend():
                log.info("Passed through %s, for %.0f s more", way, left_s)
                bridged = self._bridged[route.target]
                bridged.passage = passage
                target = self._channels[route.target]
                # Time-out timers may have ended it on the air and the network: a new reason to talk.
                target.stream.pass_through(bridged.speaker, route.key)
                self._hold_valve(target, bridged.network is not None, now)
                self._tell(passage, left_s)
            case through.End(_, reason):
                log.info("Passthrough of %s has ended: %s", way, reason)
                self._finish(passage, now)
                self._tell(passage, 0.0, reason)
            case through.Wait():
                log.info("Passthrough of %s waits: another page has the channel", way)
            case through.Refuse(_, why):
                log.warning("Not passed through, %s: %s", way, why)

    def _tell(self, passage: through.Passage, remaining_s: float, reason: str = "") -> None:
        route = passage.route
        self._post(
            PassthroughChanged(route.source, route.target, passage.tone_id, passage.name, remaining_s, reason)
        )

    def _open(self, passage: through.Passage, now: float) -> None:
        route = passage.route
        source, target = self._channels[route.source], self._channels[route.target]
        ending = self._bridged.pop(route.target, None)
        opening = _end_tone(target.frame_ms) if ending is not None and ending.passage.route.end_tone else ()
        self._deadlines.cancel(("closing", route.target))
        speaker = FrameBridge(target.frame_ms, opening)
        network = FrameBridge(target.frame_ms, opening) if route.network else None

        def tap(frame: Frame) -> None:
            speaker.push(frame.samples)
            if network is not None:
                network.push(frame.samples)

        self._bridged[route.target] = _Bridged(passage, speaker, network, tap)
        source.stream.transmit.taps = (*source.stream.transmit.taps, tap)
        target.stream.pass_through(speaker, route.key)
        self._hold_valve(target, network is not None, now)

    def _hold_valve(self, target: ChannelRuntime, held: bool, now: float) -> None:
        if held != (Opener.PASSTHROUGH in target.state.active):
            self._step(target.config.id, cs.OpenerChanged(Opener.PASSTHROUGH, held, now), now)
        else:
            self.follow(target)

    def _finish(self, passage: through.Passage, now: float) -> None:
        """No more of the source; what is queued is still heard, and then the tone that says it is over."""
        target_id = passage.route.target
        bridged = self._bridged[target_id]
        pages = self.heard.get(passage.route.source)
        if pages is not None:
            pages.passthrough_s += now - passage.started_s
            pages.passthrough_frames_lost += bridged.speaker.dropped
        source = self._channels.get(passage.route.source)
        if source is not None:
            transmit = source.stream.transmit
            transmit.taps = tuple(tap for tap in transmit.taps if tap is not bridged.tap)
        target = self._channels.get(target_id)
        if target is None:
            del self._bridged[target_id]
            return
        closing = _end_tone(target.frame_ms) if passage.route.end_tone else ()
        bridged.closing = True
        bridged.speaker.finish(closing)
        if bridged.network is not None:
            bridged.network.finish(closing)
        self._deadlines.set(("closing", target_id), now + CLOSING_S)

    def _close(self, target_id: str, now: float) -> None:
        """The end was heard."""
        self._deadlines.cancel(("closing", target_id))
        bridged = self._bridged.pop(target_id, None)
        target = self._channels.get(target_id)
        if bridged is None or target is None:
            return
        target.stream.pass_through(None)
        self._hold_valve(target, False, now)


def _way_on(plan: TonePlan | None) -> tuple[object, ...] | None:
    """What of a plan a running passthrough was opened by."""
    if plan is None or not (plan.detect and plan.passthrough):
        return None
    return (
        plan.passthrough_channel,
        plan.passthrough_network,
        plan.passthrough_key,
        plan.passthrough_end_tone,
    )


def nobody(channel_id: str, tone: ToneMark) -> None:
    """Nothing is recorded in which a page could be noted."""


def tone_mark(event: ToneDetected) -> ToneMark:
    """A page as recordings note it."""
    start_us, end_us = round(event.started_at_s * 1e6), round(event.ended_at_s * 1e6)
    return ToneMark(event.detection.tone_id, event.name, start_us, end_us, str(event.detection.kind))


def _end_tone(frame_ms: int) -> list[Samples]:
    """The falling beeps, in frames."""
    beeps = np.concatenate([beep(hz, length_ms, END_TONE_DBFS) for hz, length_ms in END_TONE])
    count = samples_per_frame(frame_ms)
    padded = np.pad(beeps, (0, -len(beeps) % count))
    return list(padded.reshape(-1, count))
