"""Standard tones: Quick Call II, DTMF (ITU-T Q.23), five-tone systems, CTCSS. Hz and s throughout.

Public copies of these tables differ in places. Quick Call II, ZVEI1, CCIR, EEA and EIA are what several
makers' manuals agree on. ZVEI3 is the one whose digits are moved by one place (0 = 2200, repeat = 2400 Hz);
some programs give it ZVEI1's digits, which would leave nothing to tell it from ZVEI2.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from typing import Final

QUICK_CALL_II: Final[dict[str, tuple[float, ...]]] = {
    "1": (330.5, 349.0, 368.5, 389.0, 410.8, 433.7, 457.9, 483.5, 510.5, 539.0),
    "2": (569.1, 600.9, 634.5, 669.9, 707.3, 746.8, 788.5, 832.5, 879.0, 928.1),
    "3": (1092.4, 288.5, 296.5, 304.7, 313.0, 953.7, 979.9, 1006.9, 1034.7, 1063.2),
    "4": (321.7, 339.6, 358.6, 378.6, 399.8, 422.1, 445.7, 470.5, 496.8, 524.6),
    "5": (553.9, 584.8, 617.4, 651.9, 688.3, 726.8, 767.4, 810.2, 855.5, 903.2),
    "6": (1122.5, 1153.4, 1185.2, 1217.8, 1251.4, 1285.8, 1321.2, 1357.6, 1395.0, 1433.4),
    "A": (1881.0, 1472.9, 1513.5, 1555.2, 1598.0, 1642.0, 1687.2, 1733.7, 1781.5, 1830.5),
    "B": (2468.2, 1930.2, 1989.0, 2043.8, 2094.5, 2155.6, 2212.2, 2271.7, 2334.6, 2401.0),
}
"""Tone groups; the first tone of each is call digit 0."""

QUICK_CALL_II_GROUP_PAIRS: Final[tuple[tuple[str, str], ...]] = (
    *(("1", "1"), ("2", "2"), ("1", "2"), ("4", "4"), ("5", "5"), ("2", "1")),
    *(("4", "5"), ("5", "4"), ("2", "4"), ("4", "2"), ("3", "3")),
)
"""(group of A, group of B), as they are in use."""

DTMF_LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
DTMF_HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
DTMF_KEYS: Final = ("123A", "456B", "789C", "*0#D")
"""By low tone, then by high tone."""
DTMF: Final[dict[str, tuple[float, float]]] = {
    key: (low_hz, high_hz)
    for keys, low_hz in zip(DTMF_KEYS, DTMF_LOW_HZ, strict=True)
    for key, high_hz in zip(keys, DTMF_HIGH_HZ, strict=True)
}
"""Key: (low, high)."""

CTCSS_HZ: Final = (
    *(67.0, 71.9, 74.4, 77.0, 79.7, 82.5, 85.4, 88.5, 91.5, 94.8, 97.4, 100.0, 103.5, 107.2, 110.9, 114.8),
    *(118.8, 123.0, 127.3, 131.8, 136.5, 141.3, 146.2, 151.4, 156.7, 162.2, 167.9, 173.8, 179.9, 186.2),
    *(192.8, 203.5, 210.7, 218.1, 225.7, 233.6, 241.8, 250.3),
)
"""The 38 of EIA/TIA-603."""
CTCSS_MORE_HZ: Final = (*(69.3, 159.8, 165.5, 171.3, 177.3, 183.5, 189.9, 196.6, 199.5, 206.5, 229.1, 254.1),)
"""Twelve that makers added between and around them."""
CTCSS_ALL_HZ: Final = tuple(sorted(CTCSS_HZ + CTCSS_MORE_HZ))

SINGLE_TONES: Final[dict[str, float]] = {"alert": 1000.0, "burst": 1750.0}


@dataclass(frozen=True, slots=True)
class FiveToneSystem:
    """digits_hz: of 0 to 9. repeat_hz: stands for the digit before it. group_hz: the group call ("A")."""

    name: str
    digits_hz: tuple[float, ...]
    repeat_hz: float
    group_hz: float
    tone_s: float

    @property
    def tones(self) -> dict[str, float]:
        """Digit, "E" (repeat) and "A" (group): Hz."""
        return {
            **{str(n): hz for n, hz in enumerate(self.digits_hz)},
            "E": self.repeat_hz,
            "A": self.group_hz,
        }

    def sequence(self, digits: str) -> tuple[str, ...]:
        """What is sent for digits (0 to 9, A): a digit that equals the tone before it is sent as repeat.

        ValueError for another character.
        """
        sent: list[str] = []
        for digit in digits:
            if digit not in "0123456789A" or not digit:
                raise ValueError(f"digit {digit!r} of {digits!r}: {self.name} has 0 to 9 and A (group)")
            sent.append("E" if sent and sent[-1] == digit else digit)
        return tuple(sent)


_ZVEI: Final = (2400.0, 1060.0, 1160.0, 1270.0, 1400.0, 1530.0, 1670.0, 1830.0, 2000.0, 2200.0)
_ZVEI3: Final = (2200.0, 970.0, 1060.0, 1160.0, 1270.0, 1400.0, 1530.0, 1670.0, 1830.0, 2000.0)
_CCIR: Final = (1981.0, 1124.0, 1197.0, 1275.0, 1358.0, 1446.0, 1540.0, 1640.0, 1747.0, 1860.0)
_EIA: Final = (600.0, 741.0, 882.0, 1023.0, 1164.0, 1305.0, 1446.0, 1587.0, 1728.0, 1869.0)
_CCITT: Final = (400.0, 697.0, 770.0, 852.0, 941.0, 1209.0, 1335.0, 1477.0, 1633.0, 1800.0)

FIVE_TONE: Final[dict[str, FiveToneSystem]] = {
    system.name: system
    for system in (
        FiveToneSystem("zvei1", _ZVEI, repeat_hz=2600.0, group_hz=2800.0, tone_s=0.070),
        FiveToneSystem("zvei2", _ZVEI, repeat_hz=970.0, group_hz=885.0, tone_s=0.070),
        FiveToneSystem("zvei3", _ZVEI3, repeat_hz=2400.0, group_hz=885.0, tone_s=0.070),
        FiveToneSystem("ccir", _CCIR, repeat_hz=2110.0, group_hz=2400.0, tone_s=0.100),
        FiveToneSystem("eea", _CCIR, repeat_hz=2110.0, group_hz=1055.0, tone_s=0.040),
        FiveToneSystem("eia", _EIA, repeat_hz=459.0, group_hz=2151.0, tone_s=0.033),
        FiveToneSystem("ccitt", _CCITT, repeat_hz=2300.0, group_hz=1900.0, tone_s=0.100),
    )
}
"""By name."""


@dataclass(frozen=True, slots=True)
class TableTone:
    """One tone of a table. name: "quick call 4-3" (group, digit), "dtmf low 697", "ctcss 67.0", "burst"."""

    name: str
    hz: float


@dataclass(frozen=True, slots=True)
class QuickCallPair:
    """A legal page. name: "1-3 2-7" (group and digit of A, of B)."""

    name: str
    a_hz: float
    b_hz: float


@cache
def quick_call_tones() -> tuple[TableTone, ...]:
    """All 80, by frequency."""
    tones = [
        TableTone(f"quick call {group}-{digit}", hz)
        for group, frequencies in QUICK_CALL_II.items()
        for digit, hz in enumerate(frequencies)
    ]
    return tuple(sorted(tones, key=lambda tone: tone.hz))


@cache
def quick_call_pairs() -> tuple[QuickCallPair, ...]:
    """The 990 legal pages: eleven pairs of groups with 10 x 9 each.

    The same digit twice is no page in any of them: within one group it would be one tone for A and B
    (encoders send a group call then), and between two groups encoders treat it likewise.
    """
    return tuple(
        QuickCallPair(f"{a_group}-{a} {b_group}-{b}", QUICK_CALL_II[a_group][a], QUICK_CALL_II[b_group][b])
        for a_group, b_group in QUICK_CALL_II_GROUP_PAIRS
        for a in range(10)
        for b in range(10)
        if a != b
    )


def nearest_tone(hz: float, tones: tuple[TableTone, ...] | None = None) -> TableTone:
    """The nearest by ratio, of `tones` (ascending, at least one), or of Quick Call II."""
    tones = quick_call_tones() if tones is None else tones
    at = bisect_left(tones, hz, key=lambda tone: tone.hz)
    beside = tones[max(0, at - 1) : at + 1]
    return min(beside, key=lambda tone: max(hz / tone.hz, tone.hz / hz))


def nearest_quick_call_pair(a_hz: float, b_hz: float) -> QuickCallPair:
    """The legal page that is nearest: its worse tone is off by the least part."""
    return min(quick_call_pairs(), key=lambda pair: max(abs(a_hz / pair.a_hz - 1), abs(b_hz / pair.b_hz - 1)))
