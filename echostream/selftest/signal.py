"""The known signal of the self-test: what is played, and where each part of it stands. Pure.

    lead | chirp | gap | sweep | gap | tone | gap | quiet | chirp | tail

The exponential sweep and the way its response is taken apart are A. Farina's ("Simultaneous measurement of
impulse response and distortion with a swept-sine technique", AES 108, 2000). Two equal chirps of the speech
band, far apart, give the delay and how much faster one clock runs than the other. The tone is, as in
ITU-T O.132, beside 1,000 Hz: one that divides the sampling rate meets few of a converter's steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples

Float = NDArray[np.float64]

PEAK_DBFS: Final = -12.0
"""Of every part: what comes back up to 12 dB louder is still measured and not only clipped."""
TONE_HZ: Final = 1013.0
"""No whole number of periods is in 5, 10 or 20 ms: a block that is lost shows in the phase."""
SWEEP_FROM_HZ: Final = 40.0
SWEEP_TO_HZ: Final = 20_000.0
_CHIRP_HZ: Final = (500.0, 3000.0)
"""In any radio's pass band."""
_CHIRP_S: Final = 0.25
_FADE_S: Final = 0.01
_LEAD_S: Final = 0.4
"""Longer than any card takes to begin: what is played in its first moments may not be heard."""
_GAP_S: Final = 0.25
"""What echoes and what the sweep's harmonics leave has ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """Samples `start` to `end` of the signal."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class KnownSignal:
    """samples: shape (n,), int16, at 48 kHz. sweep_s: its duration. The parts are of the same n."""

    samples: Samples
    first_chirp: Part
    sweep: Part
    tone: Part
    quiet: Part
    last_chirp: Part

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


def known_signal(quick: bool = False, tail_s: float = 0.5) -> KnownSignal:
    """The whole take: 4 s when quick, else 15 s, of which most is the tone: the clocks need their time.

    tail_s: silence behind it, while what was played last is still under way.
    """
    pieces: list[Float] = []
    parts: list[Part] = []

    def silence(duration_s: float) -> Part:
        return add(np.zeros(round(duration_s * RATE_HZ)))

    def add(piece: Float) -> Part:
        start = sum(len(one) for one in pieces)
        pieces.append(piece)
        return Part(start, start + len(piece))

    silence(_LEAD_S)
    parts.append(add(chirp()))
    silence(_GAP_S)
    parts.append(add(sweep(0.6 if quick else 2.0)))
    silence(_GAP_S)
    parts.append(add(tone(TONE_HZ, 0.5 if quick else 8.0)))
    silence(_GAP_S)
    parts.append(silence(0.45 if quick else 1.5))
    parts.append(add(chirp()))
    silence(tail_s)
    return KnownSignal(as_samples(np.concatenate(pieces)), *parts)


def chirp(ppm: float = 0.0) -> Float:
    """A linear sweep over the speech band, peak 1, as a clock hears it beside which ours is fast by `ppm`."""
    t = _times(_CHIRP_S, ppm)
    low, high = _CHIRP_HZ
    return _faded(np.sin(2 * np.pi * (low * t + (high - low) / (2 * _CHIRP_S) * t**2)))


def sweep(duration_s: float, ppm: float = 0.0) -> Float:
    """Farina's exponential sweep, SWEEP_FROM_HZ to SWEEP_TO_HZ, peak 1; ppm as for `chirp`."""
    t = _times(duration_s, ppm)
    rate = np.log(SWEEP_TO_HZ / SWEEP_FROM_HZ)
    phase = 2 * np.pi * SWEEP_FROM_HZ * duration_s / rate * (np.exp(t * rate / duration_s) - 1)
    return _faded(np.sin(phase))


def tone(hz: float, duration_s: float) -> Float:
    """A sine, peak 1, faded in and out."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return _faded(np.sin(2 * np.pi * hz * t))


def as_samples(wave: Float, peak_dbfs: float = PEAK_DBFS) -> Samples:
    """A wave of peak 1 at this peak level."""
    return np.rint(wave * (FULL_SCALE * 10 ** (peak_dbfs / 20))).astype(np.int16)


def _times(duration_s: float, ppm: float) -> Float:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ * (1 + ppm * 1e-6)


def _faded(wave: Float) -> Float:
    count = round(_FADE_S * RATE_HZ)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)
    wave[:count] *= ramp
    wave[-count:] *= ramp[::-1]
    return wave
