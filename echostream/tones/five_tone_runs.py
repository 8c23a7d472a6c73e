"""Frames of one tone after another, as pieces: the tones of a five-tone call, if it is one.

A piece reaches as far as its frames have a quarter of its strongest frame's power: at the edge of a tone, and
where one tone follows another, a window sees half of the amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np

from echostream.tones.short_tones import BIN_HZ, FRAMES, HOP, LOBE_BINS, ROWS, WINDOW, Spectra, peak_hz

LOWEST_HZ: Final = 375.0
HIGHEST_HZ: Final = 2950.0
LEAST_SHARE: Final = 0.15
"""Of the tone in a frame's energy: noise as strong as the tone leaves a half, two tones in a frame less."""
SAME: Final = 0.019
"""A tone stays within this; the nearest tones of a system are 6 % apart, 3 % when both are off."""
FALL: Final = 0.25
GAP: Final = 3 * HOP
"""Frames without a tone for so long end a piece."""
MOST_FRAMES: Final = 160

_PEAKS: Final = slice(round(LOWEST_HZ / BIN_HZ), round(HIGHEST_HZ / BIN_HZ))
_BAND: Final = slice(round(300 / BIN_HZ), round(3600 / BIN_HZ))


@dataclass(slots=True)
class Piece:
    """One tone. frames: (end of the frame, Hz, power). hz: of the strongest frame so far."""

    hz: float = 0.0
    power: float = 0.0
    frames: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, end: int, hz: float, power: float) -> None:
        """One more frame."""
        if power > self.power:
            self.power, self.hz = power, hz
        if len(self.frames) < MOST_FRAMES:
            self.frames.append((end, hz, power))

    def measured(self) -> tuple[float, int, int]:
        """(Hz, start, end), in samples."""
        strong = [frame for frame in self.frames if frame[2] > FALL * self.power]
        loud = [frame[1] for frame in strong if frame[2] > 0.6 * self.power]
        middle = WINDOW // 2
        return median(loud), strong[0][0] - middle - HOP // 2, strong[-1][0] - middle + HOP // 2


class PieceTracker:
    """Cuts the stream into pieces."""

    def __init__(self, least_power: float) -> None:
        """least_power: mean square of a tone below which nothing is followed."""
        # A tone of mean square P has (window sum)^2 * P / 2 in its highest bin.
        self._least = 0.5 * (WINDOW / 2) ** 2 * least_power
        self._piece: Piece | None = None

    @property
    def sounding(self) -> bool:
        """A piece is under way."""
        return self._piece is not None

    def step(self, spectra: Spectra, first_end: int) -> list[Piece]:
        """The pieces that end in a block."""
        peaks = spectra[:, _PEAKS]
        at = peaks.argmax(axis=1)
        power = peaks[ROWS, at]
        tonal = power * LOBE_BINS > LEAST_SHARE * spectra[:, _BAND].sum(axis=1)
        tonal &= power > self._least
        ended: list[Piece] = []
        if tonal.any():
            for n in np.flatnonzero(tonal).tolist():
                hz = peak_hz(spectra[n], int(at[n]) + _PEAKS.start)
                ended += self._frame(first_end + n * HOP, hz, float(power[n]))
        if self._piece is not None and first_end + (FRAMES - 1) * HOP - self._piece.frames[-1][0] >= GAP:
            ended += self.forget()
        return ended

    def forget(self) -> list[Piece]:
        """What is under way ends."""
        piece, self._piece = self._piece, None
        return [piece] if piece is not None else []

    def _frame(self, end: int, hz: float, power: float) -> list[Piece]:
        piece = self._piece
        ended: list[Piece] = []
        if piece is not None and (abs(hz - piece.hz) > SAME * piece.hz or end - piece.frames[-1][0] >= GAP):
            ended = self.forget()
        if self._piece is None:
            self._piece = Piece()
        self._piece.add(end, hz, power)
        return ended
