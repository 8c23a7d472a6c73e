"""DTMF (ITU-T Q.23) as a receiver of ITU-T Q.24 hears it, and better in noise and beside speech.

Frames whose energy is mostly one low and one high tone make a run; when a run is over, or has lasted 100 ms,
the samples decide (`sines`, `dtmf_verdict`). Digits make a string that a pause ends; a definition is reported
as soon as its last digit is sure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np

from echostream.tones.dial import TailMatcher
from echostream.tones.dtmf_verdict import BAND_HZ, NEARLY, NOT_PURE, Verdict, judge
from echostream.tones.heard import Detection, Heard, Kind, NearMiss, ToneSpan
from echostream.tones.measure import Past
from echostream.tones.plan import ListenPlan
from echostream.tones.short_tones import BIN_HZ, FRAMES, HOP, LOBE_BINS, ROWS, WINDOW, Spectra, peak_hz
from echostream.tones.sines import ENVELOPE, MOST_FIT, Extent, Fit, Float, extent, fit_sines
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.tables import DTMF_HIGH_HZ, DTMF_KEYS, DTMF_LOW_HZ
from echostream.tones.trust import LEVEL_SLACK_DB

SYSTEM: Final = "dtmf"
PAUSE: Final = round(0.027 * EAR_RATE_HZ)
"""Between an interruption (under 10 ms) and a pause (40 ms)."""
STRING_PAUSE: Final = round(1.2 * EAR_RATE_HZ)
"""A longer pause ends a string."""
MOST_DIGITS: Final = 64
"""A longer string is reported in parts."""

_LOW: Final = slice(round(656 / BIN_HZ), round(1000 / BIN_HZ))
_HIGH: Final = slice(round(1140 / BIN_HZ), round(1734 / BIN_HZ))
_BAND: Final = slice(round(BAND_HZ / BIN_HZ), round(3600 / BIN_HZ))
_FRAME_SHARE: Final = 0.42
"""Of the pair in a frame: noise half as strong as the pair leaves two thirds."""
_FRAME_TWIST: Final = 20.0
_FALL: Final = 0.1
"""A frame 10 dB under the run's strongest is not of the same digit."""
_LEAST_FRAMES: Final = 3
_MOST_FRAMES: Final = 32
_CONFIRM: Final = round(0.1 * EAR_RATE_HZ)
_MARGIN: Final = 80
_LONGEST: Final = EAR_RATE_HZ
"""Of a longer run the last second is looked at."""
_LEAST_HALVED: Final = round(0.075 * EAR_RATE_HZ)
_MOST_USED_BY_HALF: Final = 0.8


@dataclass(slots=True)
class _Digit:
    """One key as it was measured. start, end: samples."""

    key: str
    start: int
    end: int
    fit: Fit
    used: float


@dataclass(slots=True)
class _Run:
    """Frames of one key. first, last, loudest: ends of frames. frames: (power, low Hz, high Hz) of some."""

    row: int
    column: int
    first: int
    last: int
    loudest: int
    power: float = 0.0
    frames: list[tuple[float, float, float]] = field(default_factory=list)
    asked: bool = False
    digit: _Digit | None = None

    @property
    def start(self) -> int:
        """Sample where it may have begun."""
        return self.first - WINDOW // 2

    @property
    def key(self) -> str:
        return DTMF_KEYS[self.row][self.column]

    def add(self, end: int, power: float, low_hz: float, high_hz: float) -> None:
        self.last = end
        if power > self.power:
            self.power, self.loudest = power, end
        if len(self.frames) < _MOST_FRAMES:
            self.frames.append((power, low_hz, high_hz))

    def hz(self) -> tuple[float, float]:
        """Of its louder frames."""
        loud = [frame for frame in self.frames if frame[0] > 0.5 * self.power] or self.frames
        return median(frame[1] for frame in loud), median(frame[2] for frame in loud)


class DtmfListener:
    """See `Listener`."""

    def __init__(self, plan: ListenPlan) -> None:
        self._strings = plan.dtmf
        self._explain = plan.explain
        self._threshold = plan.threshold
        self._least_power = 0.5 * 10 ** ((plan.level_dbfs - LEVEL_SLACK_DB) / 10)
        # A tenth of what counts, as it is in a frame: a little too quiet is a near miss.
        self._faintest = 0.1 * self._least_power * (WINDOW / 2) ** 2 / 2
        self._matcher = TailMatcher([item for item in plan.digits if item.system == SYSTEM])
        self._run: _Run | None = None
        self._digits: list[_Digit] = []

    def look(self, spectra: Spectra, first_end: int, past: Past) -> list[Heard]:
        """See `Listener`."""
        low, high = spectra[:, _LOW], spectra[:, _HIGH]
        low_at, high_at = low.argmax(axis=1), high.argmax(axis=1)
        low_power, high_power = low[ROWS, low_at], high[ROWS, high_at]
        pair = low_power + high_power
        tonal = pair * LOBE_BINS > _FRAME_SHARE * spectra[:, _BAND].sum(axis=1)
        tonal &= pair > self._faintest
        heard: list[Heard] = []
        if tonal.any():
            tonal &= (low_power * _FRAME_TWIST > high_power) & (high_power * _FRAME_TWIST > low_power)
            for n in np.flatnonzero(tonal).tolist():
                low_hz = peak_hz(spectra[n], int(low_at[n]) + _LOW.start)
                high_hz = peak_hz(spectra[n], int(high_at[n]) + _HIGH.start)
                heard += self._frame(first_end + n * HOP, float(pair[n]), low_hz, high_hz, past)
        return heard + self._settle(first_end + (FRAMES - 1) * HOP, past)

    def finish(self, past: Past) -> list[Heard]:
        """See `Listener`."""
        return self._close(past) + self._report(past.end)

    def forget(self) -> None:
        """See `Listener`."""
        self._run = None
        self._digits.clear()
        self._matcher.clear()

    def _frame(self, end: int, power: float, low_hz: float, high_hz: float, past: Past) -> list[Heard]:
        row, column = _nearest(low_hz, DTMF_LOW_HZ), _nearest(high_hz, DTMF_HIGH_HZ)
        run = self._run
        heard: list[Heard] = []
        if run is not None:
            same = run.row == row and run.column == column and power > _FALL * run.power
            if not same or end - run.last > 2 * HOP:
                heard = self._close(past)
        if self._run is None:
            self._run = _Run(row, column, end, end, end)
        self._run.add(end, power, low_hz, high_hz)
        return heard

    def _settle(self, end: int, past: Past) -> list[Heard]:
        """After a block: a run that is over or long enough, a string that is over."""
        run = self._run
        if run is not None and end - run.last > 2 * HOP:
            heard = self._close(past)
        elif run is not None and not run.asked and run.last - run.first >= _CONFIRM:
            run.asked = True
            heard = self._judge(run, past, over=False)
        else:
            heard = []
        if self._run is None and self._digits and end - self._digits[-1].end > STRING_PAUSE:
            heard += self._report(past.end)
        return heard

    def _close(self, past: Past) -> list[Heard]:
        run, self._run = self._run, None
        if run is None or len(run.frames) < _LEAST_FRAMES:
            return []
        if run.digit is None:
            return self._judge(run, past, over=True)
        begin = run.last - WINDOW - 4 * ENVELOPE
        samples = past.get(begin, run.last + 2 * HOP).astype(np.float64)
        where = extent(samples, run.digit.fit.hz, 4 * ENVELOPE)
        if where is not None:
            run.digit.end = max(run.digit.end, begin + round(where.end))
        return []

    def _judge(self, run: _Run, past: Past, *, over: bool) -> list[Heard]:
        """Look at the samples of a run. over: else it still sounds."""
        wanted = run.first - WINDOW - _MARGIN
        begin = max(past.start, wanted, run.last - _LONGEST)
        samples = past.get(begin, run.last + 2 * HOP).astype(np.float64)
        hz = run.hz()
        core = max(run.loudest - WINDOW // 2 - begin, ENVELOPE)
        where = extent(samples, hz, core) if samples.size >= 2 * ENVELOPE else None
        if where is None or where.end - where.start < NEARLY:
            return []
        fit, verdict = self._measure(samples, where, hz, run)
        start = run.start if begin > wanted and where.open_start else begin + round(where.start)
        digit = _Digit(run.key, start, begin + round(where.end), fit, verdict.used)
        if verdict.reason:
            whole = not (where.holes or where.open_end or (where.open_start and begin == wanted))
            return self._refuse(digit, verdict, past.end) if over and whole else []
        if 1 - 0.3 * verdict.used < self._threshold:
            return []
        run.digit = digit
        return self._add(digit, past.end)

    def _measure(
        self, samples: Float, where: Extent, hz: tuple[float, float], run: _Run
    ) -> tuple[Fit, Verdict]:
        """All of it; where that is not pure, one half: a lost packet leaves the other one whole."""
        first, last, length = round(where.start), round(where.end), where.end - where.start
        holes = tuple((start - first, end - first) for start, end in where.holes)
        fit = fit_sines(samples[first : min(last, first + MOST_FIT)], hz, BAND_HZ, holes)
        verdict = judge(fit, run.row, run.column, length, self._least_power)
        if verdict.reason == NOT_PURE and _LEAST_HALVED <= length <= MOST_FIT:
            middle = (first + last) // 2
            for half in (samples[first:middle], samples[middle:last]):
                half_fit = fit_sines(half, hz, BAND_HZ)
                half_verdict = judge(half_fit, run.row, run.column, half.size, self._least_power)
                if not half_verdict.reason and half_verdict.used < _MOST_USED_BY_HALF:
                    return half_fit, half_verdict
        return fit, verdict

    def _refuse(self, digit: _Digit, verdict: Verdict, now: int) -> list[Heard]:
        if not (self._explain and verdict.clear and digit.start > self._busy_until()):
            return []
        explanation = f"the key {digit.key} was not counted: {verdict.explanation}"
        spans = _spans(digit)
        return [NearMiss(Kind.DTMF, "", digit.start, min(digit.end, now), verdict.reason, explanation, spans)]

    def _busy_until(self) -> int:
        """What begins earlier is an echo or the rest of a digit."""
        return self._digits[-1].end + PAUSE if self._digits else 0

    def _add(self, digit: _Digit, now: int) -> list[Heard]:
        last = self._digits[-1] if self._digits else None
        if last is not None and last.key == digit.key and digit.start - last.end < PAUSE:
            last.end = max(last.end, digit.end)
            return []
        heard = self._report(now) if len(self._digits) >= MOST_DIGITS else []
        self._digits.append(digit)
        found = self._matcher.match("".join(each.key for each in self._digits))
        if found is not None:
            heard.append(_detection(self._digits[-len(found.digits) :], found.tone_id, now))
        return heard

    def _report(self, now: int) -> list[Heard]:
        digits, self._digits = self._digits, []
        self._matcher.clear()
        return [_detection(digits, "", now)] if digits and self._strings else []


def _detection(digits: list[_Digit], tone_id: str, now: int) -> Detection:
    power = median(digit.fit.power for digit in digits)
    return Detection(
        kind=Kind.DTMF,
        tone_id=tone_id,
        start=digits[0].start,
        end=digits[-1].end,
        decided=now,
        tones=tuple(span for digit in digits for span in _spans(digit)),
        digits="".join(digit.key for digit in digits),
        system=SYSTEM,
        snr_db=median(digit.fit.snr_db for digit in digits),
        level_dbfs=10 * math.log10(power),
        twist_db=median(digit.fit.twist_db for digit in digits),
        confidence=1 - 0.3 * max(digit.used for digit in digits),
    )


def _spans(digit: _Digit) -> tuple[ToneSpan, ToneSpan]:
    """The low and the high tone."""
    row = next(n for n, keys in enumerate(DTMF_KEYS) if digit.key in keys)
    column = DTMF_KEYS[row].index(digit.key)
    fit = digit.fit
    low = _span(digit, fit.hz[0], fit.powers[0], DTMF_LOW_HZ[row])
    return low, _span(digit, fit.hz[1], fit.powers[1], DTMF_HIGH_HZ[column])


def _span(digit: _Digit, hz: float, power: float, nominal_hz: float) -> ToneSpan:
    snr_db = digit.fit.snr_db + 10 * math.log10(power / digit.fit.power)
    return ToneSpan(hz, digit.start, digit.end, 10 * math.log10(power), snr_db, hz - nominal_hz)


def _nearest(hz: float, tones: tuple[float, ...]) -> int:
    return min(range(len(tones)), key=lambda n: max(hz / tones[n], tones[n] / hz))
