"""Which ears a plan needs, and the filters in front of them."""

from __future__ import annotations

from echostream.audio.filters import BiquadChain
from echostream.tones.plan import ListenPlan
from echostream.tones.stream import Ear


def ears_for(plan: ListenPlan) -> tuple[Ear, ...]:
    """One ear for each kind of tone that the plan names."""
    ears: list[Ear] = []
    return tuple(ears)


def filters_for(plan: ListenPlan) -> tuple[BiquadChain, ...]:
    """The plan's continuous filters, at 8 kHz."""
    return ()
