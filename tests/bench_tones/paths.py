"""What a page goes through on its way: Opus with loss, an FM voice path, a vocoder, mains hum."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from echostream.audio.opus_codec import EncoderSettings, OpusDecoder, OpusEncoder, has_fec
from tests.bench_tones.scenes import RATE_HZ, Sound

OPUS_RATE_HZ: Final = 48_000
VOICE_HZ: Final = (300.0, 3000.0)
EMPHASIS_HZ: Final = 300.0
"""Corner of a land mobile transmitter's pre-emphasis: 6 dB an octave above it."""
FLUTTER_HZ: Final = (2.0, 15.0)

_BAND: Final = butter(3, VOICE_HZ, "bandpass", fs=RATE_HZ, output="sos")
_SPLATTER: Final = butter(4, VOICE_HZ[1], "lowpass", fs=RATE_HZ, output="sos")
_POLE: Final = math.exp(-2 * math.pi * EMPHASIS_HZ / RATE_HZ)


def opus(rng: np.random.Generator, signal: Sound, bitrate_bps: int = 16_000, lost: float = 0.05) -> Sound:
    """Through libopus; lost packets from redundancy where there is some, else made up. 48 kHz out."""
    pcm = np.clip(resample_poly(signal, OPUS_RATE_HZ // RATE_HZ, 1) * 32768, -32768, 32767).astype(np.int16)
    encoder = OpusEncoder(EncoderSettings(bitrate_bps=bitrate_bps, fec=True, expected_loss_percent=5))
    size = encoder.packet_samples
    packets = [encoder.encode(pcm[at : at + size]) for at in range(0, pcm.size - size + 1, size)]
    gone = rng.random(len(packets)) < lost
    decoder = OpusDecoder()
    parts: list[NDArray[np.int16]] = []
    for number, packet in enumerate(packets):
        following = packets[number + 1] if number + 1 < len(packets) and not gone[number + 1] else None
        if not gone[number]:
            parts.append(decoder.decode(packet))
        elif following is not None and has_fec(following):
            parts.append(decoder.decode_fec(following, size))
        else:
            parts.append(decoder.conceal(size))
    return np.concatenate(parts).astype(np.float32) / np.float32(32768)


def radio(rng: np.random.Generator, signal: Sound, drive_db: float = 6.0, flutter: bool = False) -> Sound:
    """An FM voice channel without its noise: 300 to 3000 Hz, pre-emphasis, limiter, de-emphasis.

    drive_db: how far what is at -24 dBFS RMS goes into the limiter. flutter: the level wavers by a few dB.
    """
    voice = sosfilt(_BAND, signal)
    emphasised = lfilter([1.0, -_POLE], [1.0 - _POLE], voice)
    limit = 10 ** ((-24.0 - drive_db) / 20) * math.sqrt(2) * 1000.0 / EMPHASIS_HZ
    limited = sosfilt(_SPLATTER, np.clip(emphasised, -limit, limit))
    received = sosfilt(_BAND, lfilter([1.0 - _POLE], [1.0, -_POLE], limited))
    if flutter:
        received = received * wavering(rng, received.size, 2.0)
    return np.asarray(received, np.float32)


def wavering(rng: np.random.Generator, count: int, spread_db: float) -> NDArray[np.float64]:
    """Gains that waver at 2 to 15 Hz with a standard deviation of spread_db."""
    knots = rng.standard_normal(count // 200 + 2)
    slow = sosfilt(butter(2, FLUTTER_HZ, "bandpass", fs=RATE_HZ / 200, output="sos"), knots)
    slow *= spread_db / max(float(np.std(slow)), 1e-9)
    gains: NDArray[np.float64] = 10 ** (np.interp(np.arange(count), np.arange(slow.size) * 200, slow) / 20)
    return gains


def fm_noise(rng: np.random.Generator, count: int, dbfs: float, fades: bool = False) -> Sound:
    """What a discriminator adds: rising with frequency, then de-emphasised and filtered; `dbfs` RMS in all.

    fades: it swells where the carrier fades, 2 to 15 times a second, up to clicks.
    """
    rising = np.diff(rng.standard_normal(count + 1))
    hiss = sosfilt(_BAND, lfilter([1.0 - _POLE], [1.0, -_POLE], rising))
    if fades:
        hiss = hiss * wavering(rng, count, 6.0)
    hiss *= 10 ** (dbfs / 20) / math.sqrt(float(np.mean(hiss**2)))
    return np.asarray(hiss, np.float32)


def vocoder(rng: np.random.Generator, signal: Sound) -> Sound:
    """The level as a vocoder has it: a new one every 20 ms, in steps of 1 dB, a little at random."""
    frame = RATE_HZ // 50
    knots = rng.integers(-1, 2, signal.size // frame + 2).astype(np.float64)
    gains_db = np.interp(np.arange(signal.size), np.arange(knots.size) * frame, knots)
    return np.asarray(signal * 10 ** (gains_db / 20), np.float32)


def hum(rng: np.random.Generator, count: int, dbfs: float) -> Sound:
    """A DC of 0.1 and mains hum of 50 or 60 Hz at `dbfs` RMS, its harmonics falling as 1 / n²."""
    mains_hz = 50.0 if rng.random() < 0.5 else 60.0
    n = np.arange(count)
    total = np.full(count, 0.1)
    for order in range(1, 11):
        peak = math.sqrt(2) * 10 ** (dbfs / 20) / order**2
        total += peak * np.sin(2 * math.pi * mains_hz * order / RATE_HZ * n + float(rng.uniform(0, 6.28)))
    return total.astype(np.float32)
