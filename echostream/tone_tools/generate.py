"""`echostream tones generate`: pages and calls as sound files, clean or in noise."""

from __future__ import annotations

import io
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from echostream.config.listen import listen_plan
from echostream.config.tone_models import AlertTone, TonePlan
from echostream.errors import AudioError, ConfigError
from echostream.tone_tools.sound_files import STDIN
from echostream.tones import generator
from echostream.tones.generator import Part
from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone

NOISE_BAND_HZ: Final = 4000.0
"""SNR counts the noise up to here: what a voice channel lets through."""
AROUND_S: Final = 0.5
"""Silence before and after, so that the first and the last tone have edges."""
_MOST_NOISY_S: Final = 300.0
_HIGHEST_PEAK: Final = 0.99


@dataclass(frozen=True, slots=True)
class Timing:
    """What of a page's lengths is said; None: as the definition, or the standard, has it."""

    a_s: float | None = None
    b_s: float | None = None
    gap_s: float = 0.0
    tone_s: float = generator.DTMF_TONE_S
    pause_s: float = generator.DTMF_PAUSE_S


@dataclass(frozen=True, slots=True)
class Writing:
    """How it is written. level_dbfs: a sine of full scale is 0. noise_snr_db: None for no noise."""

    output: Path
    rate_hz: int = 48_000
    level_dbfs: float = -12.0
    noise_snr_db: float | None = None
    seed: int = 1


def definition_of(tone: AlertTone) -> TwoTone | OneTone | AtOnce | Digits:
    """A configured page, as the ear and the generator know it."""
    plan = listen_plan(TonePlan(alert_tones=(tone,)))
    found: list[TwoTone | OneTone | AtOnce | Digits] = []
    for kind in (plan.two_tone, plan.one_tone, plan.at_once, plan.digits):
        found += kind
    return found[0]


def parts_of(definition: TwoTone | OneTone | AtOnce | Digits, timing: Timing) -> tuple[Part, ...]:
    """What is sent for a definition. ConfigError for digits that cannot be sent."""
    try:
        match definition:
            case TwoTone():
                return generator.two_tone(definition, timing.a_s, timing.b_s, timing.gap_s)
            case OneTone():
                return generator.one_tone(definition, timing.a_s)
            case AtOnce():
                return generator.at_once(definition, timing.a_s, timing.gap_s)
            case Digits(system="dtmf") if "?" not in definition.digits:
                return generator.dtmf(definition.digits, timing.tone_s, timing.pause_s)
        return generator.parts_for(definition)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def generate(parts: tuple[Part, ...], writing: Writing, err: TextIO) -> int:
    """Write a page. EchoStreamError says what is wrong."""
    try:
        around = Part(AROUND_S)
        sound = generator.render((around, *parts, around), writing.rate_hz, writing.level_dbfs)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if writing.noise_snr_db is not None:
        sound = _in_noise(sound, parts, writing)
    loudest = float(np.abs(sound).max(initial=0.0))
    if loudest > _HIGHEST_PEAK:
        down_db = 20 * np.log10(loudest / _HIGHEST_PEAK)
        err.write(f"turned down by {down_db:.1f} dB, so that the noise does not clip\n")
        sound = sound * (_HIGHEST_PEAK / loudest)
    _write(sound, writing)
    if writing.output != STDIN:
        err.write(f"{writing.output}: {sound.size / writing.rate_hz:.2f} s at {writing.rate_hz} Hz\n")
    return 0


def _in_noise(sound: NDArray[np.float64], parts: tuple[Part, ...], writing: Writing) -> NDArray[np.float64]:
    """With white noise up to 4 kHz, so many dB below the power that the tones have while they sound."""
    sounding_s = sum(part.length_s for part in parts if part.hz)
    if sound.size / writing.rate_hz > _MOST_NOISY_S:
        raise ConfigError(f"noise for more than {_MOST_NOISY_S:.0f} s: make it shorter")
    power = float(np.sum(sound**2)) / (sounding_s * writing.rate_hz)
    noise = np.random.default_rng(writing.seed).normal(size=sound.size)
    spectrum = np.fft.rfft(noise)
    spectrum[int(NOISE_BAND_HZ / writing.rate_hz * sound.size) + 1 :] = 0.0
    noise = np.fft.irfft(spectrum, sound.size)
    wanted = power / 10 ** ((writing.noise_snr_db or 0.0) / 10)
    noisy: NDArray[np.float64] = sound + noise * np.sqrt(wanted / np.mean(noise**2))
    return noisy


def _write(sound: NDArray[np.float64], writing: Writing) -> None:
    if writing.output != STDIN:
        from echostream.tone_tools.sound_library import write_sound

        write_sound(writing.output, sound.astype(np.float32), writing.rate_hz)
        return
    if sys.stdout.isatty():
        raise AudioError("a sound file is nothing for a terminal: -o FILE.wav, or pipe it on")
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(writing.rate_hz)
        file.writeframes(generator.to_int16(sound).astype("<i2").tobytes())
    sys.stdout.buffer.write(memory.getvalue())
    sys.stdout.buffer.flush()
