"""Who is connected: names, replacements, limits, and what is told of it."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from echostream.audio.device_ports import DeviceSink, GapCause, StreamInfo
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.events import DeviceChange
from echostream.network.esp32_admission import Admission, Admitted, Refused
from echostream.network.esp32_device import DeviceStream, bytes_per_s
from echostream.network.esp32_limits import Comings, SpeedLimit
from echostream.network.esp32_refusals import Refusals
from echostream.network.esp32_status import DeviceGlance, DeviceStatus, RelayCounters, glance_of
from echostream.network.esp32_workers import RemoteStream, StreamWorker
from echostream.wire.esp32_hello import Hello

log = logging.getLogger(__name__)

Seen = TypeVar("Seen", DeviceStatus, DeviceGlance)
OpenSinks = Callable[[StreamInfo, DeviceDefaults], Sequence[DeviceSink]]
"""Who takes a stream, by the settings of its device."""
MAX_REMEMBERED: Final = 256
"""Devices without an entry that are remembered after they went."""
MAX_CHANGES: Final = 4096
"""Changes that wait to be told; the oldest give way."""
REST_S: Final = 60.0
"""How long a device that flooded is refused."""
QUIET_S: Final = 1.0
"""A flow of datagrams that is silent for so long may be one of a device that started anew."""
COMINGS_EACH: Final = 4
"""How often in a minute each place for strangers may change hands."""
RETURNS: Final = 120
"""How often in a minute a device with an entry may come; each time is a recording of its own."""
HALF_OPEN_S: Final = 3.0
"""A connection without a name that is silent for so long is one whose device lost its power, and connects."""
QUARREL_S: Final = 60.0
QUARREL: Final = 6
"""So often replaced within a minute: two devices that are called the same."""


class Carrier(Protocol):
    """A connection, or a flow of datagrams."""

    address: str

    def finish(self, now: float) -> None:
        """Hand on what has come already, then close."""
        ...


class Roster:
    """The streams that live, by name. On the relay's thread, but `devices`."""

    def __init__(self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str], open_sinks: OpenSinks) -> None:
        self.counters = RelayCounters()
        self.changes: deque[DeviceChange] = deque(maxlen=MAX_CHANGES)
        self.worker_for: Callable[[str], StreamWorker | None] = lambda name: None
        """Which process serves a device that is only recorded; None: this one."""
        self._open_sinks = open_sinks
        self._live: dict[str, tuple[DeviceStream | RemoteStream, Carrier]] = {}
        self._gone: OrderedDict[str, DeviceStatus] = OrderedDict()
        self._connections: Counter[str] = Counter()
        self._resting: dict[str, float] = {}
        self._refusals = Refusals(self.counters.refused)
        self._comings = Comings()
        self._returns = Comings()
        self._replaced: dict[str, tuple[float, int]] = {}
        self._streams = 0
        self.set_rules(esp32, relay, tokens)

    def set_rules(self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str]) -> None:
        """From the next admission on."""
        self._esp32 = esp32
        self._relay = relay
        self._admission = Admission(esp32, tokens)

    def admit(
        self, carrier: Carrier, hello: Hello | None, now: float, over: str = "tcp"
    ) -> DeviceStream | RemoteStream | None:
        """Let a stream in; one of the same device that is there ends. None: refused, counted and logged."""
        verdict = self._admission.judge(carrier.address, hello)
        if isinstance(verdict, Admitted):
            verdict = self._limits(verdict, carrier.address, now) or verdict
        if isinstance(verdict, Refused):
            self.refuse(carrier.address, verdict, now)
            return None
        name = self._free_name(verdict.name, now) if verdict.anonymous else verdict.name
        old = self._live.get(name)
        if old is not None and not _may_replace(verdict, over, old[0], now):
            self.refuse(carrier.address, Refused("taken", f"{name} is heard elsewhere at this moment"), now)
            return None
        if verdict.known and not self._returns.one_more(name, RETURNS, RETURNS * MAX_REMEMBERED, now):
            often = f"{name} came {RETURNS} times within a minute: look at its power and its network"
            self.refuse(carrier.address, Refused("too_often", often), now)
            return None
        if old is not None:
            self._replace(*old, now)
        elif len(self._live) >= self._relay.max_connections and not self._make_place(verdict, now):
            most = self._relay.max_connections
            self.refuse(carrier.address, Refused("full", f"{most} connections (relay.max_connections)"), now)
            return None
        return self._begin(verdict, name, carrier, hello, now, over)

    def keeps(self, stream: DeviceStream | RemoteStream, hello: Hello | None, now: float) -> bool:
        """Whether the stream, by the rules of now, would be let in and read as it is.

        Where it goes may have changed: then others take it from here on.
        """
        verdict, old = self._admission.judge(stream.info.address, hello), stream.admitted
        if not isinstance(verdict, Admitted) or verdict.reading != old.reading:
            return False
        if verdict != old:
            info = replace(stream.info, label=verdict.label)
            if isinstance(stream, RemoteStream):
                if verdict.talks:
                    return False
                stream.follow(verdict, info)
            else:
                stream.end_sinks("stopped")
                stream.admitted, stream.info = verdict, info
                stream.set_sinks(self._sinks_of(info, verdict.settings))
            self._tell(stream, True, "its settings changed")
        return True

    def knows(self, address: str) -> bool:
        """Whether a stream without hello from there has an entry."""
        return self._admission.knows(address)

    def refuse(self, address: str, refusal: Refused, now: float) -> None:
        """Count it, and say it now and then."""
        self._refusals.note(address, refusal, now)

    def end(self, stream: DeviceStream | RemoteStream, cause: GapCause, detail: str, now: float) -> None:
        """A stream is over. Its carrier is closed by whoever calls. Once for each stream."""
        name = stream.info.name
        live = self._live.get(name)
        if live is None or live[0] is not stream:
            return
        status = stream.status(now, self._connections[name])
        del self._live[name]
        self.counters.ended += 1
        stream.end(cause)
        self._remember(status, detail, now)
        self._tell(stream, False, detail)

    def rest(self, stream: DeviceStream | RemoteStream, now: float) -> None:
        """It flooded: it is refused for a while."""
        if len(self._resting) >= MAX_REMEMBERED:
            self._resting = {name: until for name, until in self._resting.items() if until > now}
        if len(self._resting) < MAX_REMEMBERED:
            self._resting[stream.admitted.name] = now + REST_S

    def devices(self) -> list[DeviceStatus]:
        """Any thread: those with an entry first, in the order of the configuration, then the others."""
        now = time.monotonic()
        found = {status.name: status for status in list(self._gone.values())}
        for stream, _ in list(self._live.values()):
            name = stream.info.name
            found[name] = stream.status(now, self._connections[name])
        return self._in_order(found, _never_seen)

    def glances(self) -> list[DeviceGlance]:
        """The same in short. Any thread."""
        found = {status.name: glance_of(status) for status in list(self._gone.values())}
        found |= {name: stream.glance() for name, (stream, _) in list(self._live.items())}
        return self._in_order(found, lambda device: glance_of(_never_seen(device)))

    # ---- inside

    def _in_order(self, found: dict[str, Seen], missing: Callable[[Esp32Device], Seen]) -> list[Seen]:
        devices = self._esp32.devices
        known = [found.pop(one.name) if one.name in found else missing(one) for one in devices]
        return known + [found[name] for name in sorted(found)]

    def _limits(self, admitted: Admitted, address: str, now: float) -> Refused | None:
        if self._resting.get(admitted.name, now) > now:
            return Refused("rests", f"{admitted.name} sent far too fast; refused for {REST_S:.0f} s")
        if admitted.known:
            return None
        same = sum(
            other.address == address and not stream.info.known and not self._is_before(name, admitted, now)
            for name, (stream, other) in self._live.items()
        )
        if same >= self._relay.max_per_address:
            return Refused("per_address", f"{same} unknown devices from there (relay.max_per_address)")
        relay = self._relay
        most_per_address, most = COMINGS_EACH * relay.max_per_address, COMINGS_EACH * relay.max_connections
        if not self._comings.one_more(address, most_per_address, most, now):
            return Refused("too_often", "it has no entry and comes again and again; refused for a minute")
        return None

    def _is_before(self, name: str, admitted: Admitted, now: float) -> bool:
        """Whether a live stream is one whose place the new one takes: half open, or of the same name."""
        if not admitted.anonymous:
            return name == admitted.name
        stream = self._live[name][0]
        return stream.admitted.anonymous and now - stream.heard_s >= HALF_OPEN_S

    def _make_place(self, admitted: Admitted, now: float) -> bool:
        """To a device with an entry the newest stranger gives way. False: nobody does."""
        if not admitted.known:
            return False
        stranger = next((one for one in reversed(self._live.values()) if not one[0].info.known), None)
        if stranger is None:
            return False
        stranger[1].finish(now)
        self.end(stranger[0], "device gone", "a device with an entry needs its place", now)
        return True

    def _free_name(self, name: str, now: float) -> str:
        """Of a device without a name of its own: there may be several at one address at the same time."""
        number, free = 1, name
        while free in self._live and now - self._live[free][0].heard_s < HALF_OPEN_S:
            number += 1
            free = f"{name}-{number}"
        return free

    def _replace(self, old: DeviceStream | RemoteStream, carrier: Carrier, now: float) -> None:
        name = old.info.name
        self.counters.replaced += 1
        carrier.finish(now)
        self.end(old, "device gone", "a new connection of it took its place", now)
        since_s, times = self._replaced.get(name, (now, 0))
        since_s, times = (now, 1) if now - since_s > QUARREL_S else (since_s, times + 1)
        if times == QUARREL:
            log.warning(
                "device %s was replaced %d times in a minute: are there two of that name?", name, times
            )
        if name in self._replaced or len(self._replaced) < MAX_REMEMBERED:
            self._replaced[name] = (since_s, times)
        else:
            self._replaced.clear()

    def _begin(
        self, admitted: Admitted, name: str, carrier: Carrier, hello: Hello | None, now: float, over: str
    ) -> DeviceStream | RemoteStream:
        self._streams += 1
        info = StreamInfo(
            name,
            admitted.label,
            admitted.rate_hz,
            carrier.address,
            self._streams,
            admitted.known,
            admitted.quarantined,
        )
        worker = None if admitted.talks or over == "udp" else self.worker_for(name)
        stream: DeviceStream | RemoteStream
        if worker is not None:
            stream = RemoteStream(admitted, info, hello, worker, now)
        else:
            limit = SpeedLimit(bytes_per_s(admitted), self._relay.most_speed, self._relay.burst_s, now)
            stream = DeviceStream(admitted, info, limit, self.counters, now, over)
            stream.set_sinks(self._sinks_of(info, admitted.settings))
        self._live[name] = (stream, carrier)
        self._gone.pop(name, None)
        self._connections[name] += 1
        self.counters.admitted += 1
        form = f"{admitted.sample_format}, {admitted.rate_hz} Hz"
        self._tell(stream, True, form if admitted.channels == 1 else f"{form}, stereo")
        return stream

    def _sinks_of(self, info: StreamInfo, settings: DeviceDefaults) -> Sequence[DeviceSink]:
        try:
            return self._open_sinks(info, settings)
        except Exception:
            self.counters.sink_errors += 1
            log.exception("device %s: nobody takes its audio", info.name)
            return ()

    def _remember(self, status: DeviceStatus, detail: str, now: float) -> None:
        self._gone[status.name] = replace(status, connected=False, recorded=False, detail=detail, since_s=now)
        if len(self._gone) > MAX_REMEMBERED + len(self._esp32.devices):
            name, _ = self._gone.popitem(last=False)
            del self._connections[name]

    def _tell(self, stream: DeviceStream | RemoteStream, present: bool, detail: str) -> None:
        info = stream.info
        self.changes.append(
            DeviceChange(
                info.name,
                info.label,
                info.address,
                present,
                info.stream,
                detail,
                info.known,
                info.quarantined,
            )
        )


def _may_replace(new: Admitted, over: str, old: DeviceStream | RemoteStream, now: float) -> bool:
    """A stranger never takes the place of a device with an entry, nor one that chose its name that of one
    which got it; a datagram, whose sender anybody could write, only that of a flow that has stopped."""
    if (new.known, new.anonymous) != (old.admitted.known, old.admitted.anonymous):
        return False
    return over == "tcp" or (old.over == "udp" and now - old.heard_s > QUIET_S)


def _never_seen(device: Esp32Device) -> DeviceStatus:
    return DeviceStatus(
        device.name,
        device.label,
        connected=False,
        known=True,
        quarantined=False,
        channel=device.channel,
        transmit=device.transmit,
        detail="" if device.enabled else "enabled is false",
    )
