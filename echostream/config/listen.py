"""From a tone plan as people write it to the plan that the ear works by."""

from __future__ import annotations

from echostream.config.tone_models import AlertTone, TonePlan
from echostream.tones.plan import AtOnce, Digits, FilterPlan, ListenPlan, NewTones, OneTone, TwoTone


def listen_plan(plan: TonePlan) -> ListenPlan:
    """What to listen for. `gain` is left out: what the ear hears does not depend on level."""
    tones = plan.alert_tones
    return ListenPlan(
        two_tone=tuple(_two_tone(tone) for tone in tones if tone.kind == "two_tone"),
        one_tone=tuple(_one_tone(tone) for tone in tones if tone.kind == "long"),
        at_once=tuple(_at_once(tone) for tone in tones if tone.kind == "at_once"),
        digits=tuple(_digits(tone) for tone in tones if tone.kind in ("dtmf", "five_tone")),
        new_tones=NewTones(plan.new_tone_length_s, plan.new_tone_range_hz) if plan.detect_new_tones else None,
        dtmf=plan.dtmf,
        five_tone=plan.five_tone,
        alerts=plan.alerts,
        ctcss=plan.ctcss,
        mdc1200=plan.mdc1200,
        filters=tuple(FilterPlan(f.type, f.frequency_hz, f.range_hz) for f in plan.filters),
        threshold=plan.threshold,
        level_dbfs=plan.level_db,
        explain=plan.explain,
    )


def _two_tone(tone: AlertTone) -> TwoTone:
    return TwoTone(
        tone_id=tone.tone_id,
        a_hz=_hz(tone.tone_a_hz),
        b_hz=_hz(tone.tone_b_hz),
        a_length_s=tone.tone_a_length_s,
        b_length_s=tone.tone_b_length_s,
        a_range_hz=tone.tone_a_range_hz,
        b_range_hz=tone.tone_b_range_hz,
        gap_s=tone.gap_s,
        a_longest_s=tone.a_longest_s,
        vocoder_grid_hz=tone.vocoder_grid_hz,
    )


def _one_tone(tone: AlertTone) -> OneTone:
    return OneTone(tone.tone_id, _hz(tone.tone_a_hz), tone.tone_a_length_s, tone.tone_a_range_hz)


def _at_once(tone: AlertTone) -> AtOnce:
    then_hz = None
    if tone.tone_c_hz is not None and tone.tone_d_hz is not None:
        then_hz = (tone.tone_c_hz, tone.tone_d_hz)
    return AtOnce(
        tone_id=tone.tone_id,
        first_hz=(_hz(tone.tone_a_hz), _hz(tone.tone_b_hz)),
        then_hz=then_hz,
        length_s=tone.tone_a_length_s,
        range_hz=tone.tone_a_range_hz,
        gap_s=tone.gap_s,
    )


def _digits(tone: AlertTone) -> Digits:
    return Digits(tone.tone_id, tone.system or "dtmf", (tone.digits or "").upper())


def _hz(hz: float | None) -> float:
    if hz is None:
        raise ValueError("a page without a frequency: its model let it through")
    return hz
