"""A network microphone over real TCP, through relay and gateway, to another member's loudspeaker."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from heard_speech import Ear, similarity

from echostream.audio.format import RATE_HZ, Samples, silence
from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.channels.channel_runtime import Hardware
from echostream.channels.channel_state import Phase
from echostream.config.changes import compare
from echostream.config.models import Channel, Config, ControlServer, Esp32, Esp32Device
from echostream.config.models import Gateway as Identity
from echostream.errors import DeviceMissing
from echostream.events import Event, Opener, PttChanged
from echostream.gateway import Gateway, Secrets
from echostream.simulator.control_server import ControlServer as Server
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity, _NoCosReaders, _NoOutputs, silent_voice

RATE = 16_000


@dataclass
class House:
    """A control server, a gateway with one microphone on channel "fire", and what its coordinator saw."""

    server: Server
    gateway: Gateway
    port: int
    events: list[Event] = field(default_factory=list)

    @property
    def online(self) -> bool:
        return self.gateway.manager.channels["fire"].state.online

    @property
    def phase(self) -> Phase:
        return self.gateway.manager.channels["fire"].state.phase


class NoCards:
    """Nothing is plugged in."""

    def open_source(self, spec: CardSpec) -> AudioSource:
        raise DeviceMissing(f"card {spec.name} is not plugged in")

    def open_sink(self, spec: CardSpec) -> AudioSink:
        raise DeviceMissing(f"card {spec.name} is not plugged in")


def member(server: Server, ear: Ear) -> Member:
    """Who only listens."""
    settings = ControlServer(url=server.url, reconnect_min_s=0.2)
    cards = FileCards({"fire": silent_voice()}, ear)
    return Member(settings, ["fire"], MemberIdentity("b", "b"), Secrets(), cards)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(condition: object, timeout_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def build(card: str, voice: Voice | None = None, **device: object) -> House:
    server = Server(aes_key="generate")
    server.start()
    port = free_port()
    microphone = Esp32Device(name="porch", channel="fire", **{"transmit": "vox", **device})  # type: ignore[arg-type]
    config = Config(
        gateway=Identity(id="g", affiliation_id="g"),
        control_server=ControlServer(url=server.url, reconnect_min_s=0.2),
        channels=(Channel(id="fire", card=card, high_pass_hz=0),),
        esp32=Esp32(
            enabled=True,
            bind="127.0.0.1",
            tcp_port=port,
            udp_port=None,
            announce=False,
            devices=(microphone,),
        ),
    )
    cards = NoCards() if voice is None else FileCards({card: voice})
    hardware = Hardware(cards, None, _NoOutputs(), _NoCosReaders())
    house = House(server, None, port)  # type: ignore[arg-type]
    house.gateway = Gateway(
        config, Secrets(), hardware, lambda reason: None, (lambda event, now: house.events.append(event),)
    )
    house.gateway.start()
    return house


@pytest.fixture
def houses() -> Iterator[list[House]]:
    built: list[House] = []
    yield built
    for house in built:
        house.gateway.stop()
        house.server.stop()


def speak(port: int, samples: Samples, block: int = 512) -> float:
    """As firmware does: the hello line, then blocks at the pace of the microphone. When it began."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        hello = {"hello": "echostream", "device": "porch", "rate": RATE, "format": "s16le", "channels": 1}
        connection.sendall(json.dumps(hello).encode() + b"\n")
        began_s = time.monotonic()
        for at in range(0, samples.size, block):
            time.sleep(max(0.0, began_s + (at + block) / RATE - time.monotonic()))
            connection.sendall(samples[at : at + block].astype("<i2").tobytes())
    return began_s


def glide(seconds: float) -> Samples:
    """A tone from 500 to 1500 Hz: each piece of it is like no other."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(8000 * np.sin(2 * np.pi * (500 * t + 500 * t**2 / seconds))).astype(np.int16)


def said(seconds: float) -> Samples:
    """A glide between silences, at the microphone's rate."""
    return np.concatenate((silence(RATE // 2), glide(seconds)[::3], silence(RATE)))


def openers(house: House) -> list[tuple[Opener, bool]]:
    return [(event.opener, event.active) for event in list(house.events) if isinstance(event, PttChanged)]


def test_what_is_said_at_a_microphone_is_heard_by_a_member_and_needs_no_card(houses: list[House]) -> None:
    house = build("none")
    houses.append(house)
    ear = Ear()
    listener = member(house.server, ear)
    listener.start()
    try:
        assert wait(lambda: house.online and listener.online("fire"))
        speak(house.port, said(2.0))
        assert wait(lambda: (Opener.DEVICE, False) in openers(house))
        assert wait(lambda: house.phase is Phase.IDLE)
        time.sleep(0.3)
    finally:
        listener.stop()
    assert openers(house) == [(Opener.DEVICE, True), (Opener.DEVICE, False)]
    # In pieces: what removes the delay of a pre-roll, and of two clocks, shifts one against the next.
    heard, pieces = ear.heard(), np.split(glide(2.0), 20)
    assert sum(similarity(heard, piece) > 0.9 for piece in pieces) >= 17


def test_a_microphone_talks_on_while_the_channels_card_is_away(houses: list[House]) -> None:
    house = build("absent-card")
    houses.append(house)
    transmit = house.gateway.manager.channels["fire"].stream.transmit
    assert wait(lambda: house.online)
    thread = threading.Thread(target=speak, args=(house.port, said(2.0)), name="speak")
    thread.start()
    thread.join()
    assert wait(lambda: (Opener.DEVICE, False) in openers(house))
    assert transmit.stats.packets_sent * 0.02 == pytest.approx(2.0 + 0.8 + 0.2, abs=0.2)
    assert transmit.stats.send_failures == 0


def test_the_card_and_a_microphone_are_one_transmission(houses: list[House]) -> None:
    tone = (6000 * np.sin(2 * np.pi * 2000 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)
    house = build("fire", Voice(tone, loop=True))
    houses.append(house)
    ear = Ear()
    listener = member(house.server, ear)
    listener.start()
    try:
        assert wait(lambda: house.online and listener.online("fire"))
        thread = threading.Thread(target=speak, args=(house.port, said(3.0)), name="speak")
        thread.start()
        assert wait(lambda: house.phase is Phase.OPEN)
        time.sleep(0.8)
        house.gateway.post(PttChanged("fire", Opener.TALK, True, time.monotonic()))
        time.sleep(0.8)
        house.gateway.post(PttChanged("fire", Opener.TALK, False, time.monotonic()))
        thread.join()
        assert wait(lambda: house.phase is Phase.IDLE)
        time.sleep(0.3)
    finally:
        listener.stop()
    heard = ear.heard()
    rows = heard[: heard.size // 4800 * 4800].reshape(-1, 4800).astype(float) * np.hanning(4800)
    spectrum = np.abs(np.fft.rfft(rows, axis=1))[:, 195:206].max(axis=1)
    loud = spectrum > 0.3 * spectrum.max()
    assert loud.sum() * 0.1 == pytest.approx(0.8, abs=0.25)  # the card is heard while its key is down, only


def test_a_reload_of_the_channel_takes_its_microphone_along(houses: list[House]) -> None:
    """The connection stays; what is said goes on in a new transmission of the new channel."""
    house = build("none", transmit="always")
    houses.append(house)
    assert wait(lambda: house.online)
    thread = threading.Thread(target=speak, args=(house.port, said(2.5)), name="speak")
    thread.start()
    assert wait(lambda: house.phase is Phase.OPEN)
    before = house.gateway.manager.channels["fire"]
    changed = house.gateway.config.channels[0].model_copy(update={"tot_s": 60.0})
    config = house.gateway.config.model_copy(update={"channels": (changed,)})
    changes = compare(house.gateway.config, config)
    house.gateway.manager.on_reload = lambda: house.gateway.apply(config, Secrets(), changes)
    house.gateway.request_reload()
    assert wait(lambda: house.gateway.manager.channels.get("fire") not in (None, before))
    assert wait(lambda: house.phase is Phase.OPEN)
    after = house.gateway.manager.channels["fire"]
    sent = after.stream.transmit.stats.packets_sent
    assert wait(lambda: after.stream.transmit.stats.packets_sent > sent + 25)
    thread.join()
    assert wait(lambda: house.phase is Phase.IDLE)
    assert house.gateway.microphones is not None
    assert [device.connections for device in house.gateway.microphones.relay.devices()] == [1]
