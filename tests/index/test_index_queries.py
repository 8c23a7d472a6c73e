"""Questions: whatever is asked, the answer is what a walk through everything would give."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from recorded import MINUTE_US, NOON_US, recording

from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.index import full_text, reading
from echostream.index.archive_index import ArchiveIndex
from echostream.index.query import Query
from echostream.index.store import Entry
from echostream.index.words import terms_of, words_of

TONES = [ToneMark("engine_4", "Engine 4", 0, 1), ToneMark("medic", "Médic One", 0, 1)]


def made(chance: random.Random, number: int) -> Recording:
    start_us = NOON_US + chance.choice([0, 1, 2, 3, 5]) * 10 * MINUTE_US + chance.choice([0, 0, 17])
    one = recording(
        number,
        start_us,
        chance.choice(["porch", "barn", "gate", "roof"]),
        kind=chance.choice(["device", "device", "channel", "quarantine"]),
        trigger=chance.choice(["continuous", "continuous", "vox", "page"]),
        channel_id=chance.choice(["", "fire", "works"]),
        gateway=chance.choice(["north", "south"]),
        label=chance.choice(["Front Porch", "Côté Süd", ""]),
        notes=chance.choice(["", "", "kept for the inquest"]),
        samples=chance.choice([0, 1, 16_000, 9_600_000]),
        protected=chance.random() < 0.2,
        state=chance.choice(["closed", "closed", "repaired", "open"]),
        keep_days=chance.choice([None, 3.5]),
        ppm=chance.choice([None, -12.5]),
        gap_before=chance.choice([None, Gap(start_us - 5, start_us, "killed")]),
        gaps=[Gap(start_us + 1, start_us + 9, "packets lost", 3)] if chance.random() < 0.3 else [],
    )
    tones = [replace(tone, start_us=start_us, end_us=start_us + 5) for tone in TONES if chance.random() < 0.3]
    return replace(one, tones=tones)


def asked(chance: random.Random) -> Query:
    def maybe(values: list[str]) -> tuple[str, ...]:
        return tuple(chance.sample(values, chance.choice([1, 2]))) if chance.random() < 0.3 else ()

    def moment() -> int | None:
        return NOON_US + chance.randrange(-5, 70) * MINUTE_US if chance.random() < 0.4 else None

    return Query(
        since_us=moment(),
        until_us=moment(),
        sources=maybe(["porch", "barn", "gate", "nobody"]),
        channels=maybe(["fire", "works"]),
        kinds=maybe(["device", "quarantine"]),  # type: ignore[arg-type]
        gateways=maybe(["north", "south"]),
        tones=maybe(["engine_4", "médic one"]),
        triggers=maybe(["continuous", "vox", "page"]),  # type: ignore[arg-type]
        text=chance.choice(
            ["", "", "", "porch", "cote", "engine front", "inq*", "zeppelin", "?!", "for the"]
        ),
        protected=chance.choice([None, None, None, True, False]),
        state=chance.choice([None, None, None, "open", "repaired"]),
        oldest_first=chance.random() < 0.3,
    )


def fits(one: Recording, query: Query) -> bool:
    words = [w for text in (one.label, one.channel_id, one.source, one.notes) for w in words_of(text)]
    words += [w for tone in one.tones for text in (tone.name, tone.tone_id) for w in words_of(text)]
    tones = {tuple(words_of(text)) for tone in one.tones for text in (tone.tone_id, tone.name)}
    terms = terms_of(query.text)
    return (
        (query.until_us is None or one.start_us < query.until_us)
        and (
            query.since_us is None
            or one.end_us > query.since_us
            or one.start_us >= query.since_us
            or one.state == "open"
        )
        and (not query.sources or one.source in query.sources)
        and (not query.channels or one.channel_id in query.channels)
        and (not query.kinds or one.kind in query.kinds)
        and (not query.gateways or one.gateway in query.gateways)
        and (not query.tones or any(tuple(words_of(tone)) in tones for tone in query.tones))
        and (not query.triggers or one.trigger in query.triggers)
        and (query.protected is None or one.protected == query.protected)
        and (query.state is None or one.state == query.state)
        and (not query.text or bool(terms))
        and all(any(w.startswith(t.word) if t.begins else w == t.word for w in words) for t in terms)
    )


def in_order(found: list[Recording], oldest_first: bool) -> bool:
    starts = [one.start_us for one in found]
    return starts == sorted(starts, reverse=not oldest_first)


def test_any_question_gets_what_a_walk_through_all_would_give(index: ArchiveIndex) -> None:
    chance = random.Random(11)
    everything = {one.id: one for one in (made(chance, number) for number in range(200))}
    index.write([Entry(one) for one in everything.values()], [])
    for _ in range(60):
        query = asked(chance)
        expected = {key for key, one in everything.items() if fits(one, query)}
        found = list(index.all(query, batch=chance.choice([3, 50, 500])))
        assert {one.id for one in found} == expected, query
        assert len(found) == len(expected), query
        assert in_order(found, query.oldest_first), query
    assert {one.id: one for one in index.all()} == everything  # each whole, gaps and tones too


@pytest.mark.parametrize("most", ["MERGED", "MARKED"])
def test_many_devices_are_answered_another_way_and_the_same(
    index: ArchiveIndex, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    chance = random.Random(5)
    index.write([Entry(made(chance, number)) for number in range(80)], [])
    queries = [asked(chance) for _ in range(30)]
    few = [[one.id for one in index.all(query)] for query in queries]
    monkeypatch.setattr(reading, most, 1)
    assert [[one.id for one in index.all(query)] for query in queries] == few


@pytest.mark.parametrize("most", ["NAMED", "MERGED", "COUNTED"])
def test_many_words_are_looked_for_another_way_and_found_the_same(
    index: ArchiveIndex, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    chance = random.Random(9)
    notes = [chance.choice(["enter", "engine", "end", "english", "porch", "", ""]) for _ in range(80)]
    index.write([Entry(replace(made(chance, n), notes=note)) for n, note in enumerate(notes)], [])
    queries = [Query(text=text) for text in ("en*", "en* porch", "porch en* c*", "e* e*", "zz*")]
    queries.append(Query(text="en*", sources=("porch", "barn"), tones=("medic",)))
    found = [[one.id for one in index.all(query)] for query in queries]
    assert [bool(ids) for ids in found] == [True, True, True, True, False, True]
    monkeypatch.setattr(full_text, most, 1)
    assert [[one.id for one in index.all(query, batch=7)] for query in queries] == found


def test_a_page_goes_on_where_the_last_ended_while_others_write(index: ArchiveIndex) -> None:
    index.write([Entry(recording(n, NOON_US + n * MINUTE_US)) for n in range(30)], [])
    first = index.list(limit=10)
    index.write([Entry(recording(100 + n, NOON_US + (50 + n) * MINUTE_US)) for n in range(10)], [])
    index.removed([first.recordings[4].path])
    second = index.list(limit=20, after=first.next)
    assert [one.start_us for one in second.recordings] == [NOON_US + n * MINUTE_US for n in range(19, -1, -1)]
    assert second.next is None


@pytest.mark.parametrize("after", ["", "x", "-1", "1;2", "9" * 20, "٣"])
def test_a_place_that_no_page_gave_is_refused(index: ArchiveIndex, after: str) -> None:
    with pytest.raises(ValueError, match="where a page ended"):
        index.list(after=after)


def test_a_recording_is_found_by_what_people_have_of_it(index: ArchiveIndex) -> None:
    one, other = recording(1), recording(2, source="barn", kind="network", form="flac")
    index.write([Entry(one), Entry(other)], [])
    stem = other.path[11:].removesuffix(".flac")
    for what in (other.id, other.id.upper(), other.id[:8], other.path, f"/any/where/{other.path}", stem):
        assert index.get(what) == other, what
    assert index.get(f"{stem}.wav") == other  # before it was turned into another form
    for what in ("", "ffffff", other.id[:5], "../../etc/passwd", "2025-11-21_1200_00_nobody", "%", "_"):
        assert index.get(what) is None, what


def test_a_beginning_that_fits_two_finds_both_and_gets_none(index: ArchiveIndex) -> None:
    ids = ("abcdef" + "0" * 26, "abcdef" + "1" * 26)
    index.write([Entry(recording(n, id=key)) for n, key in enumerate(ids)], [])
    assert index.get("abcdef") is None
    assert {one.id for one in index.find("abcdef")} == set(ids)
    assert index.get("abcdef1") is not None


def test_gaps_are_rows_with_their_cause(index: ArchiveIndex) -> None:
    gap = Gap(NOON_US + 1_000_000, NOON_US + 2_000_000, "packets lost", 16_000)
    before = Gap(NOON_US - 5_000_000, NOON_US, "power cut")
    one = recording(1, gap_before=before, gaps=[gap])
    index.write([Entry(one), Entry(recording(2, source="barn"))], [])
    found = index.gaps()
    assert [(row.gap, row.between, row.source, row.recording_id) for row in found] == [
        (before, True, "porch", one.id),
        (gap, False, "porch", one.id),
    ]
    assert index.gaps(since_us=NOON_US, sources=("porch",)) == found[1:]
    assert index.gaps(until_us=NOON_US) == found[:1]
    assert index.gaps(sources=("barn",)) == ()
