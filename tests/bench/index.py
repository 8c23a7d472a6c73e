"""A million recordings in the index: how long a page and a search take, in SQLite and in PostgreSQL.

104 sources, ten-minute segments, 67 days; one source is heard once in a thousand times, one tone only in the
oldest days: what an index that fits the common case alone is slow at. Each question is asked with some
different values, three times each: the figure is the slowest value's least time, what is needed in memory.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres

from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import FILE_NAME, open_index
from echostream.index.query import Query
from echostream.index.store import Entry
from tests.bench.rows import Row, skipped

MILLION = 1_000_000
SHORT = 200_000
"""In PostgreSQL without --long."""
SOURCES = 104
GOAL_MS = 50.0
SEGMENT_US = 600_000_000
FIRST_US = 1_760_000_400_000_000
VALUES = 12
TIMES = 3
_BATCH = 5_000
_TONES = [(f"engine_{n}", f"Engine {n}") for n in range(1, 9)] + [
    ("medic_1", "Medic 1"),
    ("all", "All call"),
]


def run(long: bool = False) -> list[Row]:
    """Both databases; --long: a million also in PostgreSQL. Filling them takes two to eight minutes."""
    rows = _measured("SQLite", None, MILLION)
    if postgres.binaries() is None:
        return [*rows, skipped("index", "PostgreSQL", "not installed (apt-get install postgresql)")]
    with postgres.server() as url:
        return rows + _measured("PostgreSQL", url, MILLION if long else SHORT)


def _measured(name: str, url: str | None, count: int) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="echostream-bench-"))
    name = f"{name}, {count:,}"
    try:
        with open_index(directory, url) as index:
            began_s = time.monotonic()
            _fill(index, count)
            filled_s = time.monotonic() - began_s
            rows = [_row(f"{name}: {what}", ask) for what, ask in _questions(index, count)]
        rows.append(Row("index", f"{name}: written in batches of 5,000", f"{count / filled_s:,.0f}/s"))
        if url is None:
            size = (directory / FILE_NAME).stat().st_size
            rows.append(Row("index", f"{name}: size", f"{size / count:.0f} bytes a recording"))
        began_s = time.monotonic()
        with open_index(directory, url):
            rows.append(Row("index", f"{name}: opened", f"{1000 * (time.monotonic() - began_s):.0f} ms"))
        return rows
    finally:
        shutil.rmtree(directory)


def _row(what: str, ask: Callable[[random.Random], int]) -> Row:
    """Each question with other values; the least of some times for each, the worst of them all."""
    took_ms, found = [], 0
    for value in range(VALUES):
        least_ms = float("inf")
        for _ in range(TIMES):
            chance = random.Random(value)
            began_s = time.perf_counter()
            found = ask(chance)
            least_ms = min(least_ms, 1000 * (time.perf_counter() - began_s))
        took_ms.append(least_ms)
    worst = max(took_ms)
    figure = f"{worst:.1f} ms (median {sorted(took_ms)[VALUES // 2]:.1f})"
    return Row("index", what, figure, f"< {GOAL_MS:.0f} ms", worst < GOAL_MS, f"{found} rows")


def _fill(index: ArchiveIndex, count: int) -> None:
    batch: list[Entry] = []
    for recording in _recordings(count):
        batch.append(Entry(recording, 1))
        if len(batch) == _BATCH:
            index.write(batch, [])
            batch = []
    index.write(batch, [])
    index.tidy_up()


def _recordings(count: int) -> Iterator[Recording]:
    chance = random.Random(3)
    for n in range(count):
        segment, source = divmod(n, SOURCES)
        start_us = FIRST_US + segment * SEGMENT_US + chance.randrange(1000)
        name = f"mic-{source:03d}" if source else "rare" if chance.random() < 0.001 else "mic-103"
        tones = [ToneMark(*chance.choice(_TONES), start_us, start_us + 3_000_000)] if n % 50 == 0 else []
        if n < count // 50 and n % 2:
            tones.append(ToneMark("old_siren", "Old siren", start_us, start_us + 1_000_000))
        yield Recording(
            id=f"{chance.getrandbits(128):032x}",
            path=f"{1 + segment // 144:04d}-01-01/{1 + segment // 144:04d}-01-01_0000_00_{name}-{n}.flac",
            form="flac",
            gateway="north",
            source=name,
            kind="device" if source % 13 else "channel",
            trigger="vox" if source % 10 == 3 else "continuous",
            start_us=start_us,
            rate_hz=16000,
            label=f"Microphone {source} {('yard', 'hall', 'gate', 'roof')[source % 4]}",
            channel_id=f"channel-{source % 4}",
            samples=9_600_000,
            state="closed",
            ended="segment",
            clock="synchronised",
            bytes=9_000_000 + chance.randrange(1_000_000),
            sha256=f"{chance.getrandbits(256):064x}",
            protected=n % 5_000 == 0,
            notes="checked by the shift leader" if n % 997 == 0 else "",
            gaps=[Gap(start_us + 5, start_us + 9, "packets lost", 80_000)] if n % 40 == 0 else [],
            tones=tones,
        )


def _questions(index: ArchiveIndex, count: int) -> Iterator[tuple[str, Callable[[random.Random], int]]]:
    span_us = count // SOURCES * SEGMENT_US

    def moment(chance: random.Random) -> int:
        return FIRST_US + chance.randrange(span_us)

    def name(chance: random.Random) -> str:
        return f"mic-{chance.randrange(1, SOURCES):03d}"

    def channel(chance: random.Random) -> str:
        return f"channel-{chance.randrange(4)}"

    def asked(query: Query) -> int:
        return len(index.list(query).recordings)

    def second(query: Query) -> int:
        return len(index.list(query, after=index.list(query).next).recordings)

    yield "the newest 50", lambda chance: asked(Query())
    yield "the oldest 50", lambda chance: asked(Query(oldest_first=True))
    yield "from any moment on", lambda chance: second(Query(until_us=moment(chance)))
    yield (
        "one source, one hour",
        lambda chance: asked(
            Query(sources=(name(chance),), since_us=(at := moment(chance)), until_us=at + 3_600_000_000)
        ),
    )
    yield "one source", lambda chance: second(Query(sources=(name(chance),)))
    yield "a source that is rarely heard", lambda chance: asked(Query(sources=("rare",)))
    yield (
        "26 sources of a channel",
        lambda chance: second(Query(channels=(f"channel-{chance.randrange(4)}",))),
    )
    yield "96 sources of a kind", lambda chance: second(Query(kinds=("device",)))
    yield "protected", lambda chance: second(Query(protected=True))
    yield "protected, one source", lambda chance: asked(Query(protected=True, sources=(name(chance),)))
    yield "a tone", lambda chance: second(Query(tones=(chance.choice(_TONES)[0],)))
    yield "a tone of long ago", lambda chance: asked(Query(tones=("old_siren",)))
    yield "a tone that never was", lambda chance: asked(Query(tones=("nothing",)))
    yield "a tone at one source", lambda chance: asked(Query(tones=("medic_1",), sources=(name(chance),)))
    yield "triggered by voice", lambda chance: second(Query(triggers=("vox",)))
    yield "search: one word of all", lambda chance: len(index.search("microphone").recordings)
    yield "search: two common words", lambda chance: len(index.search("yard microphone").recordings)
    yield "search: words of a note", lambda chance: len(index.search("shift leader gate").recordings)
    yield "search: a word that never was", lambda chance: len(index.search("zeppelin").recordings)
    yield "search: beginning of a word", lambda chance: len(index.search("micro*").recordings)
    yield (
        "search: common word, rare source",
        lambda chance: len(index.list(Query(text="microphone", sources=("rare",))).recordings),
    )
    yield (
        "search: old word, at one moment",
        lambda chance: asked(Query(text="siren", until_us=moment(chance))),
    )
    yield "by id", lambda chance: int(index.get("0123abcd") is not None)
    yield "statistics", lambda chance: len(index.stats().sources)


if __name__ == "__main__":
    for row in run():
        print(row, file=sys.stdout)
