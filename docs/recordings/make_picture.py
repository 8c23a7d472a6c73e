"""Draws docs/recordings/show.png: a page on a radio and what was said after it, as `recordings show --plot`.

.venv/bin/python docs/recordings/make_picture.py
"""

from __future__ import annotations

import tempfile
import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from echostream.archive.audio_file import new_audio_file
from echostream.archive.file_names import take_place
from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.archive_tools.plot import draw
from echostream.audio.format import FULL_SCALE, Samples
from echostream.audio.resampler import RationalResampler
from echostream.tones.generator import Part, render, two_tone
from echostream.tones.plan import TwoTone

RATE_HZ = 16_000
HERE = Path(__file__).parent
SPEECH = HERE.parents[1] / "echostream" / "simulator" / "speech"
START_US = int(datetime(2026, 3, 1, 14, 5, 12, tzinfo=UTC).timestamp()) * 1_000_000
GAP_S = 1.5


def speech(name: str) -> Samples:
    """Recorded speech at 16 kHz."""
    with wave.open(str(SPEECH / name)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return RationalResampler(file.getframerate(), RATE_HZ).process(data)


def main() -> None:
    """A page, speech, a gap, speech; with the noise of a radio under all but the gap."""
    page = render(
        (Part(1.0), *two_tone(TwoTone("engine-7", 349.0, 433.7), 1.0, 3.0), Part(0.5)), RATE_HZ, -14.0
    )
    first, second = speech("microphone.wav"), speech("answer.wav")
    heard = np.concatenate([page, first / FULL_SCALE])
    noise = np.random.default_rng(1)
    parts = [heard, np.zeros(round(GAP_S * RATE_HZ)), second / FULL_SCALE]
    parts = [part + noise.normal(scale=0.003, size=part.size) * bool(part.any()) for part in parts]
    sound = np.clip(np.rint(np.concatenate(parts) * FULL_SCALE), -32768, 32767).astype(np.int16)
    gap_us = START_US + round(1e6 * heard.size / RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        place = take_place(Path(folder), START_US, "fire-dispatch", "channel")
        file = new_audio_file("flac", place.audio("flac"), RATE_HZ)
        file.write(sound)
        file.close()
        one = Recording(
            id="0" * 32,
            path=place.path("flac"),
            form="flac",
            gateway="station-7",
            source="fire-dispatch",
            kind="channel",
            trigger="continuous",
            start_us=START_US,
            rate_hz=RATE_HZ,
            label="Fire dispatch",
            samples=sound.size,
            state="closed",
            gaps=[Gap(gap_us, gap_us + round(GAP_S * 1e6), "card gone", heard.size)],
            tones=[ToneMark("engine-7", "Engine 7", START_US + 1_000_000, START_US + 5_000_000)],
        )
        draw(Path(folder) / "show.png", Path(folder), one, UTC)
        with Image.open(Path(folder) / "show.png") as picture:
            picture.convert("RGB").quantize(80).save(HERE / "show.png", optimize=True)


if __name__ == "__main__":
    main()
