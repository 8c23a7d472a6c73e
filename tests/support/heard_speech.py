"""What members say and hear: a sound that can be found again, and how much of it was."""

from __future__ import annotations

import numpy as np

from echostream.audio.format import RATE_HZ, Samples


def melody(seconds: float) -> Samples:
    """Tones that wander, so that a place in it can be found again by correlation."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(400 + 250 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 2.3 * t)
    return np.asarray(8000 * envelope * np.sin(phase)).astype(np.int16)


class Ear:
    """Keeps what was played."""

    def __init__(self) -> None:
        self.frames: list[Samples] = []

    def __call__(self, card: str, samples: Samples) -> None:
        self.frames.append(samples.copy())

    def heard(self) -> Samples:
        return np.concatenate(self.frames)


def similarity(heard: Samples, said: Samples) -> float:
    """Best normalised correlation of what was said within what was heard; both decimated to 8 kHz."""
    x, y = heard[::6].astype(np.float64), said[::6].astype(np.float64)
    size = 1 << (len(x) + len(y)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(x, size) * np.conj(np.fft.rfft(y, size)), size)
    at = int(np.argmax(correlation[: len(x)]))
    part = x[at : at + len(y)]
    return float(np.dot(part, y[: len(part)]) / (np.linalg.norm(part) * np.linalg.norm(y[: len(part)])))
