"""A day's report as one page of HTML: everything is in it, nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from html import escape
from typing import Final, TextIO

from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.times import shown
from echostream.reports import plot
from echostream.reports.model import ChannelDay, DayReport, DeviceDay, Recorded
from echostream.reports.text import count, headline, length, percent, remarks

LISTED_DEVICES: Final = 500
_STYLE: Final = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 68em; padding: 0 1em; color: #222 }
h1 { font-size: 1.5em; margin-bottom: 0.2em } h2 { font-size: 1.15em; margin-top: 1.8em }
table { border-collapse: collapse; width: 100% } td, th { padding: 0.25em 0.6em; text-align: right }
th { border-bottom: 2px solid #bbb; font-weight: 600 } td { border-bottom: 1px solid #e4e4e4 }
td:first-child, th:first-child, .words td, .words th { text-align: left }
svg { width: 100%; height: auto } .key { color: #666; font-size: 0.9em }
@media print { body { margin: 0; max-width: none } }
"""
_CHANNELS: Final = (
    *("channel", "pages", "sent", "talk time", "heard", "online", "outages", "card away"),
    *("recorded", "gaps", "missing"),
)
_DEVICES: Final = ("microphone", "there", "outages", "recorded", "gaps", "missing", "size")
_KEY: Final = "green: there; red: audio is missing in the recordings; orange: a page"


def write_page(report: DayReport, zone: tzinfo | None, out: TextIO) -> None:
    """zone: None is the machine's own. LibraryMissing where there is no matplotlib."""
    title, ran = headline(report, zone)
    out.write('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    out.write('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ')
    out.write("style-src 'unsafe-inline'\">\n")
    out.write(f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n")
    out.write(f"<h1>{escape(title)}</h1>\n<p>{escape(ran)}.</p>\n")
    _table(out, _CHANNELS, [_channel(report, one) for one in report.channels])
    out.write("<h2>Hour by hour</h2>\n" + plot.pages_and_talk(report, zone))
    out.write("<h2>Who was there</h2>\n" + plot.who_was_there(report, zone))
    out.write(f'<p class="key">{_KEY}</p>\n')
    if report.devices:
        out.write("<h2>Microphones</h2>\n")
        _table(out, _DEVICES, [_device(report, one) for one in report.devices[:LISTED_DEVICES]])
    _pages(report, zone, out)
    _links_and_alerts(report, out)
    for line in remarks(report):
        out.write(f"<p>{escape(line)}</p>\n")
    out.write("</body>\n</html>\n")


def _pages(report: DayReport, zone: tzinfo | None, out: TextIO) -> None:
    if not report.pages:
        return
    more = report.pages_heard - len(report.pages)
    out.write("<h2>Pages</h2>\n")
    rows = [
        (shown(page.at_us, zone)[11:], page.channel_id, page.name, page.tone_id, page.alert)
        for page in report.pages
    ]
    _table(out, ("time", "channel", "page", "tone_id", "alert"), rows, "words")
    if more > 0:
        out.write(f"<p>and {more} more</p>\n")


def _links_and_alerts(report: DayReport, out: TextIO) -> None:
    if report.links:
        out.write("<h2>Ways out</h2>\n")
        rows = [(one.name, percent(one.up_s, report.length_s), count(one.outages)) for one in report.links]
        _table(out, ("", "up", "outages"), rows)
    if report.alerts:
        out.write("<h2>Alerts</h2>\n")
        names = ("alert", "on", "raised", "over", "acknowledged", "undelivered")
        counts = [
            (one.rule, one.on, *map(count, (one.raised, one.recovered, one.acknowledged, one.undelivered)))
            for one in report.alerts
        ]
        _table(out, names, counts)


def _table(out: TextIO, names: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> None:
    out.write(f'<table class="{kind}">\n' if kind else "<table>\n")
    out.write(f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>\n")
    for row in rows:
        out.write(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n")
    out.write("</table>\n")


def _channel(report: DayReport, one: ChannelDay) -> tuple[str, ...]:
    recorded = one.recorded or Recorded()
    return (
        one.channel_id if one.name == one.channel_id else f"{one.name} ({one.channel_id})",
        count(one.pages),
        count(one.transmissions),
        length(one.talk_s),
        length(one.heard_s),
        percent(one.up_s, report.length_s),
        count(one.outages),
        length(one.card_away_s),
        length(recorded.recorded_s),
        count(recorded.gaps),
        length(recorded.gap_s),
    )


def _device(report: DayReport, one: DeviceDay) -> tuple[str, ...]:
    recorded = one.recorded or Recorded()
    return (
        one.name if one.label in ("", one.name) else f"{one.label} ({one.name})",
        percent(one.up_s, report.length_s),
        count(one.outages),
        length(recorded.recorded_s),
        count(recorded.gaps),
        length(recorded.gap_s),
        bytes_shown(recorded.bytes) if recorded.bytes else "",
    )
