"""Writes recordings into the tables. Each call is a part of one transaction that its caller holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from echostream.archive.recording import Recording
from echostream.index.rows import device_key, gap_rows, next_number, plain, row_of, tone_rows, wanted_number
from echostream.index.tables import any_device, devices, gaps, recordings, tone_events, uploads

AT_ONCE: Final = 500
"""Values in one statement; SQLite takes 32,766, older ones 999."""
MOST_WORDS: Final = 50_000
"""That are remembered as known."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording as its meta file says it. meta_mtime_ns: of that file, 0 where it has none."""

    recording: Recording
    meta_mtime_ns: int = 0


@dataclass(slots=True)
class _Sum:
    recordings: int = 0
    bytes: int = 0
    duration_us: int = 0

    def add(self, row: Any, sign: int) -> None:
        self.recordings += sign
        self.bytes += sign * row["bytes"]
        self.duration_us += sign * (row["end_us"] - row["start_us"])


class Store:
    """What belongs to one archive (folder) in the database. No state but what it remembers of the tables."""

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self._devices: dict[tuple[str, ...], int] = {}
        self._words = set[str]()

    def put(self, connection: Connection, entries: Sequence[Entry]) -> int:
        """Write recordings, in place of what was there of the same id or path. How many were new."""
        latest = {entry.recording.id: entry for entry in entries}
        latest = {entry.recording.path: entry for entry in latest.values()}
        wanted = {entry.recording.id: entry for entry in latest.values()}
        sums: dict[int, _Sum] = defaultdict(_Sum)
        known = self._take_out(connection, list(wanted), [*latest], sums)
        numbers = _numbers(connection, [entry.recording for entry in wanted.values()])
        rows, gap_list, tone_list = [], [], []
        for entry in wanted.values():
            recording = entry.recording
            device = self._device(connection, recording)
            number = numbers[recording.id]
            rows.append(row_of(recording, device, number, entry.meta_mtime_ns))
            gap_list += gap_rows(recording, device, number)
            tone_list += tone_rows(recording, number)
            sums[device].add(rows[-1], 1)
        for table, values in ((recordings, rows), (gaps, gap_list), (tone_events, tone_list)):
            if values:
                connection.execute(sa.insert(table), values)
        self._learn(connection, rows)
        self._count(connection, sums, [entry.recording for entry in wanted.values()])
        return len(wanted.keys() - known)

    def drop(self, connection: Connection, paths: Iterable[str], moved: Collection[str] = ()) -> int:
        """Forget the recordings of these paths, and what was to be uploaded of them. How many there were.

        An upload in parts that was begun stays, for whoever sends them to abort it there.
        moved: ids of recordings that have another path now: their uploads stay.
        """
        sums: dict[int, _Sum] = defaultdict(_Sum)
        ids = self._take_out(connection, [], list(paths), sums)
        for part in _parts(list(ids.difference(moved))):
            gone = sa.delete(uploads).where(uploads.c.recording_id.in_(part), uploads.c.upload_id == "")
            connection.execute(gone)
        self._count(connection, sums, [])
        return len(ids)

    def _take_out(
        self, connection: Connection, ids: Sequence[str], paths: Sequence[str], sums: dict[int, _Sum]
    ) -> set[str]:
        """Delete rows by id (of whichever archive: it is the same recording) and by path. Their ids."""
        columns = [recordings.c[name] for name in ("number", "id", "device", "bytes", "start_us", "end_us")]
        found: dict[int, Any] = {}
        here = sa.select(devices.c.number).where(devices.c.archive == self.archive)
        for part in _parts(ids):
            query = sa.select(*columns).where(recordings.c.id.in_(part))
            found |= {row["number"]: row for row in connection.execute(query).mappings()}
        for part in _parts(paths):
            query = sa.select(*columns).where(recordings.c.path.in_(part), any_device.in_(here))
            found |= {row["number"]: row for row in connection.execute(query).mappings()}
        for row in found.values():
            sums[row["device"]].add(row, -1)
        for numbers in _parts(list(found)):
            connection.execute(sa.delete(gaps).where(gaps.c.recording.in_(numbers)))
            connection.execute(sa.delete(tone_events).where(tone_events.c.recording.in_(numbers)))
            connection.execute(sa.delete(recordings).where(recordings.c.number.in_(numbers)))
        return {row["id"] for row in found.values()}

    def _device(self, connection: Connection, recording: Recording) -> int:
        key = device_key(self.archive, recording)
        if (known := self._devices.get(key)) is not None:
            return known
        names = ("archive", "gateway", "source", "kind", "channel_id")
        where = [devices.c[name] == value for name, value in zip(names, key, strict=True)]
        number = connection.execute(sa.select(devices.c.number).where(*where)).scalar()
        if number is None:
            values = dict(zip(names, key, strict=True)) | {"label": plain(recording.label)}
            number = connection.execute(
                sa.insert(devices).values(**values).returning(devices.c.number)
            ).scalar_one()
        self._devices[key] = number
        return int(number)

    def _learn(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Words that were not seen before, in an order that two who learn at once have in common."""
        words = {word for row in rows for word in row["words"].split() if word[0] != "_"}
        new = sorted(words - self._words)
        if not new:
            return
        statement = sa.text("INSERT INTO vocabulary (word) VALUES (:word) ON CONFLICT DO NOTHING")
        connection.execute(statement, [{"word": word} for word in new])
        if len(self._words) > MOST_WORDS:
            self._words.clear()
        self._words.update(new)

    def forget(self) -> None:
        """A transaction was rolled back, and with it perhaps a device's number."""
        self._devices.clear()
        self._words.clear()

    def _count(self, connection: Connection, sums: dict[int, _Sum], added: Iterable[Recording]) -> None:
        latest: dict[int, Recording] = {}
        longest: dict[int, int] = defaultdict(int)
        for recording in added:
            device = self._devices[device_key(self.archive, recording)]
            if device not in latest or recording.start_us >= latest[device].start_us:
                latest[device] = recording
            longest[device] = max(longest[device], recording.duration_us)
        changes = [
            {
                "of_device": device,
                "more_recordings": change.recordings,
                "more_bytes": change.bytes,
                "more_us": change.duration_us,
                "longest": longest[device],
                "newest_us": latest[device].start_us if device in latest else -1,
                "newest_label": plain(latest[device].label) if device in latest else "",
                "newest_ppm": latest[device].ppm if device in latest else None,
            }
            for device, change in sorted(sums.items())  # in an order that two gateways have in common
        ]
        if changes:
            connection.execute(_CHANGED, changes)


def _changed() -> sa.Update:
    """A device's counters after a change. newest_us: start of the newest recording that came, -1: none."""
    column, number = devices.c, sa.bindparam("of_device", type_=sa.BigInteger)

    def given(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.BigInteger) -> Any:
        return sa.cast(sa.bindparam(name), kind)  # PostgreSQL wants to know what a NULL is

    starts = sa.select(recordings.c.start_us).where(recordings.c.device == number)
    oldest = starts.order_by(recordings.c.number).limit(1).scalar_subquery()
    newest = starts.order_by(recordings.c.number.desc()).limit(1).scalar_subquery()
    is_newest = column.last_us <= given("newest_us")
    longest = given("longest")
    ppm = sa.func.coalesce(given("newest_ppm", sa.Float), column.ppm)
    return (
        sa.update(devices)
        .where(column.number == number)
        .values(
            recordings=column.recordings + given("more_recordings"),
            bytes=column.bytes + given("more_bytes"),
            duration_us=column.duration_us + given("more_us"),
            first_us=sa.func.coalesce(oldest, 0),
            last_us=sa.func.coalesce(newest, 0),
            longest_us=sa.case((column.longest_us < longest, longest), else_=column.longest_us),
            label=sa.case((is_newest, given("newest_label", sa.Text)), else_=column.label),
            ppm=sa.case((is_newest, ppm), else_=column.ppm),
        )
    )


_CHANGED: Final = _changed()


def _numbers(connection: Connection, wanted: Sequence[Recording]) -> dict[str, int]:
    """A number of its own for each, near the one it wants."""
    numbers: dict[str, int] = {}
    waiting = {recording.id: wanted_number(recording) for recording in wanted}
    taken = set[int]()
    while waiting:
        for part in _parts(list(set(waiting.values()) - taken)):
            query = sa.select(recordings.c.number).where(recordings.c.number.in_(part))
            taken |= set(connection.execute(query).scalars())
        again = {}
        for key, number in waiting.items():
            if number in taken:
                again[key] = next_number(number)
            else:
                numbers[key] = number
                taken.add(number)
        waiting = again
    return numbers


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[at : at + AT_ONCE] for at in range(0, len(values), AT_ONCE))
