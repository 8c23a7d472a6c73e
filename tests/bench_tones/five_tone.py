"""Five-tone calls in noise, each tone off by up to 1.5 %."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.tones.generator import Part
from echostream.tones.heard import Kind
from echostream.tones.plan import ListenPlan
from echostream.tones.tables import FIVE_TONE
from tests.bench.rows import Row
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import RATE_HZ, listen, noise, off, talk, tones

NAME: Final = "five_tone"
CALLS: Final = 500
MAIN_SYSTEM: Final = "zvei1"
SNR_DB: Final = 0.0
CALLS_A_CASE: Final = 10


@dataclass(frozen=True, slots=True)
class Case:
    """CALLS_A_CASE calls, each in a file of its own."""

    system: str
    snr_db: float
    seed: int


@dataclass(frozen=True, slots=True)
class Heard:
    """right: heard as sent, once. wrong: anything else."""

    right: int
    wrong: int
    notes: tuple[str, ...]


def hear(case: Case) -> Heard:
    """Five digits drawn at random, repeats included, between speech."""
    rng = np.random.default_rng(case.seed)
    system = FIVE_TONE[case.system]
    right = wrong = 0
    notes: list[str] = []
    for _ in range(CALLS_A_CASE):
        digits = "".join(str(digit) for digit in rng.integers(0, 10, 5))
        parts = [Part(system.tone_s, (off(rng, system.tones[key]),)) for key in system.sequence(digits)]
        pause = np.zeros(round(0.2 * RATE_HZ), np.float32)
        signal = np.concatenate((talk(rng, 1.0), pause, tones(parts), pause, talk(rng, 1.5)))
        signal += noise(rng, signal.size, case.snr_db)
        heard = listen(ListenPlan(five_tone=(case.system,)), signal)
        got = [item.digits for item in heard if item.kind == Kind.FIVE_TONE]
        right += digits in got
        wrong += len(got) - (digits in got)
        if got != [digits]:
            notes.append(f"{case}: {digits} as {got}")
    return Heard(right, wrong, tuple(notes))


def run(options: Options) -> list[Row]:
    """A row for each system; false sequences in speech are counted by `talk_off`."""
    rows: list[Row] = []
    count = options.count(CALLS) // CALLS_A_CASE
    for number, (name, system) in enumerate(FIVE_TONE.items()):
        cases = [Case(name, SNR_DB, 5_000_000 + number * 10_000 + at) for at in range(count)]
        what = f"{name}, {system.tone_s * 1000:.0f} ms a tone, 0 dB"
        results = each(hear, cases, options, what)
        _report(what, results)
        calls = count * CALLS_A_CASE
        right, wrong = sum(result.right for result in results), sum(result.wrong for result in results)
        met = right >= 0.99 * calls and not wrong
        note = f"{wrong} that were not sent" if wrong else ""
        rows.append(Row(NAME, what, f"{right} of {calls} calls", "≥ 99 %", met, note))
    return rows


def _report(what: str, results: list[Heard]) -> None:
    path = os.environ.get("BENCH_TONES_FAILURES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{what}: {note}\n" for result in results for note in result.notes)
