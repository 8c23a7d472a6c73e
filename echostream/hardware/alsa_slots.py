"""Named places in ALSA's configuration that a card can be put into while PortAudio is running.

PortAudio lists its devices once, when it is initialised: a card that comes later, or comes back under another
index, cannot be opened by it, and initialising again stops every running stream. So one
`pcm.echostream_slot_N` per card is written before PortAudio starts. While its card is away a slot is ALSA's
`null` device, which is always there and so is always listed; to open the card the file is replaced by one in
which the slot is another name of the card's PCM. ALSA reads its top-level files again when one of them
changed (device, inode or time), at the next snd_pcm_open, and PortAudio opens by name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from echostream.errors import AudioError

SLOT_PREFIX: Final = "echostream_slot_"
STOCK_CONFIG: Final = "/usr/share/alsa/alsa.conf"
CONFIG_VARIABLE: Final = "ALSA_CONFIG_PATH"

_UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f]")


def slot_name(number: int) -> str:
    """Name of a slot's PCM, as ALSA and PortAudio know it."""
    return f"{SLOT_PREFIX}{number}"


def render_slots(targets: list[tuple[str | None, str | None]]) -> str:
    """The configuration file: one slot each for (capture PCM, playback PCM); None is a half that is away."""
    lines = ["# Written by EchoStream; replaced whenever a sound card comes or goes."]
    for number, (capture, playback) in enumerate(targets):
        lines.append(
            f"pcm.{slot_name(number)} {{ type asym "
            f"capture.pcm {_pcm(capture)} playback.pcm {_pcm(playback)} }}"
        )
    return "\n".join(lines) + "\n"


def config_path(previous: str | None, slots: Path) -> str:
    """Value of $ALSA_CONFIG_PATH with the slots added to what was there. AudioError if it cannot be said."""
    if re.search(r"[:\s]", str(slots)):
        raise AudioError(f"{slots}: ALSA splits paths at colons and blanks; use another runtime directory")
    return f"{previous or STOCK_CONFIG}:{slots}"


def _pcm(name: str | None) -> str:
    if name is None:
        return "{ type null }"
    if _UNQUOTABLE.search(name):
        raise AudioError(f"card {name!r}: a control character in a PCM name")
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class AlsaSlots:
    """The file with the slots, and which card sits in which. The caller holds a lock around every call."""

    def __init__(self, directory: Path, count: int) -> None:
        """Writes the file with all slots empty. OSError when the folder cannot be written."""
        self.path = directory / "slots.conf"
        self._targets: list[tuple[str | None, str | None]] = [(None, None)] * count
        self._owners: list[str] = []
        self._write()

    def number_of(self, card: str) -> int:
        """The slot of a card, given to it at its first use. AudioError when no slot is left."""
        if card not in self._owners:
            if len(self._owners) == len(self._targets):
                raise AudioError(
                    f"card {card!r}: all {len(self._targets)} places for cards are taken; restart to add more"
                )
            self._owners.append(card)
        return self._owners.index(card)

    def point(self, number: int, *, capture: bool, pcm: str | None) -> None:
        """Make one half of a slot another name of `pcm` (None: null) for the next open."""
        before = self._targets[number]
        after = (pcm, before[1]) if capture else (before[0], pcm)
        if after != before:
            self._targets[number] = after
            self._write()

    def _write(self) -> None:
        """Replace the file in one step, so that no reader ever sees half of it; its inode changes with it."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(render_slots(self._targets), encoding="utf-8")
        os.replace(fresh, self.path)
