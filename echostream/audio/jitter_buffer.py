"""One talker's packets, put in order and handed out when they are due. Pure: no clock, no decoder.

Ticks are the sender's frame clock (20 ms each in the counted IV, modulo 2^48); it runs on over silence, so a
gap in it is loss only inside a talk-spurt. A packet of n ticks stands at the tick of its first sample.

The depth is a lag: how far playback runs behind the earliest moment at which the fastest packets would allow
it. The target follows the measured spread of arrivals, upwards at once, downwards as the window forgets.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from echostream.audio.arrival import UNCOUNTED_BASE_MS, WINDOW_MS, ArrivalClock
from echostream.audio.format import RATE_HZ, TICK_SAMPLES
from echostream.audio.opus_codec import has_fec, packet_samples
from echostream.errors import CodecError

TICK_BITS: Final = 48
SLACK_MS: Final = 3.0
"""Above the measured spread: what one arrival in a hundred may exceed it by."""
LEAST_SPREAD_MS: Final = 8.0
"""Assumed spread of a network that was not measured yet, or has none."""
LOSS_PAUSE_TICKS: Final = 10
"""A longer gap after speech is a pause of the sender and no loss."""
QUIET_PAUSE_TICKS: Final = 3
"""The same after silence, where the sender may have stopped sending (DTX)."""
BURST_MS: Final = 1300
"""What is held at most: a pre-roll of 1,000 ms comes in a burst, and its first syllable is what it is for."""
_REMEMBERED: Final = 64
_FEC_ON, _FEC_OFF = 0.015, 0.005


@dataclass(frozen=True, slots=True)
class Packet:
    """The packet that is due. `tick` counts from the talker's first one and never wraps."""

    tick: int
    ticks: int
    payload: bytes
    arrived_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """`ticks` that did not arrive. `fec`: the packet behind them, when it carries redundancy for them."""

    tick: int
    ticks: int
    fec: bytes | None


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing is due that we have or know to be lost: late, or the end of a talk-spurt."""


Verdict = Packet | Lost | Empty
EMPTY: Final = Empty()


@dataclass(slots=True)
class BufferCounters:
    """What became of the packets of one talker."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    dropped: int = 0
    """Thrown out because the buffer was full."""
    malformed: int = 0
    spurts: int = 0


def tick_distance(a: int, b: int, bits: int = TICK_BITS) -> int:
    """a - b on a circle of 2^bits, signed: -2^(bits-1) up to 2^(bits-1) - 1."""
    half = 1 << (bits - 1)
    return ((a - b + half) & ((1 << bits) - 1)) - half


class JitterBuffer:
    """push() what arrives; ask start_in_ms() until a talk-spurt may begin, begin() it, then next() each time.

    min_ms, max_ms: bounds of the depth that is aimed at; a burst of a sender that counts may be held
        beyond it, up to BURST_MS.
    frame_ms: length of a pull; its end must have arrived when it starts.
    tick_samples: length of one tick at 48 kHz.
    counts: a gap in the ticks shows loss; without, they only put packets end to end, and a gap is a pause.
    """

    def __init__(
        self,
        min_ms: float = 20,
        max_ms: float = 320,
        frame_ms: float = 20,
        tick_samples: int = TICK_SAMPLES,
        counts: bool = True,
    ) -> None:
        self._min_ms = min_ms
        self._max_ms = max_ms
        self._frame_ms = frame_ms
        self._tick_samples = tick_samples
        self._tick_ms = 1000.0 * tick_samples / RATE_HZ
        self._counts = counts
        self._arrivals = ArrivalClock(WINDOW_MS if counts else UNCOUNTED_BASE_MS)
        self._store: dict[int, Packet] = {}
        self._held_ticks = 0
        self._next: int | None = None
        self._begun = False
        self._end: int | None = None
        self._last_tick = 0
        self._last_wire_tick: int | None = None
        self._packet_ticks = 1
        self._played: OrderedDict[int, None] = OrderedDict()
        self._lost: OrderedDict[int, None] = OrderedDict()
        self._loss_rate = 0.0
        self._since_fec = _REMEMBERED
        self._fec_wait = False
        self.counters = BufferCounters()
        self.reserve_ms = 0.0
        """What the puller needs on top: how far its pulls come early."""
        self.pause_ticks = LOSS_PAUSE_TICKS
        """A gap longer than this is a pause; never less than two packets."""

    def push(self, tick: int, payload: bytes, now: float) -> bool:
        """Take a packet that arrived `now` (monotonic seconds); whether it is kept. Bad bytes are counted."""
        self.counters.received += 1
        try:
            samples = packet_samples(payload)
            fec = has_fec(payload)
        except CodecError:
            self.counters.malformed += 1
            return False
        at = self._unwrap(tick)
        if at in self._store or at in self._played:
            self.counters.duplicate += 1
            return False
        ticks = -(-samples // self._tick_samples)
        self._note_arrival(at, ticks, now)
        if self._next is not None and at < self._next:
            self._count_late(at)
            return False
        self._since_fec = 0 if fec else self._since_fec + 1
        self._packet_ticks = ticks
        self._store[at] = Packet(at, ticks, payload, now)
        self._held_ticks += ticks
        self._move_window()
        return True

    def take(self, tick: int) -> Packet | None:
        """Take a packet out again, unplayed: its place is passed over. None when it is gone."""
        if self._last_wire_tick is None:
            return None
        at = self._last_tick + tick_distance(tick, self._last_wire_tick)
        packet = self._store.get(at)
        if packet is None or not packet.payload:
            return None
        self._store[at] = Packet(at, packet.ticks, b"", packet.arrived_s)
        if not any(other.payload for other in self._store.values()):
            self.clear()
        return packet

    def start_in_ms(self, now: float) -> float | None:
        """How long until the waiting talk-spurt has its depth (0: begin now). None: nothing is waiting."""
        if not self._store:
            return None
        if self._held_ticks * self._tick_ms >= self._max_ms:
            return 0.0
        if self.goes_on:
            return 0.0  # it was interrupted for long enough
        first = min(self._store)
        return max(0.0, self.target_ms - self.lag_ms(first * self._tick_samples, now))

    @property
    def goes_on(self) -> bool:
        """Whether what waits is the same speech that was last played, no more than a loss away."""
        if not self._store or self._next is None or not self._begun:
            return False
        return min(self._store) - self._next <= self._pause_limit

    def begin(self) -> int:
        """Begin the waiting talk-spurt: its first tick. Only after start_in_ms() gave a number."""
        first = min(self._store)
        if self._next is not None and 0 < first - self._next <= self._pause_limit:
            for tick in range(self._next, first, self._packet_ticks):
                self._count_lost(tick)
        self._next = first
        self._begun = True
        self.counters.spurts += 1
        return first

    def next(self, may_wait: bool = False) -> Verdict:
        """What to play next. `may_wait`: rather Empty than Lost where no redundancy is at hand."""
        while self._next in self._store and not self._store[self._next].payload:
            self._pop(self._next)
        if not self._store or self._next is None:
            return EMPTY
        first = min(self._store)
        gap = first - self._next
        if gap <= 0:
            return self._pop(first)
        if gap > self._pause_limit:
            return EMPTY
        ticks = min(gap, self._packet_ticks)
        fec = self._store[first].payload if ticks == gap else None
        if fec is not None and not (fec and has_fec(fec)):
            fec = None
        if may_wait and fec is None:
            return EMPTY
        lost = Lost(self._next, ticks, fec)
        self._count_lost(self._next)
        self._next += ticks
        return lost

    def clear(self) -> None:
        """Throw away what is held; what comes next begins another talk-spurt."""
        if self._store:
            last = max(self._store)
            self._next = last + self._store[last].ticks
        self._store.clear()
        self._held_ticks = 0
        self._begun = False

    def lag_ms(self, position: float, now: float) -> float:
        """How far playing sample `position` at `now` is behind the earliest moment it could be played at.

        `position` counts from the talker's first tick.
        """
        return now * 1000.0 - self._arrivals.baseline_ms - position * 1000.0 / RATE_HZ

    @property
    def target_ms(self) -> float:
        """The lag that playback should have."""
        spread = max(self._arrivals.spread_ms + SLACK_MS, LEAST_SPREAD_MS)
        wanted = self._frame_ms + self.reserve_ms + spread
        if self._fec_wait:
            # Redundancy comes with the next packet: wait for that one too while packets get lost.
            wanted += self._packet_ticks * self._tick_ms
        most = max(self._min_ms, self._max_ms - self._frame_ms - self._packet_ticks * self._tick_ms)
        return min(max(self._min_ms, wanted), max(most, self._frame_ms + LEAST_SPREAD_MS))

    @property
    def catching_up_ms(self) -> float:
        """How far the newest packet of a talk-spurt that started late is still behind."""
        return self._arrivals.catching_up_ms

    @property
    def jitter_ms(self) -> float:
        """Smoothed deviation of arrivals against ticks (RFC 3550)."""
        return self._arrivals.jitter_ms

    @property
    def ready_ms(self) -> float:
        """Audio that next() can hand out without a gap."""
        ticks, at = 0, self._next
        while at is not None and at in self._store:
            ticks += self._store[at].ticks
            at += self._store[at].ticks
        return ticks * self._tick_ms

    @property
    def held_ms(self) -> float:
        """Audio held, in order or not."""
        return self._held_ticks * self._tick_ms

    @property
    def packet_ms(self) -> float:
        """Length of the newest packet."""
        return self._packet_ticks * self._tick_ms

    @property
    def _pause_limit(self) -> int:
        return max(self.pause_ticks, 2 * self._packet_ticks) if self._counts else 0

    def _unwrap(self, tick: int) -> int:
        if self._last_wire_tick is None:
            self._last_wire_tick = tick
            return 0
        at = self._last_tick + tick_distance(tick, self._last_wire_tick)
        if at > self._last_tick:
            self._last_tick, self._last_wire_tick = at, tick
        return at

    def _note_arrival(self, at: int, ticks: int, now: float) -> None:
        media_ms, now_ms = at * self._tick_ms, now * 1000.0
        if self._end is None or at - self._end > self._pause_limit:
            self._arrivals.begin_spurt(media_ms, now_ms)
        self._end = max(at + ticks, at + ticks if self._end is None else self._end)
        self._arrivals.note(media_ms, now_ms, ticks * self._tick_ms)

    def _move_window(self) -> None:
        limit_ms = max(self._max_ms, BURST_MS if self._counts else 2 * self.packet_ms)
        while self._held_ticks * self._tick_ms > limit_ms:
            oldest = self._store.pop(min(self._store))
            self._held_ticks -= oldest.ticks
            self.counters.dropped += 1
            self._next = min(self._store)

    def _pop(self, tick: int) -> Packet:
        packet = self._store.pop(tick)
        self._held_ticks -= packet.ticks
        self._next = tick + packet.ticks
        _remember(self._played, tick)
        self._note_loss(0.0)
        return packet

    def _count_lost(self, tick: int) -> None:
        self.counters.lost += 1
        _remember(self._lost, tick)
        self._note_loss(1.0)

    def _count_late(self, tick: int) -> None:
        self.counters.late += 1
        _remember(self._played, tick)
        if tick in self._lost:
            del self._lost[tick]
            self.counters.lost -= 1

    def _note_loss(self, value: float) -> None:
        self._loss_rate += (value - self._loss_rate) / 100.0
        fec_sent = self._since_fec < _REMEMBERED
        if self._loss_rate > _FEC_ON and fec_sent:
            self._fec_wait = True
        elif self._loss_rate < _FEC_OFF or not fec_sent:
            self._fec_wait = False


def _remember(ticks: OrderedDict[int, None], tick: int) -> None:
    ticks[tick] = None
    if len(ticks) > _REMEMBERED:
        ticks.popitem(last=False)
