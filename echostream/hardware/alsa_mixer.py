"""A sound card's mixer: what is muted, how loud each control is, and setting it.

libasound's "simple mixer", as documented in alsa/mixer.h: one control has a fader and a switch for playback,
for capture, or for both. Its volumes are the card's own steps, and decibels where the driver tells them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from echostream.errors import AudioError, LibraryMissing

FIRST_SIDE: Final = 0
"""SND_MIXER_SCHN_FRONT_LEFT, which is the only one of a mono control too."""
_HUNDREDTH_DB: Final = 100
_ROUND_NEAREST: Final = 0
_MUTE_DB: Final = -9_999_999
"""SND_CTL_TLV_DB_GAIN_MUTE, in hundredths: the lowest step is silence."""
_POINTERS: Final = ("snd_mixer_first_elem", "snd_mixer_elem_next")


@dataclass(frozen=True, slots=True)
class Fader:
    """One direction's volume, of the first side. least, most, now: the card's own steps. Decibels are None
    where the driver does not tell them, -inf for a lowest step that is silence."""

    least: int
    most: int
    now: int
    db: float | None = None
    least_db: float | None = None
    most_db: float | None = None

    @property
    def share(self) -> float:
        """Where it stands between its ends, 0 to 1: the percentage that alsamixer shows."""
        return (self.now - self.least) / (self.most - self.least) if self.most > self.least else 1.0


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a mixer. A fader or switch that it does not have is None."""

    name: str
    index: int
    playback: Fader | None = None
    capture: Fader | None = None
    playback_on: bool | None = None
    capture_on: bool | None = None


class Mixer:
    """One card's mixer, for one thread at a time."""

    def __init__(self, card: str) -> None:
        """card: ALSA's name of it, such as "hw:CARD=Device". AudioError where there is no such mixer,
        LibraryMissing without libasound."""
        self._asound = _library()
        self._card = card
        self._handle = ctypes.c_void_p()
        self._check("open", self._asound.snd_mixer_open(ctypes.byref(self._handle), 0))
        try:
            self._check("attach", self._asound.snd_mixer_attach(self._handle, card.encode()))
            self._check("register", self._asound.snd_mixer_selem_register(self._handle, None, None))
            self._check("load", self._asound.snd_mixer_load(self._handle))
        except AudioError:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, ctypes.c_void_p()
        if handle:
            self._asound.snd_mixer_close(handle)

    def __enter__(self) -> Mixer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def controls(self) -> tuple[Control, ...]:
        """All of them as they are now."""
        self._asound.snd_mixer_handle_events(self._handle)
        return tuple(self._control(element) for element in self._elements())

    def set_step(self, control: Control, step: int, *, capture: bool) -> None:
        """Move the fader of all sides to one of the card's own steps. AudioError."""
        way = "capture" if capture else "playback"
        call = getattr(self._asound, f"snd_mixer_selem_set_{way}_volume_all")
        self._check(f"set {control.name}", call(self._element(control), ctypes.c_long(step)))

    def set_db(self, control: Control, db: float, *, capture: bool) -> None:
        """Move the fader of all sides to the step that is nearest to so many decibels. AudioError."""
        way = "capture" if capture else "playback"
        call = getattr(self._asound, f"snd_mixer_selem_set_{way}_dB_all")
        hundredths = ctypes.c_long(round(db * _HUNDREDTH_DB))
        self._check(f"set {control.name}", call(self._element(control), hundredths, _ROUND_NEAREST))

    def set_switch(self, control: Control, on: bool, *, capture: bool) -> None:
        """Switch all sides on or off (muted). AudioError."""
        way = "capture" if capture else "playback"
        call = getattr(self._asound, f"snd_mixer_selem_set_{way}_switch_all")
        self._check(f"switch {control.name}", call(self._element(control), int(on)))

    # ---- inside

    def _elements(self) -> list[Any]:
        found = []
        element = self._asound.snd_mixer_first_elem(self._handle)
        while element:
            pointer = ctypes.c_void_p(element)
            if self._asound.snd_mixer_selem_is_active(pointer):
                found.append(pointer)
            element = self._asound.snd_mixer_elem_next(pointer)
        return found

    def _element(self, control: Control) -> Any:
        for element in self._elements():
            if self._name(element) == (control.name, control.index):
                return element
        raise AudioError(f"card {self._card}: its mixer has no control {control.name!r} any more")

    def _name(self, element: Any) -> tuple[str, int]:
        raw: bytes = self._asound.snd_mixer_selem_get_name(element) or b""
        return raw.decode(errors="replace"), int(self._asound.snd_mixer_selem_get_index(element))

    def _control(self, element: Any) -> Control:
        name, index = self._name(element)
        return Control(
            name,
            index,
            playback=self._fader(element, "playback"),
            capture=self._fader(element, "capture"),
            playback_on=self._switch(element, "playback"),
            capture_on=self._switch(element, "capture"),
        )

    def _fader(self, element: Any, way: str) -> Fader | None:
        if not self._ask(element, f"has_{way}_volume"):
            return None
        least, most, now = ctypes.c_long(), ctypes.c_long(), ctypes.c_long()
        self._ask(element, f"get_{way}_volume_range", ctypes.byref(least), ctypes.byref(most))
        self._ask(element, f"get_{way}_volume", FIRST_SIDE, ctypes.byref(now))
        least_db, most_db, db = ctypes.c_long(), ctypes.c_long(), ctypes.c_long()
        told = self._ask(element, f"get_{way}_dB_range", ctypes.byref(least_db), ctypes.byref(most_db))
        if told < 0 or self._ask(element, f"get_{way}_dB", FIRST_SIDE, ctypes.byref(db)) < 0:
            return Fader(least.value, most.value, now.value)
        return Fader(
            least.value, most.value, now.value, _db(db.value), _db(least_db.value), _db(most_db.value)
        )

    def _switch(self, element: Any, way: str) -> bool | None:
        if not self._ask(element, f"has_{way}_switch"):
            return None
        on = ctypes.c_int()
        self._ask(element, f"get_{way}_switch", FIRST_SIDE, ctypes.byref(on))
        return bool(on.value)

    def _ask(self, element: Any, what: str, *values: Any) -> int:
        return int(getattr(self._asound, f"snd_mixer_selem_{what}")(element, *values))

    def _check(self, what: str, code: int) -> None:
        if code < 0:
            raise AudioError(f"the mixer of card {self._card} ({what}): {os.strerror(-code)}")


def mixer_controls(card: str) -> tuple[Control, ...]:
    """Of a card, as they are now. As Mixer."""
    with contextlib.closing(Mixer(card)) as mixer:
        return mixer.controls()


def _db(hundredths: int) -> float:
    return float("-inf") if hundredths <= _MUTE_DB else hundredths / _HUNDREDTH_DB


@cache
def _library() -> Any:
    try:
        asound: Any = ctypes.CDLL("libasound.so.2")
    except OSError as error:
        raise LibraryMissing(f"libasound.so.2 is missing: apt install libasound2 ({error})") from error
    for name in _POINTERS:
        getattr(asound, name).restype = ctypes.c_void_p
    asound.snd_mixer_selem_get_name.restype = ctypes.c_char_p
    return asound
