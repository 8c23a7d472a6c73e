"""Recordings on disk: what each form costs to write, beside ffmpeg; turning a WAV into another; repair.

CPU seconds for a second of one source at 16 kHz, recorded speech with a quiet hiss, in the same run as
ffmpeg, which reads the same samples from a pipe and writes the same form. Least of several rounds each.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echostream.archive.audio_file import new_audio_file
from echostream.archive.conversion import convert
from echostream.archive.recording import AudioForm
from echostream.archive.repair import repair_file
from echostream.audio.format import Samples
from echostream.audio.resampler import RationalResampler
from tests.bench._speech import speech
from tests.bench.rows import Row, skipped

RATE_HZ = 16_000
MINUTES = 10
HALF_WRITTEN = 100
REPAIR_GOAL_S = 10.0
ROUNDS = 3
CODECS: dict[AudioForm, tuple[str, ...]] = {
    "wav": (),
    "flac": ("-compression_level", "5"),
    "opus": ("-c:a", "libopus", "-b:a", "64k", "-compression_level", "5", "-application", "audio"),
}


def run(long: bool = False) -> list[Row]:
    """About a minute."""
    folder = Path(tempfile.mkdtemp(prefix="echostream-bench-"))
    samples = _ten_minutes()
    try:
        rows = [row for form in CODECS for row in _written(folder, form, samples)]
        rows += [_converted(folder, form) for form in ("flac", "opus")]
        return rows + [_repaired(folder, form) for form in CODECS]
    finally:
        shutil.rmtree(folder)


def _ten_minutes() -> Samples:
    voice = RationalResampler(48_000, RATE_HZ).process(speech(60.0))
    whole = np.resize(voice, MINUTES * 60 * RATE_HZ).astype(np.float32)
    whole += np.random.default_rng(1).normal(0, 15, whole.size)
    samples: Samples = np.clip(whole, -32768, 32767).astype(np.int16)
    return samples


def _written(folder: Path, form: AudioForm, samples: Samples) -> list[Row]:
    seconds = len(samples) / RATE_HZ
    ours_s = min(_cpu_s(lambda: _write(folder, form, samples)) for _ in range(ROUNDS))
    size = (folder / f"whole.{form}").stat().st_size
    what = f"{form}: a source's second"
    figure = f"{1e6 * ours_s / seconds:.0f} us CPU"
    note = f"{size / seconds * 86_400 / 1e9:.2f} GB a day"
    if shutil.which("ffmpeg") is None:
        return [Row("files", what, figure, note=note), skipped("files", what, "ffmpeg is not installed")]
    theirs_s = min(_cpu_s(lambda: _ffmpeg(folder, form, samples)) for _ in range(ROUNDS))
    goal = f"<= {1e6 * theirs_s / seconds:.0f} us (ffmpeg)"
    return [Row("files", what, figure, goal, ours_s <= theirs_s, note)]


def _write(folder: Path, form: AudioForm, samples: Samples) -> None:
    """As the recorder does: a second at a time; and what a kill a moment before the end would leave."""
    path = folder / f"whole.{form}"
    path.unlink(missing_ok=True)
    file = new_audio_file(form, path, RATE_HZ)
    for at in range(0, len(samples), RATE_HZ):
        file.write(samples[at : at + RATE_HZ])
    shutil.copy(path, folder / f"half.{form}")
    file.close()


def _ffmpeg(folder: Path, form: AudioForm, samples: Samples) -> None:
    source = ("-f", "s16le", "-ar", str(RATE_HZ), "-ac", "1", "-i", "pipe:0", "-threads", "1")
    command = ["ffmpeg", "-v", "error", "-y", *source, *CODECS[form], str(folder / f"theirs.{form}")]
    subprocess.run(command, input=samples.tobytes(), check=True, timeout=300)


def _converted(folder: Path, form: AudioForm) -> Row:
    seconds = MINUTES * 60
    cpu_s = _cpu_s(lambda: convert(folder / "whole.wav", folder / "new", form, 64_000, lambda: False))
    figure = f"{1e6 * cpu_s / seconds:.0f} us CPU"
    return Row("files", f"WAV to {form}, compared: a second", figure)


def _repaired(folder: Path, form: AudioForm) -> Row:
    data = (folder / f"half.{form}").read_bytes()
    paths = [folder / f"{number}.{form}" for number in range(HALF_WRITTEN)]
    for number, path in enumerate(paths):
        path.write_bytes(data[: len(data) - 997 * number])
    began_s = time.perf_counter()
    found = [repair_file(path, form, RATE_HZ) for path in paths]
    took_s = time.perf_counter() - began_s
    least_s = min(one.samples for one in found) / RATE_HZ
    for path in paths:
        path.unlink()
    what = f"{form}: {HALF_WRITTEN} half-written files of {MINUTES} min repaired"
    met = took_s < REPAIR_GOAL_S and least_s > MINUTES * 60 - 30
    return Row("files", what, f"{took_s:.2f} s", f"< {REPAIR_GOAL_S:.0f} s", met)


def _cpu_s(work: Callable[[], None] | Callable[[], object]) -> float:
    """CPU seconds of this process and its children."""
    before = _used_s()
    work()
    return _used_s() - before


def _used_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, kinds))
