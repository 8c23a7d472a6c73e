"""Which radio a channel has, whatever is unplugged, comes back, and in which order.

Real PortAudio and ALSA, cards that are PulseAudio daemons, and the kernel's files as it would write them.

Every card says its own tone into its microphone; what a channel hears tells whose card it has.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import pytest
from pulse import Outcome, level_at, tone
from usb_bus import UsbBus

from echostream.audio.format import Samples, samples_per_frame
from echostream.audio.ports import CardSpec
from echostream.console.devices import devices
from echostream.errors import DeviceLost, DeviceMissing
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.card_identity import AlsaCard, Kernel
from echostream.simulator.microphone import Loudspeaker, Microphone

pytestmark = pytest.mark.real_audio

HZ = {"north": 600, "south": 900, "east": 1400}
PORTS = {"north": "1-1.2", "south": "1-1.3", "east": "1-1.4"}
HOME = {port: name for name, port in PORTS.items()}
LISTEN_FRAMES, SETTLE_FRAMES = 8, 4


@contextmanager
def bus_with_voices() -> Iterator[UsbBus]:
    with UsbBus(tuple(HZ)) as bus, ExitStack() as people:
        for name, hz in HZ.items():
            voice = Microphone(bus.card(name), tone(hz), pause_s=0)
            people.callback(voice.close)
        yield bus


@contextmanager
def hardware_on(bus: UsbBus, kernel: Kernel | None = None) -> Iterator[AudioHardware]:
    with mock.patch.dict(os.environ, bus.environment()):
        hardware = AudioHardware([f"usb:{port}" for port in PORTS.values()], kernel or bus.kernel)
        try:
            yield hardware
        finally:
            hardware.close()


def whose(samples: Samples) -> str:
    """The card whose tone this is."""
    levels = {name: level_at(samples, hz) for name, hz in HZ.items()}
    loudest = max(levels, key=lambda name: levels[name])
    assert levels[loudest] > 4000, levels
    assert all(level < 500 for name, level in levels.items() if name != loudest), levels
    return loudest


def heard_at(hardware: AudioHardware, card: str) -> str:
    """Whose voice the microphone of that card gives."""
    return heard_from(hardware, CardSpec(card))


def heard_from(hardware: AudioHardware, spec: CardSpec) -> str:
    source = hardware.open_source(spec)
    try:
        for _ in range(SETTLE_FRAMES):
            source.read()
        return whose(np.concatenate([source.read().samples for _ in range(LISTEN_FRAMES)]))
    finally:
        source.close()


def until(call: Callable[[], str], timeout_s: float = 3.0) -> str:
    """As a channel does: try again while the card is away, or is not awake yet."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return call()
        except (DeviceMissing, DeviceLost, AssertionError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def heard_everywhere(hardware: AudioHardware, ports: list[str]) -> list[str]:
    """Whose voice each port's microphone gives, all at once."""
    with ThreadPoolExecutor(max(1, len(ports)), thread_name_prefix="channel") as channels:
        return list(channels.map(lambda port: until(lambda: heard_at(hardware, f"usb:{port}")), ports))


def test_every_order_of_enumeration_gives_each_port_its_own_card() -> None:
    """As if the machine were booted six times: numbers and ids fall to other cards each time."""
    seen = set()
    with bus_with_voices() as bus:
        for order in itertools.permutations(HZ):
            for name in order:
                bus.plug(name, PORTS[name])
            seen.add(tuple(bus.plugged[name].alsa_id for name in HZ))
            with hardware_on(bus) as hardware:
                assert heard_everywhere(hardware, list(HOME)) == list(HOME.values())
            bus.pull_all()
    assert len(seen) == 6


def test_twins_that_came_back_in_the_other_order_play_and_hear_where_they_did() -> None:
    """Both pulled, both plugged in again: each has the id that its twin had."""
    with bus_with_voices() as bus:
        bus.plug("north", PORTS["north"])
        bus.plug("south", PORTS["south"])
        before = dict(bus.plugged)
        with hardware_on(bus) as hardware:
            assert until(lambda: heard_at(hardware, "usb:1-1.2")) == "north"
            bus.pull_all()
            with pytest.raises(DeviceMissing, match=r"usb:1-1\.2 is not plugged in"):
                hardware.open_source(CardSpec("usb:1-1.2"))
            bus.plug("south", PORTS["south"])
            bus.plug("north", PORTS["north"])
            assert bus.plugged["north"].alsa_id == before["south"].alsa_id == "Device_1"
            assert until(lambda: heard_at(hardware, "usb:1-1.2")) == "north"
            assert until(lambda: heard_at(hardware, "usb:1-1.3")) == "south"
            with ExitStack() as people:
                ears = {name: Loudspeaker(bus.card(name)) for name in ("north", "south")}
                for ear in ears.values():
                    people.callback(ear.close)
                sink = hardware.open_sink(CardSpec("usb:1-1.2"))
                people.callback(sink.close)
                said = tone(2000, 1.0)
                step = samples_per_frame(20)
                for at in range(0, len(said), step):
                    sink.write(said[at : at + step])
                time.sleep(0.2)
                heard = {name: ear.heard()[-24_000:] for name, ear in ears.items()}
            assert level_at(heard["north"], 2000) > 1000
            assert np.abs(heard["south"]).max(initial=0) == 0


def test_storm_of_plugs_never_gives_a_channel_another_ones_card() -> None:
    """Cards are pulled and plugged in at random, each time with other numbers; nobody is restarted."""
    chance = random.Random(6)
    with bus_with_voices() as bus, hardware_on(bus) as hardware:
        for _ in range(6):
            for name in chance.sample(list(HZ), chance.randint(1, 3)):
                if name in bus.plugged:
                    bus.pull(name)
                else:
                    bus.plug(name, PORTS[name])
            here = [port for port, name in HOME.items() if name in bus.plugged]
            assert heard_everywhere(hardware, here) == [HOME[port] for port in here]
            for port in HOME.keys() - here:
                with pytest.raises(DeviceMissing):
                    hardware.open_source(CardSpec(f"usb:{port}"))


class Meddled(Kernel):
    """Somebody is at the plugs just after the kernel was asked for its cards. Made by `meddled`."""

    def cards(self) -> tuple[AlsaCard, ...]:
        found = super().cards()
        if HANDS:
            HANDS.pop()()
        return found


HANDS: list[Callable[[], None]] = []


@pytest.mark.parametrize("capture", [True, False])
def test_twins_that_change_ids_while_one_is_opened_are_not_taken_for_each_other(capture: bool) -> None:
    """The id that was looked up is the other card's by the time ALSA opens it."""
    with bus_with_voices() as bus:
        bus.plug("north", PORTS["north"])
        bus.plug("south", PORTS["south"])

        def swap() -> None:
            bus.pull_all()
            bus.plug("south", PORTS["south"])
            bus.plug("north", PORTS["north"])

        meddled = Meddled(bus.kernel.proc, bus.kernel.sys)
        with hardware_on(bus, meddled) as hardware:
            open_it = hardware.open_source if capture else hardware.open_sink
            # The first look is for the test whether it left, the second one finds what to open.
            HANDS.extend((swap, lambda: None))
            with pytest.raises(DeviceLost, match=r"card usb:1-1\.2 was pulled while it was opened"):
                open_it(CardSpec("usb:1-1.2"))
            assert not HANDS
            assert until(lambda: heard_at(hardware, "usb:1-1.2")) == "north"


def test_card_that_is_pulled_frees_its_reader_and_leaves_the_others_alone() -> None:
    with bus_with_voices() as bus:
        for name, port in PORTS.items():
            bus.plug(name, port)
        with hardware_on(bus) as hardware:
            sources = {name: hardware.open_source(CardSpec(f"usb:{port}")) for name, port in PORTS.items()}
            readers = {name: Outcome(source.read) for name, source in sources.items()}
            time.sleep(0.4)
            pulled_s = time.monotonic()
            bus.pull("south")
            assert isinstance(readers["south"].wait(), DeviceLost)
            assert readers["south"].at_s - pulled_s < 0.5
            before = {name: readers[name].calls for name in ("north", "east")}
            time.sleep(0.5)
            sources["south"].close()
            for name in ("north", "east"):
                assert readers[name].error is None
                assert readers[name].calls - before[name] >= 20
                sources[name].close()
                readers[name].wait()


def test_sides_of_a_stereo_card_come_back_on_their_own_channels() -> None:
    """Two channels on one card, which comes back with the id that its twin had."""
    left, right = (CardSpec("usb:1-1.2", side) for side in ("left", "right"))
    with UsbBus(("north", "south"), channels=2) as bus, ExitStack() as people:
        voice = np.stack((tone(HZ["north"]), tone(HZ["south"])), axis=1)
        people.callback(Microphone(bus.card("north"), voice, pause_s=0).close)
        bus.plug("north", "1-1.2")
        bus.plug("south", "1-1.3")
        with hardware_on(bus) as hardware:

            def both() -> str:
                with ThreadPoolExecutor(2, thread_name_prefix="side") as sides:
                    return " ".join(sides.map(lambda spec: heard_from(hardware, spec), (left, right)))

            assert until(both) == "north south"
            reader = Outcome(hardware.open_source(left).read)
            bus.pull_all()
            assert isinstance(reader.wait(), DeviceLost)
            bus.plug("south", "1-1.3")
            assert bus.plug("north", "1-1.2").alsa_id == "Device_1"
            assert until(both) == "north south"


def test_list_of_cards_offers_what_stays_the_same() -> None:
    """Whoever copies a name from it has the card in that port, also after the twins have changed ids."""
    shown = io.StringIO()
    with UsbBus(("north", "south")) as bus:
        bus.plug("south", PORTS["south"])
        bus.plug("north", PORTS["north"])
        on_the_bus = functools.partial(Kernel, bus.kernel.proc, bus.kernel.sys)
        with (
            mock.patch.dict(os.environ, bus.environment()),
            mock.patch("echostream.hardware.audio_hardware.Kernel", on_the_bus),
        ):
            assert devices(None, as_json=False, out=shown) == 0
    rows = [line.split()[:2] for line in shown.getvalue().splitlines() if "USB PnP" in line]
    assert rows == [["usb:1-1.3", "Device"], ["usb:1-1.2", "Device_1"]]


def test_card_that_leaves_while_it_is_looked_at_is_a_card_without_halves() -> None:
    """The listing still names it, its folder is gone."""
    with UsbBus(["north"]) as bus:
        bus.plug("north", "1-1.2")
        (bus.kernel.proc / "card0").rename(bus.kernel.proc / "away")
        (card,) = bus.kernel.cards()
        assert (card.capture, card.playback, card.port) == (None, None, "1-1.2")
        (bus.kernel.proc / "away").rename(bus.kernel.proc / "card0")
