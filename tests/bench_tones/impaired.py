"""Two-tone pages after what radios, codecs and networks do to them, at 10 dB; and pages of other lengths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from echostream.tones.plan import ListenPlan, TwoTone
from tests.bench.rows import Row
from tests.bench_tones.paths import OPUS_RATE_HZ, fm_noise, hum, opus, radio, vocoder
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import (
    PAGES_A_SET,
    RATE_HZ,
    TONE_DBFS,
    Outcome,
    Sent,
    Sound,
    definitions,
    judge,
    listen,
    noise,
    noted,
    off_pair,
    page,
    reasons,
    report_failures,
    share_row,
)

NAME: Final = "impaired"
PAGES: Final = 300
SNR_DB: Final = 10.0
GRIDS_HZ: Final = (31.25, 62.5)
CLOCK: Final = 500e-6
LEVEL_DBFS: Final = -45.0
"""By AES17, where a sine of full scale is 0: 3 dB less by RMS."""

Scene = tuple[Sound, Sent]


def _plain(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    return page(rng, sent_as.tone_id, *off_pair(rng, sent_as))


def _opus(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    signal, sent = _plain(rng, sent_as)
    return opus(rng, signal + noise(rng, signal.size, SNR_DB)), sent


def _radio(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    signal, sent = _plain(rng, sent_as)
    received = radio(rng, signal, drive_db=float(rng.uniform(-6, 9)), flutter=True)
    weaker = min(_power(received, sent.a_start, sent.b_start), _power(received, sent.b_start, sent.b_end))
    hiss_dbfs = 10 * math.log10(weaker) - SNR_DB
    return received + fm_noise(rng, received.size, hiss_dbfs, fades=True), sent


def _grid(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    grid_hz = sent_as.vocoder_grid_hz
    a_hz, b_hz = (round(hz / grid_hz) * grid_hz for hz in (sent_as.a_hz, sent_as.b_hz))
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz)
    signal = vocoder(rng, signal)
    return signal + noise(rng, signal.size, SNR_DB), sent


def _weak(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    tone_dbfs = LEVEL_DBFS - 3.0103
    a_hz, b_hz = off_pair(rng, sent_as)
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, dbfs=tone_dbfs)
    signal += noise(rng, signal.size, SNR_DB, tone_dbfs)
    return (np.rint(signal * 32768) / 32768).astype(np.float32), sent


def _hum(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    signal, sent = _plain(rng, sent_as)
    return signal + hum(rng, signal.size, TONE_DBFS) + noise(rng, signal.size, SNR_DB), sent


def _clock(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    """Recorded by a clock that is 500 ppm off: tones and lengths change together."""
    rate = 1 + (CLOCK if rng.random() < 0.5 else -CLOCK)
    a_hz, b_hz = (hz * rate for hz in off_pair(rng, sent_as, 0.0145))
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, a_s=1.0 / rate, b_s=3.0 / rate)
    return signal + noise(rng, signal.size, SNR_DB), sent


def _short(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    a_hz, b_hz = off_pair(rng, sent_as)
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, a_s=0.4, b_s=0.4)
    return signal + noise(rng, signal.size, SNR_DB), sent


def _gap(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    gap_s = 0.5 if rng.random() < 0.25 else float(rng.uniform(0.0, 0.5))
    a_hz, b_hz = off_pair(rng, sent_as)
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, gap_s=gap_s)
    return signal + noise(rng, signal.size, SNR_DB), sent


def _power(signal: Sound, first: int, last: int) -> float:
    return float(np.mean(np.square(signal[first:last], dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class Path:
    """settings: of the definitions. rate_hz: of what `make` returns."""

    what: str
    make: Callable[[np.random.Generator, TwoTone], Scene]
    rate_hz: int = RATE_HZ
    settings: dict[str, float] = field(default_factory=dict)


SHORT: Final = {"a_length_s": 0.32, "b_length_s": 0.32}
PATHS: Final[dict[str, Path]] = {
    "opus": Path("Opus at 16 kbit/s with 5 % loss", _opus, OPUS_RATE_HZ),
    "radio": Path("FM voice path: 300-3000 Hz, emphasis, clipping, flutter", _radio),
    "grid": Path("tones on a vocoder's grid of 31.25 Hz", _grid, settings={"vocoder_grid_hz": GRIDS_HZ[0]}),
    "wide grid": Path("tones on a grid of 62.5 Hz", _grid, settings={"vocoder_grid_hz": GRIDS_HZ[1]}),
    "weak": Path("tones at -45 dBFS", _weak),
    "hum": Path("DC of 0.1, mains hum as loud as the tones", _hum),
    "clock": Path("clocks 500 ppm off", _clock),
    "short": Path("pages of 400 + 400 ms, defined so", _short, settings=SHORT),
    "gap": Path("silence of up to 0.5 s between A and B", _gap),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages of one path with one set of definitions."""

    path: str
    seed: int
    pages: int


def hear(batch: Batch) -> list[Outcome]:
    """Each page of a batch, in a file of its own."""
    rng = np.random.default_rng(batch.seed)
    path = PATHS[batch.path]
    plan = definitions(rng, settings=path.settings)
    if "vocoder_grid_hz" in path.settings:
        plan = _told_apart(plan, path.settings["vocoder_grid_hz"])
    outcomes: list[Outcome] = []
    for number in range(batch.pages):
        sent_as = plan[int(rng.integers(len(plan)))]
        signal, sent = path.make(rng, sent_as)
        listening = ListenPlan(two_tone=plan)
        # On a grid, what is nearest to the undisturbed definitions is not what was sent.
        known = (sent_as,) if "grid" in batch.path else plan
        outcome = judge(listen(listening, signal, path.rate_hz), sent, known)
        if outcome.note:
            outcome = noted(outcome, f"seed {batch.seed} page {number} {sent}")
            outcome = dataclasses.replace(
                outcome, note=f"{outcome.note}; {reasons(listening, signal, path.rate_hz)}"
            )
        outcomes.append(outcome)
    return outcomes


def _told_apart(plan: tuple[TwoTone, ...], grid_hz: float) -> tuple[TwoTone, ...]:
    """Without those that the grid makes one tone, or the same as another: nobody could tell them apart."""
    seen: dict[tuple[int, int], TwoTone] = {}
    for definition in plan:
        lines = (round(definition.a_hz / grid_hz), round(definition.b_hz / grid_hz))
        if lines[0] != lines[1]:
            seen.setdefault(lines, definition)
    return tuple(seen.values())


def run(options: Options) -> list[Row]:
    """A row for each path."""
    rows: list[Row] = []
    pages = options.count(PAGES)
    for number, (name, path) in enumerate(PATHS.items()):
        batches = [
            Batch(name, 9_000_000 + number * 100_000 + at, min(PAGES_A_SET, pages - at * PAGES_A_SET))
            for at in range(-(-pages // PAGES_A_SET))
        ]
        outcomes = [outcome for batch in each(hear, batches, options, path.what) for outcome in batch]
        report_failures(path.what, outcomes)
        rows += share_row(NAME, f"{path.what}, 10 dB", outcomes, 0.99, "≥ 99 %")
    return rows
