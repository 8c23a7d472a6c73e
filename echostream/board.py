"""What the gateway is plugged into: sound cards, inputs, keyed lines; real ones, with simulated ones for the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from echostream.channels.channel_runtime import Cards, Hardware, Inputs, Line, Outputs
from echostream.config.models import Channel, Config
from echostream.errors import GpioError, LibraryMissing
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.cm108 import Cm108Cos, find_hidraw
from echostream.hardware.gpio import GpioInputs
from echostream.hardware.ptt_client import PttLines, PttLineSpec

log = logging.getLogger(__name__)


class Simulated(Protocol):
    """The parts that are simulated; None where the real one is used."""

    cards: Cards | None
    inputs: Inputs | None
    outputs: Outputs | None


class _CosReaders:
    """Squelch lines of CM108-type cards; one reader thread each."""

    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line:
        return Cm108Cos(find_hidraw(card), active_low=active_low, on_change=on_change)


class Board:
    """Builds the hardware in order and closes it in reverse. What is missing is said once, with its remedy."""

    def __init__(self, config: Config, simulated: Simulated | None) -> None:
        self._audio: AudioHardware | None = None
        self._gpio: GpioInputs | None = None
        self._lines: PttLines | None = None
        cards = simulated.cards if simulated is not None else None
        inputs = simulated.inputs if simulated is not None else None
        outputs = simulated.outputs if simulated is not None else None
        try:
            if cards is None:
                self._audio = AudioHardware([channel.card for channel in config.channels])
                cards = self._audio
            if inputs is None:
                inputs = self._open_inputs(config)
            if outputs is None:
                outputs = self._open_outputs(config)
        except BaseException:
            self.close()
            raise
        self.hardware = Hardware(cards, inputs, outputs, _CosReaders())

    def _open_inputs(self, config: Config) -> Inputs | None:
        if not any(_input_pins(channel) for channel in config.channels):
            return None
        gpio = config.gpio
        inputs = GpioInputs(gpio.chip, gpio.debounce_ms, gpio.reread_ms)
        try:
            inputs.start()
        except (GpioError, LibraryMissing) as error:
            log.error("push-to-talk buttons and squelch pins are not read: %s", error)
            return None
        self._gpio = inputs
        return inputs

    def _open_outputs(self, config: Config) -> Outputs:
        lines = PttLines(line_specs(config), config.gpio.chip)
        lines.start()
        self._lines = lines
        return lines

    def reconfigure(self, config: Config) -> None:
        """Other lines for a reloaded configuration; cards are opened by name when a channel wants them."""
        if self._lines is not None:
            self._lines.reconfigure(line_specs(config))

    def close(self) -> None:
        """Lines first: a transmitter must not wait for a sound card."""
        for part in (self._lines, self._gpio, self._audio):
            if part is not None:
                part.close()


def _input_pins(channel: Channel) -> list[int]:
    pins = [channel.ptt.pin] if channel.ptt is not None else []
    if channel.cos is not None and channel.cos.pin is not None:
        pins.append(channel.cos.pin)
    return pins


def line_specs(config: Config) -> list[PttLineSpec]:
    """One for each channel that keys a radio."""
    return [
        PttLineSpec(
            channel_id=channel.id,
            pin=channel.key.pin,
            card=channel.card if channel.key.cm108 else None,
            active_low=channel.key.active_low,
        )
        for channel in config.channels
        if channel.key is not None and channel.enabled
    ]
