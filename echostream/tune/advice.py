"""What to do about the levels that were measured. Pure.

The aim is ITU's nominal speech level, -26 dBov (ITU-T P.56, G.107 and all codec tests): the limiter then only
meets shouting, and the quiet speaker is still far above the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from echostream.config.models import Channel, Vox
from echostream.tune.levels import InputLevels

AIM_DBFS: Final = -26.0
GOOD_DBFS: Final = (-30.0, -20.0)
MAX_NOISE_DBFS: Final = -40.0
MIN_SNR_DB: Final = 20.0
HEADROOM_DBFS: Final = -3.0
MAX_HUM_DBFS: Final = -55.0
MAX_DC_DBFS: Final = -40.0
LEAST_VOX_DBFS: Final = -60.0
"""Below it a chair that creaks opens the valve, however silent the room was."""
VOX_OFF_DB: Final = 6.0
MOST_GAIN_DB: Final = 60.0
"""What a configuration takes (input_gain_db)."""

Sort = Literal["good", "note", "change"]


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence. sort "change": something is to be done."""

    sort: Sort
    about: str
    words: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to set. mixer_db: by how much to move the card's own capture fader. input_gain_db: the new value,
    None for as it is. vox_dbfs: a threshold for the voice valve, None where none would do."""

    mixer_db: float = 0.0
    input_gain_db: float | None = None
    vox_dbfs: float | None = None


@dataclass(frozen=True, slots=True)
class Fader:
    """The card's capture fader: how far it can go up and down from where it is, dB; 0 and 0 without one."""

    name: str = ""
    up_db: float = 0.0
    down_db: float = 0.0


def suggest(levels: InputLevels, gain_db: float, fader: Fader) -> Suggestion:
    """gain_db: the channel's input_gain_db as it is."""
    mixer_db = _mixer_step(levels, gain_db, fader)
    active_dbfs = levels.speech.active_dbfs + mixer_db
    new_gain = gain_db
    if levels.spoken and not GOOD_DBFS[0] <= active_dbfs + gain_db <= GOOD_DBFS[1]:
        new_gain = float(min(MOST_GAIN_DB, max(-MOST_GAIN_DB, round(AIM_DBFS - active_dbfs))))
    changed = None if new_gain == gain_db else new_gain
    return Suggestion(mixer_db, changed, _vox(levels, mixer_db + new_gain))


def _mixer_step(levels: InputLevels, gain_db: float, fader: Fader) -> float:
    """The card's fader comes first: it is before the converter, where clipping and noise are made."""
    if levels.clipped:
        return -min(fader.down_db, 6.0) if fader.name else 0.0
    if not levels.spoken or not fader.name:
        return 0.0
    on_air_dbfs = levels.speech.active_dbfs + gain_db
    if GOOD_DBFS[0] <= on_air_dbfs <= GOOD_DBFS[1]:
        return 0.0
    wanted = AIM_DBFS - levels.speech.active_dbfs
    # What the loudest moment leaves.
    room = max(0.0, HEADROOM_DBFS - levels.peak_dbfs)
    return float(round(max(-fader.down_db, min(wanted, fader.up_db, room))))


def _vox(levels: InputLevels, gain_db: float) -> float | None:
    """Half way between what noise reaches and where speech is, but never nearer to either than 6 dB."""
    if not (levels.spoken and levels.paused):
        return None
    noise, speech = levels.noise_top_dbfs + gain_db, levels.speech.active_dbfs + gain_db
    if speech - noise < 12.0:
        return None
    # A word begins softly: nearer to the noise than to the speech.
    return float(max(LEAST_VOX_DBFS, min(0, math.ceil(max(noise + 6.0, min(noise + 15.0, speech - 15.0))))))


def advise(levels: InputLevels, channel: Channel, suggestion: Suggestion) -> list[Advice]:
    """Everything that there is to say, what matters most first."""
    return [
        *_loudness(levels, channel.input_gain_db),
        *_background(levels),
        *_voice_valve(levels, channel.vox, suggestion),
    ]


def _loudness(levels: InputLevels, gain_db: float) -> list[Advice]:
    found = []
    if levels.clipped:
        words = (
            f"{levels.clipped} samples are clipped at the card's converter: lower the card's capture level "
            "or the radio's output; no setting of the gateway undoes it"
        )
        found.append(Advice("change", "clipping", words))
    if not levels.spoken:
        words = f"nobody was heard to speak: nothing stands out of the noise at {levels.noise_dbfs:.0f} dBFS"
        return [*found, Advice("change", "speech", words)]
    on_air = levels.speech.active_dbfs + gain_db
    gain = f" with {gain_db:+.0f} dB of input gain" if gain_db else ""
    words = f"speech is at {on_air:.0f} dBFS{gain}; {AIM_DBFS:.0f} is the aim"
    low, high = GOOD_DBFS
    if on_air < low:
        found.append(Advice("change", "speech", f"{words}: too quiet by {low - on_air:.0f} dB or more"))
    elif on_air > high:
        found.append(Advice("change", "speech", f"{words}: too loud by {on_air - high:.0f} dB or more"))
    else:
        found.append(Advice("good", "speech", words))
    if not levels.clipped:
        room = -levels.peak_dbfs
        sort: Sort = "good" if room >= -HEADROOM_DBFS else "note"
        found.append(Advice(sort, "peaks", f"the loudest peak is {room:.0f} dB below the converter's stop"))
    return found


def _background(levels: InputLevels) -> list[Advice]:
    if not levels.paused:
        words = f"noise is not known: nobody paused for half a second (at most {levels.noise_dbfs:.0f} dBFS)"
        return [Advice("note", "noise", words)]
    found = []
    snr = levels.speech.active_dbfs - levels.noise_dbfs
    if levels.spoken and snr < MIN_SNR_DB:
        words = (
            f"noise is at {levels.noise_dbfs:.0f} dBFS, only {snr:.0f} dB below speech: microphone boost "
            "off, the radio's squelch closed in pauses, shielded cables"
        )
        found.append(Advice("change", "noise", words))
    elif levels.noise_dbfs > MAX_NOISE_DBFS:
        words = f"noise is at {levels.noise_dbfs:.0f} dBFS while nobody speaks: is the radio's squelch open?"
        found.append(Advice("change", "noise", words))
    else:
        found.append(Advice("good", "noise", f"noise is at {levels.noise_dbfs:.0f} dBFS"))
    if levels.hum_dbfs > MAX_HUM_DBFS:
        words = (
            f"hum of {levels.hum_hz:.0f} Hz at {levels.hum_dbfs:.0f} dBFS: a ground loop; an isolating "
            "transformer in the audio lines, radio and gateway on one power supply's ground"
        )
        found.append(Advice("change", "hum", words))
    if levels.dc_dbfs > MAX_DC_DBFS:
        words = f"a constant offset of {levels.dc_dbfs:.0f} dBFS: the coupling capacitor is missing or leaks"
        found.append(Advice("note", "offset", words))
    return found


def _voice_valve(levels: InputLevels, vox: Vox, suggestion: Suggestion) -> list[Advice]:
    if not (levels.spoken and levels.paused):
        return []
    if suggestion.vox_dbfs is None:
        words = "speech does not stand out enough for a voice valve (vox): use the radio's squelch line (cos)"
        return [Advice("change" if vox.enabled else "note", "vox", words)]
    if not vox.enabled:
        words = f"a voice valve (vox.threshold_dbfs) would do at {suggestion.vox_dbfs:.0f} dBFS"
        return [Advice("note", "vox", words)]
    off = abs(vox.threshold_dbfs - suggestion.vox_dbfs)
    words = f"the voice valve opens at {vox.threshold_dbfs:.0f} dBFS; {suggestion.vox_dbfs:.0f} would suit"
    return [Advice("change" if off > VOX_OFF_DB else "good", "vox", words)]
