"""What of a stream is recorded when only what is loud is: with what came before, and what came after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples

WINDOW_MS: Final = 20
HYSTERESIS_DB: Final = 3.0
"""An open gate is held open by this much less than what opens it."""


class VoxGate:
    """Positions are samples of the stream's own time. Looks at levels only; whoever keeps audio cuts it."""

    def __init__(self, threshold_dbfs: float, pre_roll_ms: int, post_roll_ms: int, rate_hz: int) -> None:
        self._window = max(1, rate_hz * WINDOW_MS // 1000)
        power = FULL_SCALE**2 * 10 ** (threshold_dbfs / 10)
        self._open_power = power
        self._hold_power = power * 10 ** (-HYSTERESIS_DB / 10)
        self.pre_roll = rate_hz * pre_roll_ms // 1000
        self._post_roll = max(self._window, rate_hz * post_roll_ms // 1000)
        self.open_until = -1
        """Position at which it closes if nothing more is loud; -1: it is shut."""
        self._left = np.zeros(0, np.int16)

    def update(self, samples: Samples, position: int) -> list[tuple[int, int]]:
        """What is to be recorded, as far as is known after these samples: [begin, end) in order, each end
        final unless the gate is open then. begin may lie before `position` by pre_roll.
        """
        if position < 0:
            raise ValueError(f"position {position}: expected 0 or more")
        joined = np.concatenate((self._left, samples)) if len(self._left) else samples
        first = position - len(self._left)
        count = len(joined) // self._window
        self._left = joined[count * self._window :].copy()
        if count == 0:
            return []
        wide = joined[: count * self._window].reshape(count, self._window).astype(np.float32)
        powers = np.einsum("ij,ij->i", wide, wide) / self._window
        return self._spans(powers, first)

    def _spans(self, powers: np.ndarray, first: int) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        begin = first if self.open_until >= 0 else -1
        at = 0
        loud = powers >= self._open_power
        holding = powers >= self._hold_power
        while at < len(powers):
            here = first + at * self._window
            if self.open_until < 0:
                jump = int(loud[at:].argmax()) if loud[at:].any() else -1
                if jump < 0:
                    break
                at += jump
                begin = first + at * self._window - self.pre_roll
                self.open_until = first + (at + 1) * self._window + self._post_roll
                at += 1
                continue
            jump = int(holding[at:].argmax()) if holding[at:].any() else len(powers) - at
            reached = here + jump * self._window
            if reached >= self.open_until:
                spans.append((begin, self.open_until))
                at = max(at + 1, -(-(self.open_until - first) // self._window))
                self.open_until = -1
                continue
            if at + jump >= len(powers):
                break
            # Loud again before it closed: on to the end of this loud run.
            quiet = ~holding[at + jump :]
            run = int(quiet.argmax()) if quiet.any() else len(quiet)
            at += jump + run
            self.open_until = first + at * self._window + self._post_roll
        if self.open_until >= 0:
            spans.append((begin, min(self.open_until, first + len(powers) * self._window)))
        return _joined(spans)

    def reset(self) -> None:
        """Shut, as when new: the stream does not go on from here."""
        self.open_until = -1
        self._left = self._left[:0]


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """A pre-roll may reach back into what is recorded already: one piece then."""
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
