"""A reload touches what changed and nothing else."""

from __future__ import annotations

import pytest
from config_documents import Document, example, holder_of

from echostream.config.changes import Changes, compare
from echostream.config.load import parse_config

ALL = {"fire-dispatch", "fire-tac", "ems", "public-works"}


def changed(*edits: tuple[tuple[str | int, ...], object]) -> Changes:
    """The example compared with itself after some edits."""
    document: Document = example()
    for place, value in edits:
        holder_of(document, place)[place[-1]] = value
    return compare(parse_config(example(), "old").config, parse_config(document, "new").config)


def test_nothing_changed() -> None:
    changes = changed()
    assert not changes
    assert str(changes) == "nothing changed"


def test_the_order_of_channels_is_no_change() -> None:
    assert not changed((("channels",), example()["channels"][::-1]))


def test_one_channels_settings_touch_that_channel_only() -> None:
    changes = changed((("channels", 1, "tot_s"), 60), (("channels", 1, "ptt", "pin"), 25))
    assert changes.channels_changed == {"fire-tac": {"tot_s", "ptt"}}
    assert not changes.global_changes
    assert not changes.touches_signalling
    assert str(changes) == "channel fire-tac changed (ptt, tot_s)"


def test_a_channel_that_comes_or_goes_touches_no_other() -> None:
    changes = changed((("channels", 2, "id"), "ems-2"), (("tones",), {}))
    assert changes.channels_added == {"ems-2"}
    assert changes.channels_removed == {"ems"}
    assert changes.channels_changed == {}
    assert changes.tones_changed == {"fire-dispatch", "ems"}


def test_audio_touches_every_channel() -> None:
    changes = changed((("audio", "complexity"), 8), (("channels", 0, "tot_s"), 60))
    assert {channel: set(keys) for channel, keys in changes.channels_changed.items()} == {
        "fire-dispatch": {"audio", "tot_s"},
        "fire-tac": {"audio"},
        "ems": {"audio"},
        "public-works": {"audio"},
    }
    assert changes.global_changes == {"audio"}


def test_tones_touch_the_tone_plan_only() -> None:
    changes = changed((("tones", "ems", "threshold"), 0.5))
    assert changes.channels_changed == {}
    assert changes.tones_changed == {"ems"}
    assert changes.global_changes == {"tones"}
    assert not changes.touches_signalling
    assert str(changes) == "tones of ems changed"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("gateway", "user_name"), "Other"),
        (("control_server", "url"), "ws://127.0.0.1:9"),
        (("control_server", "aes_key"), {"env": "KEY"}),
        (("control_server", "tls", "ca_file"), "/x.pem"),
    ],
)
def test_who_and_where_touch_the_signalling_only(place: tuple[str, ...], value: object) -> None:
    changes = changed((place, value))
    assert changes.touches_signalling
    assert (changes.channels_changed, changes.tones_changed) == ({}, frozenset())
    assert changes.global_changes == {place[0]}


def test_gpio_says_that_it_needs_a_start() -> None:
    changes = changed((("gpio", "debounce_ms"), 30))
    assert changes.needs_restart == {"gpio"}
    assert changes.channels_changed == {}
    assert str(changes) == "gpio changed (in force at the next start)"
