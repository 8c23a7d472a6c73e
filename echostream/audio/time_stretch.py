"""Speech a little faster or slower without a change of pitch, one pitch period at a time.

The idea of WSOLA (Verhelst and Roelands, 1993) as jitter buffers use it: find the lag at which the signal
repeats itself, and leave one period out, or say it twice, cross-fading between two places that look alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ

Float32 = NDArray[np.float32]

LEAST_PERIOD: Final = RATE_HZ // 400
"""120 samples: the period of 400 Hz, above most voices."""
MOST_PERIOD: Final = RATE_HZ // 75
"""640 samples: the period of 75 Hz, below most voices."""
MOST_FASTER: Final = 0.34
"""Part of one block's samples that accelerate() leaves out at most."""
MOST_SLOWER: Final = 0.5
"""Samples that expand() adds at most, per sample."""
NOISE_BELOW: Final = 0.3
"""Normalised correlation below which a place is noise, not an unlucky pitch: no cut in it is heard."""
_COARSE: Final = 8
"""The search runs at 6 kHz first, then around the best place at full rate."""
_WINDOW: Final = RATE_HZ // 100
"""10 ms are compared, and at most as much is cross-faded."""
_AS_GOOD_WITHIN: Final = 0.05
_SURELY_ALIKE: Final = 0.97
_UNLIKE: Final = 0.31
_NOISE_LAGS: Final = 40
_SAME_POWER: Final = 2.0


def accelerate(x: Float32, most: int, least_similarity: float = 0.7) -> tuple[Float32, int]:
    """`x` with up to `most` samples left out, in whole pitch periods, and how many those were.

    x: shape (n,), float32, at least 20 ms to have any effect. Its ends stay as they are, so blocks join.
    least_similarity: normalised correlation (0 to 1) below which a place is left alone, unless it is noise.
    """
    return _stretch(x, min(most, int(MOST_FASTER * x.size)), least_similarity, leave_out=True)


def expand(x: Float32, most: int, least_similarity: float = 0.7) -> tuple[Float32, int]:
    """`x` with up to `most` samples added, in whole pitch periods, and how many. See accelerate."""
    return _stretch(x, min(most, int(MOST_SLOWER * x.size)), least_similarity, leave_out=False)


def cut(x: Float32, most: int) -> tuple[Float32, int]:
    """`x`, a pause, with up to `most` samples left out of its middle, and how many those were."""
    fade = min(_WINDOW // 2, x.size // 4)
    removed = min(most, x.size - 2 * fade)
    if removed <= 0:
        return x, 0
    head = (x.size - removed - fade) // 2
    tail = head + removed
    faded = _cross_fade(x[head : head + fade], x[tail : tail + fade], 0.0)
    return np.concatenate([x[:head], faded, x[tail + fade :]]), removed


def _stretch(x: Float32, most: int, least_similarity: float, leave_out: bool) -> tuple[Float32, int]:
    pieces: list[Float32] = []
    start = at = done = 0
    while most - done >= LEAST_PERIOD and x.size - at - _WINDOW >= LEAST_PERIOD:
        period, similarity = _find_period(x[at : at + MOST_PERIOD + _WINDOW], most - done)
        if not _joins(x, at, period, similarity, least_similarity):
            at += _WINDOW
            continue
        fade = min(_WINDOW, period)
        leave, enter = (at, at + period) if leave_out else (at + period, at)
        pieces.append(x[start:leave])
        pieces.append(_cross_fade(x[leave : leave + fade], x[enter : enter + fade], similarity))
        start = enter + fade
        at += period + fade
        done += period
    if not pieces:
        return x, 0
    pieces.append(x[start:])
    return np.concatenate(pieces), done


def _joins(x: Float32, at: int, period: int, similarity: float, least: float) -> bool:
    """Whether the signal can go from `at` to `at + period`, or back, without being noticed."""
    if similarity >= least:
        return True
    if similarity > NOISE_BELOW:
        return False
    here, there = x[at : at + _WINDOW], x[at + period : at + period + _WINDOW]
    power, other = float(here @ here) + 1.0, float(there @ there) + 1.0
    return power < _SAME_POWER * other and other < _SAME_POWER * power


def _find_period(x: Float32, most: int) -> tuple[int, float]:
    """(lag from LEAST_PERIOD to `most` at which x is most like its first _WINDOW, normalised correlation).

    Of lags that are about as good the longest is taken: it moves most at the same cost. A slope that still
    rises where the lags end is no period; its correlation is given as too low.
    """
    first = LEAST_PERIOD // _COARSE
    coarse = x[: x.size // _COARSE * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    scores = _similarities(coarse, _WINDOW // _COARSE)[first:]
    allowed = scores[: most // _COARSE - first + 1]
    good = np.flatnonzero(allowed >= scores.max() - _AS_GOOD_WITHIN)
    near = int(good[-1]) if good.size else int(allowed.argmax())
    while near > 0 and allowed[near - 1] > allowed[near]:
        near -= 1
    middle = (first + near) * _COARSE
    low = max(LEAST_PERIOD, middle - _COARSE)
    high = max(low, min(most, middle + _COARSE, x.size - _WINDOW))
    fine = _similarities(np.concatenate([x[:_WINDOW], x[low : high + _WINDOW]]), _WINDOW)[_WINDOW:]
    best = int(fine.argmax())
    similarity = float(fine[best])
    rising = near == allowed.size - 1 and near > 0 and allowed[near] > allowed[near - 1]
    # Noise is unlike itself everywhere; a voice only at the lags that happen to be allowed.
    noise = scores.size > _NOISE_LAGS and float(np.abs(scores).max()) <= NOISE_BELOW
    if not noise and (not good.size or similarity <= NOISE_BELOW or (rising and similarity < _SURELY_ALIKE)):
        similarity = _UNLIKE
    return low + best, similarity


def _similarities(x: Float32, width: int) -> Float32:
    """Normalised correlation of x[:width] with x[k : k + width], for each k it fits at."""
    windows = np.lib.stride_tricks.sliding_window_view(x, width)
    powers = np.einsum("ij,ij->i", windows, windows)
    scores: Float32 = (windows @ x[:width]) / np.sqrt(powers * powers[0] + 1.0)
    return scores


def _cross_fade(leaving: Float32, entering: Float32, similarity: float) -> Float32:
    """From one to the other at constant power, whatever their correlation is."""
    rise = (np.arange(leaving.size, dtype=np.float32) + 0.5) / leaving.size
    fall = 1.0 - rise
    power = rise**2 + fall**2 + 2.0 * max(0.0, similarity) * rise * fall
    faded: Float32 = ((leaving * fall + entering * rise) / np.sqrt(power)).astype(np.float32)
    return faded
