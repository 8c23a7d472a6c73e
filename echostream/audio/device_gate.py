"""The voice-operated valve of a stream of blocks: it opens and shuts at positions, not at times."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, Samples
from echostream.audio.vox import Vox

STEP_MS: Final = 20
"""The level is taken over this much."""
_SMALLEST_POWER: Final = 1e-3
_FULL_SCALE_DB: Final = 20 * math.log10(FULL_SCALE)


class DeviceGate:
    """`hear` each block in order; then `is_open`, and where it opened and closed last."""

    def __init__(
        self, rate_hz: int, threshold_dbfs: float, attack_ms: float, hang_ms: float, gain_db: float = 0.0
    ) -> None:
        """threshold_dbfs: RMS level after gain_db, without the constant part that cheap microphones add."""
        self._vox = Vox(threshold_dbfs - gain_db, attack_ms, hang_ms, STEP_MS)
        self._step = rate_hz * STEP_MS // 1000
        self._attack = self._step * max(1, math.ceil(attack_ms / STEP_MS))
        self._most_silent_steps = math.ceil(hang_ms / STEP_MS) + 1
        self._loudest_quiet = 2 * FULL_SCALE * 10 ** ((threshold_dbfs - gain_db) / 20)
        """No RMS level reaches the threshold while the samples swing by less (T. Popoviciu, 1935)."""
        self._rest: Samples = np.zeros(0, np.int16)
        self._position: int | None = None
        self.opened_at = 0
        """Position at which the voice began that opened it."""
        self.closed_at = 0
        """Position at which it had been quiet for the hang time."""

    @property
    def is_open(self) -> bool:
        return self._vox.is_open

    def hear(self, position: int, samples: Samples, inhibited: bool = False) -> None:
        """Take a block, shape (n,), int16, that begins at `position`; what is missing is silence."""
        if self._position is None:
            self._position = position
        if not self._vox.is_open and samples.size and self._swing(samples) < self._loudest_quiet:
            self._vox.update(-math.inf)  # most blocks of most microphones: nobody is there
            self._rest, self._position = self._rest[:0], position + samples.size
            return
        expected = self._position + self._rest.size
        if position != expected:
            self._missed(position - expected)
            self._rest, self._position = self._rest[:0], position
        joined = np.concatenate((self._rest, samples)) if self._rest.size else samples
        steps = joined.size // self._step
        whole = steps * self._step
        self._rest = joined[whole:].copy()
        if steps:
            for level in self._levels(joined[:whole].reshape(steps, self._step)):
                self._follow(level, inhibited)

    def close(self) -> None:
        """The stream has ended."""
        if self._vox.is_open and self._position is not None:
            self.closed_at = self._position
        self._vox.reset()

    def _missed(self, count: int) -> None:
        for _ in range(min(max(0, count) // self._step, self._most_silent_steps)):
            self._follow(-math.inf, inhibited=False)

    def _follow(self, level_dbfs: float, inhibited: bool) -> None:
        assert self._position is not None
        self._position += self._step
        was_open = self._vox.is_open
        if self._vox.update(level_dbfs, inhibited) == was_open:
            return
        if was_open:
            self.closed_at = self._position
        else:
            self.opened_at = self._position - self._attack

    @staticmethod
    def _swing(samples: Samples) -> int:
        # argmax() and argmin() are plain C, at half the price of max() and min().
        return samples.item(samples.argmax()) - samples.item(samples.argmin())

    @staticmethod
    def _levels(steps: Samples) -> list[float]:
        """RMS of each row about its own mean, in dB against full scale."""
        wide: NDArray[Any] = steps.astype(np.float32)
        mean = wide.mean(axis=1)
        power = np.einsum("ij,ij->i", wide, wide) / wide.shape[1] - mean * mean
        levels: list[float] = (10 * np.log10(np.maximum(power, _SMALLEST_POWER)) - _FULL_SCALE_DB).tolist()
        return levels
