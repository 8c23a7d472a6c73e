"""What an ear listens for: definitions without a file's or a screen's form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class TwoTone:
    """Tone A, then tone B (Quick Call II and its relatives).

    Lengths are the least that count. gap_s: the longest silence between A and B. a_longest_s: an A that lasts
    longer is another page's B; None for three times a_length_s, 2 s at least. vocoder_grid_hz: the tones may
    also have been snapped to this grid by a voice coder (31.25 or 62.5; 0: no).
    """

    tone_id: str
    a_hz: float
    b_hz: float
    a_length_s: float = 0.8
    b_length_s: float = 2.0
    a_range_hz: float = 10.0
    b_range_hz: float = 10.0
    gap_s: float = 0.5
    a_longest_s: float | None = None
    vocoder_grid_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class OneTone:
    """One tone that lasts: a long tone (group call, 5 to 8 s), a 1750 Hz burst, a 1000 Hz alert."""

    tone_id: str
    hz: float
    length_s: float = 5.0
    range_hz: float = 10.0


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Two tones at once, then, where set, two others (Quick Call I). length_s: least length of each pair."""

    tone_id: str
    first_hz: tuple[float, float]
    then_hz: tuple[float, float] | None = None
    length_s: float = 0.8
    range_hz: float = 10.0
    gap_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Digits:
    """A sequence of digits that has an id. system: "dtmf", or a five-tone one ("zvei1", "ccir", ...).

    digits: as sent, a "?" stands for any one digit.
    """

    tone_id: str
    system: str
    digits: str


@dataclass(frozen=True, slots=True)
class NewTones:
    """Unknown pairs: B lasts length_s or more, A 0.4 of that; neither wanders by more than range_hz."""

    length_s: float = 2.0
    range_hz: float = 10.0


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """below, above: remove what lies below, above `hz`; center: remove hz ± range_hz."""

    type: Literal["below", "above", "center"]
    hz: float
    range_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class ListenPlan:
    """All of one channel. threshold: least confidence; level_dbfs: of a tone (sine of full scale: 0).

    explain: near misses are reported too. dtmf, five_tone, ...: listened for also without a definition.
    """

    two_tone: tuple[TwoTone, ...] = ()
    one_tone: tuple[OneTone, ...] = ()
    at_once: tuple[AtOnce, ...] = ()
    digits: tuple[Digits, ...] = ()
    new_tones: NewTones | None = None
    dtmf: bool = False
    five_tone: tuple[str, ...] = ()
    """Systems whose sequences are reported with or without a definition."""
    alerts: bool = False
    """Hi-lo and pulsed alert tones."""
    ctcss: bool = False
    mdc1200: bool = False
    filters: tuple[FilterPlan, ...] = field(default=())
    threshold: float = 0.7
    level_dbfs: float = -70.0
    explain: bool = False
    whole: bool = False
    """A page is reported when its last tone is over, with all of its length: for recordings only."""
