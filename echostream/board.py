"""What the gateway is plugged into: cards, inputs, keyed lines; real ones, simulated ones for the rest."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.channels.channel_runtime import Cards, Hardware, Inputs, Outputs
from echostream.config.models import NO_CARD, Channel, Config
from echostream.coordinator.worker import OnThread, ordinary
from echostream.errors import GpioError, LibraryMissing, SourceClosed
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.cm108 import Cm108CosReaders
from echostream.hardware.gpio import GpioInputs
from echostream.hardware.ptt_client import MockPttLines, PttLines, PttLineSpec

log = logging.getLogger(__name__)

GUARD_MARGIN_S = 10.0
"""How much later than the channel's own time-out timer the guard's comes: it is the last line of defence."""


class Simulated(Protocol):
    """The parts that are simulated; None where the real one is used."""

    cards: Cards | None
    inputs: Inputs | None
    outputs: MockPttLines | None


class _CardsWhenWanted:
    """No channel has a card: PortAudio is not touched before a reloaded configuration names one."""

    def __init__(self, on_thread: OnThread) -> None:
        self._on_thread = on_thread
        self._lock = threading.Lock()
        self._cards: AudioHardware | None = None
        self._closed = False

    def open_source(self, spec: CardSpec) -> AudioSource:
        return self._wanted().open_source(spec)

    def open_sink(self, spec: CardSpec) -> AudioSink:
        return self._wanted().open_sink(spec)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._cards is not None:
                self._cards.close()

    def _wanted(self) -> AudioHardware:
        with self._lock:
            if self._closed:
                raise SourceClosed("closed")
            if self._cards is None:
                self._cards = AudioHardware(on_thread=self._on_thread)
            return self._cards


class Board:
    """Builds the hardware in order, closes it in reverse. What is missing is said once, with its remedy."""

    def __init__(
        self, config: Config, simulated: Simulated | None, on_audio_thread: OnThread = ordinary
    ) -> None:
        self._audio: AudioHardware | _CardsWhenWanted | None = None
        self._gpio: GpioInputs | None = None
        self._cos_readers = Cm108CosReaders(config.gpio.debounce_ms)
        self._lines: PttLines | MockPttLines | None = simulated.outputs if simulated is not None else None
        cards = simulated.cards if simulated is not None else None
        inputs = simulated.inputs if simulated is not None else None
        try:
            if cards is None:
                names = [channel.card for channel in config.channels if channel.card != NO_CARD]
                self._audio = (
                    AudioHardware(names, on_thread=on_audio_thread)
                    if names
                    else _CardsWhenWanted(on_audio_thread)
                )
                cards = self._audio
            if inputs is None:
                inputs = self._open_inputs(config)
            outputs = self._lines or self._open_outputs(config)
        except BaseException:
            self.close()
            raise
        self.hardware = Hardware(cards, inputs, outputs, self._cos_readers)

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
        specs = line_specs(config)
        try:
            return self._start_lines(specs, config.gpio.chip)
        except GpioError as error:
            log.error("keyed pins are not driven: %s", error)
        # Lines of sound cards need no GPIO chip; a channel whose pin is not there plays without keying.
        return self._start_lines([spec for spec in specs if spec.cm108 is not None], config.gpio.chip)

    def _start_lines(self, specs: list[PttLineSpec], chip: str) -> PttLines:
        lines = PttLines(specs, chip)
        try:
            lines.start()
        except GpioError:
            lines.close()
            raise
        self._lines = lines
        return lines

    def reconfigure(self, config: Config) -> None:
        """Other lines for a reloaded configuration; cards are opened by name when a channel wants them."""
        if self._lines is None:
            return
        try:
            self._lines.reconfigure(line_specs(config))
        except GpioError as error:
            log.error("keyed lines stay as they were: %s", error)

    @property
    def lines(self) -> PttLines | MockPttLines | None:
        """The keyed lines; None where there are none."""
        return self._lines

    def close(self) -> None:
        """Lines first: a transmitter must not wait for a sound card."""
        for part in (self._lines, self._cos_readers, self._gpio, self._audio):
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
            cm108=channel.card if channel.key.cm108 else None,
            active_low=channel.key.active_low,
            max_key_s=channel.tot_s + GUARD_MARGIN_S,
        )
        for channel in config.channels
        if channel.key is not None and channel.enabled
    ]
