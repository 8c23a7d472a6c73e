"""A card's microphone and loudspeaker: AudioSource and AudioSink over one raw stream each.

The caller's thread blocks here in waits of our own, never inside the sound library, so that close() from
another thread frees it within a moment and cannot pull memory from under it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from echostream.audio.format import Frame, Samples
from echostream.audio.ports import CardSpec
from echostream.errors import AudioError, DeviceLost, SourceClosed, StateError
from echostream.hardware.audio_clock import REAL, Clock
from echostream.hardware.audio_layout import Captured, CaptureLayout, PlaybackLayout, device_frame
from echostream.hardware.audio_pacing import OverrunMeter, Pacer
from echostream.hardware.gate import Gate

log = logging.getLogger(__name__)

CUSHION_MS: Final = 40
"""Audio that lies in a loudspeaker's ring before the next frame is added: what a writer may be late."""
_QUIET_S: Final = 0.06
"""A card that moved nothing for this long is looked for on the bus."""
_CLOSE_WAIT_S: Final = 1.0

Gone = Callable[[], bool]
"""Whether the card has left the bus since the stream was opened."""


class Raw(Protocol):
    """What a stream of a card offers; every call but close() returns at once."""

    rate_hz: int
    channels: int
    capacity: int

    def available(self) -> int: ...

    def read(self, frames: int) -> bytes: ...

    def write(self, data: bytes, frames: int) -> None: ...

    def close(self) -> None: ...


class _Stream:
    """What both directions share: the wait, the watch for a card that left, and a close that is safe."""

    def __init__(self, raw: Raw, spec: CardSpec, gone: Gone, clock: Clock = REAL) -> None:
        self._raw = raw
        self._clock = clock
        self._name = spec.name
        self._gone = gone
        self._inside = threading.Lock()
        """Held around calls into the library, which return at once."""
        self.on_wake: Callable[[float], None] | None = None
        self._closed = Gate()
        self._released = False
        self._block = device_frame(raw.rate_hz, spec.frame_ms)
        self._pacer = Pacer(spec.frame_ms / 1000)
        now = self._clock.now()
        self.last_frame_at_s = now
        """Monotonic seconds at which the last frame went through: what a watchdog looks at."""
        self._looked_at_s = now

    def close(self) -> None:
        """Idempotent, from any thread; a reader or writer that waits gets SourceClosed."""
        self._closed.set()
        if not self._inside.acquire(timeout=_CLOSE_WAIT_S):
            log.error("card %s: its driver holds a call for ever, the stream is left behind", self._name)
            return
        try:
            if not self._released:
                self._released = True
                self._raw.close()
        except AudioError as error:
            log.warning("card %s: %s", self._name, error)
        finally:
            self._inside.release()

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise SourceClosed(f"card {self._name} was closed")

    def _wait(self, wait_s: float, now: float) -> None:
        """Wait for the card, or until close(). DeviceLost when it stands still because it was pulled."""
        quiet_since_s = max(self.last_frame_at_s, self._looked_at_s)
        if now - quiet_since_s > _QUIET_S:
            self._looked_at_s = now
            if self._gone():
                raise DeviceLost(f"card {self._name} was unplugged")
        began_s = self._clock.now()
        self._clock.wait(self._closed, wait_s)
        if self.on_wake is not None:
            self.on_wake(self._clock.now() - began_s - wait_s)
        self._refuse_closed()


class CardSource(_Stream):
    """One microphone. overruns: times that audio was lost because nobody read in time."""

    def __init__(self, raw: Raw, spec: CardSpec, gone: Gone, clock: Clock = REAL) -> None:
        super().__init__(raw, spec, gone, clock)
        self.overruns = 0
        self._layout = CaptureLayout(raw.rate_hz, raw.channels, spec.side, spec.frame_ms)
        self._meter = OverrunMeter(raw.capacity, raw.rate_hz)
        self._index = -1
        self._lost = 0
        self._backlog = 0

    def read(self) -> Frame:
        """Block until a frame is complete. DeviceLost, SourceClosed."""
        return self._layout.captured(self.read_raw())

    def read_raw(self) -> Captured:
        """As read(), in the card's own rate and channels."""
        now = self._clock.now()
        if self._backlog < self._block and (wait_s := self._pacer.wait_s(now)):
            self._wait(wait_s, now)
        while True:
            with self._inside:
                self._refuse_closed()
                available = self._raw.available()
                now = self._clock.now()
                self._lost += self._meter.look(available, now)
                data = self._raw.read(self._block) if available >= self._block else b""
            if data:
                self._backlog = available - self._block
                return self._complete(data, now)
            self._wait(self._pacer.missed(now), now)

    def _complete(self, data: bytes, now: float) -> Captured:
        self._meter.took(self._block)
        self._pacer.ready(now)
        self._index += 1
        gap = self._lost > 0
        if gap:
            self.overruns += 1
            self._index += round(self._lost / self._block)
            log.warning("card %s: %d samples lost, nobody read them in time", self._name, self._lost)
            self._lost = 0
        self.last_frame_at_s = self._clock.now()
        return Captured(data, self._index, self.last_frame_at_s, gap)


class CardSink(_Stream):
    """One loudspeaker. underruns: times that it ran dry because nobody wrote in time."""

    def __init__(self, raw: Raw, spec: CardSpec, gone: Gone, clock: Clock = REAL) -> None:
        super().__init__(raw, spec, gone, clock)
        self.underruns = 0
        self._layout = PlaybackLayout(raw.rate_hz, raw.channels, spec.side)
        self._frame_bytes = 2 * raw.channels
        cushion = device_frame(raw.rate_hz, CUSHION_MS)
        self._cushion = max(0, min(cushion, raw.capacity - self._block))
        self._empty = device_frame(raw.rate_hz, 1)
        """So little in the ring counts as none: plugins round by a sample or two."""
        self._running = False
        self._has_room = False
        """A wait has ended and its frame is not written yet."""
        self._room_at_s = 0.0

    def write(self, samples: Samples) -> None:
        """Block until the card took the frame. DeviceLost, SourceClosed."""
        self._refuse_closed()
        self.write_raw(self._layout.data(samples))

    def write_raw(self, data: bytes) -> None:
        """As write(), interleaved int16 in the card's own rate and channels. StateError if it is too long."""
        frames = len(data) // self._frame_bytes
        if frames > self._block:
            raise StateError(f"card {self._name}: {frames} samples at once, its frames have {self._block}")
        self.wait_for_room()
        with self._inside:
            self._refuse_closed()
            self._raw.write(data, frames)
        self._pacer.ready(self._room_at_s)
        self._has_room = False
        self.last_frame_at_s = self._clock.now()

    def wait_for_room(self) -> None:
        """Block until the card wants the next frame. DeviceLost, SourceClosed."""
        if self._has_room:
            return
        now = self._clock.now()
        if self._running and (wait_s := self._pacer.wait_s(now)):
            self._wait(wait_s, now)
        while True:
            with self._inside:
                self._refuse_closed()
                room = self._raw.available()
                if room > self._raw.capacity - self._empty:
                    self._prime()
                    room = self._raw.available()
            now = self._clock.now()
            if self._raw.capacity - room <= self._cushion and room >= self._block:
                self._room_at_s, self._has_room = now, True
                return
            self._wait(self._pacer.missed(now), now)

    def _prime(self) -> None:
        """The ring is empty: at the start, or because it ran dry. Lay the cushion again, of silence."""
        if self._running:
            self.underruns += 1
            log.warning("card %s: ran dry, nobody wrote in time", self._name)
        self._running = True
        self._raw.write(bytes(self._cushion * self._frame_bytes), self._cushion)
