"""A page that is ordered from elsewhere: its tones on the channel's radio and to its network members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ, Samples, samples_per_frame
from echostream.channels import channel_state as cs
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.frame_bridge import FrameBridge
from echostream.config.listen import listen_plan
from echostream.config.models import NO_CARD
from echostream.config.tone_models import AlertTone, TonePlan
from echostream.events import CommandAsked
from echostream.tones import generator
from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone

LEAD_S: Final = 0.3
"""Silence first: receivers and repeaters need a moment to open."""
TAIL_S: Final = 0.2
LONGEST_S: Final = 60.0
LEVEL_DBFS: Final = -12.0
SPARE_S: Final = 3.0
"""What cards, lead-in and announcement may take more than the page itself lasts."""


@dataclass(slots=True)
class PageOut:
    """One that is being sent. length_s: of all of it; until_s: monotonic, given up then. speaker, network:
    what is still to be played and sent; None where it does not go."""

    asked: CommandAsked
    name: str
    length_s: float
    until_s: float
    speaker: FrameBridge | None
    network: FrameBridge | None

    @property
    def over(self) -> bool:
        """All of it is out."""
        return all(way is None or way.over for way in (self.speaker, self.network))

    @property
    def outcome(self) -> tuple[bool, str]:
        """Whether it was sent where it was to be, and what became of it, for people."""
        sent: list[str] = []
        cut: list[str] = []
        for way, where in ((self.speaker, "on the radio"), (self.network, "to the network")):
            if way is not None:
                (sent if way.over else cut).append(where)
        words = [f"{self.name} sent {' and '.join(sent)}"] if sent else []
        words += [f"{self.name} not sent whole {' and '.join(cut)}"] if cut else []
        return not cut, "; ".join(words)


def obstacle(runtime: ChannelRuntime) -> tuple[str, bool]:
    """Why no page can be sent on a channel now, and whether that passes by itself; "" where one can be."""
    state = runtime.state
    if runtime.loudspeaker_muted:
        return "its loudspeaker is muted", False
    if runtime.paged is not None or runtime.stream.paging:
        return "busy: a page is being sent there", True
    if state.phase is not cs.Phase.IDLE:
        openers = ", ".join(sorted(state.holding or state.active)) or "ending"
        return f"busy: this gateway transmits there ({openers})", True
    if state.playing:
        names = ", ".join(member.user_name or key for key, member in list(runtime.talkers.items())[:3])
        return f"busy: {names or 'somebody'} talks there", True
    if not (_has_radio(runtime) or _has_network(runtime)):
        return "its card is away, and so is the control server", False
    return "", False


def prepared(
    runtime: ChannelRuntime, tone: AlertTone, asked: CommandAsked, now: float
) -> tuple[PageOut | None, str]:
    """A page, ready to be sent; None, with the reason, where it cannot be."""
    try:
        frames = _frames(tone, runtime.frame_ms)
    except ValueError as error:
        return None, str(error)
    length_s = len(frames) * runtime.frame_ms / 1000
    longest_s = min(LONGEST_S, runtime.config.tot_s)
    if length_s > longest_s:
        return None, f"it lasts {length_s:.0f} s, and the longest that may be sent there is {longest_s:.0f} s"
    speaker = _ready(frames, runtime.frame_ms) if _has_radio(runtime) else None
    network = _ready(frames, runtime.frame_ms) if _has_network(runtime) else None
    return PageOut(asked, tone.name, length_s, now + length_s + SPARE_S, speaker, network), ""


def _has_radio(runtime: ChannelRuntime) -> bool:
    return runtime.config.card != NO_CARD and runtime.playback.present


def _has_network(runtime: ChannelRuntime) -> bool:
    return runtime.state.online and runtime.state.source and runtime.capture.present


def _ready(frames: list[Samples], frame_ms: int) -> FrameBridge:
    bridge = FrameBridge(frame_ms, frames)
    bridge.finish(())
    return bridge


def _frames(tone: AlertTone, frame_ms: int) -> list[Samples]:
    """The page as sound. ValueError for digits that cannot be sent, or one that lasts for too long."""
    plan = listen_plan(TonePlan(alert_tones=(tone,)))
    found: list[TwoTone | OneTone | AtOnce | Digits] = []
    for kind in (plan.two_tone, plan.one_tone, plan.at_once, plan.digits):
        found += kind
    parts = generator.parts_for(found[0])
    if sum(part.length_s for part in parts) > LONGEST_S:  # before it is made
        raise ValueError(f"it lasts longer than {LONGEST_S:.0f} s")
    around = generator.Part(LEAD_S), *parts, generator.Part(TAIL_S)
    sound = generator.to_int16(generator.render(around, RATE_HZ, LEVEL_DBFS))
    count = samples_per_frame(frame_ms)
    return list(np.pad(sound, (0, -len(sound) % count)).reshape(-1, count))
