"""Two-tone pages: heard from +20 to -14 dB, the wrong one never, and how soon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from echostream.tones.plan import ListenPlan
from tests.bench.rows import Row, percentile
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import (
    PAGES_A_SET,
    RATE_HZ,
    Outcome,
    definitions,
    judge,
    listen,
    noise,
    noted,
    off_pair,
    page,
    report_failures,
    share_row,
)

NAME: Final = "two_tone"
STEPS_DB: Final = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0, -10.0)
WEAKEST_DB: Final = -14.0
PAGES: Final = 1000
ALL_PAGES: Final = 10_000
LATEST_S: Final = 0.15


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages with one set of definitions. snr_db: None for one drawn from +20 to -10 for each page."""

    seed: int
    pages: int
    snr_db: float | None
    page: dict[str, Any] = field(default_factory=dict)


def batches(row: int, pages: int, snr_db: float | None, **settings: Any) -> list[Batch]:
    """`pages` pages; `row` tells the seeds of one row from those of another."""
    count = -(-pages // PAGES_A_SET)
    sizes = [min(PAGES_A_SET, pages - at * PAGES_A_SET) for at in range(count)]
    return [Batch(row * 100_000 + at, size, snr_db, settings) for at, size in enumerate(sizes)]


def hear(batch: Batch) -> list[Outcome]:
    """Each page of a batch, in a file of its own."""
    rng = np.random.default_rng(batch.seed)
    plan = definitions(rng)
    outcomes: list[Outcome] = []
    for number in range(batch.pages):
        sent_as = plan[int(rng.integers(len(plan)))]
        snr_db = float(rng.uniform(-10, 20)) if batch.snr_db is None else batch.snr_db
        a_hz, b_hz = off_pair(rng, sent_as)
        signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, **batch.page)
        signal += noise(rng, signal.size, snr_db)
        outcome = judge(listen(ListenPlan(two_tone=plan), signal), sent, plan)
        where = f"seed {batch.seed} page {number} {snr_db:+.0f} dB B at {sent.b_start / RATE_HZ:.2f} s: "
        outcomes.append(noted(outcome, where))
    return outcomes


def run(options: Options) -> list[Row]:
    """All rows about plain pages."""
    rows: list[Row] = []
    everything: list[Outcome] = []
    late: list[float] = []
    pages = options.count(PAGES)
    for number, snr_db in enumerate((*STEPS_DB, WEAKEST_DB)):
        what = f"pages heard at {snr_db:+.0f} dB"
        outcomes = [o for batch in each(hear, batches(number, pages, snr_db), options, what) for o in batch]
        report_failures(what, outcomes)
        least, goal = (1.0, "all") if snr_db > WEAKEST_DB else (0.99, "≥ 99 %")
        rows += share_row(NAME, what, outcomes, least, goal)
        if snr_db > WEAKEST_DB:
            everything += outcomes
            late += [outcome.late_s for outcome in outcomes if outcome.late_s is not None]
    more = batches(50, options.count(ALL_PAGES) - len(everything), None)
    what = "pages at +20 to -10 dB"
    rest = [o for batch in each(hear, more, options, what) for o in batch]
    report_failures(what, rest)
    everything += rest
    wrong = sum(outcome.wrong for outcome in everything)
    rows.append(Row(NAME, "wrong definitions", f"{wrong} in {len(everything)} pages", "0", wrong == 0))
    if late:
        middle, most, worst = (percentile(late, share) * 1000 for share in (0.5, 0.99, 1.0))
        figure = f"p50 {middle:.0f}, p99 {most:.0f}, worst {worst:.0f} ms"
        what = "decided after B's configured minimum"
        rows.append(Row(NAME, what, figure, "≤ 150 ms", worst <= LATEST_S * 1000, "worst counts"))
    return rows
