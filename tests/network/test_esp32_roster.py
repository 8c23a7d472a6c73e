"""The books of streams, whatever comes in whatever order: no name twice, nobody ended twice or forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

from esp32_bench import Taken
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from echostream.audio.device_ports import StreamInfo
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.network.esp32_device import DeviceStream
from echostream.network.esp32_roster import Roster
from echostream.wire.esp32_hello import Hello

ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.1", "192.0.2.3", "192.0.2.5"])
NAMES = st.sampled_from(["porch", "off", "a", "esp32-192.0.2.1", "barn-192.0.2.5", "barn-192.0.2.5"])
RELAY = Relay(max_connections=5, max_per_address=2)


def rules_of(unknown: str, rate_hz: int) -> Esp32:
    devices = (
        Esp32Device(name="porch", rate_hz=rate_hz),
        Esp32Device(name="garage", address="192.0.2.3"),
        Esp32Device(name="barn", address="192.0.2.4/31"),
        Esp32Device(name="off", enabled=False),
    )
    return Esp32(devices=devices, unknown=unknown)  # type: ignore[arg-type]


@dataclass(eq=False)
class Carrier:
    """A connection without a socket."""

    address: str
    hello: Hello | None
    over: str
    open: bool = True
    stream: DeviceStream | None = None
    finished: list[float] = field(default_factory=list)

    def finish(self, now: float) -> None:
        self.finished.append(now)
        self.open = False


def test_a_device_that_comes_ten_times_a_second_makes_a_bounded_number_of_recordings() -> None:
    taken: list[Taken] = []

    def open_sinks(info: StreamInfo, settings: DeviceDefaults) -> list[Taken]:
        taken.append(Taken(info))
        return taken[-1:]

    roster = Roster(rules_of("refuse", 16_000), RELAY, {}, open_sinks)
    for number in range(1200):
        roster.admit(Carrier("192.0.2.3", None, "tcp"), None, 100.0 + number / 10)
    garage = len(taken)
    assert garage == 2 * 120  # in two minutes
    assert roster.counters.refused["too_often"] == 1200 - garage
    hello = Hello("porch")
    assert roster.admit(Carrier("192.0.2.9", hello, "tcp"), hello, 219.9) is not None


class Books(RuleBasedStateMachine):
    """Devices come, talk, go, flood and are replaced while the rules change."""

    @initialize(unknown=st.sampled_from(["accept", "accept", "quarantine", "refuse"]))
    def begin(self, unknown: str) -> None:
        self.now = 100.0
        self.taken: list[Taken] = []
        self.carriers: list[Carrier] = []
        self.roster = Roster(rules_of(unknown, 16_000), RELAY, {}, self.open_sinks)

    def open_sinks(self, info: StreamInfo, settings: DeviceDefaults) -> list[Taken]:
        self.taken.append(Taken(info))
        return [self.taken[-1]]

    @rule(count=st.integers(1, 4), address=ADDRESSES)
    def come_at_once(self, count: int, address: str) -> None:
        for _ in range(count):
            self.come(address, None, "tcp")

    @rule(place=st.integers(0, 9), address=ADDRESSES)
    def come_in_disguise(self, place: int, address: str) -> None:
        """A device says the name of one that is there."""
        names = [one.stream.info.name for one in self.carriers if one.open and one.stream]
        if names:
            self.come(address, names[place % len(names)], "tcp")

    @rule(address=ADDRESSES, name=st.none() | NAMES, over=st.sampled_from(["tcp", "tcp", "udp"]))
    def come(self, address: str, name: str | None, over: str) -> None:
        hello = None if name is None or over == "udp" else Hello(name)
        carrier = Carrier(address, hello, over)
        with_entry = [one for one in self.carriers if one.open and one.stream and one.stream.info.known]
        stream = self.roster.admit(carrier, hello, self.now, over)
        assert stream is None or isinstance(stream, DeviceStream)
        if stream is not None:
            carrier.stream = stream
            self.carriers.append(carrier)
            assert stream.info.known or all(one.open for one in with_entry)

    @rule(place=st.integers(0, 9), seconds=st.sampled_from([0.0, 0.1, 1.5]))
    def talk(self, place: int, seconds: float) -> None:
        self.now += seconds
        live = [one for one in self.carriers if one.open]
        if live:
            stream = live[place % len(live)].stream
            assert stream is not None
            stream.feed(bytes(6400), self.now)

    @rule(place=st.integers(0, 9), floods=st.booleans())
    def go(self, place: int, floods: bool) -> None:
        live = [one for one in self.carriers if one.open]
        if live:
            carrier = live[place % len(live)]
            assert carrier.stream is not None
            if floods:
                self.roster.rest(carrier.stream, self.now)
            carrier.open = False
            self.roster.end(carrier.stream, "device gone", "it went", self.now)

    @rule(place=st.integers(0, 9))
    def end_late(self, place: int) -> None:
        """What is over ends once more: a connection that was replaced is closed by the peer as well."""
        over = [one for one in self.carriers if not one.open]
        if over:
            stream = over[place % len(over)].stream
            assert stream is not None
            self.roster.end(stream, "device gone", "again", self.now)

    @rule(seconds=st.sampled_from([1.0, 5.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        unknown=st.sampled_from(["accept", "quarantine", "refuse"]), rate_hz=st.sampled_from([8000, 16_000])
    )
    def change_the_rules(self, unknown: str, rate_hz: int) -> None:
        self.roster.set_rules(rules_of(unknown, rate_hz), RELAY, {})
        for carrier in [one for one in self.carriers if one.open]:
            assert carrier.stream is not None
            if not self.roster.keeps(carrier.stream, carrier.hello, self.now):
                carrier.finish(self.now)
                self.roster.end(carrier.stream, "stopped", "its settings changed", self.now)

    @invariant()
    def the_books_hold(self) -> None:
        live = [one for one in self.carriers if one.open]
        assert len(live) <= RELAY.max_connections
        names = [one.stream.info.name for one in live if one.stream is not None]
        assert len(set(names)) == len(names)
        devices = {one.name: one for one in self.roster.devices()}
        assert {name for name, one in devices.items() if one.connected} == set(names)
        assert all(len(one.finished) <= 1 for one in self.carriers)
        # Who takes a stream hears of its end once, and of no stream that goes on.
        open_streams = {one.stream.info.stream for one in live if one.stream is not None}
        for taken in self.taken:
            assert len(taken.causes) <= 1
        going_on = {taken.info.stream for taken in self.taken if not taken.causes}
        assert going_on == open_streams
        strangers = [one for one in live if one.stream is not None and not one.stream.info.known]
        for address in {one.address for one in strangers}:
            assert sum(one.address == address for one in strangers) <= RELAY.max_per_address


Books.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
