"""CTCSS: the tone below the voice that says who may be heard (EIA/TIA-603; 67.0 to 254.1 Hz, 50 of them).

Every 64 ms the sub-audible band is looked through for lines that are narrow against their surroundings. A
line is a tone when its cells (`ctcss_signal`) agree in direction and length so well that noise would not
have made it, when its frequency is that of one tone of the table and of no neighbour, when it is the
greater part of the band (radios cut their voice off at 300 Hz where a tone is sent), and when it has no
harmonics.

When: clean, on is decided 0.24 to 0.30 s after the tone began, off 0.10 to 0.17 s after it ended; with
noise in the band (200 Hz) as strong as the tone in 0.4 to 1.0 s, and 0.1 to 0.25 s. A squelch opens in
some 0.15 s, but it has one tone to look for: this ear has 50, and a false one costs more than a tenth of a
second. Over a voice that was not cut off, on waits for the pauses of the voice.

While the tone sounds, each cell is held against the tone's own vector. What speaks for "gone" over
"there" is summed up, the more the less noise there is: three clean cells are enough. A phase reversed by
120 to 180 degrees ("reverse burst") is the end like silence is. A drop-out of up to 60 ms does not end a
tone.

The mains: hum at exactly 100.0 Hz cannot be told from the tone 100.0 by its frequency. It is taken for
hum when another line of the same mains (multiples of 50 or 60 Hz) is within 20 dB of it, as rectifiers
and ground loops make it. A lone 100.0 Hz is the tone. 179.9 (3 x 60), 199.5 (4 x 50) and 250.3 Hz (5 x 50)
are treated like it; no other harmonic of the mains is within 0.6 % of a tone.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tones.ctcss_signal import (
    CELL,
    CELL_NOISE_HZ,
    CELL_S,
    CELLS,
    DOWN,
    KEPT,
    RATE_HZ,
    SubAudible,
    Tuned,
)
from echostream.tones.heard import Detection, Heard, Kind, ToneSpan
from echostream.tones.measure import Past
from echostream.tones.stream import EAR_RATE_HZ, Signal
from echostream.tones.tables import CTCSS_ALL_HZ
from echostream.tones.trust import LEVEL_SLACK_DB, SINE_DB

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]

BELOW_VOICE_DB: Final = 12.0
"""How far below the level of the plan's other tones this one may be."""
LEAST_DBFS: Final = -57.0
"""But not below this (AES17): the fans, lamps and supplies of quiet rooms make steady lines too."""
TOLERANCE: Final = 0.006
"""Senders hold 0.5 %; the narrowest neighbours (165.5, 167.9 Hz) are 1.4 % apart."""
SPANS: Final[dict[int, float]] = {7: 0.008, 10: 0.02, 16: 0.18, 24: 0.3, CELLS: 0.4}
"""How many cells are judged, and how much of their power may stray from one vector. Noise strays so little
once in a billion looks (that share to the power of the cells less one); a voice may hold a note for a quarter
of a second, hence the strictness of the short ones."""
LEAST_SHARE: Final = 0.38
"""Of the tone in the sub-audible band: radios keep the voice out of it."""
MOST_UNEVEN: Final = 2.2
"""What strays, over what the noise elsewhere in the band explains: a voice strays about its own pitch."""
STRAYS: Final = 0.01
"""Less than this share is not asked for its reason."""
APART: Final = 3.0
"""Standard errors between a tone and the middle to its neighbour."""
OVERTONE_DB: Final = -22.0
MAINS_DB: Final = -20.0
"""Of a second or third harmonic, or another line of the mains: louder, and this is no tone (a sender's has
less than 5 % of distortion, -26 dB)."""
LINE_OVER_NOISE: Final = 4.0
LINE_OVER_VOICE: Final = 40.0
"""What makes a line of such a sum: noise is as strong beside it. Where the tone itself strays by less than
STEADIEST its harmonics would not either, and a voice that only passes there is told by what is beside it."""
STEADIEST: Final = 0.001
GONE: Final = 9.0
"""-ln of the chance that a tone that still sounds looks as gone as this."""
MOST_AT_ONCE: Final = 3.2
"""What one cell can say of that: a click, or a vowel on the tone, must not be its end."""
FOLLOW: Final = 0.15
UNREST_FOLLOWS: Final = 0.2
"""Share of a new cell in the tone's vector, and in what is known of the noise across it."""
CLEAN: Final = 0.06
"""Least noise that a cell is taken to have, over the tone."""

_TABLE: Final = np.array(CTCSS_ALL_HZ)
_MIDDLES: Final = (_TABLE[1:] + _TABLE[:-1]) / 2
_LOOK: Final = 352
_AROUND: Final = 16
_LOW: Final = int(64.0 * KEPT / RATE_HZ)
_HIGH: Final = int(258.0 * KEPT / RATE_HZ)
_WINDOWS: Final = np.stack((np.pad(np.hanning(_LOOK), (KEPT - _LOOK, 0)), np.hanning(KEPT)))
"""A short look for what is clear and has just begun, a long one for what is buried."""
_NARROW: Final = np.array((0.6, 0.4))


def _pure_line() -> Float:
    """Share of the peak's bin in the ± 16 bins around it, for a pure tone in either window."""
    power = np.abs(np.fft.fft(_WINDOWS)) ** 2
    near: Float = power[:, 0] / (power[:, : _AROUND + 1].sum(axis=1) + power[:, -_AROUND:].sum(axis=1))
    return near


_LIMITS: Final = (_NARROW * _pure_line())[:, None]
_LEAST: Final = (0.75 * LEAST_SHARE * _pure_line())[:, None]


@dataclass(frozen=True, slots=True)
class _Steady:
    """A line: frequency and its standard error, power, noise in a cell's band; from how many cells."""

    hz: float
    sigma_hz: float
    power: float
    stray: float
    cells: int


@dataclass(slots=True)
class _On:
    """The tone that sounds. vector: as its cells are. against: what speaks for its end, and since when."""

    tone_hz: float
    tuned: Tuned
    vector: complex
    start: int
    snr_db: float
    unrest: float = 0.0
    against: float = 0.0
    since: int = 0


class CtcssEar:
    """Hears CTCSS tones come and go on the stream of one channel."""

    def __init__(self, level_dbfs: float = -45.0) -> None:
        """level_dbfs: least level of the plan's tones (AES17)."""
        least_dbfs = max(level_dbfs - BELOW_VOICE_DB, LEAST_DBFS) - SINE_DB - LEVEL_SLACK_DB
        self._least_power = 10 ** (least_dbfs / 10)
        self._band = SubAudible()
        self._past = Past(KEPT / RATE_HZ + 0.1)
        self._on: _On | None = None
        self._fresh = 0
        """Cells since the last tone's end, or the start."""

    def hear(self, block: Signal) -> list[Heard]:
        """The next 512 samples."""
        self._band.add(block)
        self._past.add(block)
        self._fresh = min(CELLS, self._fresh + 2)
        if self._on:
            return self._follow(self._on)
        return self._look()

    @property
    def pressing(self) -> bool:
        """See `Ear`: none of its findings is so urgent."""
        return False

    def finish(self) -> list[Heard]:
        """The stream's end is the end of its tone."""
        return [self._off(self._on, self._band.end)] if self._on else []

    def reset(self, position: int) -> None:
        """Forget what is under way; the next block begins at sample `position`."""
        self._band.forget(position)
        self._past.forget(position)
        self._on = None
        self._fresh = 0

    # Off: looking for a tone.

    def _look(self) -> list[Heard]:
        recent = self._band.kept[-_LOOK:]
        if self._fresh < min(SPANS) or float(recent @ recent) < 0.5 * self._least_power * _LOOK:
            return []
        for line_hz in self._lines():
            cells = self._band.cells(line_hz)
            for count in SPANS:
                steady = _agree(cells[-count:], line_hz) if count <= self._fresh else None
                tone_hz = _nearest(steady) if steady else 0.0
                if not steady or not tone_hz or steady.power < self._least_power:
                    continue
                if self._prevails(steady) and self._alone(steady):
                    return [self._begin(tone_hz, steady)]
        return []

    def _lines(self) -> list[float]:
        """Frequencies of lines that are narrow against what is 16 Hz around them, and much of the band."""
        spectrum = np.fft.rfft(self._band.kept * _WINDOWS)
        power = spectrum.real**2 + spectrum.imag**2
        total = np.cumsum(power, axis=1)
        around = (
            total[:, _LOW + _AROUND : _HIGH + _AROUND] - total[:, _LOW - _AROUND - 1 : _HIGH - _AROUND - 1]
        )
        here = power[:, _LOW:_HIGH]
        whole = total[:, _HIGH : _HIGH + 1] - total[:, _LOW : _LOW + 1]
        narrow = here - np.maximum(_LIMITS * around, _LEAST * whole)
        # Seldom more than one: most blocks have none, and nothing more to do.
        best = narrow.argmax(axis=1).tolist()
        lines = [_peak_hz(power[n], at + _LOW) for n, at in enumerate(best) if narrow[n, at] > 0.0]
        return lines[:1] if len(lines) == 2 and abs(lines[0] - lines[1]) < 1.0 else lines

    def _prevails(self, steady: _Steady) -> bool:
        """It is most of the band, and what strays from it is noise."""
        whole, floor = self._band.power(steady.cells)
        if steady.power < LEAST_SHARE * whole:
            return False
        return steady.stray < max(MOST_UNEVEN * floor * CELL_NOISE_HZ, STRAYS * steady.power)

    def _alone(self, steady: _Steady) -> bool:
        """No overtones, and no other line of the mains."""
        limits = {multiple * steady.hz: OVERTONE_DB for multiple in (2, 3)}
        for mains_hz in (50.0, 60.0):
            order = round(steady.hz / mains_hz)
            unit_hz = steady.hz / order if order else 0.0
            if abs(unit_hz - mains_hz) < 0.2:
                limits.update({n * unit_hz: MAINS_DB for n in range(1, 7) if n != order})
        length = (steady.cells + 1) * CELL * DOWN
        power, bin_hz = _spectrum(self._past.get(self._past.end - length, self._past.end))
        own = power[round(steady.hz / bin_hz)]
        beside = np.array((-5.0, -4.0, -3.0, 3.0, 4.0, 5.0)) * EAR_RATE_HZ / length
        least = LINE_OVER_VOICE if steady.stray < STEADIEST * steady.power else LINE_OVER_NOISE
        for hz, limit_db in limits.items():
            there = power[round(hz / bin_hz)]
            if there < own * 10 ** (limit_db / 10):
                continue
            if there > least * float(np.median(power[np.rint((hz + beside) / bin_hz).astype(int)])):
                return False
        return True

    def _begin(self, tone_hz: float, steady: _Steady) -> Detection:
        cells = self._band.cells(steady.hz)
        vector = complex(cells[-steady.cells :].mean())
        along = (cells * vector.conjugate()).real / abs(vector) ** 2
        usable = along[CELLS - self._fresh :]
        # The most likely first cell: from there on the tone is there, before it is not.
        there = np.cumsum((usable - 0.5)[::-1])
        first = CELLS - 1 - int(np.argmax(there))
        start = self._band.sample_of(first)
        level_dbfs = 10 * math.log10(steady.power)
        # As if what is beside it were white, like every signal-to-noise ratio here: in 0-4 kHz.
        noise = max(steady.stray / CELL_NOISE_HZ * (EAR_RATE_HZ / 2), 1e-15)
        snr_db = level_dbfs - 10 * math.log10(noise)
        self._on = _On(tone_hz, Tuned(steady.hz), vector, start, snr_db)
        end = self._band.end
        span = ToneSpan(steady.hz, start, end, level_dbfs, snr_db, steady.hz - tone_hz)
        return Detection(
            Kind.CTCSS_ON,
            "",
            start=start,
            end=end,
            decided=end,
            tones=(span,),
            digits=f"{tone_hz:.1f}",
            snr_db=snr_db,
            level_dbfs=level_dbfs,
            confidence=steady.power / (steady.power + steady.stray),
        )

    # On: following the tone.

    def _follow(self, on: _On) -> list[Heard]:
        for n, (cell, beside) in enumerate(zip(*self._band.newest(on.tuned), strict=True)):
            length = abs(on.vector) ** 2
            along = (cell * on.vector.conjugate()).real / length
            noise = max(CLEAN, 0.5 * beside / length, on.unrest)
            if on.against <= 0.0:
                on.since = self._band.sample_of(CELLS - 2 + n)
            on.against = max(0.0, on.against + min((0.5 - along) / noise, MOST_AT_ONCE))
            if on.against > GONE:
                return [self._off(on, on.since)]
            across = min((cell * on.vector.conjugate()).imag ** 2 / length**2, 1.0)
            on.unrest += UNREST_FOLLOWS * (across - on.unrest)
            if 0.5 < along < 1.5:
                on.vector += FOLLOW / (1 + noise) * (cell - on.vector)
        return []

    def _off(self, on: _On, end: int) -> Detection:
        self._on = None
        self._fresh = max(0, math.ceil((self._band.end - end) / EAR_RATE_HZ / CELL_S) - 2)
        end = max(on.start, end)
        level_dbfs = 10 * math.log10(2 * abs(on.vector) ** 2)
        hz = on.tuned.hz
        return Detection(
            Kind.CTCSS_OFF,
            "",
            start=on.start,
            end=end,
            decided=self._band.end,
            tones=(ToneSpan(hz, on.start, end, level_dbfs, on.snr_db, hz - on.tone_hz),),
            digits=f"{on.tone_hz:.1f}",
            snr_db=on.snr_db,
            level_dbfs=level_dbfs,
        )


def _peak_hz(power: Float, at: int) -> float:
    left, here, right = np.sqrt(power[at - 1 : at + 2]).tolist()
    bend = 2 * here - left - right
    offset = 0.5 * (right - left) / bend if bend > 0 else 0.0
    return (at + offset) * RATE_HZ / KEPT


def _agree(cells: Complex, hz: float) -> _Steady | None:
    """The line near hz that these cells are, if noise would not have made them."""
    count = cells.size
    lag = max(1, count // 2)
    turn = cmath.phase(np.vdot(cells[:-lag], cells[lag:]))
    off_hz = turn / (2 * math.pi * lag * CELL_S)
    number = np.arange(count) - (count - 1)
    mean = complex(np.exp((-2j * math.pi * off_hz * CELL_S) * number) @ cells) / count
    total = float(np.vdot(cells, cells).real) / count
    left = max(1.0 - abs(mean) ** 2 / (total + 1e-30), 1e-9)
    if left > SPANS[count]:
        return None
    stray = left * total * count / (count - 1)
    energy = count * abs(mean) ** 2 / stray
    sigma_hz = math.sqrt(3 / (2 * math.pi**2 * energy)) / (count * CELL_S)
    return _Steady(hz + off_hz, sigma_hz, 2 * abs(mean) ** 2, 2 * stray, count)


def _nearest(steady: _Steady) -> float:
    """The table's tone, Hz; 0.0 where it is none, or where it might be a neighbour."""
    at = int(np.searchsorted(_MIDDLES, steady.hz))
    tone_hz = float(_TABLE[at])
    if abs(steady.hz - tone_hz) > TOLERANCE * tone_hz + 2 * steady.sigma_hz:
        return 0.0
    middles = _MIDDLES[max(0, at - 1) : at + 1]
    if float(np.min(np.abs(middles - steady.hz))) < APART * steady.sigma_hz:
        return 0.0
    return tone_hz


def _spectrum(signal: Signal) -> tuple[Float, float]:
    """Power under a Hann window, and the width of its bins in Hz (half of what the window tells apart)."""
    size = 2 << (signal.size - 1).bit_length()
    spectrum = np.fft.rfft(signal * _hann(signal.size), size)
    power: Float = spectrum.real**2 + spectrum.imag**2
    return power, EAR_RATE_HZ / size


@cache
def _hann(size: int) -> Float:
    window: Float = np.hanning(size)
    return window
