"""What came back of the known signal, measured. Pure: no limits here, and no words.

Every part is looked at where the first chirp says that it is, at the rate that the two chirps tell, so that
neither a delay nor a clock that is off spoils the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples
from echostream.audio.levels import CLIP_LEVEL, FLOOR_DBFS
from echostream.selftest.locate import Place, locate
from echostream.selftest.response import Response, response
from echostream.selftest.signal import Float, KnownSignal, Part, chirp, sweep
from echostream.selftest.tone_part import ToneMeasured, measure_tone, power_dbfs

MAX_DELAY_S: Final = 2.0
_ECHO: Final = RATE_HZ // 5
_EDGE: Final = RATE_HZ // 20
_NEAR: Final = RATE_HZ // 100
_HUM_HARMONICS: Final = 6
_MAINS_HZ: Final = (50.0, 60.0)


@dataclass(frozen=True, slots=True)
class Quiet:
    """The pause. Levels in dBFS, noise without the hum; hum_hz: 50 or 60, whichever is louder."""

    noise_dbfs: float
    hum_dbfs: float
    hum_hz: float

    @property
    def together_dbfs(self) -> float:
        """Noise and hum."""
        heard = (one for one in (self.noise_dbfs, self.hum_dbfs) if one > FLOOR_DBFS)
        return power_dbfs(sum(10 ** (one / 10) for one in heard))


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that one take tells. shift: samples by which what came back is later than what was played.

    slip: samples that came too much until the second chirp (negative: that were lost); None where it is not
    heard. clipped: samples at the converter's stop.
    """

    shift: float
    sharpness: float
    inverted: bool
    slip: float | None
    tone: ToneMeasured
    played_dbfs: float
    quiet: Quiet
    response: Response
    clipped: int

    @property
    def gain_db(self) -> float:
        """Of the way out and in again."""
        return self.tone.level_dbfs - self.played_dbfs

    @property
    def snr_db(self) -> float:
        """Against noise and hum together."""
        return self.tone.level_dbfs - self.quiet.together_dbfs


def analyse(signal: KnownSignal, heard: Samples) -> Measured | None:
    """heard: shape (n,), int16, 48 kHz, begun when the playing began. None: the signal is not in it."""
    wave = heard.astype(np.float64) / FULL_SCALE
    coarse = locate(wave, chirp(), signal.first_chirp.start, signal.first_chirp.start + _samples(MAX_DELAY_S))
    if coarse is None or not coarse.sure:
        return None
    tone = measure_tone(_part(wave, signal.tone, coarse.at - signal.first_chirp.start))
    first, slip = _chirps(wave, signal, coarse, tone.clock_ppm)
    shift = first.at - signal.first_chirp.start
    played = _part(signal.samples.astype(np.float64) / FULL_SCALE, signal.tone, 0.0)
    sweep_s = signal.sweep.length / RATE_HZ
    # Some earlier, too: audio that was lost since the chirp brings the sweep forward.
    begin, end = (round(at + shift) for at in (signal.sweep.start - 2 * _EDGE, signal.sweep.end + _ECHO))
    return Measured(
        shift=shift,
        sharpness=first.sharpness,
        inverted=first.inverted,
        slip=slip,
        tone=tone,
        played_dbfs=power_dbfs(float(np.mean(np.square(played)))),
        quiet=measure_quiet(_part(wave, signal.quiet, shift)),
        response=response(sweep(sweep_s, tone.clock_ppm), wave[max(0, begin) : max(0, end)]),
        clipped=int(np.count_nonzero((heard >= CLIP_LEVEL) | (heard <= -CLIP_LEVEL))),
    )


def _part(wave: Float, part: Part, shift: float) -> Float:
    """What is heard of a part, without its edges: fades, and what an echo leaves."""
    return wave[max(0, round(part.start + _EDGE + shift)) : max(0, round(part.end - _EDGE + shift))]


def _chirps(wave: Float, signal: KnownSignal, coarse: Place, ppm: float) -> tuple[Place, float | None]:
    """The first chirp exactly, and the samples that came too much until the second one (lost ones: negative).

    Looked for as the other clock makes them: else it is the wave's next crest that fits best.
    """
    piece = chirp(ppm)
    near = round(coarse.at)
    first = locate(wave, piece, near - _NEAR, near + _NEAR) or coarse
    apart = signal.last_chirp.start - signal.first_chirp.start
    last = locate(wave, piece, round(first.at + apart / 2))
    if last is None or not last.sure:
        return first, None
    return first, (last.at - first.at) - apart / (1 + ppm * 1e-6)


def measure_quiet(wave: Float) -> Quiet:
    """wave: shape (n,), of peak 1 at full scale, at least 0.3 s."""
    if len(wave) < RATE_HZ // 4:
        return Quiet(power_dbfs(0.0), power_dbfs(0.0), _MAINS_HZ[0])
    still = wave - wave.mean()
    found = {hz: _hum(still, hz) for hz in _MAINS_HZ}
    loudest = max(found, key=lambda hz: found[hz][0])
    hum, rest = found[loudest]
    return Quiet(power_dbfs(rest), power_dbfs(hum), loudest)


def _hum(wave: Float, mains_hz: float) -> tuple[float, float]:
    """Mean square of the mains' frequency and its harmonics, fitted together; and of what is left."""
    t = np.arange(len(wave)) / RATE_HZ
    angles = 2 * np.pi * mains_hz * np.outer(t, np.arange(1, _HUM_HARMONICS + 1))
    basis = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    weights: Float = np.linalg.lstsq(basis, wave, rcond=None)[0]
    # Of noise a fit takes its share, too: so many of n samples' worth.
    rest: Float = wave - basis @ weights
    left = float(np.mean(np.square(rest)))
    share = left * basis.shape[1] / len(wave)
    return max(0.0, float(np.sum(np.square(weights))) / 2 - share), left


def _samples(duration_s: float) -> int:
    return round(duration_s * RATE_HZ)
