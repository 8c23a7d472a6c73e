"""Recordings, their gaps and tones as CSV: what spreadsheets and statisticians read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from echostream.archive.recording import Gap, Recording
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.times import iso

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes text that begins so for a formula."""

RECORDING_COLUMNS: Final = (
    *("id", "file", "source", "kind", "label", "channel", "trigger", "start_utc", "end_utc", "duration_s"),
    *("rate_hz", "samples", "form", "bytes", "sha256", "state", "ended", "clock", "start_error_ms", "ppm"),
    *("peak_dbfs", "rms_dbfs", "gaps", "tones", "protected", "notes", "gateway"),
)
GAP_COLUMNS: Final = (
    *("source", "start_utc", "end_utc", "duration_s", "cause", "recording_id", "file", "position"),
)
TONE_COLUMNS: Final = (
    *("source", "tone_id", "name", "kind", "start_utc", "end_utc", "recording_id", "file", "position"),
)


def recordings_csv(recordings: Iterable[Recording]) -> str:
    """A row for each."""
    return _csv(RECORDING_COLUMNS, map(_recording, recordings))


def gaps_csv(recordings: Iterable[Recording]) -> str:
    """A row for each gap within or before a recording. position: its first sample in the file."""
    return _csv(GAP_COLUMNS, (row for one in recordings for row in _gaps(one)))


def tones_csv(recordings: Iterable[Recording]) -> str:
    """A row for each page that was heard. position: the sample of the file at which it begins."""
    return _csv(TONE_COLUMNS, (row for one in recordings for row in _tones(one)))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Text from outside is no formula, and nothing is nothing."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def _recording(one: Recording) -> tuple[object, ...]:
    tones = "; ".join(dict.fromkeys(tone.name or tone.tone_id for tone in one.tones))
    return (
        *(one.id, one.path, source_name(one), one.kind, one.label, one.channel_id, one.trigger),
        *(iso(one.start_us), iso(one.end_us), f"{one.duration_us / 1e6:.6f}", one.rate_hz, one.samples),
        *(one.form, one.bytes, one.sha256, one.state, one.ended, one.clock, one.start_error_ms, one.ppm),
        *(one.peak_dbfs, one.rms_dbfs, len(one.gaps), tones, one.protected, one.notes, one.gateway),
    )


def _gaps(one: Recording) -> Iterator[tuple[object, ...]]:
    gaps: list[Gap] = [*([one.gap_before] if one.gap_before else []), *one.gaps]
    for gap in gaps:
        length = f"{(gap.end_us - gap.start_us) / 1e6:.6f}"
        times = (iso(gap.start_us), iso(gap.end_us), length)
        yield (source_name(one), *times, gap.cause, one.id, one.path, gap.position)


def _tones(one: Recording) -> Iterator[tuple[object, ...]]:
    for tone in one.tones:
        position = round((tone.start_us - one.start_us) * one.rate_hz / 1e6)
        times = (iso(tone.start_us), iso(tone.end_us))
        yield (source_name(one), tone.tone_id, tone.name, tone.kind, *times, one.id, one.path, position)
