"""Refusals are all counted; the log hears few of them, whoever forges how many senders."""

from __future__ import annotations

import pytest

from echostream.network.esp32_admission import Refused
from echostream.network.esp32_refusals import AGAIN_S, LINES, Refusals

UNKNOWN = Refused("unknown", "no entry")


def test_many_refusals_are_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    counts: dict[str, int] = {}
    refusals = Refusals(counts)
    for number in range(1000):
        refusals.note(f"198.51.100.{number % 250}", UNKNOWN, 100.0)
    assert len(caplog.records) == LINES
    refusals.note("192.0.2.1", UNKNOWN, 100.0 + AGAIN_S)
    said = [record.getMessage() for record in caplog.records[LINES:]]
    assert said == ["and 920 more devices were refused", "device at 192.0.2.1 refused: no entry"]
    assert counts == {"unknown": 1001}


def test_one_device_that_tries_again_and_again_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals({})
    for number in range(50):
        refusals.note("192.0.2.1", UNKNOWN, 100.0 + number / 10)
    refusals.note("192.0.2.1", Refused("disabled", "off"), 105.0)
    assert len(caplog.records) == 2
