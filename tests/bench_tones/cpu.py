"""What listening costs a channel: CPU seconds per second of audio, at real time, blocks of 20 ms at 48 kHz.

Real time matters: between two blocks other work has emptied the caches, which costs more than the same work
at full speed. A yardstick (a windowed FFT in numpy) is timed in between, so that figures of several machines,
and of busy and quiet hours, can be compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from echostream.tones.detector import ToneDetector
from echostream.tones.plan import ListenPlan, NewTones, OneTone
from echostream.tones.tables import FIVE_TONE
from tests.bench.rows import Row
from tests.bench_tones.pool import Options
from tests.bench_tones.scenes import RATE_HZ, definitions, noise, page, talk

NAME: Final = "cpu"
FED_HZ: Final = 48_000
BLOCK: Final = FED_HZ // 50
PACED_S: Final = 20.0
ROUNDS: Final = 3
FULL_SPEED_ROUNDS: Final = 7
TWO_TONE_GOAL: Final = 0.6
EVERYTHING_GOAL: Final = 2.0
MORE_GOAL: Final = 1.10
YARDSTICK_SAMPLES: Final = 4096

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Figures:
    """Percent of a core, the least of some rounds. paced: at real time, as yardstick_us is."""

    paced: float
    full_speed: float
    yardstick_us: float


def sound() -> Pcm:
    """What a channel hears: speech, a page in noise, a little silence. int16, 48 kHz, PACED_S long."""
    rng = np.random.default_rng(20)
    signal, _ = page(rng, "", 707.3, 928.1)
    parts = [talk(rng, 8.0), signal, np.zeros(2 * RATE_HZ, np.float32)]
    whole = np.concatenate([*parts, talk(rng, PACED_S)])[: round(PACED_S * RATE_HZ)]
    whole += noise(rng, whole.size, 20.0)
    raised = resample_poly(whole, FED_HZ // RATE_HZ, 1)
    pcm: Pcm = np.clip(raised * 32768, -32768, 32767).astype(np.int16)
    return pcm


def plans() -> dict[str, ListenPlan]:
    """Two-tone alone with 60 and 250 definitions, and everything on."""
    few = definitions(np.random.default_rng(1))
    many = definitions(np.random.default_rng(2), 250)
    everything = ListenPlan(
        two_tone=few,
        one_tone=(OneTone("burst", 1750.0, 0.3), OneTone("group", 1513.5)),
        new_tones=NewTones(),
        dtmf=True,
        five_tone=tuple(FIVE_TONE),
        alerts=True,
        ctcss=True,
        mdc1200=True,
    )
    return {"few": ListenPlan(two_tone=few), "many": ListenPlan(two_tone=many), "everything": everything}


def paced(plan: ListenPlan, pcm: Pcm) -> tuple[float, float]:
    """(CPU seconds per second of audio, µs of the yardstick), fed by the clock."""
    detector = ToneDetector(plan, FED_HZ)
    yardstick = _Yardstick()
    blocks = [pcm[at : at + BLOCK] for at in range(0, pcm.size - BLOCK + 1, BLOCK)]
    spent = measured = 0.0
    began = time.monotonic()
    for number, block in enumerate(blocks):
        before = time.thread_time()
        detector.feed(block)
        between = time.thread_time()
        if number % 4 == 0:
            yardstick.once()
            measured += time.thread_time() - between
        spent += between - before
        time.sleep(max(0.0, began + (number + 1) * 0.02 - time.monotonic()))
    return spent / (len(blocks) * 0.02), measured / -(-len(blocks) // 4) * 1e6


def full_speed(plan: ListenPlan, pcm: Pcm) -> float:
    """CPU seconds per second of audio, as fast as it goes."""
    detector = ToneDetector(plan, FED_HZ)
    before = time.thread_time()
    for at in range(0, pcm.size - BLOCK + 1, BLOCK):
        detector.feed(pcm[at : at + BLOCK])
    return (time.thread_time() - before) / (pcm.size / FED_HZ)


class _Yardstick:
    def __init__(self) -> None:
        self._window = np.hanning(YARDSTICK_SAMPLES).astype(np.float32)
        self._samples = np.random.default_rng(0).standard_normal(YARDSTICK_SAMPLES).astype(np.float32)

    def once(self) -> float:
        spectrum = np.fft.rfft(self._samples * self._window)
        return float(np.abs(spectrum).max())


def take(options: Options) -> dict[str, Figures]:
    """All three plans take turns, so that a busy minute hits each of them."""
    pcm = sound()
    if options.quick:
        pcm = pcm[: pcm.size // 4]
    slow: dict[str, list[tuple[float, float]]] = {name: [] for name in plans()}
    fast: dict[str, list[float]] = {name: [] for name in plans()}
    for _ in range(1 if options.quick else ROUNDS):
        for name, plan in plans().items():
            slow[name].append(paced(plan, pcm))
    for _ in range(FULL_SPEED_ROUNDS):
        for name, plan in plans().items():
            fast[name].append(full_speed(plan, pcm))
    return {
        name: Figures(
            100 * min(cost for cost, _ in slow[name]),
            100 * min(fast[name]),
            min(yardstick_us for _, yardstick_us in slow[name]),
        )
        for name in slow
    }


def run(options: Options) -> list[Row]:
    """Two-tone alone, everything on, and what more definitions cost."""
    figures = take(options)
    few, many, everything = figures["few"], figures["many"], figures["everything"]
    yardstick = f"a 4096-point numpy FFT {few.yardstick_us:.0f} µs in between"
    ratio = many.paced / few.paced
    fast_ratio = many.full_speed / few.full_speed
    return [
        _row("two-tone alone, 60 definitions", few, TWO_TONE_GOAL, yardstick),
        _row("everything on, 60 definitions", everything, EVERYTHING_GOAL, yardstick),
        Row(
            NAME,
            "250 definitions over 60, two-tone alone",
            f"x {fast_ratio:.2f}",
            f"≤ x {MORE_GOAL:.2f}",
            fast_ratio <= MORE_GOAL,
            f"at full speed, least of {FULL_SPEED_ROUNDS} each; x {ratio:.2f} at real time",
        ),
    ]


def _row(what: str, figures: Figures, goal: float, yardstick: str) -> Row:
    note = f"{figures.full_speed:.2f} % at full speed; {yardstick}"
    figure = f"{figures.paced:.2f} % of a core"
    return Row(NAME, what, figure, f"≤ {goal:g} %", figures.paced <= goal, note)
