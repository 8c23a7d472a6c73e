"""`echostream tones bench`: a minute's check that this machine hears pages in noise, and what that costs it.

Pages of 1 s + 3 s, each drawn from 60 definitions of the legal Quick Call II pairs, each tone off by up to
1.5 %, in white noise (SNR: tone power over noise power in 0 to 4 kHz, at 8 kHz). The seed is printed: it
makes the same cases everywhere.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from echostream.tones import generator
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection, Heard
from echostream.tones.plan import ListenPlan, TwoTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.tables import quick_call_pairs

SNRS_DB: Final = (20, 10, 5, 0, -5, -10, -14)
DEFINITIONS: Final = 60
OFF_SHARE: Final = 0.015
RANGE_SHARE: Final = 0.016
_LEVEL_DBFS: Final = -21.0
_BEFORE_S, _AFTER_S = 1.0, 1.5
_BLOCK: Final = 160


@dataclass(slots=True)
class Row:
    """One SNR. late_ms: from B's configured least length to the decision, the median and the worst."""

    snr_db: int
    pages: int = 0
    heard: int = 0
    wrong: int = 0
    late_ms_median: float = 0.0
    late_ms_worst: float = 0.0
    cpu_percent: float = 0.0


def self_check(pages: int, seed: int, *, as_json: bool, out: TextIO) -> int:
    """Print a row for each SNR. Exit code 1 where one was missed at -5 dB or better, or a wrong one heard."""
    rng = np.random.default_rng(seed)
    definitions = _definitions(rng)
    if not as_json:
        out.write(
            f"{pages} pages a row, {DEFINITIONS} definitions, tones off by up to {OFF_SHARE:.1%}, seed {seed}"
            "\n   SNR   heard  wrong  decided after the least B   CPU of a core\n"
        )
    rows = []
    for snr_db in SNRS_DB:
        row = _row(snr_db, pages, definitions, rng)
        rows.append(row)
        if not as_json:
            late = f"{row.late_ms_median:.0f} ms, {row.late_ms_worst:.0f} at worst" if row.heard else "-"
            heard = f"{row.heard:>3}/{row.pages:<3}"
            out.write(f"{snr_db:>+4d} dB  {heard}  {row.wrong:>4}   {late:<26}  {row.cpu_percent:.2f} %\n")
            out.flush()
    if as_json:
        out.write(json.dumps({"seed": seed, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    else:
        out.write(
            "all rows, with speech, music and bad radio: `make bench-tones` in EchoStream's repository\n"
        )
    good = all(not row.wrong and (row.snr_db < -5 or row.heard == row.pages) for row in rows)
    return 0 if good else 1


def _definitions(rng: np.random.Generator) -> list[TwoTone]:
    pairs = quick_call_pairs()
    chosen = rng.choice(len(pairs), DEFINITIONS, replace=False)
    return [
        TwoTone(
            pairs[at].name,
            pairs[at].a_hz,
            pairs[at].b_hz,
            a_range_hz=RANGE_SHARE * pairs[at].a_hz,
            b_range_hz=RANGE_SHARE * pairs[at].b_hz,
        )
        for at in chosen
    ]


def _row(snr_db: int, pages: int, definitions: list[TwoTone], rng: np.random.Generator) -> Row:
    row = Row(snr_db, pages)
    late_ms: list[float] = []
    audio_s = cpu_s = 0.0
    for _ in range(pages):
        wanted = definitions[int(rng.integers(len(definitions)))]
        samples, right = _page(wanted, definitions, snr_db, rng)
        detector = ToneDetector(ListenPlan(two_tone=tuple(definitions)), EAR_RATE_HZ)
        before_s = time.process_time()
        heard: list[Heard] = []
        for at in range(0, samples.size, _BLOCK):
            heard += detector.feed(samples[at : at + _BLOCK])
        heard += detector.finish()
        cpu_s += time.process_time() - before_s
        audio_s += samples.size / EAR_RATE_HZ
        found = [item for item in heard if isinstance(item, Detection)]
        row.heard += any(item.tone_id == right.tone_id for item in found)
        row.wrong += sum(item.tone_id != right.tone_id for item in found)
        due_s = _BEFORE_S + generator.PAGE_A_S + right.b_length_s
        late_ms += [
            1000 * (item.decided / EAR_RATE_HZ - due_s) for item in found if item.tone_id == right.tone_id
        ]
    row.cpu_percent = round(100 * cpu_s / audio_s, 3)
    if late_ms:
        row.late_ms_median, row.late_ms_worst = round(float(np.median(late_ms)), 1), round(max(late_ms), 1)
    return row


def _page(
    definition: TwoTone, definitions: list[TwoTone], snr_db: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], TwoTone]:
    """The sound, and the definition that is right: off as it is, another one may be nearer."""
    off_a, off_b = 1 + rng.uniform(-OFF_SHARE, OFF_SHARE, 2)
    sent = TwoTone(definition.tone_id, definition.a_hz * off_a, definition.b_hz * off_b)
    parts = (generator.Part(_BEFORE_S), *generator.two_tone(sent), generator.Part(_AFTER_S))
    sound = generator.render(parts, EAR_RATE_HZ, _LEVEL_DBFS)
    power = 0.5 * 10 ** (_LEVEL_DBFS / 10)
    noise = rng.normal(scale=np.sqrt(power / 10 ** (snr_db / 10)), size=sound.size)
    right = min(
        definitions, key=lambda each: math.hypot(sent.a_hz / each.a_hz - 1, sent.b_hz / each.b_hz - 1)
    )
    return (sound + noise).astype(np.float32), right
