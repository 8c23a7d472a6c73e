"""The places in ALSA's configuration that cards are put into while PortAudio runs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from echostream.errors import AudioError
from echostream.hardware.alsa_slots import AlsaSlots, config_path, render_slots, slot_name


def test_absent_halves_are_null_and_present_ones_are_names() -> None:
    lines = render_slots([(None, None), ("hw:CARD=Device,DEV=0", None)]).splitlines()
    assert lines[1:] == [
        "pcm.echostream_slot_0 { type asym capture.pcm { type null } playback.pcm { type null } }",
        'pcm.echostream_slot_1 { type asym capture.pcm "hw:CARD=Device,DEV=0" playback.pcm { type null } }',
    ]


def test_name_cannot_break_out_of_its_quotes() -> None:
    text = render_slots([('a" } pcm.evil { type "null', None)])
    assert 'capture.pcm "a\\" } pcm.evil { type \\"null"' in text
    with pytest.raises(AudioError, match="control character"):
        render_slots([("a\nb", None)])


def test_each_change_is_a_new_file_that_alsa_notices(tmp_path: Path) -> None:
    slots = AlsaSlots(tmp_path, 3)
    number = slots.number_of("usb:1-1.2")
    inodes = [slots.path.stat().st_ino]
    for pcm in ("hw:CARD=Device,DEV=0", "hw:CARD=Device_1,DEV=0", None):
        slots.point(number, capture=True, pcm=pcm)
        inodes.append(slots.path.stat().st_ino)
    assert all(before != after for before, after in pairwise(inodes))
    assert [path.name for path in tmp_path.iterdir()] == ["slots.conf"]
    slots.point(number, capture=True, pcm=None)
    assert slots.path.stat().st_ino == inodes[-1]


def test_card_keeps_its_slot_and_the_last_one_is_the_last(tmp_path: Path) -> None:
    slots = AlsaSlots(tmp_path, 2)
    assert [slots.number_of(name) for name in ("a", "b", "a")] == [0, 1, 0]
    with pytest.raises(AudioError, match="card 'c': all 2 places"):
        slots.number_of("c")


def test_directions_of_a_card_come_and_go_apart(tmp_path: Path) -> None:
    slots = AlsaSlots(tmp_path, 1)
    slots.point(0, capture=True, pcm="in")
    slots.point(0, capture=False, pcm="out")
    slots.point(0, capture=True, pcm=None)
    assert 'capture.pcm { type null } playback.pcm "out"' in slots.path.read_text()


def test_what_was_configured_before_stays() -> None:
    assert config_path(None, Path("/run/e/slots.conf")) == "/usr/share/alsa/alsa.conf:/run/e/slots.conf"
    assert config_path("/a:/b", Path("/run/s")) == "/a:/b:/run/s"
    with pytest.raises(AudioError, match="blank"):
        config_path(None, Path("/run/my cards/slots.conf"))


def test_slot_names_are_what_portaudio_lists() -> None:
    assert slot_name(7) == "echostream_slot_7"
