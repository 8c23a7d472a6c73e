"""What a stranger can learn of a county's plan by listening: unknown pages, grouped, with definitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TextIO

from echostream.config.tone_models import AlertTone
from echostream.tone_tools.reports import seconds
from echostream.tones import tables
from echostream.tones.heard import Detection, Heard, Kind
from echostream.tones.stream import EAR_RATE_HZ

SAME: Final = 0.008
"""Two pages are one when neither tone differs by more than this part."""
SNAP: Final = 0.01
"""A tone this near to a standard one is it: senders hold 1.5 %, the tables' least step is 2.5 %."""
_RANGE: Final = 0.012
_LEAST_RANGE_HZ: Final = 4.0
_A_SHARE, _B_SHARE = 0.8, 2 / 3
"""Of the shortest that was heard, what a definition asks for."""
_SHORTEST_S: Final = 0.2
_LEAST_DIGITS: Final = 3
_DIGITS: Final = {Kind.DTMF: "dtmf", Kind.FIVE_TONE: "five_tone"}


@dataclass(slots=True)
class Learned:
    """One page, each time it was heard. tones: per hearing; the frequencies are medians."""

    kind: Kind
    heard: list[Detection] = field(default_factory=list)

    @property
    def times(self) -> int:
        """How often it was heard."""
        return len(self.heard)

    def hz(self, tone: int) -> float:
        """The middle of what was measured."""
        return float(median(found.tones[tone].hz for found in self.heard))

    def length_s(self, tone: int) -> float:
        """The shortest."""
        return min(found.tones[tone].end - found.tones[tone].start for found in self.heard) / EAR_RATE_HZ

    def spread_hz(self, tone: int) -> float:
        """How far single hearings are from the middle."""
        return max(abs(found.tones[tone].hz - self.hz(tone)) for found in self.heard)


class Learner:
    """Groups what was heard. Bounded: beyond `most` different pages the rarest goes."""

    def __init__(self, most: int = 500, most_hearings: int = 200) -> None:
        self._groups: list[Learned] = []
        self._most = most
        self._most_hearings = most_hearings
        self.known: dict[str, int] = {}
        """Pages that had a definition already: how often each was heard."""

    def take(self, heard: Heard) -> None:
        """One finding of the ear."""
        if not isinstance(heard, Detection):
            return
        if heard.tone_id:
            self.known[heard.tone_id] = self.known.get(heard.tone_id, 0) + 1
        elif (heard.kind is Kind.NEW_TONES and len(heard.tones) == 2) or (
            heard.kind in _DIGITS and len(heard.digits) >= _LEAST_DIGITS
        ):
            self._group(heard)

    def learned(self) -> list[Learned]:
        """The most heard first."""
        return sorted(self._groups, key=lambda group: (-group.times, group.heard[0].start))

    def _group(self, found: Detection) -> None:
        for group in self._groups:
            if _same(group, found):
                if group.times < self._most_hearings:
                    group.heard.append(found)
                return
        if len(self._groups) >= self._most:
            self._groups.remove(min(self._groups, key=lambda group: group.times))
        self._groups.append(Learned(found.kind, [found]))


def _same(group: Learned, found: Detection) -> bool:
    if group.kind is not found.kind:
        return False
    if found.kind in _DIGITS:
        first = group.heard[0]
        return (first.digits, first.system) == (found.digits, found.system)
    return all(abs(found.tones[tone].hz / group.hz(tone) - 1) <= SAME for tone in (0, 1))


def standard(hz: float) -> tables.TableTone | None:
    """The standard tone that a measured one is, if any."""
    nearest = tables.nearest_tone(hz)
    return nearest if abs(hz / nearest.hz - 1) <= SNAP else None


def proposal(group: Learned) -> AlertTone:
    """A definition that would have heard every one of these pages."""
    if group.kind in _DIGITS:
        first = group.heard[0]
        system = {"system": first.system} if group.kind is Kind.FIVE_TONE else {}
        name = f"{first.system or 'dtmf'}-{first.digits}"
        return AlertTone.model_validate(
            {"tone_id": name, "kind": _DIGITS[group.kind], "digits": first.digits, **system}
        )
    a_hz, b_hz = (_snapped(group.hz(tone)) for tone in (0, 1))
    return AlertTone(
        tone_id=f"page-{a_hz:.1f}-{b_hz:.1f}",
        tone_a_hz=a_hz,
        tone_b_hz=b_hz,
        tone_a_length_s=_least_s(group.length_s(0) * _A_SHARE),
        tone_b_length_s=_least_s(group.length_s(1) * _B_SHARE),
        tone_a_range_hz=_range_hz(a_hz, group, 0),
        tone_b_range_hz=_range_hz(b_hz, group, 1),
    )


def _snapped(hz: float) -> float:
    found = standard(hz)
    return found.hz if found is not None else round(hz, 1)


def _least_s(length_s: float) -> float:
    return max(_SHORTEST_S, round(length_s, 1))


def _range_hz(hz: float, group: Learned, tone: int) -> float:
    off = abs(group.hz(tone) - hz) + group.spread_hz(tone)
    return round(max(_LEAST_RANGE_HZ, _RANGE * hz, off + 2.0), 1)


# ---- for people


def tell_learned(learner: Learner, out: TextIO) -> None:
    """One line for each page: how often, what, and which standard tones it is."""
    for group in learner.learned():
        tone = proposal(group)
        out.write(f"{group.times:>4} x  {tone.tone_id:<22}  {_words(group)}\n")
    for name, times in sorted(learner.known.items()):
        out.write(f"{times:>4} x  {name:<22}  defined already\n")
    if not learner.learned() and not learner.known:
        out.write("no page was heard\n")


def _words(group: Learned) -> str:
    if group.kind in _DIGITS:
        first = group.heard[0]
        return f"{first.system} {first.digits}"
    return ", then ".join(_tone_words(group, tone) for tone in (0, 1))


def _tone_words(group: Learned, tone: int) -> str:
    hz, length_s = group.hz(tone), group.length_s(tone)
    found = standard(hz)
    name = (
        f" = {found.name} ({found.hz:.1f} {hz - found.hz:+.1f})"
        if found is not None
        else " (no standard tone)"
    )
    return f"{hz:.1f} Hz{name} {length_s:.1f} s"


def record_learned(group: Learned) -> dict[str, object]:
    """How a proposal came about, for machines."""
    return {
        "tone_id": proposal(group).tone_id,
        "times": group.times,
        "heard_s": [seconds(found.start) for found in group.heard],
        "measured_hz": [] if group.kind in _DIGITS else [round(group.hz(tone), 2) for tone in (0, 1)],
    }


def proposals(learner: Learner) -> Iterable[AlertTone]:
    """Definitions, the most heard first, each id once."""
    seen: set[str] = set()
    for group in learner.learned():
        tone = proposal(group)
        number = 2
        while tone.tone_id in seen:
            tone = tone.model_copy(update={"tone_id": f"{proposal(group).tone_id}-{number}"})
            number += 1
        seen.add(tone.tone_id)
        yield tone
