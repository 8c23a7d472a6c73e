"""A day's report for machines: one table as CSV, all of it as JSON."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from typing import Any, Final, TextIO

from echostream.reports.model import DayReport, Recorded

COLUMNS: Final = (
    *("date", "kind", "id", "name", "pages", "tones", "transmissions", "talk_s", "overs", "heard_s"),
    *("up_s", "up_percent", "outages", "card_away_s", "recordings", "recorded_s", "bytes", "gaps", "gap_s"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def write_csv(report: DayReport, out: TextIO) -> None:
    """RFC 4180: a row for the gateway, each channel, each microphone and each way out. What does not apply is
    empty."""
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(report):
        part = 100 * row["up_s"] / report.length_s if report.length_s else 0.0
        row["up_percent"] = min(100.0, part)
        writer.writerow({"date": report.date} | {key: _cell(value) for key, value in row.items()})


def write_json(report: DayReport, out: TextIO) -> None:
    """Every field of model.py under its name; a span is [begin_us, end_us]."""
    json.dump(asdict(report), out, ensure_ascii=False, indent=2)
    out.write("\n")


def _rows(report: DayReport) -> list[dict[str, Any]]:
    whole = {"kind": "gateway", "id": report.gateway, "name": report.gateway, "pages": report.pages_heard}
    rows: list[dict[str, Any]] = [whole | {"up_s": report.ran_s, "outages": report.crashes}]
    for channel in report.channels:
        rows.append(
            {
                "kind": "channel",
                "id": channel.channel_id,
                "name": channel.name,
                "pages": channel.pages,
                "tones": channel.tones,
                "transmissions": channel.transmissions,
                "talk_s": channel.talk_s,
                "overs": channel.overs,
                "heard_s": channel.heard_s,
                "up_s": channel.up_s,
                "outages": channel.outages,
                "card_away_s": channel.card_away_s,
            }
            | _recorded(channel.recorded)
        )
    for device in report.devices:
        told = {"kind": "device", "id": device.name, "name": device.label, "up_s": device.up_s}
        rows.append(told | {"outages": device.outages} | _recorded(device.recorded))
    for link in report.links:
        rows.append({"kind": "link", "id": link.name, "up_s": link.up_s, "outages": link.outages})
    return rows


def _recorded(recorded: Recorded | None) -> dict[str, Any]:
    names = ("recordings", "recorded_s", "bytes", "gaps", "gap_s")
    return {} if recorded is None else {name: getattr(recorded, name) for name in names}


def _cell(value: object) -> object:
    """A name from outside must not become a formula where a spreadsheet opens this."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
