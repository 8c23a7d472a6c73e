"""A picture of what was heard: the spectrogram, and over it each tone with its name, or why it was none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from echostream.errors import AudioError, LibraryMissing
from echostream.tone_tools import reports
from echostream.tone_tools.hearing import HeardOn
from echostream.tone_tools.spectrogram import HIGHEST_HZ, Picture
from echostream.tones.heard import Detection, Kind, NearMiss, ToneSpan
from echostream.tones.stream import EAR_RATE_HZ

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise LibraryMissing(
        "--plot needs matplotlib: `make run` installs it, or `.venv/bin/pip install matplotlib`"
    ) from error

_HEARD: Final = "#ffffff"
_MISSED: Final = "#ff9d5c"
_KINDS: Final = (".png", ".svg", ".pdf", ".jpg")
_INCHES_HIGH: Final = 6.0
_LEAST_INCHES: Final = 10.0
_MOST_INCHES: Final = 40.0
_SECONDS_AN_INCH: Final = 2.0
_RANGE_DB: Final = 60.0
_LABEL_ROWS: Final = 4
_MOST_LABELS: Final = 60


def check(path: Path) -> None:
    """Whether a picture can be put there. AudioError before an hour of sound is heard for nothing."""
    if path.suffix.lower() not in _KINDS:
        raise AudioError(f"{path}: expected a name that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise AudioError(f"{path}: there is no directory {path.parent}")


def draw(path: Path, title: str, picture: Picture, found: list[HeardOn]) -> None:
    """Write the picture. AudioError where that fails."""
    duration_s = max(picture.duration_s, 0.1)
    width = min(_MOST_INCHES, max(_LEAST_INCHES, duration_s / _SECONDS_AN_INCH))
    figure = Figure(figsize=(width, _INCHES_HIGH), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 4), hspace=0.02)
    labels = figure.add_subplot(grid[0])
    spectrum = figure.add_subplot(grid[1], sharex=labels)
    _draw_spectrum(figure, spectrum, picture, duration_s)
    _draw_tones(spectrum, found)
    _draw_labels(labels, found, duration_s, width)
    heard = sum(isinstance(item.heard, Detection) for item in found)
    missed = len(found) - heard
    near = f", {missed} nearly" if missed else ""
    labels.set_title(f"{title}: {heard or 'nothing'} heard{near}", loc="left", fontsize=11)
    try:
        figure.savefig(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from None


def _draw_spectrum(figure: Figure, axes: Axes, picture: Picture, duration_s: float) -> None:
    loudest = float(picture.levels_db.max())
    top = max(loudest, -60.0)
    image = axes.imshow(
        picture.levels_db,
        origin="lower",
        aspect="auto",
        extent=(0.0, picture.levels_db.shape[1] * picture.column_s, 0.0, picture.highest_hz),
        cmap="magma",
        vmin=top - _RANGE_DB,
        vmax=top,
        interpolation="nearest",
    )
    axes.set_xlim(0.0, duration_s)
    axes.set_ylim(0.0, HIGHEST_HZ)
    axes.set_ylabel("frequency, Hz")
    axes.set_xlabel("time, s" if duration_s < 600 else "time")
    if duration_s >= 600:
        axes.xaxis.set_major_formatter(lambda at_s, _: reports.clock(at_s))
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, label="level, dBFS")


def _draw_tones(axes: Axes, found: list[HeardOn]) -> None:
    """A thin box around each tone: the picture below it stays to be seen."""
    for item in found:
        colour = _colour(item)
        style = "-" if isinstance(item.heard, Detection) else "--"
        for tone in item.heard.tones:
            start_s, end_s = tone.start / EAR_RATE_HZ, tone.end / EAR_RATE_HZ
            reach = 45.0
            axes.plot(
                [start_s, end_s, end_s, start_s, start_s],
                [tone.hz - reach, tone.hz - reach, tone.hz + reach, tone.hz + reach, tone.hz - reach],
                style,
                color=colour,
                linewidth=1.0,
            )
        for tone in _worth_a_number(item):
            axes.annotate(
                f"{tone.hz:.1f} Hz",
                (tone.start / EAR_RATE_HZ, tone.hz + 50.0),
                color=colour,
                fontsize=8,
                va="bottom",
                clip_on=True,
            )


def _worth_a_number(item: HeardOn) -> tuple[ToneSpan, ...]:
    """The tones whose frequency is said beside them: not those of digits, which have a name."""
    digits = (Kind.DTMF, Kind.FIVE_TONE, Kind.MDC1200)
    return () if item.heard.kind in digits else item.heard.tones[:4]


def _draw_labels(axes: Axes, found: list[HeardOn], duration_s: float, width: float) -> None:
    """What was heard, above its place; in rows, so that no text runs into another."""
    axes.set_ylim(0, _LABEL_ROWS)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for side in ("top", "left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    letters_a_second = width * 13.0 / duration_s
    free_from_s = [0.0] * _LABEL_ROWS
    left_out = max(0, len(found) - _MOST_LABELS)
    for item in sorted(found, key=lambda item: item.heard.start)[:_MOST_LABELS]:
        start_s, end_s = item.heard.start / EAR_RATE_HZ, item.heard.end / EAR_RATE_HZ
        text = _label(item)
        longest = max(len(part) for part in text.splitlines())
        row = min(range(_LABEL_ROWS), key=lambda row: (max(free_from_s[row], start_s), row))
        at_s = min(start_s, max(0.0, duration_s - longest / letters_a_second))
        free_from_s[row] = max(at_s, start_s) + longest / letters_a_second
        y = _LABEL_ROWS - 1 - row
        _bar(axes, start_s, end_s, y, item)
        axes.text(at_s, y + 0.22, text, fontsize=8, va="bottom", color="black")
    if left_out:
        axes.text(1.0, 1.02, f"and {left_out} more", transform=axes.transAxes, ha="right", fontsize=8)


def _bar(axes: Axes, start_s: float, end_s: float, y: float, item: HeardOn) -> None:
    style: dict[str, Any] = {"color": "#2a7f3f", "linewidth": 3}
    if isinstance(item.heard, NearMiss):
        style = {"color": "#c8621b", "linewidth": 3, "linestyle": (0, (2, 1))}
    axes.plot([start_s, max(end_s, start_s + 1e-3)], [y + 0.12] * 2, **style)


def _label(item: HeardOn) -> str:
    where = f"{item.channel}: " if item.channel else ""
    if isinstance(item.heard, NearMiss):
        return (
            f"{where}not {item.heard.tone_id or item.heard.kind.value}: {item.heard.reason.replace('_', ' ')}"
        )
    return f"{where}{reports.what(item.heard)}, {item.heard.snr_db:.0f} dB"


def _colour(item: HeardOn) -> str:
    return _HEARD if isinstance(item.heard, Detection) else _MISSED
