"""Refusals are all counted; the log hears few of them, whoever forges how many senders."""

from __future__ import annotations

import pytest

from echostream.network.esp32_admission import Refused
from echostream.network.esp32_refusals import AGAIN_S, LINES, REMEMBERED, SPAN_S, Refusals

UNKNOWN = Refused("unknown", "no entry")


def test_many_refusals_are_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    counts: dict[str, int] = {}
    refusals = Refusals(counts)
    for number in range(1000):
        refusals.note(f"198.51.{number >> 8}.{number & 255}", UNKNOWN, 100.0)
    assert len(caplog.records) == LINES
    refusals.note("192.0.2.1", UNKNOWN, 100.0 + SPAN_S)
    said = [record.getMessage() for record in caplog.records[LINES:]]
    assert said == ["and 980 more times devices were refused", "device at 192.0.2.1 refused: no entry"]
    assert counts == {"unknown": 1001}


def test_one_device_that_tries_for_hours_is_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals({})
    for number in range(720):
        refusals.note("192.0.2.1", UNKNOWN, 100.0 + 5.0 * number)
    refusals.note("192.0.2.1", Refused("disabled", "off"), 105.0)
    assert len(caplog.records) == 3600 / AGAIN_S + 1


def test_what_is_remembered_is_bounded() -> None:
    refusals = Refusals({})
    for number in range(4 * REMEMBERED):
        refusals.note(f"2001:db8::{number:x}", UNKNOWN, number * SPAN_S)
    assert len(refusals._said) == REMEMBERED
