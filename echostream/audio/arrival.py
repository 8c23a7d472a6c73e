"""When things arrive against when they were due: the base of path delay and the spread above it.

Everything is in milliseconds on two clocks: the media clock (what the sender counts) and ours. The
difference of the two, `transit`, has an arbitrary offset; only its changes mean anything.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

WINDOW_MS: Final = 4000.0
"""Audio whose arrival is remembered: how long a burst of jitter keeps the delay up."""
UNCOUNTED_BASE_MS: Final = 1000.0
"""The same for the base of a sender that does not count: each loss moves it up by a packet, for good."""
FORGET_AFTER_MS: Final = 60_000.0
"""After such a silence two clocks 200 ppm apart have drifted by 12 ms: the old base is worth nothing."""
ONSET_MS: Final = 1500.0
"""A talk-spurt that starts late (pre-roll sent faster than real time) has caught up after this long."""
NEAR_BASE_MS: Final = 5.0
STEP_MS: Final = 1500.0
"""A transit that far off its base is another clock, not a slow network."""
_CAPACITY: Final = 512


class ArrivalClock:
    """Base and spread of one talker's transit, from the arrivals of the last seconds."""

    def __init__(self, base_window_ms: float = WINDOW_MS) -> None:
        self._base_window_ms = base_window_ms
        self._transit = np.zeros(_CAPACITY)
        self._floor = np.zeros(_CAPACITY)
        self._count = 0
        self._at = 0
        self._stale = True
        self._baseline_ms = 0.0
        self._spread_ms = 0.0
        self._window = self._base_window = _CAPACITY
        self._last_now_ms: float | None = None
        self._last_transit_ms: float | None = None
        self._onset: list[tuple[float, float]] = []
        self._base_ms: float | None = None
        self._onset_until_ms: float | None = None
        self.jitter_ms = 0.0
        """Smoothed deviation between neighbours (RFC 3550 section 6.4.1)."""

    def begin_spurt(self, media_ms: float, now_ms: float) -> None:
        """The next arrival is the first after a pause: late ones at its start catch up and are no jitter."""
        transit = now_ms - media_ms
        silent_ms = 0.0 if self._last_now_ms is None else now_ms - self._last_now_ms
        if silent_ms > FORGET_AFTER_MS or (self._count and abs(transit - self.baseline_ms) > STEP_MS):
            self._count = self._at = 0
        self._onset.clear()
        self._base_ms = self.baseline_ms if self._count else None
        self._onset_until_ms = media_ms + ONSET_MS
        self._last_transit_ms = None

    def note(self, media_ms: float, now_ms: float, span_ms: float) -> None:
        """A packet of `span_ms` whose first sample is due at `media_ms` arrived at `now_ms`."""
        transit = now_ms - media_ms
        if self._last_transit_ms is not None:
            self.jitter_ms += (abs(transit - self._last_transit_ms) - self.jitter_ms) / 16
        self._last_transit_ms = transit
        self._last_now_ms = now_ms
        self._window = min(_CAPACITY, max(16, int(WINDOW_MS / span_ms)))
        self._base_window = min(self._window, max(8, int(self._base_window_ms / span_ms)))
        floor = min(transit, self.baseline_ms) if self._count else transit
        if self._onset_until_ms is not None:
            floor = self._note_onset(transit, media_ms)
        self._transit[self._at] = transit
        self._floor[self._at] = floor
        self._at = (self._at + 1) % _CAPACITY
        self._count = min(self._count + 1, _CAPACITY)
        self._stale = True

    def _note_onset(self, transit: float, media_ms: float) -> float:
        """Floor of an arrival at a talk-spurt's start: the least of what the sender made before it.

        What is sent to catch up comes in ever sooner, whatever order the network gives it; only what is later
        than its elders is jitter.
        """
        assert self._onset_until_ms is not None
        self._onset.append((media_ms, transit))
        if self._base_ms is not None and transit <= self._base_ms + NEAR_BASE_MS:
            self._onset_until_ms = None
        elif media_ms >= self._onset_until_ms or len(self._onset) >= _CAPACITY:
            self._onset_until_ms = None
            if self._base_ms is not None:
                self._count = self._at = 0  # the path has changed; what was before says nothing
        return min(at for media, at in self._onset if media <= media_ms)

    @property
    def known(self) -> bool:
        """Whether anything was noted that is still worth something."""
        return self._count > 0

    @property
    def baseline_ms(self) -> float:
        """Least transit of the window."""
        self._refresh()
        return self._baseline_ms

    @property
    def spread_ms(self) -> float:
        """Lateness above the base that all but one arrival in a hundred stay below."""
        self._refresh()
        return self._spread_ms

    @property
    def catching_up_ms(self) -> float:
        """At a talk-spurt's start: how far the newest arrival is still behind the base; else 0."""
        if self._onset_until_ms is None or self._last_transit_ms is None:
            return 0.0
        return max(0.0, self._last_transit_ms - self.baseline_ms)

    def _refresh(self) -> None:
        if not self._stale or not self._count:
            return
        self._stale = False
        size = min(self._count, self._window)
        newest = np.arange(self._at - size, self._at) % _CAPACITY
        transit = self._transit[newest]
        self._baseline_ms = float(transit[-self._base_window :].min())
        late = transit - np.maximum(self._floor[newest], self._baseline_ms)
        rank = 1 + size // 100
        self._spread_ms = max(0.0, float(np.partition(late, size - rank)[size - rank]))


class PullClock:
    """How far pulls come before their mean time: audio must be there for the early ones too."""

    _WINDOW: Final = 256
    _STALL_S: Final = 0.25
    _MOST_MS: Final = 60.0
    _SETTLES_S: Final = 0.5

    def __init__(self, frame_ms: float) -> None:
        self._frame_s = frame_ms / 1000.0
        self._offsets: deque[float] = deque(maxlen=self._WINDOW)
        self._due_s = 0.0
        self._since_update = 0
        self._settling_s = self._SETTLES_S
        self.early_ms = 0.0
        """All but one pull in a hundred are at most this much early."""

    def note(self, now: float) -> None:
        """A pull happens now (monotonic seconds)."""
        self._due_s += self._frame_s
        offset = now - self._due_s
        if not self._offsets or abs(offset - self._offsets[-1]) > self._STALL_S:
            self._offsets.clear()
            self._due_s, offset = now, 0.0
            self._settling_s = self._SETTLES_S
        if self._settling_s > 0.0:
            # A loudspeaker that has just started fills its buffer and makes up for its start: no measure.
            self._settling_s -= self._frame_s
            self._offsets.clear()
            self._since_update = 0
        self._offsets.append(offset)
        self._since_update += 1
        if self._since_update >= 10:
            self._since_update = 0
            self._update()

    def _update(self) -> None:
        offsets = np.array(self._offsets)
        rank = offsets.size // 100
        early_s = float(offsets.mean() - np.partition(offsets, rank)[rank])
        self.early_ms = min(self._MOST_MS, 1000.0 * early_s)
