"""A picture of a recording: waveform and spectrogram over the time of day, its gaps, and what was paged."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import Final

import numpy as np

from echostream.archive.recording import Recording
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.spectrum import Look, look_at
from echostream.archive_tools.times import length_shown, moment, shown, zone_name
from echostream.errors import ArchiveError, LibraryMissing

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator
except ImportError as error:
    raise LibraryMissing(
        "--plot needs matplotlib: `make run` installs it, or `.venv/bin/pip install matplotlib`"
    ) from error

_KINDS: Final = (".png", ".svg", ".pdf", ".jpg")
_INCHES: Final = (14.0, 6.4)
_WAVE: Final = "#2f5d8a"
_GAP: Final = "#d1495b"
_TONE: Final = "#2a7f3f"
_LEAST_RANGE_DB, _MOST_RANGE_DB = 25.0, 70.0
_STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_TICKS: Final = 14
_LETTERS: Final = 150
"""Of the labels' size over the width of the picture."""
_LEAST_S: Final = 0.1
_ROWS: Final = 4
_PAPER: Final = {"facecolor": "white", "alpha": 0.85, "linewidth": 0.0, "pad": 1.0}


def check(path: Path) -> None:
    """Whether a picture can be put there. ArchiveError before an hour of sound is read for nothing."""
    if path.suffix.lower() not in _KINDS:
        raise ArchiveError(f"{path}: expected a name that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise ArchiveError(f"{path}: there is no directory {path.parent}")


def draw(path: Path, directory: Path, one: Recording, zone: tzinfo | None) -> None:
    """Write the picture. ArchiveError where the recording cannot be read, or the picture not written."""
    try:
        look = look_at(directory, one)
    except OSError as error:
        raise ArchiveError(f"{directory / one.path}: {error.strerror or error}") from None
    figure = Figure(figsize=_INCHES, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    wave, spectrum = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.8))
    _draw_wave(wave, look)
    _draw_spectrum(figure, spectrum, look)
    _draw_gaps(wave, one)
    _draw_tones(wave, one, look.duration_s)
    _time_axis(spectrum, one, look.duration_s, zone)
    wave.set_title(_title(one, look, zone), loc="left", fontsize=11)
    try:
        figure.savefig(path)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error.strerror or error}") from None


def _title(one: Recording, look: Look, zone: tzinfo | None) -> str:
    label = f" ({one.label})" if one.label not in ("", one.source) else ""
    missing = f"; the last {look.missing_s:.1f} s cannot be read" if look.missing_s > 0.05 else ""
    when = f"{shown(one.start_us, zone)} {zone_name(one.start_us, zone)}"
    return f"{source_name(one)}{label}, {when}, {length_shown(round(1e6 * look.duration_s))}{missing}"


def _draw_wave(axes: Axes, look: Look) -> None:
    times = (np.arange(look.lowest.size) + 0.5) * look.duration_s / look.lowest.size
    axes.fill_between(times, look.lowest, look.highest, color=_WAVE, linewidth=0.4, edgecolor=_WAVE)
    top = max(0.02, 1.1 * float(max(look.highest.max(), -look.lowest.min())))
    axes.set_ylim(-min(top, 1.0), min(top, 1.0))
    axes.axhline(0.0, color="#888888", linewidth=0.5)
    axes.set_ylabel("of full scale")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#dddddd", linewidth=0.5)


def _draw_spectrum(figure: Figure, axes: Axes, look: Look) -> None:
    levels = look.levels_db
    top = max(float(levels.max()), -60.0)
    # Silence that fills a gap is no noise: the floor is that of what was heard.
    heard = levels[:, levels.max(axis=0) > -120.0]
    quiet = float(np.median(heard)) if heard.size else top - _MOST_RANGE_DB
    floor = min(max(quiet - 3.0, top - _MOST_RANGE_DB), top - _LEAST_RANGE_DB)
    image = axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        extent=(-look.behind_s, max(look.duration_s, _LEAST_S) - look.behind_s, 0.0, look.highest_hz / 1000),
        cmap="magma",
        vmin=floor,
        vmax=top,
        interpolation="nearest",
    )
    axes.set_facecolor("black")
    axes.set_ylabel("frequency, kHz")
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, label="level, dBFS")


def _draw_gaps(axes: Axes, one: Recording) -> None:
    """Red where silence stands for what is missing, with the cause."""
    for gap in one.gaps:
        if gap.position is None:
            continue
        start_s = gap.position / one.rate_hz
        end_s = start_s + (gap.end_us - gap.start_us) / 1e6
        axes.axvspan(start_s, end_s, color=_GAP, alpha=0.35, linewidth=1.0)
    if one.gaps:
        causes = ", ".join(dict.fromkeys(gap.cause for gap in one.gaps))
        axes.text(
            1.0, 1.02, f"missing: {causes}", transform=axes.transAxes, ha="right", va="bottom", color=_GAP
        )


def _draw_tones(axes: Axes, one: Recording, duration_s: float) -> None:
    """A bar over each page, and its name where there is room for it."""
    ends = [0.0] * _ROWS
    for tone in one.tones:
        start_s, end_s = ((at - one.start_us) / 1e6 for at in (tone.start_us, tone.end_us))
        axes.axvspan(start_s, end_s, ymin=0.96, color=_TONE, linewidth=1.0)
        words = tone.name or tone.tone_id
        at_s = max(0.0, min(start_s, duration_s * (1 - len(words) / _LETTERS)))
        row = next((row for row, free_s in enumerate(ends) if free_s <= at_s), None)
        if row is None:
            continue
        ends[row] = at_s + duration_s * (len(words) + 2) / _LETTERS
        place = axes.get_xaxis_transform()
        axes.text(
            at_s, 0.94 - 0.09 * row, words, transform=place, fontsize=8, va="top", color=_TONE, bbox=_PAPER
        )


def _time_axis(axes: Axes, one: Recording, duration_s: float, zone: tzinfo | None) -> None:
    """The time of day, at whole seconds, minutes, ..."""
    duration_s = max(duration_s, _LEAST_S)
    axes.set_xlim(0.0, duration_s)
    step_s = next((step for step in _STEPS_S if duration_s / step <= _TICKS), 3600)
    offset_s = -((one.start_us / 1e6) % step_s)
    axes.xaxis.set_major_locator(MultipleLocator(step_s, offset_s))
    digits = 1 if step_s < 1 else 0

    def words(at_s: float, _: object) -> str:
        clock = shown(one.start_us + round(1e6 * at_s), zone, digits)[11:]
        return clock.removesuffix(":00") if step_s >= 60 else clock

    axes.xaxis.set_major_formatter(words)
    axes.set_xlabel(f"{moment(one.start_us, zone):%Y-%m-%d}, {zone_name(one.start_us, zone)}")
