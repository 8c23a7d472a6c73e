"""Pages and calls as sound: tones with shaped edges, of exact length and frequency, at any rate.

A page is a list of parts, each silence or one or more tones at once. Every tone rises and falls along a
raised cosine inside its own length: nothing clicks, no two tones overlap. The phase comes from the sample's
index: the frequency is as exact as a double, however long the tone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone
from echostream.tones.tables import DTMF, FIVE_TONE

Sound = NDArray[np.float64]
"""Shape (n,), float64, full scale ±1.0."""

EDGE_S: Final = 0.005
"""Rise and fall: short enough for a tone of 33 ms, long enough not to click."""
PAGE_A_S: Final = 1.0
PAGE_B_S: Final = 3.0
"""Quick Call II: receivers expect A for a second and B for three."""
LONG_TONE_S: Final = 8.0
"""Quick Call II's group call."""
AT_ONCE_S: Final = 1.0
LENGTH_MARGIN: Final = 1.25
"""A tone is sent this much longer than the least that a definition counts."""
DTMF_TONE_S: Final = 0.1
DTMF_PAUSE_S: Final = 0.1
LEAST_LEVEL_DBFS: Final = -120.0
LONGEST_S: Final = 600.0
DTMF_DEFAULT_TWIST_DB: Final = 2.0
"""The high group is sent a little stronger, as telephones do: cables and de-emphasis take more of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of a page. hz: tones that sound together; () is silence.

    over_db: each tone's level over the first one's, where they are not all alike.
    """

    length_s: float
    hz: tuple[float, ...] = ()
    over_db: tuple[float, ...] = ()


# ---- what is sent


def two_tone(
    definition: TwoTone, a_s: float | None = None, b_s: float | None = None, gap_s: float = 0.0
) -> tuple[Part, ...]:
    """A, then B: for 1 s and 3 s, or as long as the definition needs where that is longer, unless said."""
    a_s = _sent_s(definition.a_length_s, PAGE_A_S) if a_s is None else a_s
    b_s = _sent_s(definition.b_length_s, PAGE_B_S) if b_s is None else b_s
    return (*_tone(a_s, definition.a_hz), *_silence(gap_s), *_tone(b_s, definition.b_hz))


def one_tone(definition: OneTone, length_s: float | None = None) -> tuple[Part, ...]:
    """One tone: a quarter longer than the least that counts (a group call of 5 s or more: 8 s at least)."""
    if length_s is None:
        usual_s = LONG_TONE_S if definition.length_s >= 5.0 else 0.0
        length_s = _sent_s(definition.length_s, usual_s)
    return _tone(length_s, definition.hz)


def at_once(definition: AtOnce, length_s: float | None = None, gap_s: float = 0.0) -> tuple[Part, ...]:
    """Two tones together, then, where defined, two others; a second each, or as long as is needed."""
    each_s = _sent_s(definition.length_s, AT_ONCE_S) if length_s is None else length_s
    first = _tone(each_s, *definition.first_hz)
    if definition.then_hz is None:
        return first
    return (*first, *_silence(gap_s), *_tone(each_s, *definition.then_hz))


def dtmf(
    digits: str,
    tone_s: float = DTMF_TONE_S,
    pause_s: float = DTMF_PAUSE_S,
    twist_db: float = DTMF_DEFAULT_TWIST_DB,
) -> tuple[Part, ...]:
    """Keys 0 to 9, A to D, * and #. twist_db: high tone over low tone. ValueError for another key."""
    parts: list[Part] = []
    for key in digits.upper():
        if key not in DTMF:
            raise ValueError(f"DTMF {digits!r}: there is no key {key!r}, only 0 to 9, A to D, * and #")
        if parts:
            parts += _silence(pause_s)
        parts.append(Part(tone_s, DTMF[key], (0.0, twist_db)))
    return tuple(parts)


def five_tone(system: str, digits: str, first_s: float | None = None) -> tuple[Part, ...]:
    """A call in one of `tables.FIVE_TONE`, without pauses. first_s: of a first to wake receivers.

    ValueError for an unknown system or digit.
    """
    if system not in FIVE_TONE:
        raise ValueError(f"five-tone system {system!r}: expected one of {', '.join(FIVE_TONE)}")
    table = FIVE_TONE[system]
    tones = table.tones
    lengths = [table.tone_s] * len(digits)
    if first_s is not None and lengths:
        lengths[0] = first_s
    sent = table.sequence(digits.upper())
    return tuple(Part(length_s, (tones[digit],)) for digit, length_s in zip(sent, lengths, strict=True))


def parts_for(definition: TwoTone | OneTone | AtOnce | Digits) -> tuple[Part, ...]:
    """What a definition is sent as. ValueError for digits that cannot be sent ("?" is only for listening)."""
    match definition:
        case TwoTone():
            return two_tone(definition)
        case OneTone():
            return one_tone(definition)
        case AtOnce():
            return at_once(definition)
        case Digits(system="dtmf", digits=digits):
            return dtmf(digits)
        case Digits(system=system, digits=digits):
            return five_tone(system, digits)


# ---- how it sounds


def render(
    parts: Iterable[Part],
    rate_hz: int,
    level_dbfs: float = -12.0,
    *,
    edge_s: float = EDGE_S,
    continuous: bool = False,
) -> Sound:
    """The parts one after another, in an array of as many samples as the sum of their lengths, rounded once.

    level_dbfs: the highest peak of a part, however many tones it has; a sine of full scale is 0. So nothing
    clips at 0 or less. continuous: a single tone begins with the phase in which the single tone before it
    ended, without edges between the two. ValueError, before anything is made, for what cannot be made.
    """
    listed = tuple(parts)
    _check(listed, rate_hz, level_dbfs, edge_s)
    ends = np.rint(np.cumsum([0.0, *(part.length_s for part in listed)]) * rate_hz).astype(np.int64).tolist()
    sound = np.zeros(ends[-1])
    peak = 10 ** (level_dbfs / 20)
    phase = 0.0
    for at, part in enumerate(listed):
        if not part.hz:
            continue
        here = sound[ends[at] : ends[at + 1]]
        from_left = continuous and at > 0 and _flow(listed[at - 1], part)
        to_right = continuous and at + 1 < len(listed) and _flow(part, listed[at + 1])
        here += peak * _wave(part, here.size, rate_hz, phase if from_left else 0.0)
        _shape(here, round(edge_s * rate_hz), not from_left, not to_right)
        turned = 2 * math.pi * part.hz[0] * here.size / rate_hz
        phase = ((phase if from_left else 0.0) + turned) % (2 * math.pi)
    return sound


def to_int16(sound: Sound) -> NDArray[np.int16]:
    """Rounded to 16 bits; +1.0 becomes 32767."""
    return np.clip(np.rint(sound * 32768.0), -32768, 32767).astype(np.int16)


def _wave(part: Part, count: int, rate_hz: int, phase: float) -> Sound:
    over_db = part.over_db or (0.0,) * len(part.hz)
    gains = [10 ** (db / 20) for db in over_db]
    n = np.arange(count)
    wave = np.zeros(count)
    for hz, gain in zip(part.hz, gains, strict=True):
        wave += gain / sum(gains) * np.sin(phase + (2 * math.pi * hz / rate_hz) * n)
    return wave


def _flow(part: Part, into: Part) -> bool:
    return len(part.hz) == 1 and len(into.hz) == 1


def _shape(sound: Sound, edge: int, left: bool, right: bool) -> None:
    """Raised cosine over `edge` samples at the edges that are wanted; at most half of the sound each."""
    edge = min(edge, sound.size // 2)
    if edge < 1:
        return
    rise = 0.5 - 0.5 * np.cos(math.pi * np.arange(edge) / edge)
    if left:
        sound[:edge] *= rise
    if right:
        sound[-edge:] *= rise[::-1]


def _sent_s(least_s: float, usual_s: float) -> float:
    return max(usual_s, LENGTH_MARGIN * least_s)


def _tone(length_s: float, *hz: float) -> tuple[Part, ...]:
    return (Part(length_s, hz),)


def _silence(length_s: float) -> tuple[Part, ...]:
    return (Part(length_s),) if length_s else ()


def _check(parts: Sequence[Part], rate_hz: int, level_dbfs: float, edge_s: float) -> None:
    if rate_hz <= 0:
        raise ValueError(f"rate_hz {rate_hz}: expected more than 0")
    if not LEAST_LEVEL_DBFS <= level_dbfs <= 0:
        raise ValueError(f"level_dbfs {level_dbfs:g}: expected {LEAST_LEVEL_DBFS:g} to 0")
    if not edge_s >= 0:
        raise ValueError(f"edge_s {edge_s:g}: expected 0 or more")
    for part in parts:
        if not 0 < part.length_s <= LONGEST_S:
            raise ValueError(f"length {part.length_s:g} s: expected more than 0 and at most {LONGEST_S:g}")
        for hz in part.hz:
            if not 0 < hz < rate_hz / 2:
                raise ValueError(f"{hz:g} Hz: expected more than 0 and less than {rate_hz / 2:g}")
        if part.over_db and len(part.over_db) != len(part.hz):
            raise ValueError(f"{len(part.over_db)} levels for {len(part.hz)} tones: expected one for each")
    if sum(part.length_s for part in parts) > LONGEST_S:
        raise ValueError(f"{sum(part.length_s for part in parts):g} s: expected at most {LONGEST_S:g} in all")
