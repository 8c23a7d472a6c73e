"""The capture side of a card's own mixer: how far its fader goes, and what spoils levels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from echostream.errors import AudioError
from echostream.hardware.alsa_mixer import Control, Mixer
from echostream.hardware.card_identity import Kernel, find_card
from echostream.tune.advice import Advice, Fader

_AGC: Final = re.compile(r"\bauto(matic)? gain|\bagc\b", re.I)
_PREFERRED: Final = ("mic", "capture", "line")
"""Names that the kernel's USB driver gives (sound/usb/mixer.c), in the order of preference."""


@dataclass(frozen=True, slots=True)
class CaptureMixer:
    """What of the mixer matters. control: the fader before the converter, None without one."""

    control: Control | None
    agc: Control | None

    @property
    def fader(self) -> Fader:
        """For the advice; none where the driver does not tell decibels: who knows how far to move it?"""
        if self.control is None or self.control.capture is None:
            return Fader()
        found = self.control.capture
        ends = (found.db, found.least_db, found.most_db)
        if any(end is None for end in ends) or found.db == -math.inf:
            return Fader()
        assert found.db is not None
        assert found.least_db is not None
        assert found.most_db is not None
        return Fader(self.control.name, found.most_db - found.db, min(60.0, found.db - found.least_db))

    @property
    def muted(self) -> bool:
        """The capture switch is off."""
        return self.control is not None and self.control.capture_on is False

    @property
    def agc_on(self) -> bool:
        """An automatic gain control makes every level a matter of what was before."""
        return self.agc is not None and bool(self.agc.playback_on or self.agc.capture_on)


NO_MIXER: Final = CaptureMixer(None, None)


def advise_mixer(found: CaptureMixer) -> list[Advice]:
    """What of the mixer spoils levels, whatever they are."""
    advice = []
    if found.muted and found.control is not None:
        advice.append(Advice("change", "mixer", f"the card's {found.control.name} is muted: switch it on"))
    if found.agc_on and found.agc is not None:
        words = (
            f"{found.agc.name} is on: it makes the noise between words as loud as the words; switch it off"
        )
        advice.append(Advice("change", "mixer", words))
    return advice


def mixer_name(card: str, kernel: Kernel | None = None) -> str | None:
    """ALSA's name of the card's mixer; None for what is no card of the kernel. ConfigError for an index."""
    found = find_card(card, (kernel or Kernel()).cards())
    return None if found is None else f"hw:CARD={found.alsa_id}"


def capture_side(controls: Sequence[Control]) -> CaptureMixer:
    """Which of a mixer's controls they are."""
    agc = next((one for one in controls if _AGC.search(one.name)), None)
    capturing = [one for one in controls if one.capture is not None and not _AGC.search(one.name)]
    capturing.sort(key=_preference)
    return CaptureMixer(capturing[0] if capturing else None, agc)


def _preference(control: Control) -> int:
    name = control.name.lower()
    if "boost" in name:
        return len(_PREFERRED) + 1
    return next((at for at, word in enumerate(_PREFERRED) if word in name), len(_PREFERRED))


def read_mixer(name: str | None) -> CaptureMixer:
    """As it is now; none where the card has none that opens. LibraryMissing."""
    if name is None:
        return NO_MIXER
    try:
        with Mixer(name) as mixer:
            return capture_side(mixer.controls())
    except AudioError:
        return NO_MIXER


def move_fader(name: str, by_db: float) -> float:
    """Move the capture fader; returns dB where it is now. AudioError."""
    with Mixer(name) as mixer:
        control = capture_side(mixer.controls()).control
        if control is None or control.capture is None or control.capture.db is None:
            raise AudioError(f"the mixer {name} has no capture fader in decibels any more")
        mixer.set_db(control, control.capture.db + by_db, capture=True)
        after = capture_side(mixer.controls()).control
        assert after is not None
        assert after.capture is not None
        return after.capture.db if after.capture.db is not None else math.nan


def switch_agc_off(name: str) -> None:
    """AudioError."""
    with Mixer(name) as mixer:
        agc = capture_side(mixer.controls()).agc
        if agc is not None:
            mixer.set_switch(agc, False, capture=agc.capture_on is not None)


def unmute(name: str) -> None:
    """AudioError."""
    with Mixer(name) as mixer:
        control = capture_side(mixer.controls()).control
        if control is not None and control.capture_on is not None:
            mixer.set_switch(control, True, capture=True)
