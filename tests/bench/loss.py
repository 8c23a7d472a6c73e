"""Loss and jitter: what is heard of them, how soon the delay is back, and what the voice is worth after.

Simulated time, the real receive path, real Opus, real speech. Everything is judged by the sound that comes
out, against the same packets decoded without any network.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Samples
from tests.bench._simulated import (
    FRAME_S,
    Arrival,
    Float32,
    Heard,
    decode,
    delay_track,
    encode,
    find,
    gateway_encoder,
    receive,
)
from tests.bench._speech import active_blocks, block_rms, speech
from tests.bench.rows import Row, percentile, skipped

CLEAN_S, ROUGH_S, AFTER_S = 20.0, 60.0, 30.0
PATH_S = 0.05
JITTER_S = 0.04
LOSS = 0.05
SEEDS = (1, 2, 3)
GAP_GOAL_MS = 20.0
BACK_WITHIN_MS, BACK_GOAL_S = 20.0, 10.0

BLOCK_MS = 5
SILENT_RMS = 1.0
"""Below this (int16 units) nothing was played at all."""
WEAK_DB = 20.0
"""So much weaker than the original is as good as a gap, whatever was played: libopus' own extrapolation sinks
that low now and then."""
AROUND_MS = 40

HEAVY_LOSS = 0.2
WARM_UP_S = 6.0
SEGMENT_S = 8.0
SEGMENTS = 5


def run(long: bool = False) -> list[Row]:
    """5 % with jitter, then 20 % without."""
    return [*_rough_rows(), *_quality_rows()]


# ---- 5 % loss with jitter


@dataclass(frozen=True, slots=True)
class _Rough:
    """One run: longest silent and longest weak stretch, delay before, during and after the jitter."""

    gap_ms: float
    weak_ms: float
    plain_weak_ms: float
    base_ms: float
    rough_ms: float
    back_s: float
    heard: Heard


def _rough_rows() -> list[Row]:
    duration_s = CLEAN_S + ROUGH_S + AFTER_S
    packets = encode(speech(duration_s)[: int(duration_s * RATE_HZ)], gateway_encoder())
    original = decode(packets).astype(np.float32)
    runs = [_rough(packets, original, seed) for seed in SEEDS]
    gap_ms = max(run.gap_ms for run in runs)
    back_s = max(run.back_s for run in runs)
    weak_ms, plain_ms = max(run.weak_ms for run in runs), max(run.plain_weak_ms for run in runs)
    stats = runs[0].heard.stats
    return [
        Row(
            "loss",
            "5 % loss and ±40 ms jitter for 60 s: longest unconcealed gap",
            f"{gap_ms:.0f} ms",
            f"<= {GAP_GOAL_MS:.0f} ms",
            gap_ms <= GAP_GOAL_MS,
            f"worst of {len(runs)} runs; of one: {stats.packets_lost} lost, {stats.fec_recovered} by FEC, "
            f"{stats.packets_late} late, {stats.concealed} concealed",
        ),
        Row(
            "loss",
            f"longest stretch {WEAK_DB:.0f} dB below the original, concealment included",
            f"{weak_ms:.0f} ms",
            note=f"plain libopus, same losses, no jitter, no FEC: {plain_ms:.0f} ms",
        ),
        Row(
            "loss",
            "then a clean network: delay back within 20 ms of its base after",
            f"{back_s:.1f} s",
            f"<= {BACK_GOAL_S:.0f} s",
            back_s <= BACK_GOAL_S,
            f"worst of {len(runs)} runs; delay {runs[0].base_ms:.0f} ms before, "
            f"{runs[0].rough_ms:.0f} ms during, {1000 * PATH_S:.0f} ms of each are the network's",
        ),
    ]


def _rough(packets: list[bytes], original: Float32, seed: int) -> _Rough:
    random = np.random.default_rng(seed)
    arrivals: list[Arrival] = []
    plain: list[bytes | None] = []
    for number, packet in enumerate(packets):
        sent_s = (number + 1) * FRAME_S
        rough = CLEAN_S <= sent_s < CLEAN_S + ROUGH_S
        gone = rough and random.random() < LOSS
        plain.append(None if gone else packet)
        if gone:
            continue
        jitter_s = random.uniform(-JITTER_S, JITTER_S) if rough else 0.0
        arrivals.append(Arrival(sent_s + PATH_S + jitter_s, number))
    heard = receive(packets, arrivals, CLEAN_S + ROUGH_S + AFTER_S)
    found = delay_track(heard.samples, original, 0.1, 0.3)
    track = [(at, delay) for at, delay, alike in found if alike > 0.6]
    base_ms = percentile([delay for at, delay in track if CLEAN_S / 2 < at < CLEAN_S - 1], 0.5)
    rough_ms = percentile([delay for at, delay in track if CLEAN_S + 10 < at < CLEAN_S + ROUGH_S], 0.5)
    ended_s = CLEAN_S + ROUGH_S
    far = [at for at, delay in track if at > ended_s and abs(delay - base_ms) > BACK_WITHIN_MS]
    straight = decode(plain).astype(np.float32)
    return _Rough(
        longest_gap_ms(heard.samples, original, track, SILENT_RMS),
        longest_gap_ms(heard.samples, original, track),
        longest_gap_ms(straight, original, [(0.0, 0.0), (straight.size / RATE_HZ, 0.0)]),
        base_ms,
        rough_ms,
        max(0.0, max(far, default=ended_s) - ended_s),
        heard,
    )


def longest_gap_ms(
    heard: Float32, original: Float32, track: list[tuple[float, float]], below_rms: float | None = None
) -> float:
    """The longest stretch below `below_rms` where the original is voiced all around it.

    below_rms: in int16 units; without it WEAK_DB below the original. track: (seconds, delay in ms), by which
    the two are laid side by side; AROUND_MS to both sides of the place make up for what the delay changes
    between two points of the track.
    """
    block = RATE_HZ * BLOCK_MS // 1000
    level = block_rms(heard, block)
    reference = block_rms(original, block)
    voiced = active_blocks(original, block)
    times, delays = np.array(track).T
    at_ms = np.arange(level.size) * float(BLOCK_MS)
    place = np.rint((at_ms - np.interp(at_ms / 1000, times, delays)) / BLOCK_MS).astype(np.intp)
    around = AROUND_MS // BLOCK_MS
    known = (place >= around) & (place < reference.size - around)
    known &= (at_ms / 1000 >= times[0]) & (at_ms / 1000 <= times[-1])
    near = np.clip(place[:, None] + np.arange(-around, around + 1), 0, reference.size - 1)
    expected = reference[near].min(axis=1)
    limit = expected * 10 ** (-WEAK_DB / 20) if below_rms is None else below_rms
    gap = known & voiced[near].all(axis=1) & (level < limit)
    return float(_longest_run(gap) * BLOCK_MS)


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


# ---- 20 % loss


def _quality_rows() -> list[Row]:
    missing = [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]
    if missing:
        return [skipped("loss", "speech quality at 20 % loss", f"pip install {' '.join(missing)}")]
    duration_s = WARM_UP_S + SEGMENTS * SEGMENT_S + 1.0
    spoken = speech(duration_s)[: int(duration_s * RATE_HZ)]
    with_fec = encode(spoken, gateway_encoder())
    without_fec = encode(spoken, replace(gateway_encoder(), fec=False, expected_loss_percent=0))
    scores: dict[str, list[tuple[float, float]]] = {"clean": [_score(decode(without_fec), spoken)]}
    scores["clean, FEC on"] = [_score(decode(with_fec), spoken)]
    recovered = concealed = 0
    for seed in SEEDS:
        lost = np.random.default_rng(seed).random(len(with_fec)) < HEAVY_LOSS
        plain = decode(None if gone else packet for packet, gone in zip(without_fec, lost, strict=True))
        scores.setdefault("plain", []).append(_score(plain, spoken))
        arrivals = [
            Arrival((number + 1) * FRAME_S + PATH_S, number) for number, gone in enumerate(lost) if not gone
        ]
        heard = receive(with_fec, arrivals, duration_s)
        scores.setdefault("ours", []).append(_score(heard.samples, spoken))
        recovered += heard.stats.fec_recovered
        concealed += heard.stats.concealed
    mean = {name: tuple(np.mean(values, axis=0)) for name, values in scores.items()}
    figures = {name: f"PESQ-WB {pesq:.2f}, STOI {stoi:.3f}" for name, (pesq, stoi) in mean.items()}
    better = mean["ours"][0] > mean["plain"][0] and mean["ours"][1] > mean["plain"][1]
    what = f"20 % loss, {len(SEEDS)} runs of {SEGMENTS * SEGMENT_S:.0f} s"
    return [
        Row("loss", "no loss, plain libopus without FEC", figures["clean"]),
        Row("loss", "no loss, plain libopus with FEC (it costs bits)", figures["clean, FEC on"]),
        Row("loss", f"{what}: plain libopus without FEC", figures["plain"]),
        Row(
            "loss",
            f"{what}: receive path with FEC on",
            figures["ours"],
            "above plain",
            better,
            f"{recovered} packets from FEC, {concealed} concealed",
        ),
    ]


def _score(heard: Samples | Float32, spoken: Samples) -> tuple[float, float]:
    """Mean (PESQ-WB, STOI) of the segments, each laid beside its original by correlation, at 16 kHz."""
    from pesq import pesq
    from pystoi import stoi
    from scipy.signal import resample_poly

    reference, degraded = spoken.astype(np.float32), heard.astype(np.float32)
    length = int(SEGMENT_S * RATE_HZ)
    values = []
    for number in range(SEGMENTS):
        start = int((WARM_UP_S + number * SEGMENT_S) * RATE_HZ)
        clean = reference[start : start + length]
        found = find(clean, degraded, start, int(0.4 * RATE_HZ))
        at = start if found is None else found[0]
        part = degraded[at : at + length]
        low_clean = resample_poly(clean[: part.size], 1, 3)
        low_part = resample_poly(part, 1, 3)
        values.append((pesq(16_000, low_clean, low_part, "wb"), stoi(low_clean, low_part, 16_000)))
    mean_pesq, mean_stoi = np.mean(values, axis=0)
    return float(mean_pesq), float(mean_stoi)
