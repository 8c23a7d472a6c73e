"""The HID lines of a CM108-type card. Keys what hangs on GPIO3 for 0.3 s: not with a radio on an antenna."""

from __future__ import annotations

import os
import time

import pytest

from echostream.hardware.cm108 import Cm108CosReaders, find_hidraw
from echostream.hardware.ptt_client import PttLines, PttLineSpec


@pytest.fixture(scope="module")
def lines_card(request: pytest.FixtureRequest) -> str:
    """A card whose HID lines can be opened: $ECHOSTREAM_CM108, else the sound card under test."""
    named = os.environ.get("ECHOSTREAM_CM108")
    sound_card: str = named or request.getfixturevalue("sound_card")
    try:
        path = find_hidraw(sound_card)
    except OSError as error:
        pytest.skip(f"{sound_card}: {error.strerror}")
    if not os.access(path, os.R_OK | os.W_OK):
        pytest.skip(f"{path}: permission denied: `sudo make install` brings the udev rule for it")
    return sound_card


def test_line_keys_and_drops(lines_card: str) -> None:
    if os.environ.get("ECHOSTREAM_KEY_RADIO") != "1":
        pytest.skip("set ECHOSTREAM_KEY_RADIO=1 if what hangs on GPIO3 of the card may be keyed")
    lines = PttLines([PttLineSpec("hwtest", cm108=lines_card)])
    lines.start()
    try:
        output = lines.output("hwtest")
        assert output.fault is None
        for _ in range(15):
            output.key()
            time.sleep(0.02)
        assert output.keyed
        time.sleep(0.3)
        assert output.state == "expired"
    finally:
        lines.close()


def test_squelch_line_is_readable(lines_card: str) -> None:
    readers = Cm108CosReaders()
    line = readers.watch_cos(lines_card, active_low=True, on_change=lambda *_: None)
    time.sleep(0.3)
    assert line.present
    readers.close()
