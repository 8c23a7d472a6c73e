"""Which ears a plan needs, and the filters in front of them."""

from __future__ import annotations

from echostream.audio.filters import BiquadChain
from echostream.tones.plan import ListenPlan
from echostream.tones.steady import Rule, SteadyEar
from echostream.tones.stream import Ear
from echostream.tones.trust import Gate
from echostream.tones.two_tone import TwoToneRule


def ears_for(plan: ListenPlan) -> tuple[Ear, ...]:
    """One ear for each kind of tone that the plan names."""
    ears: list[Ear] = []
    rules = rules_for(plan)
    if rules:
        ears.append(SteadyEar(rules, least_power=0.5 * 10 ** ((plan.level_dbfs - 3.0) / 10)))
    return tuple(ears)


def rules_for(plan: ListenPlan) -> list[Rule]:
    """What is made of steady tones."""
    gate = Gate(plan.threshold, plan.level_dbfs)
    rules: list[Rule] = []
    if plan.two_tone:
        rules.append(TwoToneRule(plan.two_tone, gate, plan.explain))
    return rules


def filters_for(plan: ListenPlan) -> tuple[BiquadChain, ...]:
    """The plan's continuous filters, at 8 kHz."""
    return ()
