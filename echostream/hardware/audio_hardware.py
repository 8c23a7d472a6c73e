"""The sound cards of this machine: opened by name, whenever they are there, through PortAudio on ALSA.

Names: an ALSA id ("Device" or "alsa:Device"), a USB port ("usb:1-1.2"), or an ALSA PCM of a configuration
file ("usb0"). See alsa_slots for how a card that comes late is opened without disturbing the others.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.errors import AudioError, DeviceLost, DeviceMissing, StateError
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.alsa_slots import CONFIG_VARIABLE, SLOT_PREFIX, AlsaSlots, config_path, slot_name
from echostream.hardware.audio_layout import device_frame, formats
from echostream.hardware.audio_portaudio import FormatRefused, PortAudio, RawStream
from echostream.hardware.audio_streams import CardSink, CardSource
from echostream.hardware.card_identity import (
    AlsaCard,
    CardInfo,
    Half,
    Kernel,
    card_behind,
    find_card,
    may_be_pcm,
    refuse_index,
)
from echostream.hardware.card_listing import list_cards
from echostream.hardware.shared_card import SharedCards

log = logging.getLogger(__name__)

_SPARE_SLOTS: Final = 8
"""Places for cards that a reloaded configuration adds."""
_PERIOD_MS: Final = 20
"""Longest step in which a card is asked to move; frames of 40 and 60 ms are gathered from several."""


class AudioHardware:
    """Opens cards. Thread-safe. One at a time in a process: it owns PortAudio and ALSA's configuration."""

    def __init__(
        self,
        card_names: Sequence[str] = (),
        kernel: Kernel | None = None,
        on_thread: Callable[[str], None] = lambda name: None,
    ) -> None:
        """on_thread(name): called first thing on the thread of a card whose halves are used apart.
        LibraryMissing without PortAudio; ConfigError for a card named by its index."""
        for name in card_names:
            refuse_index(name)
        self._kernel = kernel or Kernel()
        self._closed = False
        self._directory = Path(
            tempfile.mkdtemp(prefix=f"echostream-{os.getpid()}-", dir=os.environ.get("RUNTIME_DIRECTORY"))
        )
        self._previous_config = os.environ.get(CONFIG_VARIABLE)
        try:
            self._slots = AlsaSlots(self._directory, len(set(card_names)) + _SPARE_SLOTS)
            os.environ[CONFIG_VARIABLE] = config_path(self._previous_config, self._slots.path)
            self._first_cards = self._kernel.cards()
            self._alsa = AlsaLibrary()
            # Whoever asked ALSA before (for mixer levels) has read its files without the places.
            self._alsa.forget_configuration()
            self._portaudio = PortAudio()
        except BaseException:
            self._restore()
            raise
        self._devices = {device.name: device for device in self._portaudio.devices}
        if slot_name(0) not in self._devices:
            self._portaudio.terminate()
            self._alsa.close()
            self._restore()
            raise StateError(
                "PortAudio was in use before the sound cards were set up, so it cannot see their places"
            )
        self._shared = SharedCards(self._open_raw, self._gone, on_thread)

    def open_source(self, spec: CardSpec) -> AudioSource:
        """A card's microphone, running. DeviceMissing when it is absent, DeviceLost when it won't open."""
        if spec.side != "mono":
            return self._shared.open_source(spec)
        gone = self._gone(spec.name)
        return CardSource(self._open_raw(spec, True), spec, gone)

    def open_sink(self, spec: CardSpec) -> AudioSink:
        """A card's loudspeaker, running. DeviceMissing when it is absent, DeviceLost when it won't open."""
        if spec.side != "mono":
            return self._shared.open_sink(spec)
        gone = self._gone(spec.name)
        return CardSink(self._open_raw(spec, False), spec, gone)

    def present(self, name: str) -> bool:
        """Whether the card is there now, be it in use. ConfigError for an index."""
        if find_card(name, self._kernel.cards()) is not None:
            return True
        try:
            return may_be_pcm(name) and any(self._alsa.can_open(name, capture=way) for way in (True, False))
        except DeviceLost:
            return False  # it is there, but of no use until it answers

    def cards(self) -> list[CardInfo]:
        """Every card of the kernel, then the PCMs of ALSA's configuration files that are not stock ones."""
        listed = [device for name, device in self._devices.items() if not name.startswith(SLOT_PREFIX)]
        by_place = self._kernel.buses_may_change()
        return list_cards(self._kernel.cards(), self._first_cards, listed, by_place)

    def close(self) -> None:
        """Give PortAudio back. Idempotent. Sources and sinks must be closed before."""
        if self._closed:
            return
        self._closed = True
        self._shared.close()
        self._portaudio.terminate()
        self._alsa.close()
        self._restore()

    def _restore(self) -> None:
        if self._previous_config is None:
            os.environ.pop(CONFIG_VARIABLE, None)
        else:
            os.environ[CONFIG_VARIABLE] = self._previous_config
        shutil.rmtree(self._directory, ignore_errors=True)

    def _target(self, name: str, card: AlsaCard | None, capture: bool) -> tuple[str, Half | None]:
        """ALSA's name of the PCM that a card is now, and what is known of it. DeviceMissing."""
        if card is not None:
            pcm = card.pcm(capture=capture)
            if pcm is None:
                raise DeviceMissing(f"card {name} has no {'microphone' if capture else 'loudspeaker'}")
            return pcm, card.capture if capture else card.playback
        if may_be_pcm(name) and self._alsa.can_open(name, capture=capture):
            return name, None
        raise DeviceMissing(f"card {name} is not plugged in")

    def _open_raw(self, spec: CardSpec, capture: bool) -> RawStream:
        """A started stream of the card that is meant, in the best format that it offers.

        ALSA opens by id, and the kernel gives the id of a card that left to the next of its make. So the card
        is looked at again once it is open: a channel must not go on with the radio of another.
        """
        if self._closed:
            raise StateError("the sound cards were closed")
        card = find_card(spec.name, self._kernel.cards())
        pcm, half = self._target(spec.name, card, capture)
        stream = self._open_best(spec, capture, pcm, half)
        if card is not None and not card.same_life(find_card(spec.name, self._kernel.cards())):
            stream.close()
            raise DeviceLost(f"card {spec.name} was pulled while it was opened")
        log.info(
            "card %s is %s: %d Hz, %d channels, ring %d ms",
            spec.name,
            pcm,
            stream.rate_hz,
            stream.channels,
            stream.capacity * 1000 // stream.rate_hz,
        )
        return stream

    def _open_best(self, spec: CardSpec, capture: bool, pcm: str, half: Half | None) -> RawStream:
        refusals: list[str] = []
        with self._portaudio.exclusive(f"card {spec.name}"):
            number = self._slots.number_of(spec.name)
            self._slots.point(number, capture=capture, pcm=pcm)
            for rate_hz, channels in formats(half, spec.side):
                period = device_frame(rate_hz, min(spec.frame_ms, _PERIOD_MS))
                try:
                    return self._portaudio.open(
                        slot_name(number), capture=capture, rate_hz=rate_hz, channels=channels, period=period
                    )
                except FormatRefused as error:
                    refusals.append(str(error))
                except DeviceLost as error:
                    raise DeviceLost(f"card {spec.name}: {error}") from error
        raise AudioError(f"card {spec.name} offers no format of use: {'; '.join(refusals)}")

    def _gone(self, name: str) -> Callable[[], bool]:
        """A test whether the card as it is now has left since; never true for what is not the kernel's."""
        card = card_behind(name, self._kernel.cards())
        if card is None:
            return lambda: False
        return lambda: self._kernel.born(card.index) != card.born
