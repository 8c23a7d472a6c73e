"""Talk-off: what speech, music, alarms and wind are mistaken for."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.tones.heard import Kind
from echostream.tones.plan import ListenPlan, NewTones, OneTone
from echostream.tones.tables import FIVE_TONE, quick_call_tones
from tests.bench.rows import Row
from tests.bench_tones.corpora import Corpus, music, speech
from tests.bench_tones.noises import alarms, wind
from tests.bench_tones.paths import fm_noise, radio
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import RATE_HZ, Sound, definitions, listen

NAME: Final = "talk_off"
PORTION_S: Final = 600.0
PAUSE_S: Final = 0.5
"""Between two recordings."""
MADE_S: Final = 3600.0
"""Of alarms, and of wind."""
SETS: Final = (60, 250)
ALERTS: Final = (Kind.TWO_TONE, Kind.LONG_TONE, Kind.AT_ONCE)
NEVER: Final = (*ALERTS, Kind.DTMF, Kind.FIVE_TONE)
"""What must be 0; the others may rightly find something in music and alarms."""


@dataclass(frozen=True, slots=True)
class Portion:
    """kind: "speech", "music", "alarms", "wind". first, last: of its recordings, or seconds of what is made.

    With the smaller set everything else is on as well, with the larger one only pages and group calls.
    """

    kind: str
    first: int
    last: int
    as_radio: bool
    set_size: int


def hear(portion: Portion) -> list[tuple[str, str]]:
    """(kind, what it was taken for and where) of everything that was heard."""
    signal = _sound(portion)
    if portion.as_radio:
        rng = np.random.default_rng(portion.first)
        signal = radio(rng, signal) + fm_noise(rng, signal.size, -45.0)
    rng = np.random.default_rng(portion.set_size)
    group_calls = tuple(
        OneTone(f"group {tone.name}", tone.hz, 5.0, 0.015 * tone.hz) for tone in quick_call_tones()[::4]
    )
    plan = ListenPlan(
        two_tone=definitions(rng, portion.set_size),
        one_tone=group_calls if portion.kind != "alarms" else (),  # a dial tone is a group call
    )
    if portion.set_size == SETS[0]:
        plan = dataclasses.replace(
            plan,
            new_tones=NewTones(),
            dtmf=True,
            five_tone=tuple(FIVE_TONE),
            alerts=True,
            ctcss=True,
            mdc1200=True,
        )
    return [
        (item.kind, f"{portion} at {item.start / RATE_HZ:.2f} s: {item.tone_id}{item.digits} {item.tones}")
        for item in listen(plan, signal)
    ]


def _sound(portion: Portion) -> Sound:
    if portion.kind == "alarms":
        return alarms(portion.first, portion.last - portion.first)
    if portion.kind == "wind":
        return wind(portion.first, portion.last - portion.first)
    corpus = speech() if portion.kind == "speech" else music()
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.float32)
    parts = [(corpus.recording(number), pause) for number in range(portion.first, portion.last)]
    return np.concatenate([piece for part in parts for piece in part])


def _portions(kind: str, quick: bool) -> list[tuple[int, int]]:
    if kind in ("alarms", "wind"):
        starts = list(range(0, int(MADE_S / (6 if quick else 1)) + 1, int(PORTION_S)))
    else:
        starts = _starts(speech() if kind == "speech" else music())
    bounds = list(itertools.pairwise(starts))
    return bounds[::10] if quick and kind == "speech" else bounds


def _starts(corpus: Corpus) -> list[int]:
    """Recordings at which a portion begins, and the end."""
    wanted = np.arange(0, corpus.samples.size, round(PORTION_S * RATE_HZ))
    return sorted({*np.searchsorted(corpus.starts, wanted).tolist(), len(corpus.names)})


def run(options: Options) -> list[Row]:
    """A row for each kind of sound, way it sounds and number of definitions."""
    rows: list[Row] = []
    found: dict[str, Counter[str]] = {}
    for kind, as_radio, size in itertools.product(("speech", "music", "alarms", "wind"), (False, True), SETS):
        bounds = _portions(kind, options.quick)
        portions = [Portion(kind, first, last, as_radio, size) for first, last in bounds]
        sounds = "as a radio sounds" if as_radio else "clean"
        what = f"{kind} {sounds}, {size} definitions"
        heard = [item for portion in each(hear, portions, options, what) for item in portion]
        _report(what, heard)
        counts = Counter(name for name, _ in heard)
        if size == SETS[0]:
            found[f"{kind} {sounds}"] = counts
        pages = sum(counts[name] for name in ALERTS)
        hours = _hours(kind, bounds)
        rows.append(Row(NAME, f"{what}: pages", f"{pages} in {hours:.2f} h", "0", pages == 0))
    for what, counts in found.items():
        for name in (Kind.DTMF, Kind.FIVE_TONE):
            goal, met = ("0", counts[name] == 0) if what.startswith("speech") else ("", None)
            rows.append(Row(NAME, f"{what}: {name} sequences", str(counts[name]), goal, met))
        rest = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if name not in NEVER)
        rows.append(Row(NAME, f"{what}: other findings", rest or "none"))
    return rows


def _hours(kind: str, bounds: list[tuple[int, int]]) -> float:
    if kind in ("alarms", "wind"):
        return sum(last - first for first, last in bounds) / 3600
    corpus = speech() if kind == "speech" else music()
    return sum(int(corpus.starts[last] - corpus.starts[first]) for first, last in bounds) / RATE_HZ / 3600


def _report(what: str, heard: list[tuple[str, str]]) -> None:
    path = os.environ.get("BENCH_TONES_FAILURES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{what}: {name} {where}\n" for name, where in heard)
