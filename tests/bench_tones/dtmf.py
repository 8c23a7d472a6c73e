"""DTMF: digits in noise, and each demand of ITU-T Q.24 (AT&T's column) and of the classic data sheets."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.signal import butter, sosfilt

from echostream.tones.generator import Part, render
from echostream.tones.heard import Kind
from echostream.tones.plan import ListenPlan
from echostream.tones.tables import DTMF
from tests.bench.rows import Row
from tests.bench_tones.pool import Options, each
from tests.bench_tones.scenes import RATE_HZ, TONE_DBFS, Sound, listen, noise, talk

NAME: Final = "dtmf"
KEYS: Final = "".join(DTMF)
STRINGS: Final = 30
NOISY_STRINGS: Final = 100
EDGE_S: Final = 0.001
"""So short that a length is that length."""
QUIET_DB: Final = 35.0
"""SNR where noise is not what a row is about."""
ACCEPT: Final = 0.015
ACCEPT_HZ: Final = 2.0
REFUSE: Final = 0.035
GOAL: Final = 0.995


@dataclass(frozen=True, slots=True)
class Sending:
    """How digits are sent. low, high: factors and Hz to add. hole_s: an interruption in mid-tone."""

    tone_s: float = 0.05
    pause_s: float = 0.05
    low_off: Callable[[float], float] = float
    high_off: Callable[[float], float] = float
    twist_db: float = 0.0
    dbfs: float = TONE_DBFS
    hole_s: float = 0.0
    doubled: bool = False


def send(digits: str, sending: Sending) -> Sound:
    """The digits' sound, each tone at the sending's level (the twist shared between the two)."""
    parts: list[Part] = []
    for key in digits:
        low_hz, high_hz = DTMF[key]
        hz = (sending.low_off(low_hz), sending.high_off(high_hz))
        parts += [Part(sending.tone_s, hz, (0.0, sending.twist_db)), Part(sending.pause_s)]
    sound = render(parts, RATE_HZ, 0.0, edge_s=EDGE_S)
    hole = round(sending.hole_s * RATE_HZ)
    for number in range(len(digits) if hole else 0):
        middle = round((number * (sending.tone_s + sending.pause_s) + sending.tone_s / 2) * RATE_HZ)
        sound[middle - hole // 2 : middle - hole // 2 + hole] = 0.0
    share = 10 ** (sending.twist_db / 20)
    # render() makes low + high peak at 1: bring the mean of both levels (in dB) to dbfs.
    low_peak = 1 / (1 + share)
    wanted_peak = 10 ** ((sending.dbfs + 3.0103 - sending.twist_db / 2) / 20)
    return (sound * (wanted_peak / low_peak)).astype(np.float32)


# ---- what is added


Disturb = Callable[[np.random.Generator, Sound], Sound]


def _nothing(rng: np.random.Generator, signal: Sound) -> Sound:
    return signal + noise(rng, signal.size, QUIET_DB)


def _at(snr_db: float) -> Disturb:
    """White noise below the power of both tones."""

    def disturb(rng: np.random.Generator, signal: Sound) -> Sound:
        return signal + noise(rng, signal.size, snr_db - 3.0103)

    return disturb


def _voice_band(rng: np.random.Generator, signal: Sound) -> Sound:
    """Noise in 300 to 3300 Hz, 12 dB below both tones."""
    band = butter(4, (300.0, 3300.0), "bandpass", fs=RATE_HZ, output="sos")
    hiss = sosfilt(band, rng.standard_normal(signal.size))
    hiss *= 10 ** ((TONE_DBFS + 3.0103 - 12) / 20) / np.std(hiss)
    return np.asarray(signal + hiss, np.float32)


def _third_tone(rng: np.random.Generator, signal: Sound) -> Sound:
    hz = float(rng.uniform(300, 3400))
    peak = 10 ** ((TONE_DBFS + 3.0103 - 16) / 20)
    third = peak * np.sin(2 * np.pi * hz / RATE_HZ * np.arange(signal.size))
    return np.asarray(_nothing(rng, signal) + third, np.float32)


def _dial_tone(rng: np.random.Generator, signal: Sound) -> Sound:
    """350 + 440 Hz or 425 Hz, each tone as strong as the digit's."""
    tones_hz = (350.0, 440.0) if rng.random() < 0.5 else (425.0,)
    peak = 10 ** ((TONE_DBFS + 3.0103) / 20)
    n = np.arange(signal.size)
    dial = np.sum([peak * np.sin(2 * np.pi * hz / RATE_HZ * n) for hz in tones_hz], axis=0)
    return np.asarray(_nothing(rng, signal) + dial, np.float32)


def _echo(rng: np.random.Generator, signal: Sound) -> Sound:
    """Once more, 10 dB down, up to 20 ms later."""
    late = int(rng.integers(round(0.005 * RATE_HZ), round(0.020 * RATE_HZ) + 1))
    echoed = signal.copy()
    echoed[late:] += 10 ** (-10 / 20) * signal[: signal.size - late]
    return _nothing(rng, echoed)


# ---- rows


@dataclass(frozen=True, slots=True)
class Demand:
    """One row. refused: no digit may be heard. least: share of digits, else."""

    what: str
    sendings: tuple[Sending, ...]
    disturb: Disturb = _nothing
    refused: bool = False
    least: float = 1.0
    goal: str = "all"
    strings: int = STRINGS
    q24: bool = True
    speech: bool = field(default=False)


def _off(part: float, hz: float = 0.0) -> Callable[[float], float]:
    return lambda nominal_hz: nominal_hz * (1 + part) + hz


def _corners(part: float, hz: float, tone_s: float, pause_s: float) -> tuple[Sending, ...]:
    signs = itertools.product((-1, 1), repeat=2)
    return tuple(
        Sending(tone_s, pause_s, _off(low * part, low * hz), _off(high * part, high * hz))
        for low, high in signs
    )


FAR: Final = (
    *(Sending(0.1, 0.1, _off(sign * REFUSE), float) for sign in (-1, 1)),
    *(Sending(0.1, 0.1, float, _off(sign * REFUSE)) for sign in (-1, 1)),
    *_corners(REFUSE, 0.0, 0.1, 0.1),
)
LEVELS: Final = tuple(Sending(dbfs=-10.0 - down_db) for down_db in (0.0, 6.0, 12.0, 18.0, 24.0, 30.0))

DEMANDS: Final = (
    Demand(
        "50/50 ms at +3 dB",
        (Sending(),),
        _at(3.0),
        least=GOAL,
        goal="≥ 99.5 %",
        strings=NOISY_STRINGS,
        q24=False,
        speech=True,
    ),
    Demand(
        "50/50 ms at 0 dB", (Sending(),), _at(0.0), goal="", strings=NOISY_STRINGS, q24=False, speech=True
    ),
    Demand("both tones at ±(1.5 % + 2 Hz), every corner, 40/40 ms", _corners(ACCEPT, ACCEPT_HZ, 0.04, 0.04)),
    Demand("a tone at ±3.5 %, or both: refused", FAR, refused=True, goal="none"),
    Demand("twist +4 dB (high over low)", (Sending(twist_db=4.0),)),
    Demand("twist -8 dB", (Sending(twist_db=-8.0),)),
    Demand("twist +8 dB", (Sending(twist_db=8.0),), q24=False),
    Demand("40 ms accepted", (Sending(0.04, 0.06),)),
    Demand("23 ms refused", (Sending(0.023, 0.077),), refused=True, goal="none"),
    Demand("a pause of 40 ms separates equal digits", (Sending(0.05, 0.04, doubled=True),)),
    Demand("an interruption of 9 ms does not", (Sending(0.1, 0.1, hole_s=0.009),)),
    Demand("noise in 300-3300 Hz, 12 dB below", (Sending(),), _voice_band),
    Demand("a third tone, 16 dB below", (Sending(),), _third_tone),
    Demand("levels from -10 to -40 dBFS", LEVELS),
    Demand("beside a dial tone as strong", (Sending(),), _dial_tone),
    Demand("with an echo of up to 20 ms, 10 dB down", (Sending(),), _echo),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One string of one row."""

    row: int
    number: int


@dataclass(frozen=True, slots=True)
class Heard:
    """right of sent, extra: digits."""

    sent: int
    right: int
    extra: int
    note: str


def hear(case: Case) -> Heard:
    """One string of sixteen keys in any order."""
    demand = DEMANDS[case.row]
    rng = np.random.default_rng(6_000_000 + case.row * 10_000 + case.number)
    sending = demand.sendings[case.number % len(demand.sendings)]
    digits = "".join(rng.permutation(list(KEYS)))
    if sending.doubled:
        digits = "".join(key * 2 for key in digits)
    pause = np.zeros(round(0.3 * RATE_HZ), np.float32)
    around = [talk(rng, 1.0), pause] if demand.speech else [pause]
    sound = np.concatenate((*around, send(digits, sending), *reversed(around)))
    signal = demand.disturb(rng, sound)
    heard = listen(ListenPlan(dtmf=True), signal)
    got = "".join(item.digits for item in heard if item.kind == Kind.DTMF)
    right = 0 if demand.refused else _common(digits, got)
    note = "" if right == len(got) == (0 if demand.refused else len(digits)) else f"{case}: {digits} as {got}"
    return Heard(len(digits), right, len(got) - right, note)


def _common(sent: str, got: str) -> int:
    """Length of the longest common subsequence: digits that came, in their order."""
    row = [0] * (len(got) + 1)
    for key in sent:
        above = row[:]
        for at, other in enumerate(got):
            row[at + 1] = above[at] + 1 if key == other else max(row[at], above[at + 1])
    return row[-1]


def run(options: Options) -> list[Row]:
    """All rows but false digits in speech, which `talk_off` counts."""
    rows: list[Row] = []
    q24_met = True
    for number, demand in enumerate(DEMANDS):
        cases = [Case(number, at) for at in range(options.count(demand.strings))]
        results = each(hear, cases, options, demand.what)
        _report(demand.what, results)
        row = _row(demand, results)
        q24_met &= row.met is not False or not demand.q24
        rows.append(row)
    rows.append(Row(NAME, "Q.24, all its rows together", "yes" if q24_met else "no", "yes", q24_met))
    return rows


def _row(demand: Demand, results: list[Heard]) -> Row:
    sent, right, extra = (sum(getattr(result, what) for result in results) for what in Heard.__slots__[:3])
    if demand.refused:
        return Row(NAME, demand.what, f"{extra} of {sent} digits", demand.goal, extra == 0)
    figure = f"{right} of {sent} digits"
    met = (right >= demand.least * sent and extra == 0) if demand.goal else None
    return Row(NAME, demand.what, figure, demand.goal, met, f"{extra} that were not sent" if extra else "")


def _report(what: str, results: list[Heard]) -> None:
    path = os.environ.get("BENCH_TONES_FAILURES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{what}: {result.note}\n" for result in results if result.note)
