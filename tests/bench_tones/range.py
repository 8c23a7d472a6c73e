"""Nothing outside a definition's range: 6 Hz means 6 Hz, for both tones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.tones.heard import Kind
from echostream.tones.plan import ListenPlan
from tests.bench.rows import Row
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import (
    PAGES_A_SET,
    Outcome,
    definitions,
    judge,
    listen,
    nearest,
    noise,
    page,
    report_failures,
)

NAME: Final = "range"
PAGES: Final = 1000
RANGE_HZ: Final = 6.0
INSIDE_HZ: Final = 5.5
OUTSIDE_HZ: Final = 6.5
LEAST_SNR_DB: Final = 10.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages with tones just inside or just outside."""

    inside: bool
    seed: int
    pages: int


def hear(batch: Batch) -> list[Outcome]:
    """Each page of a batch. Outside, `wrong` counts reports though no definition has these tones."""
    rng = np.random.default_rng(batch.seed)
    plan = definitions(rng, settings={"a_range_hz": RANGE_HZ, "b_range_hz": RANGE_HZ})
    outcomes: list[Outcome] = []
    while len(outcomes) < batch.pages:
        sent_as = plan[int(rng.integers(len(plan)))]
        signs = rng.choice([-1.0, 1.0], 2)
        a_off = b_off = INSIDE_HZ
        if not batch.inside:
            # A outside, B outside, or both; the other anywhere inside.
            which = int(rng.integers(3))
            a_off = OUTSIDE_HZ if which != 1 else float(rng.uniform(0, INSIDE_HZ))
            b_off = OUTSIDE_HZ if which != 0 else float(rng.uniform(0, INSIDE_HZ))
        a_hz, b_hz = sent_as.a_hz + signs[0] * a_off, sent_as.b_hz + signs[1] * b_off
        if not batch.inside and nearest(plan, a_hz, b_hz):
            continue  # another definition has these tones
        signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz)
        signal += noise(rng, signal.size, float(rng.uniform(LEAST_SNR_DB, 30)))
        heard = listen(ListenPlan(two_tone=plan), signal)
        if batch.inside:
            outcomes.append(judge(heard, sent, plan))
        else:
            pages = [item for item in heard if item.kind == Kind.TWO_TONE]
            note = f"seed {batch.seed}: {a_hz:.2f} {b_hz:.2f} Hz taken for {pages}" if pages else ""
            outcomes.append(Outcome(False, len(pages), None, note=note))
    return outcomes


def run(options: Options) -> list[Row]:
    """Two rows: what must be heard, and what must not."""
    pages = options.count(PAGES)
    sizes = [min(PAGES_A_SET, pages - at) for at in range(0, pages, PAGES_A_SET)]
    results: dict[bool, list[Outcome]] = {}
    for inside, seed in ((True, 8_000_000), (False, 8_100_000)):
        batches = [Batch(inside, seed + at, size) for at, size in enumerate(sizes)]
        results[inside] = [o for batch in each(hear, batches, options, "6 Hz means 6 Hz") for o in batch]
        report_failures(f"range, inside {inside}", results[inside])
    heard = sum(outcome.hit for outcome in results[True])
    wrong = sum(outcome.wrong for outcome in results[False])
    inside_what = f"range 6 Hz: both tones {INSIDE_HZ} Hz off, heard"
    outside_what = f"range 6 Hz: a tone {OUTSIDE_HZ} Hz off, reported"
    return [
        Row(NAME, inside_what, f"{heard} of {pages}", "≥ 99 %", heard >= 0.99 * pages, "10 dB and more"),
        Row(NAME, outside_what, f"{wrong} in {pages} pages", "0", wrong == 0, "10 dB and more"),
    ]
