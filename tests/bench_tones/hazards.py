"""What makes a page hard: close tones, weak beside the speech, with holes, talked over, stacked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.tones.generator import Part
from echostream.tones.heard import Kind
from echostream.tones.plan import ListenPlan, TwoTone
from echostream.tones.tables import QUICK_CALL_II, quick_call_pairs
from tests.bench.rows import Row
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import (
    PAGES_A_SET,
    RATE_HZ,
    SET_SIZE,
    TONE_DBFS,
    Outcome,
    Sent,
    Sound,
    define,
    definitions,
    judge,
    listen,
    nearest,
    noise,
    noted,
    off,
    off_pair,
    page,
    reasons,
    report_failures,
    share_row,
    talk,
    tones,
)

NAME: Final = "hazards"
PAGES: Final = 500
CLOSE_PAGES: Final = 1000
STACKED_PAGES: Final = 1000
CLOSE_HZ: Final = 40.0
SNR_DB: Final = 10.0
HOLE_S: Final = 0.12
PAUSES_S: Final = (0.0, 0.4, 1.0)

Scene = tuple[Sound, Sent]
Maker = Callable[[np.random.Generator, TwoTone], Scene]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages of one hazard with one set of definitions."""

    hazard: str
    seed: int
    pages: int


# ---- scenes


def _close(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    signal, sent = page(rng, sent_as.tone_id, *off_pair(rng, sent_as))
    return signal + noise(rng, signal.size, float(rng.uniform(-10, 20))), sent


def _quiet(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    """Tones 30 dB below the speech around them."""
    tone_dbfs = TONE_DBFS - 16
    a_hz, b_hz = off_pair(rng, sent_as)
    signal, sent = page(rng, sent_as.tone_id, a_hz, b_hz, dbfs=tone_dbfs, speech_dbfs=tone_dbfs + 30)
    return signal + noise(rng, signal.size, SNR_DB, tone_dbfs), sent


def _holes(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    """Three drop-outs of 120 ms: one somewhere in A, two in B; squelch in one half, noise in the other."""
    signal, sent = page(rng, sent_as.tone_id, *off_pair(rng, sent_as))
    hiss = noise(rng, signal.size, SNR_DB)
    squelch = rng.random() < 0.5
    if squelch:
        signal = signal + hiss
    hole = round(HOLE_S * RATE_HZ)
    middle = (sent.b_start + sent.b_end) // 2
    for first, last in ((sent.a_start, sent.b_start), (sent.b_start, middle), (middle, sent.b_end)):
        at = int(rng.integers(first, last - hole))
        signal[at : at + hole] = 0.0
    return signal if squelch else signal + hiss, sent


def _talked_over(rng: np.random.Generator, sent_as: TwoTone) -> Scene:
    """Somebody speaks during the whole page, 6 dB below the tones."""
    signal, sent = page(rng, sent_as.tone_id, *off_pair(rng, sent_as))
    length = sent.b_end - sent.a_start
    signal[sent.a_start : sent.b_end] += talk(rng, length / RATE_HZ, TONE_DBFS - 6)[:length]
    return signal + noise(rng, signal.size, SNR_DB), sent


HAZARDS: Final[dict[str, Maker]] = {
    "close": _close,
    "quiet": _quiet,
    "holes": _holes,
    "talked over": _talked_over,
}


def hear(batch: Batch) -> list[Outcome]:
    """Each page of a batch, in a file of its own."""
    rng = np.random.default_rng(batch.seed)
    plan = definitions(rng)
    if batch.hazard == "close":
        plan = _with_close(rng, plan)
    outcomes: list[Outcome] = []
    for number in range(batch.pages):
        # The first ones of a set of close pairs are close.
        most = SET_SIZE // 2 if batch.hazard == "close" else len(plan)
        sent_as = plan[int(rng.integers(most))]
        signal, sent = HAZARDS[batch.hazard](rng, sent_as)
        listening = ListenPlan(two_tone=plan)
        outcome = judge(listen(listening, signal), sent, plan)
        why = f"; {reasons(listening, signal)}" if outcome.note else ""
        outcomes.append(noted(outcome, f"seed {batch.seed} page {number} {sent}{why}"))
    return outcomes


def _with_close(rng: np.random.Generator, plan: tuple[TwoTone, ...]) -> tuple[TwoTone, ...]:
    """Half of the set are pairs less than 40 Hz apart."""
    pairs = [pair for pair in quick_call_pairs() if abs(pair.a_hz - pair.b_hz) < CLOSE_HZ]
    chosen = rng.choice(len(pairs), SET_SIZE // 2, replace=False)
    close = [define(pairs[at].name, pairs[at].a_hz, pairs[at].b_hz) for at in chosen]
    names = {definition.tone_id for definition in close}
    rest = [definition for definition in plan if definition.tone_id not in names]
    return (*close, *rest[: SET_SIZE - len(close)])


# ---- stacked pages


@dataclass(frozen=True, slots=True)
class Stacked:
    """heard, pages: of those sent. wrong: any other alert."""

    heard: int
    pages: int
    wrong: int
    note: str


def hear_stack(seed: int) -> Stacked:
    """Two or three pages one after another, with each B and the A after it defined as a page as well.

    In every third stack the next page's A is this page's B, which makes no third page but must give both.
    """
    rng = np.random.default_rng(seed)
    chain = seed % 3 == 0
    pause_s = PAUSES_S[seed // 3 % len(PAUSES_S)]
    group = list(QUICK_CALL_II)[int(rng.integers(len(QUICK_CALL_II)))]
    hz = [QUICK_CALL_II[group][at] for at in rng.permutation(10)]
    count = int(rng.integers(2, 4))
    pairs = [(hz[at], hz[at + 1]) if chain else (hz[2 * at], hz[2 * at + 1]) for at in range(count)]
    sent_as = [define(f"sent {at}", a_hz, b_hz) for at, (a_hz, b_hz) in enumerate(pairs)]
    # A false page that asks for a short B is the hardest: nothing but its overlong A speaks against it.
    false_b_s = 0.8 if seed % 2 else 2.0
    third = [
        define(f"false {at}", first.b_hz, second.a_hz, b_length_s=false_b_s)
        for at, (first, second) in enumerate(itertools.pairwise(sent_as))
        if first.b_hz != second.a_hz
    ]
    defined = {(each.a_hz, each.b_hz) for each in (*sent_as, *third)}
    others = [each for each in definitions(rng) if (each.a_hz, each.b_hz) not in defined]
    plan = (*sent_as, *third, *others[: SET_SIZE - len(sent_as) - len(third)])
    encoder = {each: off(rng, each) for each in hz}  # one encoder: a tone is off by the same every time
    parts: list[Part] = []
    for definition in sent_as:
        parts += [Part(1.0, (encoder[definition.a_hz],)), Part(3.0, (encoder[definition.b_hz],))]
        parts += [Part(pause_s)] if pause_s else []
    signal = np.concatenate((talk(rng, 1.5), tones(parts), np.zeros(1600, np.float32), talk(rng, 3.0)))
    signal += noise(rng, signal.size, float(rng.uniform(0, 20)))
    right = [nearest(plan, encoder[each.a_hz], encoder[each.b_hz])[0] for each in sent_as]
    heard = [item.tone_id for item in listen(ListenPlan(two_tone=plan), signal) if item.kind == Kind.TWO_TONE]
    left = list(right)
    wrong: list[str] = []
    for tone_id in heard:
        if tone_id in left:
            left.remove(tone_id)
        else:
            wrong.append(tone_id)
    note = f"stack {seed} pause {pause_s} {'chain' if chain else 'false third'}: missed {left}, wrong {wrong}"
    return Stacked(count - len(left), count, len(wrong), note if left or wrong else "")


def _stacked_rows(options: Options) -> list[Row]:
    want = options.count(STACKED_PAGES)
    results = each(hear_stack, range(want // 2), options, "stacked pages")
    report_failures("stacked", [Outcome(True, 0, None, note=result.note) for result in results])
    pages = sum(result.pages for result in results)
    heard = sum(result.heard for result in results)
    wrong = sum(result.wrong for result in results)
    what = "stacked pages, a false third one defined"
    pauses = f"pauses of {', '.join(f'{pause_s:g}' for pause_s in PAUSES_S)} s, chains included"
    return [
        Row(NAME, f"{what}: wrong", f"{wrong} in {pages} pages", "0", wrong == 0, pauses),
        Row(NAME, f"{what}: heard", f"{heard} of {pages}", "all", heard == pages, "+20 to 0 dB"),
    ]


def run(options: Options) -> list[Row]:
    """All rows about hard pages."""
    rows: list[Row] = []
    for number, (hazard, what, least, goal) in enumerate(
        (
            ("close", "pairs closer than 40 Hz, +20 to -10 dB", 1.0, "all"),
            ("quiet", "tones 30 dB below the speech around, 10 dB", 0.99, "≥ 99 %"),
            ("holes", "three drop-outs of 120 ms, 10 dB", 0.99, "≥ 99 %"),
            ("talked over", "speech over the tones at -6 dB, 10 dB", 0.99, "≥ 99 %"),
        )
    ):
        pages = options.count(CLOSE_PAGES if hazard == "close" else PAGES)
        batches = [
            Batch(hazard, 7_000_000 + number * 100_000 + at, min(PAGES_A_SET, pages - at * PAGES_A_SET))
            for at in range(-(-pages // PAGES_A_SET))
        ]
        outcomes = [outcome for batch in each(hear, batches, options, what) for outcome in batch]
        report_failures(what, outcomes)
        rows += share_row(NAME, what, outcomes, least, goal)
    return rows + _stacked_rows(options)
