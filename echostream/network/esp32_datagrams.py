"""The datagram form: flows of datagrams by source address and port, each a stream like a connection is.

A source address of a datagram can be forged. So a flow never takes the place of a TCP connection, nor that
of a flow that is heard at this moment, and one without an entry is let in only after some datagrams.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import OrderedDict
from typing import Any, Final

from echostream.audio.device_ports import GapCause
from echostream.config.esp32_models import Relay
from echostream.network.esp32_admission import plain_address
from echostream.network.esp32_device import DeviceStream
from echostream.network.esp32_limits import FLOOD_REMEDY
from echostream.network.esp32_roster import Roster
from echostream.wire.esp32_order import DatagramOrder, Ready
from echostream.wire.esp32_stream import MAX_DATAGRAM_BYTES, parse_datagram
from echostream.wire.strict_text import Malformed

log = logging.getLogger(__name__)

BURST: Final = 256
"""Datagrams read in one round."""
MAX_STRANGERS: Final = 256
"""Sources that were heard and are not let in yet; the one that was silent longest is forgotten."""
IN_EARNEST: Final = 8
"""Datagrams after which a source without an entry is let in."""
BAD_IN_A_ROW: Final = 8
"""Datagrams of a wrong form after which a flow ends; the next one begins anew."""

_Source = tuple[str, int]


class Flow:
    """What one address and port sends."""

    def __init__(self, source: _Source, address: str) -> None:
        self.source = source
        self.address = address
        self.stream: DeviceStream | None = None
        self.open = True
        self._order: DatagramOrder | None = None
        self._bad = 0

    def begin(self, stream: DeviceStream, first: bytes) -> None:
        """Let in. Whether its datagrams have the header of 12 bytes shows in the first."""
        self.stream = stream
        try:
            parse_datagram(first, stream.admitted.sample_format)
        except Malformed:
            return
        self._order = DatagramOrder(stream.admitted.rate_hz)

    def feed(self, data: bytes, roster: Roster, now: float) -> bool:
        """False: too many in a row were no audio."""
        stream = self.stream
        if stream is None:
            return True
        if stream.limit.room_bytes(now) < len(data):
            roster.counters.throttled += 1
            return True
        if self._order is None:
            # Each holds whole samples: a half one would shift the bytes of all that follow.
            stream.feed(data[: len(data) - len(data) % stream.sample_bytes], now)
            return True
        try:
            datagram = parse_datagram(data, stream.admitted.sample_format)
        except Malformed as error:
            roster.counters.datagrams_bad += 1
            self._bad += 1
            log.debug("datagram of %s: %s", self.address, error)
            return self._bad < BAD_IN_A_ROW
        self._bad = 0
        late, lost = self._order.late, self._order.lost
        self._hand_on(self._order.arrived(datagram, now), now)
        roster.counters.datagrams_late += self._order.late - late
        roster.counters.datagrams_lost += self._order.lost - lost
        return True

    def waited(self, now: float) -> None:
        """Time went by: what was waited for did not come."""
        if self._order is not None:
            self._hand_on(self._order.waited(now), now)

    def finish(self, now: float) -> None:
        """Hand on what is held back, then no more."""
        if self._order is not None and self.open:
            self._hand_on(self._order.flush(), now)
        self.open = False

    def _hand_on(self, ready: list[Ready], now: float) -> None:
        stream = self.stream
        if stream is None:
            return
        for lost, audio in ready:
            if lost:
                stream.lost(lost)
            stream.feed(audio, now)


class Datagrams:
    """All flows of one socket. On the relay's thread."""

    def __init__(self, roster: Roster, relay: Relay) -> None:
        self._roster = roster
        self._relay = relay
        self._flows: dict[_Source, Flow] = {}
        self._strangers: OrderedDict[_Source, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flows)

    def set_rules(self, relay: Relay, now: float) -> None:
        """The configuration changed: flows go on, or end and begin again by the new one."""
        self._relay = relay
        self._strangers.clear()
        for flow in list(self._flows.values()):
            if flow.stream is not None and not self._roster.keeps(flow.stream, None, now):
                self._end(flow, "its settings changed", now, "stopped")

    def read(self, sock: socket.socket) -> None:
        """Take what is there."""
        for _ in range(BURST):
            try:
                data, sender = sock.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.debug("esp32 datagrams: %s", error)
                continue
            self._roster.counters.datagrams += 1
            if not data or len(data) > MAX_DATAGRAM_BYTES:
                self._roster.counters.datagrams_bad += 1
                continue
            self._take(sender, data, time.monotonic())  # a round may take long

    def check(self, now: float) -> None:
        """What time alone decides."""
        for flow in list(self._flows.values()):
            flow.waited(now)
            stream = flow.stream
            if not flow.open or stream is None:
                self._flows.pop(flow.source, None)
                continue
            stream.check(now)
            if now - stream.progress.at_s > self._relay.silence_s:
                self._end(flow, f"silent for {self._relay.silence_s:.0f} s", now)
            elif stream.limit.floods(now):
                self._roster.rest(stream, now)
                self._end(flow, FLOOD_REMEDY.format(stream.limit.speed(now)), now)

    def close(self, now: float, detail: str = "the relay stops") -> None:
        """End them all."""
        for flow in list(self._flows.values()):
            self._end(flow, detail, now, "stopped")

    # ---- inside

    def _take(self, sender: tuple[Any, ...], data: bytes, now: float) -> None:
        source = (sender[0], sender[1])
        flow = self._flows.get(source)
        if flow is not None and not flow.open:
            del self._flows[source]  # another flow took its place
            flow = None
        if flow is None:
            flow = self._begin(source, data, now)
        if flow is None:
            return
        try:
            goes_on = flow.feed(data, self._roster, now)
        except Exception:
            # A bug of ours in the stream of one device must not end those of all others.
            log.exception("datagrams of %s: reading them failed, the stream is ended", flow.address)
            self._end(flow, "a bug of the gateway", now, "overload")
            return
        if not goes_on:
            self._end(flow, f"{BAD_IN_A_ROW} datagrams in a row were no audio", now)

    def _begin(self, source: _Source, data: bytes, now: float) -> Flow | None:
        flow = Flow(source, plain_address(source[0]))
        if not self._roster.knows(flow.address) and not self._in_earnest(source):
            return None
        stream = self._roster.admit(flow, None, now, "udp")
        if not isinstance(stream, DeviceStream):
            return None  # refused; never served elsewhere
        flow.begin(stream, data)
        self._flows[source] = flow
        return flow

    def _in_earnest(self, source: _Source) -> bool:
        heard = self._strangers.pop(source, 0) + 1
        if heard >= IN_EARNEST:
            return True
        self._strangers[source] = heard
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popitem(last=False)
        return False

    def _end(self, flow: Flow, detail: str, now: float, cause: GapCause = "device gone") -> None:
        flow.finish(now)
        self._flows.pop(flow.source, None)
        if flow.stream is not None:
            self._roster.end(flow.stream, cause, detail, now)
