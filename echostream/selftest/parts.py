"""The card and the pins of a self-test: real ones, or simulated ones that are wired to themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from echostream.errors import AudioError, GpioError, LibraryMissing
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.card_identity import Kernel, find_card, may_be_pcm
from echostream.hardware.gpio import GpioInputs, list_chips
from echostream.hardware.gpio_lines import InputLines
from echostream.hardware.gpio_mock import MockGpioInputs
from echostream.hardware.ptt_client import MockPttLines, PttLines, PttLineSpec
from echostream.selftest.keying import Edges, KeyedLine
from echostream.selftest.loop_card import LoopCards
from echostream.selftest.setup import KeyWire, Setup, Simulate
from echostream.selftest.take import Cards

CHANNEL: Final = "selftest"
MAX_KEY_S: Final = 10.0
_DEBOUNCE_MS: Final = 5.0


class Simulation:
    """Which parts are simulated, and how that is said."""

    def __init__(self, simulate: Simulate | None, setup: Setup) -> None:
        """Looks for what is there, where that decides. LibraryMissing, ConfigError."""
        self.said: list[str] = []
        self.card = self.pins = simulate == "all"
        if simulate == "missing":
            self.card = setup.card is not None and not card_there(setup.card)
            self.pins = not list_chips()


def card_there(name: str) -> bool:
    """Whether ALSA can have this card now. LibraryMissing, ConfigError for an index."""
    if find_card(name, Kernel().cards()) is not None:
        return True
    if not may_be_pcm(name):
        return False
    alsa = AlsaLibrary()
    try:
        return any(alsa.can_open(name, capture=way) for way in (True, False))
    finally:
        alsa.forget_configuration()  # a virtual card may be about to change it
        alsa.close()


@contextlib.contextmanager
def open_cards(card: str, simulation: Simulation, sound_server: bool) -> Iterator[tuple[Cards, str]]:
    """The cards, and the name of the one to open. sound_server: what is simulated may be a virtual card."""
    if not simulation.card:
        hardware = AudioHardware([card])
        try:
            yield hardware, card
        finally:
            hardware.close()
        return
    with contextlib.ExitStack() as closing:
        if sound_server:
            try:
                cards = closing.enter_context(_virtual_card())
            except (LibraryMissing, AudioError) as error:
                simulation.said.append(f"card {card}: simulated in this process ({error})")
            else:
                simulation.said.append(f"card {card}: simulated by PulseAudio, its output wired to its input")
                yield cards, CHANNEL
                return
        else:
            simulation.said.append(f"card {card}: simulated in this process, its output wired to its input")
        yield LoopCards(), card


@contextlib.contextmanager
def _virtual_card() -> Iterator[AudioHardware]:
    """A PulseAudio daemon of its own, behind real PortAudio and ALSA."""
    from echostream.simulator.virtual_cards import VirtualCards

    folder = Path(tempfile.mkdtemp(prefix="es-", dir="/tmp"))  # a socket's path is short
    with contextlib.ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        virtual = VirtualCards([CHANNEL], folder, cabled=True)
        closing.callback(virtual.close)
        closing.enter_context(_environment(virtual.environment()))
        hardware = AudioHardware([CHANNEL])
        closing.callback(hardware.close)
        yield hardware


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def open_wire(wire: KeyWire, chip: str, simulation: Simulation) -> Iterator[tuple[KeyedLine, Edges]]:
    """The line to key, and what the pin at the other end tells. GpioError, LibraryMissing."""
    edges = Edges()
    spec = PttLineSpec(CHANNEL, wire.out_pin, wire.cm108, wire.active_low, MAX_KEY_S)
    with contextlib.ExitStack() as closing:
        inputs: InputLines
        lines: PttLines | MockPttLines
        if simulation.pins:
            simulation.said.append(f"pins {wire.out} and {wire.into}: simulated, with a wire between them")
            simulated = MockGpioInputs(debounce_ms=_DEBOUNCE_MS)
            simulated.drive(wire.in_pin, wire.active_low)

            def follow(_channel: str, keyed: bool) -> None:
                simulated.drive(wire.in_pin, keyed != wire.active_low)

            inputs, lines = simulated, MockPttLines([spec], on_change=follow)
        else:
            inputs, lines = GpioInputs(chip, _DEBOUNCE_MS), PttLines([spec], chip)
        closing.callback(inputs.close)
        closing.callback(lines.close)
        inputs.start()
        lines.start()
        line = lines.output(CHANNEL)
        if line.fault is not None:
            raise GpioError(f"{wire.out} cannot be keyed: {line.fault}")
        inputs.watch(
            wire.in_pin,
            active_low=wire.active_low,
            pull="up" if wire.active_low else "down",
            on_change=edges.on_change,
        )
        yield line, edges
