"""The pure parts of uploads: who is chosen, what it is called, how fast, when, and what is said."""

from __future__ import annotations

import string
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import NOON_US, recording

from echostream.archive.recording import ToneMark
from echostream.config.s3_models import KEY_FIELDS, S3Rule
from echostream.uploads.body import Body, Part, Stopped, look_through
from echostream.uploads.causes import PERMISSIONS, Answer, Cause, cause_of, certificate_words, refused
from echostream.uploads.deferred import BOUND, Deferred
from echostream.uploads.keys import key_of, metadata_of
from echostream.uploads.lag import Lag
from echostream.uploads.pace import Pace, Waits, Window, drawn
from echostream.uploads.rules import Turn, turn_of, wanted

TONE = ToneMark("engine-7", "Engine 7", NOON_US, NOON_US + 1)


@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        ({}, {}, False),
        ({}, {"trigger": "page"}, True),
        ({}, {"tones": [TONE]}, True),
        ({}, {"tones": [TONE], "kind": "quarantine"}, False),
        ({"what": "all"}, {}, True),
        ({"what": "all"}, {"state": "open"}, False),
        ({"what": "all"}, {"sha256": ""}, False),
        ({"what": "all", "sources": ["attic"]}, {}, False),
        ({"what": "all", "sources": ["porch"]}, {}, True),
        ({"what": "all", "kinds": ["quarantine"]}, {"kind": "quarantine"}, True),
        ({"what": "protected"}, {}, False),
        ({"what": "protected"}, {"protected": True}, True),
    ],
)
def test_a_recording_meets_all_of_a_rule(
    rule: dict[str, Any], fields: dict[str, Any], expected: bool
) -> None:
    one = recording(1, **{"sha256": "ab", **fields})
    assert wanted(one, [S3Rule(**rule)]) is expected
    assert wanted(one, [S3Rule(what="all", sources=("nobody",)), S3Rule(**rule)]) is expected
    assert not wanted(one, [])


def test_pages_have_the_first_turn() -> None:
    assert turn_of(recording(1, trigger="page")) is Turn.PAGE
    assert turn_of(recording(1, tones=[TONE])) is Turn.PAGE
    assert turn_of(recording(1)) is Turn.OTHER


def test_a_key_is_the_template_filled() -> None:
    one = recording(1, source="fire", kind="channel", channel_id="Fire 1/a")
    assert key_of("{gateway}/{date}/{channel}/{name}", one) == (
        f"north/2025-11-21/Fire-1-a/{Path(one.path).name}"
    )
    assert key_of("{year}/{month}/{day}/{source}-{kind}.{form}/{id}", one) == (
        f"2025/11/21/fire-channel.wav/{one.id}"
    )
    with pytest.raises(ValueError, match=r"s3\.key"):
        key_of("x" * 1025 + "{id}", one)


@given(st.text(), st.text(), st.text())
def test_a_key_never_leaves_its_folder(gateway: str, source: str, channel: str) -> None:
    one = recording(1, gateway=gateway, channel_id=channel)
    one.source = source
    key = key_of("/".join(f"{{{name}}}" for name in KEY_FIELDS), one)
    parts = key.split("/")
    assert len(parts) == len(KEY_FIELDS)
    assert all(part and part.strip(".") and part.isascii() for part in parts)


@given(
    st.text(), st.text(), st.lists(st.tuples(st.text(min_size=1), st.integers(0, 4 * 10**15)), max_size=60)
)
def test_metadata_is_short_and_plain_whatever_people_call_things(
    label: str, source: str, tones: list[tuple[str, int]]
) -> None:
    marks = [ToneMark(name, name, start_us, start_us) for name, start_us in tones]
    one = recording(1, label=label, tones=marks, gateway=label, channel_id=label, sha256="a" * 64)
    one.source = source
    found = metadata_of(one)
    assert sum(len(name) + len(value) for name, value in found.items()) < 2048 - 200
    for value in found.values():
        assert value == value.strip()
        assert "  " not in value
        assert set(value) <= set(string.ascii_letters + string.digits + string.punctuation + " ")


def test_metadata_that_is_cut_behind_a_blank_does_not_end_with_it() -> None:
    found = metadata_of(recording(1, label=16 * "\U00010000" + " " + 40 * "\U00010000"))
    assert found["label"] == found["label"].strip()


def test_metadata_says_when_and_which_tones() -> None:
    found = metadata_of(recording(1, label="Straße", tones=[TONE], sha256="ab"))
    assert found["start"] == "2025-11-21T12:00:00.000Z"
    assert found["end"] == "2025-11-21T12:10:00.000Z"
    assert found["duration-s"] == "600.000"
    assert found["tones"] == "engine-7@2025-11-21T12:00:00.000Z"
    assert found["label"] == "Stra%C3%9Fe"


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 5)), min_size=1, max_size=50))
def test_no_second_gets_more_than_its_share(pieces: list[tuple[int, float]]) -> None:
    pace, now, left = Pace(800.0), 100.0, list[tuple[float, int]]()
    for size, rest_s in pieces:
        now += rest_s + pace.wait_s(size, now + rest_s)
        left.append((now, size))
    for at, _ in left:
        within = sum(size for when, size in left if at <= when < at + 1.0)
        assert within <= 100_000 * 1.25 + 100_000  # a second, its burst, and the piece that ends it


def test_without_a_bound_nothing_waits() -> None:
    assert Pace(None).wait_s(10**9, 0.0) == 0.0
    assert Pace(None).at_once is None
    assert Pace(80.0).at_once == 2500


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        (None, time(3), True),
        ("22:00-06:00", time(23, 59), True),
        ("22:00-06:00", time(5, 59, 59), True),
        ("22:00-06:00", time(6), False),
        ("22:00-06:00", time(21, 59), False),
        ("08:30-17:00", time(8, 30), True),
        ("08:30-17:00", time(17), False),
        ("08:00-08:00", time(1), True),
    ],
)
def test_the_time_of_day_may_go_over_midnight(text: str | None, at: time, expected: bool) -> None:
    assert Window(text).is_open(at) is expected


def test_waits_double_and_begin_anew_with_another_cause() -> None:
    waits = Waits(lambda: 1.0)
    assert [waits.next_s("a", 1.0, 5.0) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert waits.next_s("b", 1.0, 5.0) == 1.0
    waits.reset()
    assert waits.next_s("b", 1.0, 5.0) == 1.0
    assert drawn(1000, 1.0, 60.0, lambda: 0.0) == 30.0


def test_a_clock_that_steps_does_not_change_how_long_one_has_waited() -> None:
    lag, year_us = Lag(100.0), 365 * 86_400 * 1_000_000
    lag.found(7)
    lag.oldest(5, NOON_US, NOON_US + 3_600_000_000, 100.0)  # from before the start
    assert lag.age_s(110.0) == 3610.0
    lag.oldest(5, NOON_US, NOON_US - year_us, 120.0)  # the clock steps back
    assert lag.age_s(130.0) == 3630.0
    lag.oldest(9, NOON_US, NOON_US + year_us, 140.0)  # of our own time: no older than we are
    assert lag.age_s(140.0) == 40.0
    lag.oldest(0, 0, 0, 150.0)
    assert lag.age_s(160.0) == 0.0


@pytest.mark.parametrize("operation", PERMISSIONS)
def test_a_denial_names_the_permission(operation: str) -> None:
    error = refused(Answer(operation, "AccessDenied", 403), "radio", "Amazon S3")
    assert error.cause is Cause.DENIED
    assert f"needs {PERMISSIONS[operation]} on arn:aws:s3:::radio" in str(error)


@given(st.text(max_size=30), st.integers(0, 599), st.text(max_size=50))
def test_whatever_a_server_says_is_explained(code: str, status: int, message: str) -> None:
    error = refused(Answer("PutObject", code, status, message), "radio", "s3.example")
    assert error.cause is cause_of(Answer("PutObject", code, status))
    assert str(error)


@pytest.mark.parametrize(
    ("status", "cause"),
    [(500, Cause.SERVER), (503, Cause.BUSY), (429, Cause.BUSY), (403, Cause.DENIED), (400, Cause.FILE)],
)
def test_a_code_that_is_not_known_goes_by_its_status(status: int, cause: Cause) -> None:
    assert cause_of(Answer("PutObject", "SomethingNew", status)) is cause


def test_certificates_are_explained() -> None:
    assert "renew" in certificate_words("certificate verify failed: certificate has expired", "h")
    assert "endpoint_url" in certificate_words("Hostname mismatch, certificate is not valid for 'h'", "h")
    assert "ca_file" in certificate_words("unable to get local issuer certificate", "h")
    assert "wrong version" in certificate_words("WRONG_VERSION_NUMBER wrong version number", "h")


def test_those_that_fail_are_few_and_come_back() -> None:
    deferred = Deferred()
    for number in range(2 * BOUND):
        deferred.add(number, 10.0, alone=False)
    deferred.add(5000, 20.0, alone=True)
    alone, failed = deferred.at(9.0)
    assert (alone, len(failed)) == ({5000}, BOUND)
    assert deferred.wait_s(9.0) == 1.0
    assert deferred.at(15.0) == ({5000}, set())
    assert deferred.at(20.0) == (set(), set())


@given(st.binary(max_size=5000), st.integers(1, 1500))
def test_parts_are_the_whole_file(tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int) -> None:
    path = tmp_path_factory.mktemp("parts") / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        whole = look_through(file, size, lambda: False)
        bodies = [
            Body(file, part, Pace(None), lambda wait_s: False, lambda count: None) for part in whole.parts
        ]
        assert b"".join(body.read() for body in bodies) == data
        assert all(len(body.read()) == 0 for body in bodies)
        assert [body.seek(0) for body in bodies] == [0] * len(bodies)
        assert b"".join(body.read(1 << 20) for body in bodies) == data
    assert whole.size == len(data) == sum(part.size for part in whole.parts)


def test_a_stop_ends_what_is_being_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    with path.open("rb") as file:
        body = Body(file, Part(1, 0, 100, b""), Pace(None), lambda wait_s: True, lambda count: None)
        with pytest.raises(Stopped):
            body.read(10)
        with pytest.raises(Stopped):
            look_through(file, 10, lambda: True)


def test_a_file_that_gets_shorter_is_no_silent_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    with path.open("rb") as file:
        body = Body(file, Part(1, 0, 200, b""), Pace(None), lambda wait_s: False, lambda count: None)
        assert len(body.read(100)) == 100
        with pytest.raises(OSError, match="shorter"):
            body.read(100)
