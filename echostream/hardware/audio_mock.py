"""Sound cards for tests: the contract of AudioHardware, with verbs for what a hand does to a card.

Only the ring buffer is made up. What reads and writes it, waits for it and shares it between two channels is
the code that drives real cards, so this fails as they fail. With a SteppedClock audio takes no time at all;
shared cards have threads of their own and always run on the real clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import AudioSink, AudioSource, CardSpec, Side
from echostream.errors import DeviceLost, DeviceMissing, StateError
from echostream.hardware.audio_clock import REAL, Clock, SteppedClock
from echostream.hardware.audio_layout import one_side
from echostream.hardware.audio_streams import CardSink, CardSource
from echostream.hardware.card_identity import CardInfo, refuse_index
from echostream.hardware.shared_card import SharedCards

Stereo = NDArray[np.int16]
"""Shape (n, 2), int16."""

_CAPACITY = RATE_HZ * 120 // 1000
_MOST_PLAYED_S = 600
_NOTHING = np.zeros((0, 2), np.int16)


class MockCard:
    """One stereo card at 48 kHz."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.life = 1
        self.plugged = True
        self.hung_at_s: float | None = None
        self.fed: Stereo = _NOTHING
        self.heard: Stereo = _NOTHING

    def hear(self, frames: int) -> Stereo:
        """What the microphone hears next: what was fed, then silence. Under `lock`."""
        part, self.fed = self.fed[:frames], self.fed[frames:]
        return np.concatenate((part, np.zeros((frames - len(part), 2), np.int16)))


class _MockStream:
    """One direction of a card: a ring that fills or empties with the clock and restarts when it overruns."""

    def __init__(self, card: MockCard, clock: Clock, channels: int, capture: bool) -> None:
        self.rate_hz = RATE_HZ
        self.channels = channels
        self.capacity = _CAPACITY
        self._card = card
        self._clock = clock
        self._capture = capture
        self._life = card.life
        self._began_s = clock.now()
        self._moved = 0
        """Frames read, or written, since the ring was last started."""
        self._running = capture

    def available(self) -> int:
        with self._card.lock:
            return self._available()

    def read(self, frames: int) -> bytes:
        with self._card.lock:
            self._moved_on(frames)
            block = self._card.hear(frames)
        mono = one_side(block, "mono")
        return bytes(mono if self.channels == 1 else block)

    def write(self, data: bytes, frames: int) -> None:
        block = np.frombuffer(data, np.int16).reshape(-1, self.channels)
        wide = np.repeat(block, 2, axis=1) if self.channels == 1 else block
        with self._card.lock:
            self._moved_on(frames)
            if not self._running:
                self._running, self._began_s = True, self._clock.now()
            self._card.heard = np.concatenate((self._card.heard, wide))[-_MOST_PLAYED_S * RATE_HZ :]

    def close(self) -> None:
        self._life = 0

    def _moved_on(self, frames: int) -> None:
        if frames > self._available():
            raise StateError(f"{frames} frames moved where {self._available()} fit: this would have blocked")
        self._moved += frames
        if isinstance(self._clock, SteppedClock):
            self._clock.moved()

    def _available(self) -> int:
        card = self._card
        if not card.plugged or card.life != self._life:
            raise DeviceLost(f"card {card.name}: no such device")
        now = self._clock.now() if card.hung_at_s is None else card.hung_at_s
        # Rounded to a sample before it is cut off: the clock's binary fractions must not cost one.
        elapsed = int((now - self._began_s) * RATE_HZ + 0.01) if self._running else 0
        if self._capture:
            if elapsed - self._moved > self.capacity:
                card.hear(elapsed - self._moved)
                self._began_s, self._moved = now, 0
                return 0
            return max(0, elapsed - self._moved)
        if self._running and elapsed >= self._moved:
            self._running, self._moved = False, 0
        return self.capacity - (self._moved - (elapsed if self._running else 0))


class MockAudioHardware:
    """AudioHardware without hardware. All named cards are plugged in at first."""

    def __init__(self, card_names: Sequence[str] = (), clock: Clock = REAL) -> None:
        for name in card_names:
            refuse_index(name)
        self._clock = clock
        self._cards = {name: MockCard(name) for name in card_names}
        self._shared = SharedCards(self._open_shared, self._gone)
        self._closed = False

    def open_source(self, spec: CardSpec) -> AudioSource:
        """As AudioHardware.open_source."""
        if spec.side != "mono":
            return self._shared.open_source(spec)
        return CardSource(self._open(spec, True, self._clock), spec, self._gone(spec.name), self._clock)

    def open_sink(self, spec: CardSpec) -> AudioSink:
        """As AudioHardware.open_sink."""
        if spec.side != "mono":
            return self._shared.open_sink(spec)
        return CardSink(self._open(spec, False, self._clock), spec, self._gone(spec.name), self._clock)

    def present(self, name: str) -> bool:
        """As AudioHardware.present."""
        refuse_index(name)
        return name in self._cards and self._cards[name].plugged

    def cards(self) -> list[CardInfo]:
        """The cards that are plugged in."""
        return [
            CardInfo(card.name, card.name, f"mock card {card.name}", "", card.name, (RATE_HZ,), 2, 2)
            for card in self._cards.values()
            if card.plugged
        ]

    def close(self) -> None:
        """Idempotent."""
        if not self._closed:
            self._closed = True
            self._shared.close()

    def plug(self, name: str) -> None:
        """Plug a card in: a new one, one that was pulled, or one that hangs."""
        card = self._cards.setdefault(name, MockCard(name))
        with card.lock:
            card.life += 1
            card.plugged, card.hung_at_s = True, None

    def unplug(self, name: str) -> None:
        """Pull the plug."""
        card = self._cards[name]
        with card.lock:
            card.plugged = False

    def hang(self, name: str) -> None:
        """The card stays on the bus but moves nothing any more, until it is plugged in again."""
        card = self._cards[name]
        with card.lock:
            card.hung_at_s = self._clock.now()

    def feed(self, name: str, samples: Samples | Stereo) -> None:
        """What the microphone hears next: shape (n,), or (n, 2) for its two sides."""
        wide = samples if samples.ndim == 2 else np.stack((samples, samples), axis=1)
        card = self._cards[name]
        with card.lock:
            card.fed = np.concatenate((card.fed, wide.astype(np.int16)))

    def played(self, name: str, side: Side = "mono") -> Samples:
        """What went into the loudspeaker so far, silence included: shape (n,), int16."""
        card = self._cards[name]
        with card.lock:
            return one_side(card.heard, side)

    def _open_shared(self, spec: CardSpec, capture: bool) -> _MockStream:
        return self._open(spec, capture, REAL)

    def _open(self, spec: CardSpec, capture: bool, clock: Clock) -> _MockStream:
        if self._closed:
            raise StateError("the sound cards were closed")
        refuse_index(spec.name)
        if not self.present(spec.name):
            raise DeviceMissing(f"card {spec.name} is not plugged in")
        return _MockStream(self._cards[spec.name], clock, 1 if spec.side == "mono" else 2, capture)

    def _gone(self, name: str) -> Callable[[], bool]:
        card = self._cards.get(name)
        if card is None:
            return lambda: False
        life = card.life
        return lambda: not card.plugged or card.life != life
