"""What a take of a channel's input tells: speech, peaks, clipping, noise, hum. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples
from echostream.audio.levels import CLIP_LEVEL, FLOOR_DBFS
from echostream.selftest.analysis import Quiet, measure_quiet
from echostream.selftest.signal import Float
from echostream.selftest.tone_part import power_dbfs
from echostream.tune.active_level import ActiveLevel, active_level

_LIVELY_DB: Final = 10.0
"""Between the loud and the soft moments of 20 ms: speech has 20 and more, noise and hum have 2."""
_WINDOW: Final = RATE_HZ // 50
"""20 ms: what the voice valve looks at."""
_QUIET_WINDOWS: Final = 25
_PAUSE_BELOW_SPEECH_DB: Final = 15.9
"""P.56's margin: what is nearer to the active level may be speech."""
_SPEECH_OVER_NOISE_DB: Final = 6.0
"""Less than this above the noise nobody is heard to speak."""
_LEAST_SPEECH_DBFS: Final = -75.0
_LOUDEST: Final = 0.98


@dataclass(frozen=True, slots=True)
class InputLevels:
    """dBFS as in audio.levels. speech: of what was heard at all; spoken: whether that stood out of the noise.

    paused: the noise is known, because it was asked for or somebody made a pause.
    noise_dbfs: of the quietest half second, hum included. noise_top_dbfs: what 20 ms of noise reach now and
    then, at which a voice valve must stay shut. clipped: samples at the converter's stop. dc_dbfs: a constant
    offset.
    """

    duration_s: float
    speech: ActiveLevel
    spoken: bool
    peak_dbfs: float
    clipped: int
    paused: bool
    noise_dbfs: float
    noise_top_dbfs: float
    hum_dbfs: float
    hum_hz: float
    dc_dbfs: float


def measure_input(heard: Samples, quiet: Samples | None = None) -> InputLevels:
    """heard: shape (n,), int16, at 48 kHz, at least a second. quiet: a take in which nobody spoke."""
    noise = _quietest(heard) if quiet is None or len(quiet) < RATE_HZ // 2 else quiet
    background = measure_quiet(noise.astype(np.float64) / FULL_SCALE)
    tops = window_levels(noise)
    level = active_level(heard)
    peak = max(int(heard.max()), -int(heard.min())) if len(heard) else 0
    return InputLevels(
        duration_s=len(heard) / RATE_HZ,
        speech=level,
        spoken=_spoken(heard, level, background),
        peak_dbfs=power_dbfs((peak / FULL_SCALE) ** 2),
        clipped=int(np.count_nonzero((heard >= CLIP_LEVEL) | (heard <= -CLIP_LEVEL))),
        paused=quiet is not None or background.together_dbfs < level.active_dbfs - _PAUSE_BELOW_SPEECH_DB,
        noise_dbfs=background.together_dbfs,
        noise_top_dbfs=float(np.quantile(tops, _LOUDEST)) if len(tops) else FLOOR_DBFS,
        hum_dbfs=background.hum_dbfs,
        hum_hz=background.hum_hz,
        dc_dbfs=power_dbfs(float(np.mean(heard.astype(np.float64)) / FULL_SCALE) ** 2)
        if len(heard)
        else FLOOR_DBFS,
    )


def _spoken(heard: Samples, level: ActiveLevel, background: Quiet) -> bool:
    """Whether what was heard stands out of the noise; without a pause, whether it is as lively as speech."""
    if level.active_dbfs <= _LEAST_SPEECH_DBFS:
        return False
    if level.active_dbfs > background.together_dbfs + _SPEECH_OVER_NOISE_DB:
        return True
    soft, loud = np.quantile(window_levels(heard), (0.1, 0.95))
    return bool(loud - soft > _LIVELY_DB)


def window_levels(samples: Samples) -> Float:
    """RMS of each 20 ms in dBFS: shape (n // 960,)."""
    count = len(samples) // _WINDOW
    blocks = samples[: count * _WINDOW].reshape(-1, _WINDOW).astype(np.float64) / FULL_SCALE
    power = np.mean(np.square(blocks), axis=1)
    levels: Float = np.maximum(FLOOR_DBFS, 10 * np.log10(np.maximum(power, 1e-30)))
    return levels


def _quietest(heard: Samples) -> Samples:
    """The half second that is the least loud."""
    count = len(heard) // _WINDOW
    if count <= _QUIET_WINDOWS:
        return heard
    blocks = heard[: count * _WINDOW].reshape(-1, _WINDOW).astype(np.float64)
    total = np.concatenate(([0.0], np.cumsum(np.mean(np.square(blocks), axis=1))))
    start = int(np.argmin(total[_QUIET_WINDOWS:] - total[:-_QUIET_WINDOWS])) * _WINDOW
    return heard[start : start + _QUIET_WINDOWS * _WINDOW]
