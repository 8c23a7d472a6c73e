"""The ear on a file: what each plan hears in a sound, as it is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from echostream.tone_tools.sound_files import Float32, Sound
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Heard
from echostream.tones.plan import ListenPlan, NewTones
from echostream.tones.tables import FIVE_TONE

Tap = Callable[[Float32], None]


@dataclass(frozen=True, slots=True)
class HeardOn:
    """What was heard, by the plan of which channel ("" where no channel has a name)."""

    channel: str
    heard: Heard


def everything(new_tone_length_s: float = 2.0) -> ListenPlan:
    """All that needs no definition."""
    return ListenPlan(
        new_tones=NewTones(length_s=new_tone_length_s),
        dtmf=True,
        five_tone=tuple(FIVE_TONE),
        alerts=True,
        ctcss=True,
        mdc1200=True,
    )


def with_everything(plan: ListenPlan, new_tone_length_s: float = 2.0) -> ListenPlan:
    """A plan, and all that needs no definition besides."""
    extra = everything(new_tone_length_s)
    return replace(
        plan,
        new_tones=plan.new_tones or extra.new_tones,
        dtmf=True,
        five_tone=extra.five_tone,
        alerts=True,
        ctcss=True,
        mdc1200=True,
    )


def is_empty(plan: ListenPlan) -> bool:
    """Whether it listens for nothing."""
    wanted = (
        plan.two_tone,
        plan.one_tone,
        plan.at_once,
        plan.digits,
        plan.new_tones,
        plan.dtmf,
        plan.five_tone,
    )
    return not any((*wanted, plan.alerts, plan.ctcss, plan.mdc1200))


def hear(sound: Sound, plans: dict[str, ListenPlan], taps: Sequence[Tap] = ()) -> Iterator[HeardOn]:
    """What each channel's plan hears, in the order in which it is decided. AudioError where the file breaks.

    taps: called with each block once it was heard.
    """
    detectors = {
        channel: ToneDetector(replace(plan, whole=True), sound.rate_hz) for channel, plan in plans.items()
    }
    for block in sound.blocks():
        for channel, detector in detectors.items():
            for heard in detector.feed(block):
                yield HeardOn(channel, heard)
        for tap in taps:
            tap(block)
    for channel, detector in detectors.items():
        for heard in detector.finish():
            yield HeardOn(channel, heard)
