"""Simulates what is missing, and says which: cards, buttons, the control server, somebody who answers, a
broker and a bucket.

What is real stays real. A missing card becomes a private PulseAudio daemon with recorded speech at its
microphone, so the gateway still runs through PortAudio; where PulseAudio is not installed, a file card takes
its place. Without a GPIO chip a simulated hand presses simulated buttons. When nobody serves the control
server's address and it is this machine's own, a server and a second gateway are started as children; so are a
broker and a bucket where the configuration has none.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from echostream.board import line_specs
from echostream.channels.channel_runtime import Cards, Inputs
from echostream.config.event_models import Events
from echostream.config.models import NO_CARD, Channel, Config
from echostream.errors import LibraryMissing
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.card_identity import Kernel, find_card, may_be_pcm
from echostream.hardware.gpio_chips import list_chips
from echostream.hardware.gpio_mock import MockGpioInputs
from echostream.hardware.ptt_client import MockPttLines
from echostream.instance import runtime_dir
from echostream.simulator.button import RhythmicHand
from echostream.simulator.dispatcher import dispatch, paged_card, short_pages
from echostream.simulator.file_cards import FileCards, Voice, read_wav
from echostream.simulator.microphone import Microphone
from echostream.simulator.stage_broker import StageBroker
from echostream.simulator.stage_bucket import StageBucket
from echostream.simulator.stage_children import Child, answers, echostream, wait_until_answers
from echostream.simulator.stage_devices import StageDevices
from echostream.simulator.virtual_cards import VirtualCards

log = logging.getLogger(__name__)

SPEECH = Path(__file__).parent / "speech"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SEGMENT_S = 60.0
"""Of the recordings of a simulated run: there is something to listen to after a minute."""


class Stage:
    """`adapt` gives a configuration with a simulated part for each missing one; `start` brings it to life.

    cards, inputs, outputs: the simulated parts, None where the real one is used.
    """

    def __init__(self, config: Config, everything: bool = False) -> None:
        self._everything = everything
        self._closers: list[Callable[[], object]] = []
        self._people: list[Callable[[], object]] = []
        self._renamed: dict[str, str] = {}
        self._missing: list[str] = []
        self._paged: str | None = None
        self.cards: Cards | None = None
        self.inputs: Inputs | None = None
        self.outputs: MockPttLines | None = None
        self._recordings = _own_folder(runtime_dir(), "recordings")
        self._events = _own_folder(runtime_dir(), "events")
        self._simulate_cards(config)
        self._simulate_lines(config)
        self._simulate_server(config)
        self._devices = StageDevices(config, self._missing, everything)
        self._simulate_devices(config)
        self._broker = StageBroker(config, _own_folder(runtime_dir(), "broker"))
        self._bucket = StageBucket(config, _own_folder(runtime_dir(), "bucket"))
        if not everything:
            self._simulate_broker(config)
            self._simulate_bucket()
        self._say_who_hears_of_it(config)

    def adapt(self, config: Config) -> Config:
        """The same configuration, with virtual cards for those that are missing, microphones, a recorder, a
        broker and a bucket."""
        config = self._devices.adapt(config)
        if not self._everything:
            config = self._bucket.adapt(self._broker.adapt(config))
        recording = config.recording
        if not recording.enabled:
            ours = {
                "enabled": True,
                "directory": str(self._recordings),
                "segment_s": SEGMENT_S,
                "database": None,
            }
            recording = recording.model_copy(update=ours)
        channels = tuple(
            channel.model_copy(update={"card": self._renamed.get(channel.card, channel.card)})
            for channel in config.channels
        )
        events = config.events
        if events.directory == Events().directory:  # not among those of a gateway that is no simulation
            events = events.model_copy(update={"directory": str(self._events)})
        # Where a simulated dispatcher pages, what follows is short enough to be seen to its end.
        paged = {channel.id for channel in config.channels if channel.card == self._paged}
        tones = {name: short_pages(plan) if name in paged else plan for name, plan in config.tones.items()}
        changed = {"channels": channels, "recording": recording, "events": events, "tones": tones}
        return config.model_copy(update=changed)

    def start(self) -> None:
        """The simulated people begin: once the gateway is there to hear them."""
        for begin in self._people:
            begin()

    def close(self) -> None:
        """Everything that was started, in reverse."""
        while self._closers:
            self._closers.pop()()

    # ---- cards

    def _simulate_cards(self, config: Config) -> None:
        named = dict.fromkeys(c.card for c in config.channels if c.card != NO_CARD)
        self._missing = missing = [name for name in named if not self._there(name)]
        if not missing:
            return
        speech = read_wav(SPEECH / "microphone.wav")
        spoken = dict.fromkeys(missing, speech)
        paged = paged_card(config)
        if paged is not None and paged[0] in missing:
            self._paged = paged[0]
            spoken[paged[0]] = dispatch(paged[1], speech)
            self._say(
                "dispatcher", [paged[0]], "a page in recorded speech, after 5 s and 45 s of every two minutes"
            )
        if self._everything:
            # Nothing of the machine is touched, so the other parts are simulated in this process too.
            self._say("cards", missing, "files of recorded speech (no PortAudio)")
            self.cards = FileCards({name: Voice(spoken[name], loop=True) for name in missing})
            return
        self._renamed = {name: f"simulated_{number}" for number, name in enumerate(missing, 1)}
        directory = runtime_dir() / f"cards-{os.getpid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        try:
            virtual = VirtualCards(list(self._renamed.values()), directory)
        except LibraryMissing as error:
            log.warning("%s; file cards take its place", error)
            self._renamed.clear()
            self.cards = FileCards({name: Voice(spoken[name], loop=True) for name in missing})
            return
        self._closers.append(lambda: shutil.rmtree(directory, ignore_errors=True))
        self._closers.append(virtual.close)
        os.environ.update(virtual.environment())
        for name, stand_in in self._renamed.items():
            microphone = Microphone(virtual[stand_in], spoken[name], pause_s=1.0)
            self._closers.append(microphone.close)
            self._say("card", [name], f"a virtual sound card ({stand_in}) that hears recorded speech")

    def _there(self, card: str) -> bool:
        if self._everything:
            return False
        if find_card(card, Kernel().cards()) is not None:
            return True
        if not may_be_pcm(card):
            return False
        alsa = AlsaLibrary()
        try:
            return any(alsa.can_open(card, capture=way) for way in (True, False))
        finally:
            alsa.forget_configuration()  # virtual cards are about to change it
            alsa.close()

    # ---- buttons and keyed lines

    def _simulate_lines(self, config: Config) -> None:
        if not self._everything and list_chips():
            return
        inputs = MockGpioInputs(config.gpio.chip, config.gpio.debounce_ms, config.gpio.reread_ms)
        inputs.start()
        self._closers.append(inputs.close)
        self.inputs = inputs
        self.outputs = MockPttLines(line_specs(config))
        self.outputs.start()
        self._closers.append(self.outputs.close)
        pressed = [channel for channel in config.channels if channel.ptt is not None and channel.enabled]
        levels = {channel.ptt.pin: _pressed_level(channel) for channel in pressed if channel.ptt is not None}

        def drive(pin: int, down: bool) -> None:
            inputs.drive(pin, levels[pin] if down else not levels[pin])

        hand = RhythmicHand(list(levels), drive)
        self._people.append(hand.start)
        self._closers.append(hand.stop)
        self._say(
            "GPIO", [f"BCM {pin}" for pin in levels], "buttons that a simulated hand presses in a rhythm"
        )

    # ---- the server and the second gateway

    def _simulate_server(self, config: Config) -> None:
        url = urlsplit(config.control_server.url)
        host, port = url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)
        if host not in LOOPBACK or url.scheme != "ws" or answers(host, port):
            return
        channels = [channel.id for channel in config.channels if channel.enabled]
        self._say(
            "control server",
            [config.control_server.url],
            "a server of our own, and a second gateway that answers",
        )
        wait_until_answers(self._child("server", "--host", host, "--port", str(port)), host, port)
        self._people.append(
            lambda: self._child("answer", config.control_server.url, *channels, "--name", "Second gateway")
        )

    # ---- microphones over the network

    def _simulate_devices(self, config: Config) -> None:
        if not self._devices.there:
            return
        self._people.append(lambda: self._child(*self._devices.arguments()))
        self._say(
            "ESP32 microphones",
            self._devices.names,
            f"recorded speech over TCP; their recordings: `echostream recordings list --directory "
            f"{config.recording.directory if config.recording.enabled else self._recordings}`",
        )

    # ---- a broker, a bucket, and a subscriber

    def _simulate_broker(self, config: Config) -> None:
        broker = self._broker
        if not broker.wanted:
            return
        self._closers.append(broker.close)
        child = broker.start()
        if child is None:
            log.warning(
                "broker: none is configured, and Mosquitto is not installed or does not start: nothing is "
                "published (apt install mosquitto)"
            )
            return
        self._closers.append(child.end)
        self._say(
            "broker",
            [f"mqtt://127.0.0.1:{broker.port}"],
            "Mosquitto on this machine; `subscriber:` in this log is what a subscriber gets",
        )
        self._people.append(lambda: self._closers.append(broker.subscriber(config).end))

    def _simulate_bucket(self) -> None:
        bucket = self._bucket
        if not bucket.there:
            return
        self._closers.append(lambda: shutil.rmtree(bucket.directory / ".keys", ignore_errors=True))
        child = bucket.start()
        if child is None:
            log.warning("bucket: a server of our own does not start at %s: nothing is uploaded", bucket.url)
            return
        self._closers.append(child.end)
        self._say(
            "bucket", [bucket.url], f"a server of our own; what is uploaded stands in {bucket.directory}"
        )

    def _say_who_hears_of_it(self, config: Config) -> None:
        """A page that nobody sent must not send anybody out unwarned."""
        real = [
            *([f"the broker {config.mqtt.host}"] if config.mqtt.enabled else []),
            *([f"the bucket {config.s3.bucket}"] if config.s3.enabled else []),
            *(target.name for target in config.alerts.targets if config.alerts.enabled),
        ]
        if real and self._paged is not None:
            log.warning("the pages of the simulated dispatcher go to %s, as configured", ", ".join(real))

    def _child(self, *arguments: str) -> Child:
        child = Child(*echostream(*arguments))
        self._closers.append(child.end)
        return child

    def _say(self, part: str, names: list[str], stand_in: str) -> None:
        what = "simulated" if self._everything else "not there, simulated"
        log.warning("%s %s: %s by %s", part, ", ".join(names), what, stand_in)


def _own_folder(parent: Path, name: str) -> Path:
    """A folder of this run, kept for whoever wants to listen; those of earlier runs are removed."""
    for old in parent.glob(f"{name}-*"):
        number = old.name.rpartition("-")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return parent / f"{name}-{os.getpid()}"


def _pressed_level(channel: Channel) -> bool:
    return channel.ptt is None or not channel.ptt.active_low
