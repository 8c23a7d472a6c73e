"""The pictures of a day's report: SVG as text, to stand in a page."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import tzinfo
from typing import Final

from echostream.archive_tools.times import moment
from echostream.errors import LibraryMissing
from echostream.reports.model import DayReport
from echostream.reports.spans import Span, longest_gaps_kept, merged

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
except ImportError as error:
    raise LibraryMissing(
        "--html needs matplotlib: `make run` installs it, or `.venv/bin/pip install matplotlib`"
    ) from error

MOST_ROWS: Final = 60
"""Of channels and microphones in the picture of who was there; who had most gaps comes first."""
MOST_BARS: Final = 200
"""In one row."""
SEEN_US: Final = 45_000_000
"""Half a point of the picture."""
_INCHES_WIDE: Final = 11.0
_UP: Final = "#8fbf9f"
_TALK: Final = "#2f5d8a"
_HEARD: Final = "#8db4d9"
_GAP: Final = "#d1495b"
_PAGE: Final = "#c2661a"
_LETTERS: Final = 28


def pages_and_talk(report: DayReport, zone: tzinfo | None) -> str:
    """Pages in each hour, and for how many minutes was talked."""
    with _style():
        figure = _figure(3.6)
        above, below = figure.subplots(2, 1, sharex=True)
        hours = [at + 0.5 for at in range(report.hours)]
        above.bar(hours, report.pages_by_hour, width=0.85, color=_PAGE)
        above.set_ylabel("pages")
        above.set_ylim(0, max(*report.pages_by_hour, 4))
        own = _minutes(report, [one.talk_by_hour for one in report.channels])
        others = _minutes(report, [one.heard_by_hour for one in report.channels])
        below.bar(hours, own, width=0.85, color=_TALK, label="sent")
        below.bar(hours, others, width=0.85, bottom=own, color=_HEARD, label="heard")
        below.set_ylabel("talk, min")
        below.legend(loc="upper right", frameon=False, ncols=2)
        for axes in (above, below):
            _time_axis(axes, report, zone)
        return _svg(figure)


def who_was_there(report: DayReport, zone: tzinfo | None) -> str:
    """A row for the gateway, each channel and each microphone: there or not, what is missing, pages."""
    rows = _rows(report)
    with _style():
        figure = _figure(1.0 + 0.22 * len(rows))
        axes = figure.subplots()
        for at, (_, up, missing, pages) in enumerate(rows):
            axes.broken_barh(_bars(report, up), (at - 0.35, 0.7), color=_UP)
            axes.broken_barh(_bars(report, missing), (at - 0.35, 0.7), color=_GAP)
            axes.plot(
                [_hour(report, one) for one in pages], [at] * len(pages), "|", color=_PAGE, markersize=8
            )
        names = [_shortened(name) for name, *_ in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _time_axis(axes, report, zone)
        return _svg(figure)


Row = tuple[str, Sequence[Span], Sequence[Span], Sequence[int]]


def _rows(report: DayReport) -> list[Row]:
    """Name, up, missing, pages."""
    paged: dict[str, list[int]] = {}
    for page in report.pages:
        paged.setdefault(page.channel_id, []).append(page.at_us)
    rows: list[Row] = [("gateway", report.ran, (), ())]
    for channel in report.channels:
        missing = () if channel.recorded is None else channel.recorded.missing
        rows.append((channel.channel_id, channel.online, missing, paged.get(channel.channel_id, ())))
    devices: list[Row] = [
        (one.name, one.present, () if one.recorded is None else one.recorded.missing, ())
        for one in report.devices
    ]
    room = max(0, MOST_ROWS - len(rows))
    if len(devices) > room:
        devices.sort(key=lambda row: -sum(span.length_us for span in row[2]))
    return (rows + devices[:room])[:MOST_ROWS]


def _style() -> AbstractContextManager[None]:
    """Letters stay letters: smaller, and found by a search in the page. The same report is the same file."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "echostream", "font.size": 9})


def _figure(inches_high: float) -> Figure:
    figure = Figure(figsize=(_INCHES_WIDE, inches_high), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure: Figure) -> str:
    """The element alone, without what comes before it in a file of its own."""
    out = io.StringIO()
    with warnings.catch_warnings():
        # A name in letters that the font here lacks: they stay letters, and the reader's browser has others.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    whole = out.getvalue()
    return whole[whole.index("<svg") :]


def _minutes(report: DayReport, seconds: list[tuple[float, ...]]) -> list[float]:
    """Of all channels together, in each hour."""
    return [sum(of_hour) / 60 for of_hour in zip(*seconds, strict=True)] or [0.0] * report.hours


def _bars(report: DayReport, spans: Sequence[Span]) -> list[tuple[float, float]]:
    """What lies closer together than can be seen is one: something that flaps would be megabytes."""
    drawn = longest_gaps_kept(merged(spans, SEEN_US), MOST_BARS)
    return [(_hour(report, span.begin_us), max(0.01, span.length_us / 3.6e9)) for span in drawn]


def _hour(report: DayReport, at_us: int) -> float:
    return (at_us - report.begin_us) / 3.6e9


def _time_axis(axes: Axes, report: DayReport, zone: tzinfo | None) -> None:
    axes.set_xlim(0, report.hours)
    axes.set_xticks(range(0, report.hours + 1, 2))
    axes.xaxis.set_major_formatter(_clock(report, zone))
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _clock(report: DayReport, zone: tzinfo | None) -> Callable[[float, float], str]:
    """By the clock of that hour: on the days on which it changes an hour is missing, or there twice."""

    def words(hours: float, _: float) -> str:
        return moment(report.begin_us + round(hours * 3.6e9), zone).strftime("%H:%M")

    return words


def _shortened(name: str) -> str:
    """A dollar sign would begin a formula."""
    short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
    letters = (letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short)
    return "".join(letters).replace("$", r"\$")
