"""Devices that come and go are told of; a thousand at once, or strangers that come for ever, fill no log."""

from __future__ import annotations

import logging

import pytest

from echostream.channels.device_log import AT_ONCE, SPAN_S, STRANGERS, DeviceLog
from echostream.events import DeviceChange


def change(number: int, known: bool = True, present: bool = True) -> DeviceChange:
    return DeviceChange(f"d{number}", "", "192.0.2.1", present, number, "why", known)


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_device_is_a_line_and_many_at_once_are_a_number(caplog: pytest.LogCaptureFixture) -> None:
    devices = DeviceLog()
    devices.note((change(1), change(1, present=False)), 0.0)
    devices.note(tuple(change(number, present=number % 2 == 0) for number in range(1000)), 1.0)
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == ["device d1 (192.0.2.1) connected: why", "device d1 (192.0.2.1) gone: why"]
    assert len(said) == 2 + AT_ONCE + 1
    assert said[-1] == "and 490 more devices connected, 490 gone"


def test_strangers_that_come_for_ever_are_few_lines_beside_those_with_an_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    devices = DeviceLog()
    for number in range(500):
        devices.note((change(number, known=False),), number * SPAN_S / 1000)
        devices.note((change(number),), number * SPAN_S / 1000)
    assert len(caplog.records) == 500 + STRANGERS
    devices.note((), SPAN_S)
    assert caplog.records[-1].getMessage() == "devices without an entry came or went 460 more times"
