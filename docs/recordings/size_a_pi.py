"""Makes the tables of docs/recordings.md: what a stream costs on the disk, by the recorder's own files.

    .venv/bin/python docs/recordings/size_a_pi.py

Five minutes of each kind of sound at 16 kHz, from the recorded speech that EchoStream ships and white noise
of a fixed seed.
"""

from __future__ import annotations

import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echostream.archive.audio_file import new_audio_file
from echostream.archive.recording import AudioForm
from echostream.audio.format import FULL_SCALE, Samples
from echostream.audio.resampler import RationalResampler

RATE_HZ = 16_000
SECONDS = 300
SPEECH = Path(__file__).parents[2] / "echostream" / "simulator" / "speech" / "microphone.wav"
DAY_S = 86_400
STREAMS = (1, 4, 8, 16, 50, 100)
DISKS_GB = (32, 128, 512, 2000)
SHARE_FREE = 0.95
"""recording.min_free_percent leaves 5 % to others."""


def speech(level_dbfs: float) -> NDArray[np.float64]:
    """All of it, again and again, at an RMS level while somebody speaks. Shape (n,), ±1.0."""
    with wave.open(str(SPEECH)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        once = RationalResampler(file.getframerate(), RATE_HZ).process(data) / FULL_SCALE
    loud = once[np.abs(once) > 0.01]
    once = once * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(loud**2))
    return np.resize(once, RATE_HZ * SECONDS)


def sounds() -> dict[str, Samples]:
    """The kinds of sound, by what they stand for."""
    rng = np.random.default_rng(1)
    talk, t = speech(-26.0), np.arange(RATE_HZ * SECONDS) / RATE_HZ

    def noise(level_dbfs: float) -> NDArray[np.float64]:
        return rng.normal(scale=10 ** (level_dbfs / 20), size=t.size)

    tenth = t % 60 < 6
    kinds = {
        "a radio with squelch, on the air 10 % of the time": tenth * (talk + noise(-45)),
        "a microphone in a quiet room (noise -65 dBFS), speech 10 % of the time": noise(-65) + tenth * talk,
        "a microphone in an office (noise -55 dBFS), speech all the time": noise(-55) + talk,
        "a microphone at a road (noise -35 dBFS), speech all the time": noise(-35) + talk,
    }
    return {
        name: np.clip(np.rint(sound * FULL_SCALE), -32768, 32767).astype(np.int16)
        for name, sound in kinds.items()
    }


def bytes_a_second(form: AudioForm, samples: Samples, bitrate_bps: int = 64_000) -> float:
    """Of the file that the recorder would write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound.{form}"
        file = new_audio_file(form, path, RATE_HZ, bitrate_bps)
        for at in range(0, len(samples), RATE_HZ):
            file.write(samples[at : at + RATE_HZ])
        file.close()
        return path.stat().st_size / (len(samples) / RATE_HZ)


def write_row(*cells: str) -> None:
    """One row of a table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")


def main() -> None:
    """Print the tables as they stand in the page."""
    kinds = sounds()
    forms: dict[str, tuple[AudioForm, int]] = {
        "WAV": ("wav", 0),
        "FLAC": ("flac", 0),
        "Opus 64k": ("opus", 64_000),
        "Opus 24k": ("opus", 24_000),
    }
    write_row("GB a day of one stream, 16 kHz, continuous", *forms)
    write_row("---", *["--:"] * len(forms))
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for kind, samples in kinds.items():
        for name, (form, bitrate) in forms.items():
            rates[name].append(bytes_a_second(form, samples, bitrate))
        write_row(kind, *(f"{rates[name][-1] * DAY_S / 1e9:.2f}" for name in forms))
    sys.stdout.write("\n")
    columns = {name: rates[name][2] for name in forms}  # an office, speech all the time
    disks = [f"days of FLAC on {size} GB" for size in DISKS_GB]
    write_row("streams", *(f"{name}, GB a day" for name in columns), *disks)
    write_row(*["--:"] * (1 + len(columns) + len(DISKS_GB)))
    for count in STREAMS:
        days = {name: count * rate * DAY_S / 1e9 for name, rate in columns.items()}
        cells = [f"{day:.1f}" if day < 100 else f"{day:.0f}" for day in days.values()]
        lasts = [SHARE_FREE * size / days["FLAC"] for size in DISKS_GB]
        write_row(str(count), *cells, *(f"{last:.0f}" if last >= 10 else f"{last:.1f}" for last in lasts))


if __name__ == "__main__":
    main()
