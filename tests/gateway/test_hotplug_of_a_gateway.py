"""A whole gateway whose cards change their ports' order under it: each channel keeps its own radio."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Samples
from echostream.config.models import ControlServer as ServerAddress
from echostream.gateway import Secrets
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity, silent_voice
from tests.gateway.support_site import UP_S, Document, Site, eventually, largest_step

pytestmark = [pytest.mark.real_audio, pytest.mark.real_gpio]

PORTS: Final = {"north": "1-1.2", "south": "1-1.3", "east": "1-1.4"}
SAYS_HZ: Final = {"north": 600, "south": 900, "east": 1400}
"""What is heard at each card's microphone."""
GETS_HZ: Final = {"north": 750, "south": 1100, "east": 1700}
"""What another member says on each channel."""
BUTTONS: Final = {"north": 20, "south": 21, "east": 23}
BACK_S: Final = 3.0
PIECE: Final = RATE_HZ // 2


def tone(hz: float) -> Samples:
    t = np.arange(RATE_HZ) / RATE_HZ
    sine: Samples = np.rint(8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    return sine


def loudest(samples: Samples, of: dict[str, int]) -> str:
    """Whose tone this is, over pieces of 50 ms: its phase may slip in between. "" when it is nobody's."""
    if len(samples) < PIECE:
        return ""
    pieces = samples[: len(samples) // 2400 * 2400].reshape(-1, 2400)
    times = np.arange(2400) / RATE_HZ
    levels = {
        name: float(2 * np.abs((pieces * np.exp(-2j * np.pi * hz * times)).mean(axis=1)).mean())
        for name, hz in of.items()
    }
    first, second = sorted(levels, key=lambda name: -levels[name])[:2]
    return first if levels[first] > 2000 and levels[first] > 4 * levels[second] else ""


class Listener:
    """A member that only listens: the last half second of each channel."""

    def __init__(self, site: Site) -> None:
        self._lock = threading.Lock()
        self.forget()
        cards = FileCards({name: silent_voice() for name in PORTS}, self._note)
        address = ServerAddress(url=site.server.url, reconnect_min_s=0.2)
        self.member = Member(address, list(PORTS), MemberIdentity("ear", "ear"), Secrets(), cards)

    def whose(self, channel: str) -> str:
        """The card that is heard on a channel now."""
        with self._lock:
            return loudest(self._heard[channel], SAYS_HZ)

    def forget(self) -> None:
        """What comes from now on counts."""
        with self._lock:
            self._heard = {name: np.zeros(0, np.int16) for name in PORTS}

    def _note(self, channel: str, samples: Samples) -> None:
        with self._lock:
            self._heard[channel] = np.concatenate((self._heard[channel], samples))[-PIECE:]


@contextmanager
def listening(site: Site) -> Iterator[Listener]:
    listener = Listener(site)
    listener.member.start()
    try:
        yield listener
    finally:
        listener.member.stop()


def channel(name: str) -> Document:
    return {"id": name, "card": f"usb:{PORTS[name]}", "duplex": "full", "ptt": {"pin": BUTTONS[name]}}


def test_twins_that_came_back_in_the_other_order_are_on_their_own_channels_again() -> None:
    with Site(list(PORTS)) as site:
        bus = site.bus(*PORTS)
        for name, port in PORTS.items():
            site.speaks(bus.card(name), tone(SAYS_HZ[name]))
            bus.plug(name, port)
            site.chip.drive(BUTTONS[name], 0)
        station = site.gateway("station", *[channel(name) for name in PORTS])
        station.wait_for(": transmitting", times=3)
        ears = {name: site.ear(bus.card(name)) for name in PORTS}
        voices = {name: Voice(tone(hz), loop=True) for name, hz in GETS_HZ.items()}

        since = dict.fromkeys(PORTS, 0)

        def right(name: str) -> bool:
            played = loudest(ears[name].heard()[since[name] :][-PIECE:], GETS_HZ)
            return (listener.whose(name), played) == (name, name)

        with listening(site) as listener, site.talking("talker", voices):
            for name in PORTS:
                assert eventually(lambda name=name: right(name), UP_S), station.log  # type: ignore[misc]
            began_s = time.monotonic()
            before = dict(bus.plugged)
            for name in ("north", "south"):
                bus.pull(name)
            for name in ("north", "south"):
                station.wait_for(f"channel {name}: capture: card is away")
                station.wait_for(f"channel {name}: playback: card is away")
            since |= {name: len(ears[name].heard()) for name in PORTS}
            listener.forget()
            for name in ("south", "north"):
                bus.plug(name, PORTS[name])
            assert bus.plugged["north"].alsa_id == before["south"].alsa_id
            assert bus.plugged["south"].alsa_id == before["north"].alsa_id
            for name in ("north", "south"):
                station.wait_for(f"channel {name}: capture: card is there", 2, BACK_S)
                station.wait_for(f"channel {name}: playback: card is there", 2, BACK_S)
                assert eventually(lambda name=name: right(name), BACK_S), station.log  # type: ignore[misc]
            assert eventually(lambda: right("east"), BACK_S)
        station.end()
        assert "channel east: capture: card is away" not in station.log
        for sent in site.spy.streams("east", began_s):
            assert largest_step(sent) == 1
