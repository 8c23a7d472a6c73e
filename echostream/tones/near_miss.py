"""Why a page was not heard: what of a definition its tones did not meet, with the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from echostream.tones.company import alone
from echostream.tones.heard import Kind, NearMiss, ToneSpan
from echostream.tones.measure import Measured
from echostream.tones.plan import TwoTone
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import SINE_DB, Gate, confidence, hz_slack, length_slack_s

WIDER: Final = 2.5
"""Tones this many ranges away are still taken for a definition's (and at least LEAST_WIDER_HZ)."""
LEAST_WIDER_HZ: Final = 12.0
MOST_GAP_S: Final = 3.0
LEAST_LENGTH_S: Final = 0.25
LEAST_SURE: Final = 0.3
MOST_REASONS: Final = 2
MOST_TWIST_DB: Final = 15.0
"""Between A and B: a wrong emphasis makes 12 dB of two octaves; a hum line is weaker than that."""

Reason = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An A and a B that a definition may have meant."""

    definition: TwoTone
    a: Measured
    b: Measured
    a_tone: SteadyTone
    b_tone: SteadyTone
    longest_a_s: float


def near_miss(
    b_tone: SteadyTone,
    definitions: Iterable[TwoTone],
    others: Iterable[SteadyTone],
    gate: Gate,
    longest_a_s: dict[str, float],
) -> NearMiss | None:
    """What a tone that has ended nearly was the B of; None where it was nothing of the kind."""
    b = b_tone.measured(fresh=True)
    if b is None or b.length_s < LEAST_LENGTH_S or confidence(b) < LEAST_SURE:
        return None
    before = [other for other in others if other is not b_tone and _precedes(other, b)]
    best: tuple[int, NearMiss] | None = None
    for definition in definitions:
        for other in before:
            a = other.measured(fresh=True)
            if a is None or a.length_s < LEAST_LENGTH_S or confidence(a) < LEAST_SURE:
                continue
            attempt = Attempt(definition, a, b, other, b_tone, longest_a_s.get(definition.tone_id, 0.0))
            reasons = _reasons(attempt, others, gate)
            if 0 < len(reasons) <= MOST_REASONS and (best is None or len(reasons) < best[0]):
                best = len(reasons), _told(attempt, reasons)
    return best[1] if best is not None else None


def _precedes(other: SteadyTone, b: Measured) -> bool:
    gap = int((MOST_GAP_S + 0.4) * EAR_RATE_HZ)
    return b.start - gap <= other.run.last <= b.start + 4096 and other.run.first < b.start


def _reasons(attempt: Attempt, others: Iterable[SteadyTone], gate: Gate) -> list[Reason]:
    d, a, b = attempt.definition, attempt.a, attempt.b
    if _far(a.hz, d.b_hz, d.b_range_hz) is False and _far(b.hz, d.a_hz, d.a_range_hz) is False:
        return [("swapped", f"its tones came in the wrong order: {a.hz:.1f} Hz, then {b.hz:.1f} Hz")]
    if _far(a.hz, d.a_hz, d.a_range_hz) or _far(b.hz, d.b_hz, d.b_range_hz):
        return []
    reasons: list[Reason] = []
    for name, tone, hz, reach in (("a", a, d.a_hz, d.a_range_hz), ("b", b, d.b_hz, d.b_range_hz)):
        off = tone.hz - hz
        if abs(off) > reach + hz_slack(tone):
            way = "above" if off > 0 else "below"
            text = (
                f"tone {name.upper()} was {abs(off):.1f} Hz {way} {hz:g} Hz and the range is ± {reach:g} Hz"
            )
            reasons.append((f"{name}_off_frequency", f"{text}: widen tone_{name}_range_hz"))
    reasons += _lengths(attempt)
    gap_s = (b.start - a.end) / EAR_RATE_HZ
    if gap_s > d.gap_s + 0.15:
        text = f"{gap_s:.2f} s of silence lay between A and B and {d.gap_s:g} s may: raise gap_s"
        reasons.append(("gap_too_long", text))
    for name, tone in (("a", a), ("b", b)):
        if not gate.lets(tone):
            level = tone.level_dbfs + SINE_DB
            text = f"tone {name.upper()} had {level:.1f} dBFS and level_db asks for {gate.level_dbfs:g}"
            reasons.append((f"{name}_too_quiet", f"{text}: lower it"))
    twist_db = b.level_dbfs - a.level_dbfs
    if abs(twist_db) > MOST_TWIST_DB:
        text = f"tone B was {abs(twist_db):.1f} dB {'louder' if twist_db > 0 else 'weaker'} than tone A"
        reasons.append(("twist", f"{text} and may be {MOST_TWIST_DB:g}: look at the path's emphasis"))
    sure = min(confidence(a), confidence(b))
    if sure < gate.threshold:
        text = f"the tones were not steady or not pure (confidence {sure:.2f}, threshold {gate.threshold:g})"
        reasons.append(("unsure", text))
    elif not reasons:
        sure *= alone(((a, attempt.a_tone), (b, attempt.b_tone)), others)
        if sure < gate.threshold:
            text = f"other tones sounded beside its own, as in music (confidence {sure:.2f}"
            reasons.append(("company", f"{text}, threshold {gate.threshold:g})"))
    return reasons


def _lengths(attempt: Attempt) -> list[Reason]:
    d, a, b = attempt.definition, attempt.a, attempt.b
    reasons: list[Reason] = []
    if a.length_s < d.a_length_s - length_slack_s(a):
        text = f"tone A lasted {a.length_s:.2f} s and must last {d.a_length_s:g}: lower tone_a_length_s"
        reasons.append(("a_too_short", text))
    if a.length_s > attempt.longest_a_s + length_slack_s(a):
        text = f"tone A lasted {a.length_s:.2f} s and may last {attempt.longest_a_s:g}: raise a_longest_s"
        reasons.append(("a_too_long", text))
    if b.length_s < d.b_length_s - length_slack_s(b):
        text = f"tone B lasted {b.length_s:.2f} s and must last {d.b_length_s:g}: lower tone_b_length_s"
        reasons.append(("b_too_short", text))
    return reasons


def _far(hz: float, defined_hz: float, range_hz: float) -> bool:
    return abs(hz - defined_hz) > max(WIDER * range_hz, LEAST_WIDER_HZ)


def _told(attempt: Attempt, reasons: list[Reason]) -> NearMiss:
    d, a, b = attempt.definition, attempt.a, attempt.b
    spans = tuple(
        ToneSpan(t.hz, t.start, t.end, t.level_dbfs, t.snr_db, t.hz - hz)
        for t, hz in ((a, d.a_hz), (b, d.b_hz))
    )
    return NearMiss(
        kind=Kind.TWO_TONE,
        tone_id=d.tone_id,
        start=a.start,
        end=b.end,
        reason=reasons[0][0],
        explanation="; ".join(text for _, text in reasons),
        tones=spans,
    )
