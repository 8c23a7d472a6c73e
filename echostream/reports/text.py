"""A day's report for people: tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, TextIO

from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.times import shown, span_shown, zone_name
from echostream.console.tables import Column, write_table
from echostream.reports.model import ChannelDay, DayReport, DeviceDay, Recorded

LISTED_DEVICES: Final = 200
LISTED_PAGES: Final = 200
_CHANNELS: Final = (
    Column("channel", keep=True, style="bold"),
    Column("pages", right=True, keep=True),
    Column("tones", right=True),
    Column("sent", right=True, keep=True),
    Column("talk", right=True, keep=True),
    Column("overs", right=True),
    Column("heard", right=True, keep=True),
    Column("online", right=True, keep=True),
    Column("outages", right=True),
    Column("card away", right=True),
    Column("recorded", right=True),
    Column("gaps", right=True, keep=True),
    Column("missing", right=True, keep=True),
)
_DEVICES: Final = (
    Column("microphone", keep=True, style="bold"),
    Column("there", right=True, keep=True),
    Column("outages", right=True, keep=True),
    Column("recorded", right=True),
    Column("gaps", right=True, keep=True),
    Column("missing", right=True, keep=True),
    Column("size", right=True),
    Column("label"),
)
_PAGES: Final = (
    Column("time", keep=True),
    Column("channel", keep=True),
    Column("page", keep=True, style="bold"),
    Column("tone_id"),
)
_LINKS: Final = (
    Column("way out", keep=True),
    Column("up", right=True, keep=True),
    Column("outages", right=True, keep=True),
)
_ALERTS: Final = (
    Column("alert", keep=True, style="bold"),
    Column("on", keep=True),
    Column("raised", right=True, keep=True),
    Column("over", right=True, keep=True),
    Column("acknowledged", right=True),
    Column("undelivered", right=True),
)


def write_text(report: DayReport, zone: tzinfo | None, out: TextIO) -> None:
    """All of it. zone: None is the machine's own."""
    for line in headline(report, zone):
        out.write(line + "\n")
    _section(out, "Channels", _CHANNELS, [_channel(report, one) for one in report.channels])
    devices = [_device(report, one) for one in report.devices[:LISTED_DEVICES]]
    _section(out, "Microphones", _DEVICES, devices, len(report.devices))
    pages = [
        (shown(page.at_us, zone)[11:], plain(page.channel_id), plain(page.name), plain(page.tone_id))
        for page in report.pages[:LISTED_PAGES]
    ]
    _section(out, "Pages", _PAGES, pages, report.pages_heard)
    links = [(one.name, percent(one.up_s, report.length_s), count(one.outages)) for one in report.links]
    _section(out, "Ways out", _LINKS, links)
    alerts = [
        (plain(one.rule), one.on, *map(count, (one.raised, one.recovered, one.acknowledged, one.undelivered)))
        for one in report.alerts
    ]
    _section(out, "Alerts", _ALERTS, alerts)
    for line in remarks(report):
        out.write("\n" + line)
    out.write("\n")


def headline(report: DayReport, zone: tzinfo | None) -> list[str]:
    """What and when, and how much of the time the gateway ran."""
    whole = report.until_us >= report.end_us
    so_far = "" if whole else f", up to {shown(report.until_us, zone)[11:16]}"
    ran = f"ran {percent(report.ran_s, report.length_s)} of the time"
    if report.starts:
        ran += f", started {times(report.starts)}"
    if report.crashes:
        ran += f", ended without a word {times(report.crashes)}"
    where = plain(report.gateway) or "the gateway"
    return [
        f"{where}, {report.date}{so_far} ({zone_name(report.begin_us, zone)})",
        f"{ran}; {counted(report.pages_heard, 'page')}",
    ]


def remarks(report: DayReport) -> list[str]:
    """What is no table."""
    said = []
    uploaded, acts = report.uploaded, report.acts
    if uploaded.recordings:
        said.append(f"{counted(uploaded.recordings, 'recording')} uploaded, {bytes_shown(uploaded.bytes)}.")
    if uploaded.at_risk:
        said.append(
            f"Recordings were about to be deleted before they were uploaded: {times(uploaded.at_risk)}."
        )
    if report.strangers:
        said.append(f"Microphones without an entry came and went {times(report.strangers)} more.")
    if report.worker_failures:
        said.append(f"A part of the gateway failed and was started again: {times(report.worker_failures)}.")
    if acts.admin:
        said.append(f"Somebody changed something: {times(acts.admin)}.")
    if acts.commands:
        refused = f", {acts.commands_refused} of them refused" if acts.commands_refused else ""
        said.append(f"{counted(acts.commands, 'command')} from elsewhere{refused}.")
    if not report.recordings_known:
        said.append(
            "Recordings and gaps are not in this report: there is no index of recordings, or it is away."
        )
    if not report.events:
        said.append("The event log has nothing of this day.")
    return said


def percent(part_s: float, whole_s: float) -> str:
    """Cut, not rounded: 100 % is all of it."""
    if whole_s <= 0:
        return ""
    share = min(100.0, 100 * part_s / whole_s)
    return "100 %" if share >= 99.9999 else f"{int(share * 100) / 100:.2f} %"


def times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def counted(number: int, what: str) -> str:
    """1 page, 2 pages."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def count(number: int) -> str:
    """Nothing where there is none: what stands out is what happened."""
    return str(number) if number else ""


def length(seconds: float) -> str:
    return span_shown(round(seconds * 1e6)) if seconds else ""


def plain(text: str) -> str:
    """Names come from outside: nothing that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _section(
    out: TextIO, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], of: int = 0
) -> None:
    if not rows:
        return
    out.write(f"\n{title}" + (f" (the first {len(rows)} of {of})" if of > len(rows) else "") + "\n")
    write_table(columns, rows, out)


def _channel(report: DayReport, one: ChannelDay) -> tuple[str, ...]:
    recorded = one.recorded or Recorded()
    return (
        plain(one.channel_id),
        count(one.pages),
        count(one.tones),
        count(one.transmissions),
        length(one.talk_s),
        count(one.overs),
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
        plain(one.name),
        percent(one.up_s, report.length_s),
        count(one.outages),
        length(recorded.recorded_s),
        count(recorded.gaps),
        length(recorded.gap_s),
        bytes_shown(recorded.bytes) if recorded.bytes else "",
        plain(one.label) if one.label != one.name else "",
    )
