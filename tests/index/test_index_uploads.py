"""What is still to be sent: whose turn it is, of which archive and to where, and what was never told."""

from __future__ import annotations

from pathlib import Path

from recorded import NOON_US, recording, written

from echostream.archive.recording import Recording, ToneMark
from echostream.config.s3_models import S3Rule
from echostream.index import unsent as unsent_module
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import open_index
from echostream.index.unsent import unsent
from echostream.index.uploads import NewUpload, Waiting
from echostream.uploads.rules import wanted


def new(number: int, turn: int = 1, size: int = 100) -> NewUpload:
    one = recording(number)
    return NewUpload(one.id, one.path, turn, size)


def order(index: ArchiveIndex, target: str = "b", turns: int = 2) -> list[str]:
    return [one.recording_id for one in index.uploads.next(target, turns, (), 100)]


def test_pages_then_those_least_tried_then_the_oldest(index: ArchiveIndex) -> None:
    ids = [recording(n).id for n in range(4)]
    assert index.uploads.add_all([new(0), new(1), new(2, turn=0), new(3)], "b", NOON_US) == 4
    index.uploads.failed(ids[0], "b", "no")
    assert order(index) == [ids[2], ids[1], ids[3], ids[0]]
    assert order(index, turns=1) == [ids[2]]
    first = index.uploads.next("b", 2, (), 1)[0]
    assert order(index)[1:] == [one.recording_id for one in index.uploads.next("b", 2, [first.number], 9)]
    index.uploads.done(ids[2], "b", "key/of/it")
    assert index.uploads.of(ids[2], "b") == ("done", "key/of/it")
    assert ids[2] not in order(index)


def test_what_is_known_is_not_added_again(index: ArchiveIndex) -> None:
    assert index.uploads.add_all([new(0), new(0), new(1)], "b", NOON_US) == 2
    index.uploads.done(recording(0).id, "b")
    assert index.uploads.add_all([new(0), new(1), new(2)], "b", NOON_US) == 1
    assert order(index) == [recording(1).id, recording(2).id]


def test_how_much_waits_is_known(index: ArchiveIndex) -> None:
    assert index.uploads.waiting("b") == Waiting()
    index.uploads.add_all([new(0, size=10), new(1, size=30)], "b", NOON_US)
    index.uploads.add_all([new(2, size=5)], "b", NOON_US + 7)
    waiting = index.uploads.waiting("b")
    assert (waiting.count, waiting.bytes, waiting.since_us) == (3, 45, NOON_US)
    assert index.uploads.waiting("elsewhere") == Waiting()


def test_an_upload_in_parts_is_remembered_until_it_is_done(index: ArchiveIndex) -> None:
    index.uploads.add_all([new(0)], "b", NOON_US)
    index.uploads.begin(recording(0).id, "b", "some/key", "upload-1")
    row = index.uploads.next("b", 2, ())[0]
    assert (row.key, row.upload_id) == ("some/key", "upload-1")
    assert index.uploads.in_parts("b") == {"upload-1"}
    index.uploads.done(recording(0).id, "b", "some/key")
    assert index.uploads.in_parts("b") == set()


def test_what_waits_for_another_bucket_is_forgotten_and_what_was_done_is_not(index: ArchiveIndex) -> None:
    index.uploads.add_all([new(0), new(1)], "old", NOON_US)
    index.uploads.done(recording(1).id, "old")
    index.uploads.add_all([new(0)], "b", NOON_US)
    assert index.uploads.drop_others("b") == 1
    assert index.uploads.of(recording(0).id, "old") is None
    assert index.uploads.of(recording(1).id, "old") == ("done", "")
    index.uploads.drop(recording(0).id, "b")
    assert order(index) == []


def test_another_gateway_of_the_same_database_keeps_its_own(
    tmp_path: Path, index: ArchiveIndex, database_url: str | None
) -> None:
    if database_url is None:
        return  # an SQLite file has one archive
    (tmp_path / "other").mkdir()
    with open_index(tmp_path / "other", database_url) as other:
        index.uploads.add_all([new(0)], "b", NOON_US)
        other.uploads.add_all([new(1)], "b", NOON_US)
        assert other.uploads.drop_others("c") == 1
        assert order(index) == [recording(0).id]
        assert index.uploads.waiting("b").count == 1
        other.changed([written(tmp_path / "other", recording(2, sha256="ab"))])
        assert found(index, S3Rule(what="all")) == []


def found(index: ArchiveIndex, *rules: S3Rule) -> list[str]:
    batches = unsent(index.engine, index.archive, "b", rules, lambda: False)
    return [one.id for batch in batches for one in batch]


def many() -> list[Recording]:
    tone = ToneMark("engine-7", "Engine 7", NOON_US, NOON_US + 1)
    kinds = ("device", "channel", "network", "quarantine")
    fields: list[dict[str, object]] = [
        {},
        {"trigger": "page"},
        {"tones": [tone]},
        {"protected": True},
        {"sha256": ""},
        {"state": "open"},
    ]
    return [
        recording(
            number,
            NOON_US + number,
            "attic" if number % 3 else "porch",
            **{"sha256": "ab", "kind": kinds[number % 4], **fields[number % 6]},
        )
        for number in range(48)
    ]


def test_what_was_never_told_is_found_as_the_rules_say_it(tmp_path: Path, index: ArchiveIndex) -> None:
    those = many()
    index.changed([written(tmp_path, one) for one in those])
    for rules in (
        [S3Rule()],
        [S3Rule(what="all")],
        [S3Rule(what="protected")],
        [S3Rule(what="all", kinds=("quarantine",))],
        [S3Rule(what="pages", sources=("porch",)), S3Rule(what="protected", kinds=("device",))],
        [],
    ):
        assert set(found(index, *rules)) == {one.id for one in those if wanted(one, rules)}, rules


def test_what_is_known_is_not_found_again(tmp_path: Path, index: ArchiveIndex) -> None:
    those = many()
    index.changed([written(tmp_path, one) for one in those])
    first = found(index, S3Rule(what="all"))
    index.uploads.add_all([NewUpload(one, "", 1, 1) for one in first], "b", NOON_US)
    index.uploads.done(first[0], "b")
    assert found(index, S3Rule(what="all", kinds=("device", "channel", "network"))) == []


def test_a_walk_in_small_steps_finds_each_once(tmp_path: Path, index: ArchiveIndex) -> None:
    those = many()
    index.changed([written(tmp_path, one) for one in those])
    whole = found(index, S3Rule(what="all"))
    at_once, unsent_module.AT_ONCE = unsent_module.AT_ONCE, 5  # type: ignore[misc]
    try:
        assert sorted(found(index, S3Rule(what="all"))) == sorted(whole)
    finally:
        unsent_module.AT_ONCE = at_once  # type: ignore[misc]


def test_what_is_deleted_is_to_be_sent_no_more(tmp_path: Path, index: ArchiveIndex) -> None:
    one, other = recording(1, sha256="ab"), recording(2, sha256="ab")
    index.changed([written(tmp_path, one), written(tmp_path, other)])
    index.uploads.add_all([new(1), new(2)], "b", NOON_US)
    index.uploads.begin(other.id, "b", "some/key", "upload-1")
    index.delete(one.id)
    index.delete(other.id)
    assert order(index) == [other.id]  # its parts are still to be aborted there
