"""A picture of what was heard: the spectrogram, and over it each tone with its name, or why it was none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

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
    from matplotlib.ticker import MultipleLocator
except ImportError as error:
    raise LibraryMissing(
        "--plot needs matplotlib: `make run` installs it, or `.venv/bin/pip install matplotlib`"
    ) from error

_HEARD: Final = "#ffffff"
_MISSED: Final = "#5cf2ff"
_HEARD_DARK: Final = "#2a7f3f"
_MISSED_DARK: Final = "#00707f"
_KINDS: Final = (".png", ".svg", ".pdf", ".jpg")
_INCHES_HIGH: Final = 6.0
_LEAST_INCHES: Final = 10.0
_MOST_INCHES: Final = 40.0
_SECONDS_AN_INCH: Final = 2.0
_LEAST_RANGE_DB, _MOST_RANGE_DB = 25.0, 70.0
_LABEL_ROWS: Final = 6
_MOST_REASONS: Final = 6
_NUMBER_HZ: Final = 110.0
_MINUTES_FROM_S: Final = 300.0
_LETTERS_AN_INCH: Final = 14.0


def check(path: Path) -> None:
    """Whether a picture can be put there. AudioError before an hour of sound is heard for nothing."""
    if path.suffix.lower() not in _KINDS:
        raise AudioError(f"{path}: expected a name that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise AudioError(f"{path}: there is no directory {path.parent}")


def draw(path: Path, title: str, picture: Picture, found: list[HeardOn]) -> None:
    """Write the picture. found: with the channel's name where it is to be said. AudioError where it fails."""
    duration_s = max(picture.duration_s, 0.1)
    width = min(_MOST_INCHES, max(_LEAST_INCHES, duration_s / _SECONDS_AN_INCH))
    a_letter_s = duration_s / (width * _LETTERS_AN_INCH)
    labels = _arranged(found, duration_s, a_letter_s)
    rows = 1 + max((label.row for label in labels), default=0)
    reasons = _reasons(found)
    strip, foot = 0.3 * rows, 0.2 * len(reasons)
    figure = Figure(figsize=(width, _INCHES_HIGH + strip + foot), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=(strip, _INCHES_HIGH - 1.0), hspace=0.02)
    above = figure.add_subplot(grid[0])
    spectrum = figure.add_subplot(grid[1], sharex=above)
    _draw_spectrum(figure, spectrum, picture, duration_s)
    _draw_tones(spectrum, found, a_letter_s)
    _draw_labels(above, labels, rows, len(found))
    heard = sum(isinstance(item.heard, Detection) for item in found)
    near = f", {len(found) - heard} nearly" if len(found) > heard else ""
    above.set_title(f"{title}: {heard or 'nothing'} heard{near}", loc="left", fontsize=11)
    if reasons:
        figure.supxlabel("\n".join(reasons), x=0.01, ha="left", fontsize=8, color=_MISSED_DARK)
    try:
        figure.savefig(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from None


def _reasons(found: list[HeardOn]) -> list[str]:
    """Near misses in whole sentences, for below the picture."""
    missed = [item for item in found if isinstance(item.heard, NearMiss)]
    lines = [reports.line(item.channel, item.heard).strip() for item in missed[:_MOST_REASONS]]
    return lines + ([f"and {len(missed) - len(lines)} more near misses"] if len(missed) > len(lines) else [])


def _draw_spectrum(figure: Figure, axes: Axes, picture: Picture, duration_s: float) -> None:
    top = max(float(picture.levels_db.max()), -60.0)
    # The noise is dark, whatever its level: what stands out of it is what matters.
    floor = min(max(float(np.median(picture.levels_db)) - 3.0, top - _MOST_RANGE_DB), top - _LEAST_RANGE_DB)
    image = axes.imshow(
        picture.levels_db,
        origin="lower",
        aspect="auto",
        extent=(0.0, picture.levels_db.shape[1] * picture.column_s, 0.0, picture.highest_hz),
        cmap="magma",
        vmin=floor,
        vmax=top,
        interpolation="nearest",
    )
    axes.set_xlim(0.0, duration_s)
    axes.set_ylim(0.0, HIGHEST_HZ)
    axes.set_ylabel("frequency, Hz")
    axes.set_xlabel("time, s" if duration_s < _MINUTES_FROM_S else "time")
    if duration_s >= _MINUTES_FROM_S:
        step_s = next((step for step in (30, 60, 120, 300, 600, 1800) if duration_s / step <= 20), 3600)
        axes.xaxis.set_major_locator(MultipleLocator(step_s))
        axes.xaxis.set_major_formatter(lambda at_s, _: reports.clock(at_s).removesuffix(".0"))
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, label="level, dBFS")


def _draw_tones(axes: Axes, found: list[HeardOn], a_letter_s: float) -> None:
    """A thin box around each tone: the picture below it stays to be seen."""
    numbered: list[tuple[float, float]] = []
    for item in sorted(found, key=lambda item: isinstance(item.heard, NearMiss)):
        missed = isinstance(item.heard, NearMiss)
        colour, style, reach = (_MISSED, "--", 65.0) if missed else (_HEARD, "-", 45.0)
        for tone in item.heard.tones:
            start_s, end_s = tone.start / EAR_RATE_HZ, tone.end / EAR_RATE_HZ
            low, high = tone.hz - reach, tone.hz + reach
            times, edges = [start_s, end_s, end_s, start_s, start_s], [low, low, high, high, low]
            axes.plot(times, edges, style, color=colour, linewidth=1.0)
        for tone, below in _worth_a_number(item):
            at_s, hz = tone.start / EAR_RATE_HZ, tone.hz + (-reach if below else reach)
            if any(abs(at_s - s) < 9 * a_letter_s and abs(hz - f) < _NUMBER_HZ for s, f in numbered):
                continue
            numbered.append((at_s, hz))
            axes.annotate(
                f"{tone.hz:.1f} Hz",
                (at_s, hz),
                xytext=(0, -3 if below else 3),
                textcoords="offset points",
                color=colour,
                fontsize=8,
                va="top" if below else "bottom",
                clip_on=True,
            )


def _worth_a_number(item: HeardOn) -> list[tuple[ToneSpan, bool]]:
    """Tones whose frequency is said beside them, and whether below: the lower one of two."""
    if item.heard.kind in (Kind.DTMF, Kind.FIVE_TONE, Kind.MDC1200):
        return []  # their digits say it
    tones = item.heard.tones[:4]
    middle = sum(tone.hz for tone in tones) / max(1, len(tones))
    return [(tone, tone.hz < middle) for tone in tones]


@dataclass(frozen=True, slots=True)
class _Label:
    """Words for something heard. at_s: where they begin; row: 0 is at the top."""

    item: HeardOn
    text: str
    at_s: float
    row: int


def _arranged(found: list[HeardOn], duration_s: float, a_letter_s: float) -> list[_Label]:
    """In rows, so that no text runs into another; what finds no room is left out, pages with a name last."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_LABEL_ROWS)]
    labels: list[_Label] = []
    for item in sorted(found, key=lambda item: (not item.heard.tone_id, item.heard.start)):
        start_s, end_s = item.heard.start / EAR_RATE_HZ, item.heard.end / EAR_RATE_HZ
        text = _words(item)
        at_s = max(0.0, min(start_s, duration_s - len(text) * a_letter_s))
        first_s, last_s = min(at_s, start_s), max(at_s + (len(text) + 2) * a_letter_s, end_s)
        for row, spans in enumerate(taken):
            if all(last_s <= begin or end <= first_s for begin, end in spans):
                spans.append((first_s, last_s))
                labels.append(_Label(item, text, at_s, row))
                break
    return labels


def _words(item: HeardOn) -> str:
    where = f"{item.channel}: " if item.channel else ""
    if isinstance(item.heard, NearMiss):
        name = item.heard.tone_id or item.heard.kind.value
        return f"{where}not {name}: {item.heard.reason.replace('_', ' ')}"
    return f"{where}{reports.what(item.heard)}, {item.heard.snr_db:.0f} dB"


def _draw_labels(axes: Axes, labels: list[_Label], rows: int, count: int) -> None:
    """What was heard, with a bar from its beginning to its end."""
    axes.set_ylim(0, rows)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for side in ("top", "left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    for label in labels:
        heard = label.item.heard
        y = rows - 1 - label.row
        colour, line = (_MISSED_DARK, (0, (2, 1))) if isinstance(heard, NearMiss) else (_HEARD_DARK, "solid")
        times = [heard.start / EAR_RATE_HZ, max(heard.end / EAR_RATE_HZ, heard.start / EAR_RATE_HZ + 1e-3)]
        axes.plot(times, [y + 0.1] * 2, color=colour, linewidth=3, linestyle=line)
        axes.text(label.at_s, y + 0.28, label.text, fontsize=8, va="bottom", color="black")
    if count > len(labels):
        more = f"and {count - len(labels)} more"
        axes.text(1.0, 1.02, more, transform=axes.transAxes, ha="right", va="bottom", fontsize=8)
