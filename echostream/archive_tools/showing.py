"""`echostream recordings show`: all that is known of a recording, and its picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, tzinfo
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

from echostream.archive.file_names import place_of
from echostream.archive.recording import Gap, Recording
from echostream.archive_tools import source_names
from echostream.archive_tools.listing import document
from echostream.archive_tools.selection import Selection, find, one_of
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import length_shown, shown, span_shown, zone_name

MOST_ROWS: Final = 20
"""Gaps or tones of one recording that are shown to a person."""
_CLOCKS: Final = {
    "synchronised": "",
    "unsynchronised": "; the wall clock was not synchronised",
    "unknown": "; whether the wall clock was synchronised is not known",
}


def show(
    store: Store, what: list[str], picture: Path | None, *, utc: bool, as_json: bool, out: TextIO
) -> int:
    """Print each, and draw it. ArchiveError for one that is not there."""
    zone = UTC if utc else None
    if picture is not None:
        from echostream.archive_tools.plot import check, draw  # matplotlib is for those who need it

        check(picture)
    recordings = list(chosen(store, what))
    for number, one in enumerate(recordings):
        if as_json:
            out.write(json.dumps(document(one), ensure_ascii=False) + "\n")
        else:
            out.write("\n" if number else "")
            for line in lines(one, store.directory, zone):
                out.write(line + "\n")
        if picture is not None:
            path = picture if len(recordings) == 1 else picture.with_stem(f"{picture.stem}-{number + 1}")
            draw(path, store.directory, one, zone)
            if not as_json:
                out.write(f"  picture         {path}\n")
    return 0


def chosen(store: Store, what: Iterable[str]) -> Iterator[Recording]:
    """By id or file; the newest one of a source. ArchiveError for one that is not there."""
    known = store.sources()
    for name in what:
        if name in known or source_names.is_pattern(name):
            yield from islice(find(store, Selection(what=(name,)), 0), 1)
        else:
            yield one_of(store, name)


def lines(one: Recording, directory: Path, zone: tzinfo | None) -> Iterator[str]:
    """For people."""
    named = f"{source_name(one)} ({one.label})" if one.label not in ("", one.source) else source_name(one)
    yield f"{named}, {shown(one.start_us, zone)} {zone_name(one.start_us, zone)}, {_span(one)}"
    for name, value in _fields(one, directory, zone):
        yield f"  {name:<15} {value}"
    gaps = [*([one.gap_before] if one.gap_before else []), *one.gaps]
    yield from _rows("gap", [_gap(gap, zone) for gap in gaps])
    tones = [
        f"{shown(tone.start_us, zone, 1)}  {tone.name or tone.tone_id} ({tone.kind}, "
        f"{(tone.end_us - tone.start_us) / 1e6:.1f} s)"
        for tone in one.tones
    ]
    yield from _rows("tone", tones)


def _fields(one: Recording, directory: Path, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    yield "id", one.id
    yield "file", str(directory / one.path)
    yield "why", f"{one.trigger}, priority {one.priority}" + (", protected" if one.protected else "")
    if one.notes:
        yield "notes", one.notes
    yield "of", one.kind + (f" on channel {one.channel_id}" if one.channel_id else "")
    start = f"{shown(one.start_us, zone, 6)} ±{one.start_error_ms:g} ms{_CLOCKS[one.clock]}"
    yield "start", start
    if one.state != "open":
        yield "end", f"{shown(one.end_us, zone, 6)}; ended: {one.ended or 'not told'}"
        yield "samples", f"{one.samples} at {one.rate_hz} Hz, 16 bit"
    yield "state", _STATES[one.state]
    if one.ppm is not None:
        yield "device clock", f"{one.ppm:+.1f} ppm"
    if one.peak_dbfs is not None and one.rms_dbfs is not None:
        yield "level", f"peak {one.peak_dbfs:.1f} dBFS, RMS {one.rms_dbfs:.1f} dBFS"
    if one.bytes:
        yield "size", f"{bytes_shown(one.bytes)} ({one.bytes} bytes) of {one.form}"
    if one.sha256:
        yield "sha256", one.sha256
    yield "waveform", "yes" if place_of(directory, one.path).peaks.exists() else "not made yet"
    if one.keep_days is not None:
        yield "kept for", f"{one.keep_days:g} days"
    yield "gateway", one.gateway


_STATES: Final = {
    "open": "being written, or left so by a crash: `echostream recordings repair` tells",
    "closed": "whole",
    "repaired": "repaired after a crash: it may end up to two seconds early",
}


def _span(one: Recording) -> str:
    return "being written" if one.state == "open" else length_shown(one.duration_us)


def _gap(gap: Gap, zone: tzinfo | None) -> str:
    where = "before it" if gap.position is None else f"as silence from sample {gap.position}"
    return f"{shown(gap.start_us, zone, 3)}  {span_shown(gap.end_us - gap.start_us)}, {gap.cause}, {where}"


def _rows(name: str, rows: list[str]) -> Iterator[str]:
    for at, row in enumerate(rows[:MOST_ROWS]):
        yield f"  {name if not at else '':<15} {row}"
    if len(rows) > MOST_ROWS:
        yield f"  {'':<15} and {len(rows) - MOST_ROWS} more: --json has all of them"
