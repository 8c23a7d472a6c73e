"""When each sample of a stream was taken up, as well as is known: better with each block that arrives."""

from __future__ import annotations

from typing import Final

SETTLED_S: Final = 20.0
"""A device sends what it kept at once after connecting: only then its blocks tell the time."""
FIT_S: Final = 60.0
"""Over less than this the difference of two arrivals says nothing about a clock."""
_MOST_PPM: Final = 2000.0
UNSETTLED_MS: Final = 1000.0
LATER_MS: Final = 30.0
SETTLED_MS: Final = 100.0


class StreamTime:
    """Positions are samples of the stream's own time, rate_hz of them a second by the sender's clock."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.position = 0
        """After the last sample that was noted, and the monotonic second at which that was taken up."""
        self.at_s = 0.0
        self._told_ppm: float | None = None
        self._first: tuple[int, float] | None = None
        self._settled: tuple[int, float] | None = None
        self._told_error_ms: float | None = None

    @property
    def settled(self) -> bool:
        """What is said of a moment now will not be said very differently later."""
        return self.error_ms <= SETTLED_MS

    @property
    def error_ms(self) -> float:
        """How far what is said of a moment may be off, the wall clock's own error aside."""
        if self._told_error_ms is not None:
            return self._told_error_ms
        return LATER_MS if self._settled is not None else UNSETTLED_MS

    @property
    def ppm(self) -> float | None:
        """How much faster the sender's clock runs than ours; None: not known yet."""
        if self._told_ppm is not None:
            return self._told_ppm
        if self._settled is None:
            return None
        position, at_s = self._settled
        passed_s = self.at_s - at_s
        if passed_s < FIT_S:
            return None
        ppm = 1e6 * ((self.position - position) / self.rate_hz / passed_s - 1)
        return max(-_MOST_PPM, min(_MOST_PPM, ppm))

    def note(
        self, position: int, at_s: float, ppm: float | None = None, error_ms: float | None = None
    ) -> None:
        """The sample before `position` was taken up at `at_s`; ppm, error_ms: what is known of the sender's
        clock, and how well, where somebody says."""
        self.position, self.at_s = position, at_s
        self._told_error_ms = error_ms
        if ppm is not None:
            self._told_ppm = ppm
        if self._first is None:
            self._first = (position, at_s)
        elif self._settled is None and position - self._first[0] >= SETTLED_S * self.rate_hz:
            self._settled = (position, at_s)

    def restart(self) -> None:
        """A long gap: what is noted from now on stands for itself."""
        self._first = self._settled = None
        self._told_error_ms = None

    def at(self, position: int) -> float:
        """Monotonic seconds at which the sample at `position` began."""
        return self.at_s + (position - self.position) / self._true_rate_hz

    def position_at(self, at_s: float) -> int:
        """The sample that begins then."""
        return self.position + round((at_s - self.at_s) * self._true_rate_hz)

    @property
    def _true_rate_hz(self) -> float:
        return self.rate_hz * (1 + (self.ppm or 0.0) * 1e-6)
