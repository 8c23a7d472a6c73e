"""A picture of a self-test: what came back, the frequency and the impulse response, noise and distortion."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, RATE_HZ
from echostream.errors import AudioError, LibraryMissing
from echostream.selftest.analysis import Measured
from echostream.selftest.judge import BAND_HZ, MAX_RIPPLE_DB
from echostream.selftest.run import Heard
from echostream.selftest.signal import TONE_HZ, Float, Part

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise LibraryMissing(
        "--plot needs matplotlib: `make run` installs it, or `.venv/bin/pip install matplotlib`"
    ) from error

_KINDS: Final = (".png", ".svg", ".pdf", ".jpg")
_INCHES: Final = (13.0, 8.0)
_LINE: Final = "#2f5d8a"
_LIMIT: Final = "#d1495b"
_QUIET: Final = "#2a7f3f"
_COLUMNS: Final = 2000
"""Of the waveform: its highest and lowest sample in each."""
_FLOOR_DBFS: Final = -130.0


def check(path: Path) -> None:
    """Whether a picture can be put there. AudioError before the take."""
    if path.suffix.lower() not in _KINDS:
        raise AudioError(f"{path}: expected a name that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise AudioError(f"{path}: there is no directory {path.parent}")


def draw(path: Path, title: str, heard: Heard) -> None:
    """Write the picture; where nothing came back it shows that. AudioError where it cannot be written."""
    figure = Figure(figsize=_INCHES, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes = figure.subplots(2, 2)
    _waveform(axes[0][0], heard)
    measured = heard.measured
    if measured is None:
        for one in (axes[0][1], axes[1][0], axes[1][1]):
            one.set_axis_off()
        axes[0][1].text(0.5, 0.5, "the signal did not come back", ha="center", color=_LIMIT)
    else:
        _response(axes[0][1], measured)
        _impulse(axes[1][0], measured)
        _spectra(axes[1][1], heard, measured)
    try:
        figure.savefig(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from None


def _waveform(axes: Axes, heard: Heard) -> None:
    wave = heard.taken.heard.astype(np.float64) / FULL_SCALE
    step = max(1, len(wave) // _COLUMNS)
    columns = wave[: len(wave) // step * step].reshape(-1, step)
    if len(columns):
        at_s = np.arange(len(columns)) * step / RATE_HZ
        axes.fill_between(at_s, columns.min(axis=1), columns.max(axis=1), color=_LINE, linewidth=0.4)
    axes.set_ylim(-1.0, 1.0)
    axes.set_title("what came back", loc="left", fontsize=10)
    axes.set_xlabel("time, s")
    axes.grid(alpha=0.3)


def _response(axes: Axes, measured: Measured) -> None:
    found = measured.response
    axes.semilogx(found.hz, found.gain_db, color=_LINE)
    for edge in (MAX_RIPPLE_DB, -MAX_RIPPLE_DB):
        axes.plot(BAND_HZ, (edge, edge), "--", color=_LIMIT, linewidth=1.0)
    low, high = found.range_db(50.0, 18_000.0)
    axes.set_ylim(max(-60.0, min(-12.0, low - 3.0)), max(12.0, high + 3.0))
    axes.set_xlim(50.0, 20_000.0)
    axes.set_title("frequency response, third octaves, against 1 kHz", loc="left", fontsize=10)
    axes.set_xlabel("frequency, Hz")
    axes.set_ylabel("dB")
    axes.grid(which="both", alpha=0.3)


def _impulse(axes: Axes, measured: Measured) -> None:
    impulse = measured.response.impulse
    level = 20 * np.log10(np.maximum(np.abs(impulse) / max(float(np.abs(impulse).max()), 1e-12), 1e-6))
    axes.plot(np.arange(len(impulse)) / RATE_HZ * 1000 - 10.0, level, color=_LINE, linewidth=0.7)
    axes.set_ylim(-100.0, 3.0)
    axes.set_title("impulse response", loc="left", fontsize=10)
    axes.set_xlabel("time after the direct sound, ms")
    axes.set_ylabel("dB")
    axes.grid(alpha=0.3)


def _spectra(axes: Axes, heard: Heard, measured: Measured) -> None:
    signal = heard.signal
    for part, colour, words in (
        (signal.tone, _LINE, f"tone of {TONE_HZ:.0f} Hz: distortion {measured.tone.thd_percent:.2f} %"),
        (signal.quiet, _QUIET, f"pause: noise {measured.quiet.noise_dbfs:.0f} dBFS"),
    ):
        hz, level = _spectrum(_part(heard, measured, part))
        axes.semilogx(hz, level, color=colour, linewidth=0.8, label=words)
    axes.set_xlim(20.0, 20_000.0)
    axes.set_ylim(_FLOOR_DBFS, 0.0)
    axes.set_title("spectra", loc="left", fontsize=10)
    axes.set_xlabel("frequency, Hz")
    axes.set_ylabel("dBFS in each line")
    axes.legend(fontsize=8, loc="upper right")
    axes.grid(which="both", alpha=0.3)


def _part(heard: Heard, measured: Measured, part: Part) -> Float:
    margin = round(0.05 * RATE_HZ)
    start, end = (round(at + measured.shift) for at in (part.start + margin, part.end - margin))
    piece: Float = heard.taken.heard[start:end].astype(np.float64) / FULL_SCALE
    return piece


def _spectrum(wave: Float) -> tuple[Float, Float]:
    """Lines in Hz, and their levels in dBFS: a sine reads its RMS."""
    window = np.hanning(len(wave))
    amplitude = np.abs(np.fft.rfft(wave * window)) / max(window.sum() / np.sqrt(2), 1e-12)
    level: Float = np.maximum(_FLOOR_DBFS, 20 * np.log10(np.maximum(amplitude, 1e-12)))
    hz: Float = np.fft.rfftfreq(len(wave), 1 / RATE_HZ).astype(np.float64)
    return hz, level
