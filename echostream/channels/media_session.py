"""One UDP session: the key, this gateway's counted IVs, and the way of a datagram to its channel.

Sending happens on capture threads, receiving on the udp thread. Every channel has a prefix of its own, so
that an IV never repeats though all channels share one key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from echostream.errors import DecryptError, WireError
from echostream.wire.counted_iv import first_tick, new_prefix, split_iv
from echostream.wire.crypto import Opener, Sealer
from echostream.wire.packet_v1 import AudioDatagram, AudioEncoder, parse_datagram
from echostream.wire.replay_guard import ReplayGuard, Verdict


class Listener(Protocol):
    """A channel's receive side."""

    def accept(self, prefix: bytes, tick: int, packet: bytes, now: float) -> None: ...


class ChannelUplink:
    """Seals, wraps and sends the packets of one channel in one session."""

    def __init__(
        self, channel_id: str, key: bytes, prefix: bytes, start_tick: int, send: Callable[[bytes], bool]
    ) -> None:
        self._sealer = Sealer(key, prefix)
        self._encoder = AudioEncoder(channel_id)
        self._send = send
        self._ended = False
        self.start_tick = start_tick

    def end(self) -> None:
        """The session is over: what is sealed with its key must not go where the next one goes."""
        self._ended = True

    def send_packet(self, tick: int, opus: bytes) -> int:
        """Bytes handed to the network, 0 when it did not take them. The tick is spent either way."""
        if self._ended:
            return 0
        datagram = self._encoder.encode(self._sealer.seal(tick, opus))
        return len(datagram) if self._send(datagram) else 0


@dataclass(slots=True)
class DownlinkCounters:
    """Of one channel; written on the udp thread only."""

    undecryptable: int = 0
    replayed: int = 0


class MediaSession:
    """Opens what comes from the network and hands it to the channel it is for.

    Nothing but counters changes for a datagram that does not authenticate.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], clock: Callable[[], float]) -> None:
        self._random_bytes = random_bytes
        self._clock = clock
        self._uplinks: list[ChannelUplink] = []
        self._opener: Opener | None = None
        self._key: bytes | None = None
        self._guard = ReplayGuard()
        # The guard is shared by the udp thread (check) and the coordinator's (our own prefixes).
        self._guard_lock = threading.Lock()
        self._listeners: Mapping[str, Listener] = {}
        self._counters: Mapping[str, DownlinkCounters] = {}
        self.malformed: dict[str, int] = {}
        self.unknown_channel = 0
        self.without_key = 0

    def set_listeners(self, listeners: Mapping[str, Listener]) -> None:
        """Who listens, by channel id; replaces the whole table."""
        self._counters = {channel: self.counters(channel) for channel in listeners}
        self._listeners = dict(listeners)

    def counters(self, channel_id: str) -> DownlinkCounters:
        return self._counters.get(channel_id) or DownlinkCounters()

    def start(self, key: bytes) -> None:
        """A session with this key begins. The replay guard outlives it: the pre-shared key stays the same."""
        self._key = key
        self._opener = Opener(key)

    def end(self) -> None:
        """No session: what still arrives is counted, and its uplinks send nothing more."""
        for uplink in self._uplinks:
            uplink.end()
        self._uplinks.clear()
        self._opener = None
        self._key = None

    @property
    def has_key(self) -> bool:
        return self._key is not None

    def uplink(self, channel_id: str, unix_ms: int, send: Callable[[bytes], bool]) -> ChannelUplink:
        """A way out for one channel with a fresh prefix; `unix_ms` starts its tick clock."""
        if self._key is None:
            raise WireError("no session: there is no key to seal with")
        prefix = new_prefix(self._random_bytes)
        with self._guard_lock:
            self._guard.add_own(prefix)
        uplink = ChannelUplink(channel_id, self._key, prefix, first_tick(unix_ms), send)
        self._uplinks.append(uplink)
        return uplink

    def on_datagram(self, data: bytes, now: float) -> None:
        """On the udp thread."""
        try:
            datagram = parse_datagram(data)
        except WireError as error:
            reason = getattr(error, "reason", "malformed")
            self.malformed[reason] = self.malformed.get(reason, 0) + 1
            return
        if isinstance(datagram, AudioDatagram):
            self._on_audio(datagram, now)

    def _on_audio(self, datagram: AudioDatagram, now: float) -> None:
        opener = self._opener
        listener = self._listeners.get(datagram.channel_id)
        if listener is None:
            self.unknown_channel += 1
            return
        if opener is None:
            self.without_key += 1
            return
        counters = self.counters(datagram.channel_id)  # a reload may just have removed the channel
        try:
            iv, packet = opener.open(datagram.sealed)
        except DecryptError:
            counters.undecryptable += 1
            return
        with self._guard_lock:
            verdict = self._guard.check(datagram.channel_id, iv, now)
        if verdict not in (Verdict.FRESH, Verdict.FRESH_FIRST):
            counters.replayed += 1
            return
        prefix, tick = split_iv(iv)
        listener.accept(prefix, tick, packet, now)
