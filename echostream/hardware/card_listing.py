"""What `echostream devices` says of the sound cards. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from echostream.hardware.card_identity import USB_PREFIX, AlsaCard, CardInfo, Half

_STOCK: Final = re.compile(
    r"default|sysdefault|front|rear|center_lfe|side|surround\d+|iec958|spdif|hdmi|modem|phoneline|dmix|dsnoop|"
    r"usbstream|jack|oss|pulse|pipewire|a52|upmix|vdownmix|(speex|samplerate|lavrate)\w*|speex"
)
"""PCMs that alsa.conf and the plugins define on every machine: no cards of anyone's."""
_UNTOLD_CHANNELS: Final = 2


class Listed(Protocol):
    """One device of PortAudio's list."""

    @property
    def name(self) -> str: ...
    @property
    def max_inputs(self) -> int: ...
    @property
    def max_outputs(self) -> int: ...
    @property
    def default_hz(self) -> int: ...


def list_cards(
    cards: Iterable[AlsaCard],
    first_cards: Sequence[AlsaCard],
    listed: Sequence[Listed],
    by_place: bool = False,
) -> list[CardInfo]:
    """The kernel's cards of now, then the other PCMs in PortAudio's list.

    by_place: ports are named by their controllers, because buses may be numbered otherwise at the next boot.
    first_cards: the kernel's cards when PortAudio made its list; one that came or moved since has no entry.
    """
    found = [_kernel_card(card, listed if card in first_cards else (), by_place) for card in cards]
    found += [
        CardInfo(
            name=device.name,
            alsa_id="",
            long_name="ALSA PCM of a configuration file",
            port="",
            portaudio_name=device.name,
            rates_hz=(),
            max_inputs=device.max_inputs,
            max_outputs=device.max_outputs,
        )
        for device in listed
        if "(hw:" not in device.name and not _STOCK.fullmatch(device.name)
    ]
    return found


def _kernel_card(card: AlsaCard, listed: Sequence[Listed], by_place: bool) -> CardInfo:
    halves = [half for half in (card.capture, card.playback) if half]
    endings = {f"(hw:{card.index},{half.pcm})" for half in halves}
    devices = [device for device in listed if any(device.name.endswith(end) for end in endings)]
    rates = {rate for half in halves for rate in half.rates_hz} or {device.default_hz for device in devices}
    return CardInfo(
        # The port, where there is one: the id of one of two twins is the other's after the next boot.
        name=USB_PREFIX + ((by_place and card.place) or card.port) if card.port else card.alsa_id,
        alsa_id=card.alsa_id,
        long_name=card.long_name,
        port=card.port,
        portaudio_name=devices[0].name if devices else "",
        rates_hz=tuple(sorted(rates)),
        max_inputs=_channels(card.capture, [device.max_inputs for device in devices]),
        max_outputs=_channels(card.playback, [device.max_outputs for device in devices]),
        place=card.place,
    )


def _channels(half: Half | None, listed: list[int]) -> int:
    """Most channels of one direction: 0 when it has none, the usual two when nobody tells."""
    if half is None:
        return 0
    return max(half.channels, default=0) or max(listed, default=0) or _UNTOLD_CHANNELS
