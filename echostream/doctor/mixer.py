"""What a sound card's mixer is set to, judged for a card that is wired to a radio.

Names of controls are what the kernel's USB driver makes of a card's descriptors (sound/usb/mixer.c), so they
differ between makes. A CM108 has "Speaker" (playback), "Mic" (capture, and its own sidetone as playback) and
"Auto Gain Control".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from echostream.doctor.model import Finding, Kind, Level
from echostream.errors import AudioError
from echostream.hardware.alsa_mixer import Control, Fader, mixer_controls

MixerReader = Callable[[str], tuple[Control, ...]]

LEVEL: Final = Kind("cards.level", Level.OK, "mixer: {control} ({way}) at {level}")
MUTED: Final = Kind(
    "cards.muted",
    Level.FAILURE,
    "mixer: {control} ({way}) is muted",
    "amixer -c {card} sset '{control}' {word}; sudo alsactl store keeps it",
)
LOW: Final = Kind(
    "cards.low",
    Level.WARNING,
    "mixer: {control} ({way}) is at {level}, which is next to nothing",
    "`echostream tune` sets it by ear and meter; or: amixer -c {card} sset '{control}' 60% {word}",
)
AGC: Final = Kind(
    "cards.agc",
    Level.WARNING,
    "mixer: {control} is on: it makes the noise between words as loud as the words",
    "amixer -c {card} sset '{control}' {word}; sudo alsactl store keeps it",
)
SIDETONE: Final = Kind(
    "cards.sidetone",
    Level.WARNING,
    "mixer: {control} (playback) is on: the card plays what it hears, straight back to the radio",
    "amixer -c {card} sset '{control}' {word}; sudo alsactl store keeps it",
)
UNREADABLE: Final = Kind(
    "cards.no_mixer",
    Level.NOTE,
    "its mixer does not open: {why}",
    "its levels are fixed: set them at the radio, and with input_gain_db and output_gain_db",
)
LOW_DB: Final = -40.0
LOW_SHARE: Final = 0.05
_AGC: Final = re.compile(r"\bauto(matic)? gain|\bagc\b", re.I)
_MICROPHONE: Final = re.compile(r"\b(mic(rophone)?|line)\b(?! (boost|capture))", re.I)
_OTHERS: Final = re.compile(
    r"\b(iec958|s/?pdif|loopback|beep|headset|cd|aux|boost|bass|treble|3d|pcm16)\b", re.I
)


def mixer_findings(place: str, card: str, read: MixerReader | None = None) -> list[Finding]:
    """Of one card. card: its ALSA id."""
    try:
        controls = (read or mixer_controls)(f"hw:CARD={card}")
    except AudioError as error:
        return [UNREADABLE.at(place, why=error)]
    return [finding for control in controls for finding in _of_control(place, card, control)]


def _of_control(place: str, card: str, control: Control) -> Iterator[Finding]:
    if _AGC.search(control.name):
        if control.playback_on or control.capture_on:
            word = "off" if control.playback_on is not None else "nocap"
            yield AGC.at(place, card=card, control=control.name, word=word)
        return
    if _OTHERS.search(control.name):
        return
    if _MICROPHONE.search(control.name) and (control.playback is not None or control.playback_on is not None):
        if control.playback_on or (control.playback_on is None and not _silent(control.playback)):
            word = "mute" if control.playback_on is not None else "playback 0"
            yield SIDETONE.at(place, card=card, control=control.name, word=word)
    else:
        yield from _way(place, card, control, "playback", control.playback, control.playback_on)
    yield from _way(place, card, control, "capture", control.capture, control.capture_on)


def _way(
    place: str, card: str, control: Control, way: str, fader: Fader | None, on: bool | None
) -> Iterator[Finding]:
    fields = {"card": card, "control": control.name, "way": way}
    if on is False:
        yield MUTED.at(place, None, **fields, word="unmute" if way == "playback" else "cap")
    elif fader is not None:
        word = "unmute" if way == "playback" else "cap"
        kind = LOW if _next_to_nothing(fader) else LEVEL
        yield kind.at(place, None, **fields, level=_level(fader), word=word)


def _next_to_nothing(fader: Fader) -> bool:
    if fader.db is not None and fader.most_db is not None:
        return fader.db - fader.most_db < LOW_DB
    return fader.share < LOW_SHARE


def _silent(fader: Fader | None) -> bool:
    return fader is None or fader.now == fader.least


def _level(fader: Fader) -> str:
    decibels = f" ({fader.db:+.1f} dB)" if fader.db is not None else ""
    return f"{100 * fader.share:.0f} %{decibels}"
