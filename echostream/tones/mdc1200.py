"""MDC1200: bursts of 1200 bit/s in which a radio says who it is, and what it wants.

A bit that equals the one before it is one cycle of 1200 Hz, one that does not is a cycle and a half of
1800 Hz. That is minimum shift keying: around 1500 Hz each bit is one half-sine pulse of two bits' length,
turned by a quarter against its neighbour, so that a correlation with the pulse and one rotation give the
bit itself, as well as noise allows. Where a burst begins is told by its 40 bits of sync (0x07092a446f),
looked for by one spectrum a block; the same correlation says how the carrier lies, so an inverted signal,
whose bits are all inverted, is read like any other.

The sync has to agree in all but MOST_SYNC_ERRORS bits, the word (`mdc1200_word`) in all but
MOST_WORD_ERRORS, and the CRC in all. A preamble is not needed. Reported: digits, the unit id as four hex
digits (of a double packet that of the first word: who is called); system, `op=01 arg=80 ptt_id`
(`mdc1200_word.describe`); start at the sync, end at the last bit. confidence: 1 less 0.03 for each
corrected bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tones.heard import Detection, Heard, Kind, NearMiss
from echostream.tones.mdc1200_word import DOUBLE, WORD_BITS, Word, describe, read_word
from echostream.tones.measure import Past
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Signal
from echostream.tones.trust import LEVEL_SLACK_DB, SINE_DB

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]

BIT_HZ: Final = 1200
MIDDLE_HZ: Final = 1500.0
BIT_SAMPLES: Final = EAR_RATE_HZ / BIT_HZ
SYNC: Final = 0x07092A446F
SYNC_BITS: Final = 40
MOST_SYNC_ERRORS: Final = 3
MOST_WORD_ERRORS: Final = 9
LEAST_COHERENCE: Final = 0.35
"""Share of the power between 0.9 and 2.1 kHz that is the sync's. Noise has 40 degrees of freedom there and
reaches it by chance at one of 10 million places, hours apart; a burst in white noise at -6 dB still does."""
MOST_PENDING: Final = 8

_WINDOW: Final = 2 * BLOCK_SAMPLES
_STEP: Final = 4
"""Samples between two places where a sync is looked for: 0.6 of a bit."""
_SYNC_SAMPLES: Final = -(-SYNC_BITS * EAR_RATE_HZ // BIT_HZ)
_LOW_HZ, _HIGH_HZ = 900, 2100
_REACH: Final = 7
"""Samples of a pulse on each side of its middle."""
_FASTEST_CLOCK: Final = 0.002
_CONFIDENCE_OF_A_BIT: Final = 0.03

_SIGNS: Final = np.array([1.0 if SYNC >> (SYNC_BITS - 1 - n) & 1 else -1.0 for n in range(SYNC_BITS)])


def _sync_signal() -> Complex:
    """The sync as it sounds, analytic: shape (267,), length 1."""
    t = np.arange(_SYNC_SAMPLES) / BIT_SAMPLES
    bit = np.minimum(t.astype(int), SYNC_BITS - 1)
    before = np.concatenate(([-_SIGNS[0]], _SIGNS[:-1]))
    turns = np.where(before == _SIGNS, 1.0, 1.5)  # cycles in each bit
    start = np.concatenate(([0.0], np.cumsum(turns)[:-1]))
    phase: Complex = np.exp(2j * math.pi * (start[bit] + turns[bit] * (t - bit)))
    return phase


class _SyncSearch:
    """Finds syncs in the last 1024 samples by one correlation on their spectrum, at every fourth sample."""

    def __init__(self) -> None:
        bin_hz = EAR_RATE_HZ / _WINDOW
        self._bins = slice(round(_LOW_HZ / bin_hz), round(_HIGH_HZ / bin_hz) + 1)
        self._size = _WINDOW // _STEP
        self._span = _SYNC_SAMPLES // _STEP
        signal = np.zeros(_WINDOW)
        signal[:_SYNC_SAMPLES] = _sync_signal().real
        self._template = np.conj(np.fft.rfft(signal)[self._bins])
        self._energy_scale = 1.0
        self._spectrum = np.zeros((2, self._size), np.complex128)
        own, energy = self._correlate(signal)
        self._energy_scale = float(own[0] / energy[0])
        # A place is judged once its sync is over: those of one block after another, without a gap.
        last = (_WINDOW - _SYNC_SAMPLES) // _STEP
        self._places = slice(last - BLOCK_SAMPLES // _STEP, last)
        self.first = self._places.start * _STEP

    def find(self, window: NDArray[np.floating]) -> list[float]:
        """Starts of syncs, as samples of the window (shape (1024,)) plus a fraction."""
        matched, energy = self._correlate(window)
        # One more on either side, to see what is a peak.
        around = slice(self._places.start - 1, self._places.stop + 1)
        near = matched[around]
        limit = LEAST_COHERENCE * self._energy_scale * energy[around]
        here = near[1:-1]
        found = (here > limit[1:-1]) & (here >= near[:-2]) & (here > near[2:])
        return [self._exact(near, 1 + int(at)) for at in np.flatnonzero(found)]

    def _exact(self, near: Float, at: int) -> float:
        left, here, right = np.sqrt(near[at - 1 : at + 2]).tolist()
        bend = 2 * here - left - right
        offset = 0.5 * (right - left) / bend if bend > 0 else 0.0
        return (self._places.start - 1 + at + offset) * _STEP

    def _correlate(self, window: NDArray[np.floating]) -> tuple[Float, Float]:
        """Power of the correlation with the sync, and of the band, at each place."""
        band = np.fft.rfft(window)[self._bins]
        self._spectrum[0, : band.size] = band * self._template
        self._spectrum[1, : band.size] = band
        out = np.fft.ifft(self._spectrum)
        power = out.real**2 + out.imag**2
        total = np.concatenate(([0.0], np.cumsum(power[1])))
        energy = np.full(self._size, np.inf)
        energy[: self._size - self._span + 1] = total[self._span :] - total[: -self._span]
        return power[0], energy + 1e-20


@dataclass(slots=True)
class _Burst:
    """A sync at sample `start`; its first word, where there is to be a second one."""

    start: float
    word: Word | None = None

    @property
    def bits(self) -> int:
        return SYNC_BITS + WORD_BITS * (2 if self.word else 1)


@dataclass(frozen=True, slots=True)
class _Read:
    """along: shape (n,), the bits of a burst as received, +1 and -1 where they are clean. Powers: RMS²."""

    along: Float
    power: float
    noise: float

    @property
    def sync_errors(self) -> int:
        return int(np.count_nonzero(self.along[:SYNC_BITS] * _SIGNS <= 0))

    @property
    def level_dbfs(self) -> float:
        return 10 * math.log10(max(self.power, 1e-15))

    @property
    def snr_db(self) -> float:
        return self.level_dbfs - 10 * math.log10(max(self.noise, 1e-15))


class Mdc1200Ear:
    """Hears MDC1200 on the stream of one channel."""

    def __init__(self, threshold: float = 0.0, level_dbfs: float = -45.0, explain: bool = False) -> None:
        """level_dbfs: least level of a burst (AES17). explain: a burst that cannot be read is a near miss."""
        self._threshold = threshold
        self._least_dbfs = level_dbfs - SINE_DB - LEVEL_SLACK_DB
        self._least_energy = 10 ** (self._least_dbfs / 10) * _SYNC_SAMPLES * 0.5
        self._explain = explain
        self._search = _SyncSearch()
        self._past = Past(0.5)
        self._recent = np.zeros(_WINDOW, np.float32)
        self._pending: list[_Burst] = []
        self._deaf_until = 0.0

    def hear(self, block: Signal) -> list[Heard]:
        """The next 512 samples."""
        self._past.add(block)
        self._recent[:BLOCK_SAMPLES] = self._recent[BLOCK_SAMPLES:]
        self._recent[BLOCK_SAMPLES:] = block
        if float(np.dot(self._recent, self._recent)) > self._least_energy:
            origin = self._past.end - _WINDOW
            for at in self._search.find(self._recent):
                if len(self._pending) < MOST_PENDING:
                    self._pending.append(_Burst(origin + at))
        return self._decide() if self._pending else []

    @property
    def pressing(self) -> bool:
        """See `Ear`: none of its findings is so urgent."""
        return False

    def finish(self) -> list[Heard]:
        """A double packet whose second word never came is reported as far as it went."""
        heard: list[Heard] = []
        for burst in self._pending:
            if burst.word and burst.start >= self._deaf_until:
                read = _read(self._past, burst.start, SYNC_BITS + WORD_BITS)
                heard += self._report(burst, read, burst.word, None) if read else []
        self._pending = []
        return heard

    def reset(self, position: int) -> None:
        """Forget what is under way; the next block begins at sample `position`."""
        self._past.forget(position)
        self._recent[:] = 0
        self._pending = []
        self._deaf_until = 0.0

    def _decide(self) -> list[Heard]:
        heard: list[Heard] = []
        waiting: list[_Burst] = []
        for burst in self._pending:
            if burst.start < self._deaf_until:
                continue  # inside of what was read
            if burst.start + burst.bits * BIT_SAMPLES + 2 * _REACH > self._past.end:
                waiting.append(burst)
                continue
            read = _read(self._past, burst.start, burst.bits)
            if read is None or read.sync_errors > MOST_SYNC_ERRORS:
                continue
            word = read_word(np.clip(read.along[-WORD_BITS:], -1.5, 1.5))
            if word and word.wrong_bits > MOST_WORD_ERRORS:
                word = None
            if burst.word:
                heard += self._report(burst, read, burst.word, word)
            elif word and word.operation in DOUBLE:
                burst.word = word
                waiting.append(burst)
            elif word:
                heard += self._report(burst, read, word, None)
            else:
                heard += self._damaged(burst, read)
        self._pending = [burst for burst in waiting if burst.start >= self._deaf_until]
        return heard

    def _report(self, burst: _Burst, read: _Read, word: Word, second: Word | None) -> list[Heard]:
        wrong = max(word.wrong_bits, second.wrong_bits if second else 0)
        confidence = max(0.0, 1.0 - _CONFIDENCE_OF_A_BIT * wrong)
        if read.level_dbfs < self._least_dbfs or confidence < self._threshold:
            return []
        end = burst.start + (SYNC_BITS + WORD_BITS * (2 if second else 1)) * BIT_SAMPLES
        self._deaf_until = end - BIT_SAMPLES
        return [
            Detection(
                Kind.MDC1200,
                "",
                start=max(0, round(burst.start)),
                end=round(end),
                decided=self._past.end,
                digits=f"{word.unit:04X}",
                system=describe(word, second),
                snr_db=read.snr_db,
                level_dbfs=read.level_dbfs,
                confidence=confidence,
            )
        ]

    def _damaged(self, burst: _Burst, read: _Read) -> list[Heard]:
        if not self._explain or read.level_dbfs < self._least_dbfs:
            return []
        end = burst.start + burst.bits * BIT_SAMPLES
        return [
            NearMiss(
                Kind.MDC1200,
                "",
                start=max(0, round(burst.start)),
                end=round(end),
                reason="damaged",
                explanation=(
                    f"an MDC1200 burst began ({read.sync_errors} of 40 sync bits wrong), but its check sum is"
                    f" wrong: it was cut short, talked over or lost in noise ({read.snr_db:.0f} dB)"
                ),
            )
        ]


def _read(past: Past, start: float, count: int) -> _Read | None:
    """The `count` bits of the burst whose sync starts at sample `start` (a fraction too)."""
    first = math.floor(start) - 2 * _REACH
    signal = past.get(first, math.ceil(start + count * BIT_SAMPLES) + 2 * _REACH)
    lacking = first - past.start
    if lacking < 0:  # the burst began with the stream
        signal = np.concatenate((np.zeros(-lacking, np.float32), signal))
    tries = start - first + np.arange(-2.0, 2.1, 0.5)
    ways = np.array([abs(_SIGNS @ _bits_at(signal, at, SYNC_BITS)) for at in tries])
    at = float(tries[int(np.argmax(ways))])
    turn = _turn(_bits_at(signal, at, count))
    # The sender's clock makes both the bits' length and the turning.
    clock = turn / (2 * math.pi * MIDDLE_HZ / BIT_HZ)
    if abs(clock) > _FASTEST_CLOCK:
        return None
    bits = _bits_at(signal, at, count, 1.0 + clock)
    phase = complex(_SIGNS @ bits[:SYNC_BITS])
    along = (bits * (phase.conjugate() / max(abs(phase), 1e-15))).real
    size = float(np.mean(np.abs(along)))
    if size <= 0.0:
        return None
    stray = float(np.mean((np.abs(along) - size) ** 2))
    return _Read(along / size, size**2 / 2, stray * BIT_SAMPLES / 2)


def _bits_at(signal: Signal, at: float, count: int, clock: float = 1.0) -> Complex:
    """Each bit as a vector: its sign and size along the carrier, its neighbours across. Shape (count,).

    at: sample where the first bit begins. Of a signal of amplitude 1 the length is 1.
    """
    middle = at + (np.arange(count) + 1) * (BIT_SAMPLES / clock)
    nearest = np.rint(middle).astype(np.intp)
    index = nearest[:, None] + np.arange(-_REACH, _REACH + 1)
    t = index - middle[:, None]
    pulse = np.where(np.abs(t) < BIT_SAMPLES, np.cos((0.5 * math.pi / BIT_SAMPLES) * t), 0.0)
    pulse *= 2 / np.sum(pulse * pulse, axis=1, keepdims=True)
    taken = signal[np.minimum(index, signal.size - 1)] * pulse
    # Down from 1500 Hz as the sender counts it, and each bit a quarter turn further.
    angle = (2 * math.pi * MIDDLE_HZ * clock / EAR_RATE_HZ) * (index - at)
    turned = np.einsum("ij,ij->i", taken, np.exp(-1j * angle))
    quarters: Complex = _QUARTERS[np.arange(1, count + 1) % 4]
    bits: Complex = turned * quarters
    return bits


_QUARTERS: Final = np.array([1, 1j, -1, -1j])


def _turn(bits: Complex) -> float:
    """How far the carrier turns from bit to bit, radians; squared, the bits do not matter."""
    size = 2048
    spectrum = np.abs(np.fft.fft(bits * bits, size))
    reach = 1 + math.ceil(2 * _FASTEST_CLOCK * (MIDDLE_HZ / BIT_HZ) * size)
    near = np.concatenate((spectrum[-reach:], spectrum[: reach + 1]))
    top = int(np.argmax(near))
    offset = 0.0
    if 0 < top < near.size - 1:
        left, here, right = near[top - 1 : top + 2].tolist()
        bend = 2 * here - left - right
        offset = 0.5 * (right - left) / bend if bend > 0 else 0.0
    return math.pi * (top - reach + offset) / size
