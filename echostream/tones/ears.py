"""Which ears a plan needs, and the filters in front of them."""

from __future__ import annotations

from typing import Final

from echostream.audio.filters import LOWEST_CORNER_HZ, Biquad, BiquadChain
from echostream.tones.alert_tones import AlertTonesRule
from echostream.tones.at_once import AtOnceRule
from echostream.tones.ctcss import CtcssEar
from echostream.tones.dtmf import SYSTEM as DTMF
from echostream.tones.dtmf import DtmfListener
from echostream.tones.five_tone import FiveToneListener
from echostream.tones.mdc1200 import Mdc1200Ear
from echostream.tones.one_tone import NewTonesRule, OneToneRule
from echostream.tones.plan import FilterPlan, ListenPlan
from echostream.tones.shapes import high_pass, low_pass, notch
from echostream.tones.short_tones import Listener, ShortToneEar
from echostream.tones.steady import Rule, SteadyEar
from echostream.tones.stream import EAR_RATE_HZ, Ear
from echostream.tones.tables import FIVE_TONE
from echostream.tones.trust import Gate
from echostream.tones.two_tone import TwoToneRule

BUTTERWORTH_4: Final = (0.54119610, 1.30656296)
"""Q of the two sections of a Butterworth filter of fourth order."""
HIGHEST_CORNER_HZ: Final = 3900.0


def ears_for(plan: ListenPlan) -> tuple[Ear, ...]:
    """One ear for each kind of tone that the plan names."""
    ears: list[Ear] = []
    rules = rules_for(plan)
    if rules:
        ears.append(
            SteadyEar(
                rules, least_power=0.5 * 10 ** ((plan.level_dbfs - 3.0) / 10), removed_hz=_removed(plan)
            )
        )
    short = short_tone_listeners(plan)
    if short:
        ears.append(ShortToneEar(short))
    if plan.ctcss:
        ears.append(CtcssEar(plan.level_dbfs))
    if plan.mdc1200:
        ears.append(Mdc1200Ear(plan.threshold, plan.level_dbfs, plan.explain))
    return tuple(ears)


def short_tone_listeners(plan: ListenPlan) -> tuple[Listener, ...]:
    """What looks for DTMF and five-tone calls."""
    listeners: list[Listener] = []
    if plan.dtmf or any(item.system == DTMF for item in plan.digits):
        listeners.append(DtmfListener(plan))
    if plan.five_tone or any(item.system in FIVE_TONE for item in plan.digits):
        listeners.append(FiveToneListener(plan))
    return tuple(listeners)


def rules_for(plan: ListenPlan) -> list[Rule]:
    """What is made of steady tones."""
    gate = Gate(plan.threshold, plan.level_dbfs)
    rules: list[Rule] = []
    two_tone = TwoToneRule(plan.two_tone, gate, plan.explain, plan.whole)
    # Their order matters: what a page has used is no long tone, and what is defined is not new.
    if plan.two_tone:
        rules.append(two_tone)
    if plan.at_once:
        rules.append(AtOnceRule(plan.at_once, gate))
    if plan.one_tone:
        rules.append(OneToneRule(plan.one_tone, gate, plan.whole))
    if plan.new_tones is not None:
        rules.append(NewTonesRule(plan.new_tones, two_tone.is_known, gate))
    if plan.alerts:
        rules.append(AlertTonesRule(gate))
    return rules


def filters_for(plan: ListenPlan) -> tuple[BiquadChain, ...]:
    """The plan's continuous filters, at 8 kHz, in chains of at most four sections."""
    sections = [section for item in plan.filters for section in _sections(item)]
    return tuple(BiquadChain(sections[at : at + 4]) for at in range(0, len(sections), 4))


def _removed(plan: ListenPlan) -> list[tuple[float, float]]:
    """The bands that the filters take out."""
    bands: list[tuple[float, float]] = []
    for item in plan.filters:
        low = 0.0 if item.type == "below" else item.hz - (item.range_hz if item.type == "center" else 0.0)
        high = EAR_RATE_HZ / 2 if item.type == "above" else item.hz
        bands.append((low, high + (item.range_hz if item.type == "center" else 0.0)))
    return bands


def _sections(item: FilterPlan) -> list[Biquad]:
    """Fourth-order Butterworth for below and above (-3 dB at hz, 24 dB an octave), a notch for center."""
    hz = min(max(item.hz, LOWEST_CORNER_HZ), HIGHEST_CORNER_HZ)
    if item.type == "center":
        reach = max(item.range_hz, 1.0)
        # Three beside each other: 15 dB at the edges, more inside.
        middles = (hz - 0.7 * reach, hz, hz + 0.7 * reach)
        return [notch(min(max(middle, reach), HIGHEST_CORNER_HZ), reach, EAR_RATE_HZ) for middle in middles]
    shape = high_pass if item.type == "below" else low_pass
    return [shape(hz, EAR_RATE_HZ, q) for q in BUTTERWORTH_4]
