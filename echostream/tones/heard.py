"""What an ear reports: a detection, or a near miss with the reason why it was none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What was heard."""

    TWO_TONE = "two_tone"
    LONG_TONE = "long_tone"
    AT_ONCE = "at_once"
    NEW_TONES = "new_tones"
    HI_LO = "hi_lo"
    PULSED = "pulsed"
    DTMF = "dtmf"
    FIVE_TONE = "five_tone"
    CTCSS_ON = "ctcss_on"
    CTCSS_OFF = "ctcss_off"
    MDC1200 = "mdc1200"


PAGES: Final = frozenset({Kind.TWO_TONE, Kind.LONG_TONE, Kind.AT_ONCE, Kind.DTMF, Kind.FIVE_TONE})
"""What calls somebody; the others tell about the channel."""


@dataclass(frozen=True, slots=True)
class ToneSpan:
    """One tone as it was measured. `start`, `end`: sample indices at 8 kHz of its edges (end: so far, while
    it sounds).

    level_dbfs: RMS of the tone, a full-scale sine is -3.01. snr_db: tone power over the noise power in 0-4
    kHz. deviation_hz: measured less defined; 0.0 where nothing was defined.
    """

    hz: float
    start: int
    end: int
    level_dbfs: float
    snr_db: float
    deviation_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """Something was heard.

    tone_id: of the definition; "" where none was needed (new tones, a DTMF digit string without a
    definition). tones: as measured, in the order of their sounding. start, end, decided: sample indices at 8
    kHz; `end` is the last edge known when it was decided. digits: of DTMF, five-tone, MDC1200 (unit id) or
    the CTCSS tone in Hz. system: which standard ("zvei1", "ccir", ...). twist_db: level of the higher or
    second tone over the other. confidence: 0 to 1.
    """

    kind: Kind
    tone_id: str
    start: int
    end: int
    decided: int
    tones: tuple[ToneSpan, ...] = ()
    digits: str = ""
    system: str = ""
    snr_db: float = 0.0
    level_dbfs: float = 0.0
    twist_db: float = 0.0
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Something that nearly was a page, and the reason why it was refused, in words that say the remedy.

    reason: a short stable word ("b_too_short"); explanation: one sentence with the figures.
    """

    kind: Kind
    tone_id: str
    start: int
    end: int
    reason: str
    explanation: str
    tones: tuple[ToneSpan, ...] = ()


Heard = Detection | NearMiss
