"""Words: what is typed finds what was written, and nothing typed can break the question."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from echostream.index.words import (
    LONGEST_WORD,
    MOST_TERMS,
    AnyOf,
    Term,
    all_words,
    fts5_match,
    mark,
    terms_of,
    words_of,
)


def test_case_accents_and_signs_do_not_matter() -> None:
    assert words_of("Straße 4, Wache-Süd (CÔTÉ)_x") == ["strasse", "4", "wache", "sud", "cote", "x"]


def test_a_star_at_the_end_means_beginning() -> None:
    assert terms_of("Porch eng* a*b") == [Term("porch"), Term("eng", begins=True), Term("a"), Term("b")]


def test_signs_alone_are_no_words() -> None:
    assert terms_of('*** "-" ()') == []


@given(st.text())
def test_words_are_plain_and_stay_what_they_are(text: str) -> None:
    words = words_of(text)
    assert all(0 < len(word) <= LONGEST_WORD and "_" not in word and " " not in word for word in words)
    assert [again for word in words for again in words_of(word)] == words


@given(st.text(), st.text())
def test_nobody_can_type_a_mark(text: str, value: str) -> None:
    assert mark("d", value) not in words_of(text)
    assert mark("d", value).startswith("_d")


@given(st.lists(st.text(), max_size=5), st.text())
def test_every_expression_is_one_that_sqlite_understands(texts: list[str], typed: str) -> None:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(
            """CREATE VIRTUAL TABLE w USING fts5(words, detail=none, tokenize="ascii tokenchars '_'")"""
        )
        connection.execute("INSERT INTO w VALUES (?)", (all_words(texts, [mark("d", 1)]),))
        terms = terms_of(typed)
        groups = [AnyOf((), term.word) if term.begins else AnyOf((term.word,)) for term in terms]
        expression = fts5_match([AnyOf((mark("d", 1), mark("d", 2))), *groups])
        found = connection.execute("SELECT count(*) FROM w WHERE w MATCH ?", (expression,)).fetchone()[0]
        there = all_words(texts, []).split()
        expected = all(
            any(word.startswith(term.word) if term.begins else word == term.word for word in there)
            for term in terms
        )
        assert found == int(expected)
    finally:
        connection.close()


@given(st.text())
def test_what_is_typed_gets_never_too_long(typed: str) -> None:
    assert len(terms_of(typed * 50)) <= MOST_TERMS
