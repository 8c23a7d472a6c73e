"""From decrypted packets to one mixed frame: talkers told apart by their IV prefix, each with its own buffer.

Two threads call this: one accepts packets and never waits, one pulls frames. Between them stands a bounded
inbox; all else belongs to the pulling thread.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.arrival import PullClock
from echostream.audio.format import samples_per_frame
from echostream.audio.histogram import MsHistogram
from echostream.audio.mixer import mix
from echostream.audio.talker import JitterSettings, Talker
from echostream.channels.legacy_stream import LEGACY_DEPTH_MS, LEGACY_TICK_SAMPLES, LegacyStream

Float32 = NDArray[np.float32]

INBOX_PACKETS: Final = 256
"""Packets between two pulls: eight talkers with a second each of 40 ms packets. The oldest give way."""
MAX_PREFIXES: Final = 16_384
"""Prefixes remembered, the least recently seen forgotten: five minutes of a legacy sender."""
MAX_TALKERS: Final = 8
BUSY_S: Final = 0.5
"""A talker heard within this is not put out for a ninth one."""


@dataclass(frozen=True, slots=True)
class ReceiveStats:
    """A snapshot. Counters run since the path was made; delays and jitter are over the same time.

    packets_lost: missing inside talk-spurts; packets_late arrived, but too late to be played (they are not
    among the lost). concealed: packets' worth of extrapolated sound. frames_played: pulls in which somebody
    was talking. delay_ms: from a packet's arrival to the pull that plays its first sample. jitter_ms: RFC
    3550's smoothed deviation, at each packet. buffer_ms, drift_ppm: of the talker heard last.
    """

    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    fec_recovered: int = 0
    concealed: int = 0
    frames_played: int = 0
    talkers: int = 0
    delay_ms_p50: float = 0.0
    delay_ms_p99: float = 0.0
    jitter_ms_p50: float = 0.0
    jitter_ms_p99: float = 0.0
    buffer_ms: float = 0.0
    drift_ppm: float = 0.0
    duplicates: int = 0
    dropped: int = 0
    """Accepted packets thrown out unplayed: inbox or buffer full, or a ninth talker."""
    malformed: int = 0
    """What was decrypted but is no Opus packet."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    prefix: bytes
    tick: int
    packet: bytes
    now: float


@dataclass(slots=True)
class _Totals:
    """Counters of talkers, added up also over those that are gone."""

    lost: int = 0
    late: int = 0
    fec_recovered: int = 0
    concealed: int = 0
    duplicates: int = 0
    dropped: int = 0
    malformed: int = 0

    def add(self, talker: Talker) -> None:
        stats = talker.stats
        self.lost += stats.lost
        self.late += stats.late
        self.fec_recovered += stats.fec_recovered
        self.concealed += stats.concealed
        self.duplicates += stats.duplicate
        self.dropped += stats.dropped
        self.malformed += stats.malformed + stats.undecodable


@dataclass(slots=True)
class _Heard:
    """A live talker and when it was last heard (monotonic seconds)."""

    talker: Talker
    at_s: float


@dataclass(slots=True)
class _Seen:
    """The first packet of a prefix: its tick, its place in the legacy stream; whether the sender counts."""

    tick: int
    place: int | None
    counts: bool = False


class ReceivePath:
    """accept() from the network's thread, pull() from the loudspeaker's."""

    def __init__(self, frame_ms: int, jitter_min_ms: int, jitter_max_ms: int) -> None:
        """Raises ValueError for a frame length that is not offered, or bounds in the wrong order."""
        if not 0 < jitter_min_ms <= jitter_max_ms:
            raise ValueError(f"jitter bounds {jitter_min_ms} to {jitter_max_ms} ms: expected 0 < min <= max")
        self._count: Final = samples_per_frame(frame_ms)
        self._settings = JitterSettings(jitter_min_ms, jitter_max_ms, frame_ms)
        self._inbox: deque[_Arrival] = deque(maxlen=INBOX_PACKETS)
        self._received = 0
        self._overflowed = 0
        self._flush = False
        self._pulls = PullClock(frame_ms)
        self._delays, self._jitters = MsHistogram(), MsHistogram()
        # Least recently heard first.
        self._talkers: OrderedDict[bytes, _Heard] = OrderedDict()
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._legacy = LegacyStream(self._new_talker(legacy=True))
        self._newest = self._legacy.talker
        self._gone = _Totals()
        self._refused = 0
        self._duplicates = 0
        self._frames_played = 0
        self._talking = 0

    def accept(self, prefix: bytes, tick: int, packet: bytes, now: float) -> None:
        """Take one decrypted packet that arrived `now` (monotonic seconds). Never blocks, never raises.

        prefix, tick: the two halves of the IV; packet: whatever was decrypted.
        """
        self._received += 1
        if len(self._inbox) == INBOX_PACKETS:
            self._overflowed += 1
        self._inbox.append(_Arrival(prefix, tick, packet, now))

    def pull(self, now: float) -> tuple[Float32, bool]:
        """One mixed frame, float32 of shape (frame,) in int16 units, and whether anybody is talking.

        The sum of several talkers may exceed full scale; a single one never does.
        """
        self._pulls.note(now)
        if self._flush:
            self._flush = False
            self._forget_audio()
        self._route_inbox()
        parts = []
        for talker in self._live():
            samples = talker.pull(self._count, now)
            if samples is not None:
                parts.append(samples)
        self._talking = len(parts)
        self._frames_played += bool(parts)
        return mix(parts, self._count), bool(parts)

    def flush(self) -> None:
        """Throw away what is buffered (half duplex: our own channel begins to transmit). Any thread."""
        self._inbox.clear()
        self._flush = True

    @property
    def stats(self) -> ReceiveStats:
        """A snapshot; from another thread than the pulling one its figures may be one frame apart."""
        totals = replace(self._gone)
        for talker in self._live():
            totals.add(talker)
        newest = self._newest.stats
        return ReceiveStats(
            packets_received=self._received,
            packets_lost=totals.lost,
            packets_late=totals.late,
            fec_recovered=totals.fec_recovered,
            concealed=totals.concealed,
            frames_played=self._frames_played,
            talkers=self._talking,
            delay_ms_p50=self._delays.percentile_ms(50),
            delay_ms_p99=self._delays.percentile_ms(99),
            jitter_ms_p50=self._jitters.percentile_ms(50),
            jitter_ms_p99=self._jitters.percentile_ms(99),
            buffer_ms=newest.buffer_ms,
            drift_ppm=newest.drift_ppm,
            duplicates=totals.duplicates + self._duplicates,
            dropped=totals.dropped + self._overflowed + self._refused,
            malformed=totals.malformed + self._legacy.malformed,
        )

    def _new_talker(self, legacy: bool = False) -> Talker:
        settings = self._settings
        if legacy:
            depth_ms = max(LEGACY_DEPTH_MS, settings.min_ms)
            settings = JitterSettings(
                depth_ms,
                max(settings.max_ms, 2 * depth_ms),
                settings.frame_ms,
                LEGACY_TICK_SAMPLES,
                counts=False,
            )
        return Talker(settings, None, self._pulls, self._delays, self._jitters)

    def _live(self) -> list[Talker]:
        return [self._legacy.talker, *[heard.talker for heard in list(self._talkers.values())]]

    def _forget_audio(self) -> None:
        for talker in self._live():
            talker.flush()

    def _route_inbox(self) -> None:
        for _ in range(len(self._inbox)):
            try:
                arrival = self._inbox.popleft()
            except IndexError:  # flush() on another thread was quicker
                return
            self._route(arrival)

    def _route(self, arrival: _Arrival) -> None:
        heard = self._talkers.get(arrival.prefix)
        if heard is None:
            heard = self._meet(arrival)
        if heard is None:
            return
        heard.at_s = arrival.now
        self._talkers.move_to_end(arrival.prefix)
        self._newest = heard.talker
        heard.talker.push(arrival.tick, arrival.packet, arrival.now)

    def _meet(self, arrival: _Arrival) -> _Heard | None:
        """The talker for a prefix that has none; None when the packet is dealt with or refused."""
        seen = self._seen.get(arrival.prefix)
        if seen is None:
            self._first_sight(arrival)
            return None
        self._seen.move_to_end(arrival.prefix)
        if not seen.counts and seen.tick == arrival.tick:
            self._duplicates += 1
            return None
        if not self._make_room(arrival.now):
            self._refused += 1
            return None
        talker = self._new_talker()
        if not seen.counts and seen.place is not None:
            self._migrate(seen, talker, arrival.now)
        seen.counts = True
        heard = self._talkers[arrival.prefix] = _Heard(talker, arrival.now)
        return heard

    def _first_sight(self, arrival: _Arrival) -> None:
        place = self._legacy.push(arrival.packet, arrival.now)
        self._newest = self._legacy.talker
        self._seen[arrival.prefix] = _Seen(arrival.tick, place)
        if len(self._seen) > MAX_PREFIXES:
            self._seen.popitem(last=False)

    def _migrate(self, seen: _Seen, talker: Talker, now: float) -> None:
        """Give a sender that turned out to count its first packet, if that has not been played."""
        assert seen.place is not None
        legacy = self._legacy.talker
        first = self._legacy.take(seen.place)
        if first is not None:
            talker.push(seen.tick, first.payload, first.arrived_s)
        elif legacy.talking:
            # It is being played there: go on where it ends, not on top of it.
            talker.not_before_s = now + legacy.buffer_ms / 1000.0

    def _make_room(self, now: float) -> bool:
        """Let the least recently heard talker go if all places are taken; False while all are busy."""
        if len(self._talkers) < MAX_TALKERS:
            return True
        oldest = next(iter(self._talkers.values()))
        if now - oldest.at_s < BUSY_S:
            return False
        _, gone = self._talkers.popitem(last=False)
        self._gone.add(gone.talker)
        return True
