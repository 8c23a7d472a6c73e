"""An archive as the recorder leaves it, made by hand: the recordings that a test needs, of known samples."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echostream.archive.audio_file import new_audio_file
from echostream.archive.file_names import take_place
from echostream.archive.meta_files import write_meta
from echostream.archive.recording import Recording

NOON = int(datetime(2024, 11, 21, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000
SECOND = 1_000_000


def noise(count: int, seed: int = 1, level: float = 0.1) -> NDArray[np.int16]:
    """Samples that are each other's neighbours nowhere: a shift by one shows. Shape (count,)."""
    loud = np.random.default_rng(seed).normal(scale=32768 * level, size=count)
    return np.clip(np.rint(loud), -32768, 32767).astype(np.int16)


def voice(seconds: float, rate_hz: int = 16_000, seed: int = 1) -> NDArray[np.int16]:
    """Something that looks like speech in a picture: syllables of a few harmonics, in a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    harmonics = np.stack([np.sin(phase * number) / number for number in range(1, 20)])
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * t) + 0.4, 0, 1) * np.clip(np.sin(2 * np.pi * 0.17 * t), 0, 1)
    sound = 0.25 * syllables * harmonics.sum(axis=0) + 0.003 * rng.normal(size=t.size)
    whole: NDArray[np.int16] = np.clip(np.rint(32768 * sound), -32768, 32767).astype(np.int16)
    return whole


class ArchiveHouse:
    """A directory with recordings in it. Ids are the same in every run, and unlike those of another house."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.recordings: list[Recording] = []

    def add(self, source: str, start_us: int, samples: NDArray[np.int16], **known: Any) -> Recording:
        """Write the sound and what is known of it. known: fields of Recording, as they shall be."""
        number = len(self.recordings) + 1
        form, kind = known.pop("form", "wav"), known.pop("kind", "device")
        rate_hz = known.pop("rate_hz", 16_000)
        place = take_place(self.directory, start_us, source, kind)
        file = new_audio_file(form, place.audio(form), rate_hz)
        if samples.size:
            file.write(samples)
        file.close()
        data = place.audio(form).read_bytes()
        about = Recording(
            id=hashlib.md5(f"{self.directory} {number}".encode()).hexdigest(),
            path=place.path(form),
            form=form,
            gateway="station-7",
            source=source,
            kind=kind,
            trigger=known.pop("trigger", "continuous"),
            start_us=start_us,
            rate_hz=rate_hz,
            samples=samples.size,
            state=known.pop("state", "closed"),
            ended=known.pop("ended", "segment"),
            clock="synchronised",
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self.recordings.append(replace(about, **known))
        write_meta(self.directory, self.recordings[-1])
        return self.recordings[-1]
