"""`echostream recordings list`: a row for each recording, the newest at the bottom."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from typing import Final, TextIO

from echostream.archive.file_names import place_of
from echostream.archive.open_marks import being_written
from echostream.archive.recording import Recording
from echostream.archive_tools.selection import Selection, find
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import iso, length_shown, shown, zone_name
from echostream.console.tables import Column, write_table

SHORT_ID: Final = 8
_COLUMNS: Final = (
    Column("id", keep=True, style="cyan"),
    Column("start", keep=True),
    Column("length", right=True, keep=True),
    Column("source", keep=True, style="bold"),
    Column("what", keep=True),
    Column("tones"),
    Column("gaps", right=True),
    Column("size", right=True),
    Column("form"),
    Column("label"),
    Column("notes"),
)


def list_recordings(
    store: Store,
    selection: Selection,
    now_us: int,
    limit: int,
    *,
    as_json: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """Print them; exit code 0 also where there is none. limit: 0 for all."""
    found = find(store, selection, now_us)
    kept = list(islice(found, limit) if limit else found)[::-1]
    more = limit and next(found, None) is not None
    for broken in store.broken:
        err.write(f"{broken}\n")
    if as_json:
        for one in kept:
            out.write(json.dumps(document(one), ensure_ascii=False) + "\n")
        return 0
    if not kept:
        out.write("no recordings there\n")
        return 0
    live = being_written(store.directory) if any(one.state == "open" for one in kept) else set()
    write_table(_COLUMNS, [_row(one, selection, now_us, _is_live(store, one, live)) for one in kept], out)
    zone = zone_name(kept[-1].start_us, selection.zone)
    length = length_shown(sum(one.duration_us for one in kept))
    size = bytes_shown(sum(one.bytes for one in kept))
    out.write(f"{counted(len(kept), 'recording')}, {length}, {size}; times: {zone}")
    out.write(f"; older ones are there, --limit {limit * 10} or --all shows them\n" if more else "\n")
    return 0


def document(one: Recording) -> dict[str, object]:
    """A recording for machines: as in its own file, and what follows from that."""
    return {
        **asdict(one),
        "source_name": source_name(one),
        "start": iso(one.start_us),
        "end": iso(one.end_us),
        "duration_s": one.duration_us / 1e6,
    }


def counted(count: int, name: str) -> str:
    """ "1 recording", "2 recordings"."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _is_live(store: Store, one: Recording, live: set[str]) -> bool:
    return one.state == "open" and place_of(store.directory, one.path).stem in live


def _row(one: Recording, selection: Selection, now_us: int, live: bool) -> tuple[str, ...]:
    # What is known of a recording says how long it is when it is over.
    length_us = max(0, now_us - one.start_us) if live else one.duration_us
    return (
        one.id[:SHORT_ID],
        shown(one.start_us, selection.zone),
        length_shown(length_us) if one.state != "open" or live else "?",
        source_name(one),
        _what(one, live),
        ", ".join(dict.fromkeys(tone.name or tone.tone_id for tone in one.tones)),
        str(len(one.gaps)) if one.gaps else "",
        bytes_shown(one.bytes) if one.bytes else "",
        f"{one.form} {one.rate_hz / 1000:g}k",
        one.label if one.label != one.source else "",
        one.notes,
    )


def _what(one: Recording, live: bool) -> str:
    """Why it was recorded, and what is special about it."""
    state = ("now" if live else "half-written") if one.state == "open" else one.state
    special = [] if one.state == "closed" else [state]
    return ", ".join([one.trigger, *special, *(["protected"] if one.protected else [])])
