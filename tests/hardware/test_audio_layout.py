"""From what a card offers to 48 kHz mono and back."""

from __future__ import annotations

import numpy as np
import pytest
from pulse import level_at, tone

from echostream.audio.ports import Side
from echostream.hardware.audio_layout import (
    CaptureLayout,
    PlaybackLayout,
    StereoLayout,
    device_frame,
    formats,
    one_side,
)
from echostream.hardware.card_identity import Half


def test_best_format_comes_first() -> None:
    assert formats(None, "mono")[:3] == ((48_000, 1), (48_000, 2), (44_100, 1))
    assert formats(None, "left")[:2] == ((48_000, 2), (44_100, 2))


def test_only_what_the_driver_tells_is_tried() -> None:
    assert formats(Half(0, (44_100,), (2,)), "mono") == ((44_100, 2),)
    assert formats(Half(0, (44_100, 48_000, 96_000), (1, 2)), "right") == (
        (48_000, 2),
        (96_000, 2),
        (44_100, 2),
    )
    assert formats(Half(0, (16_000,), (1,)), "left") == ((16_000, 1),)


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("rate_hz", [44_100, 32_000, 16_000, 96_000])
def test_every_frame_of_another_rate_is_exact(rate_hz: int, frame_ms: int) -> None:
    layout = CaptureLayout(rate_hz, 1, "mono", frame_ms)
    block = bytes(2 * device_frame(rate_hz, frame_ms))
    assert {len(layout.frame(block)) for _ in range(20)} == {48 * frame_ms}
    back = PlaybackLayout(rate_hz, 1, "mono")
    sizes = {len(back.data(np.zeros(48 * frame_ms, np.int16))) for _ in range(20)}
    assert sizes == {2 * device_frame(rate_hz, frame_ms)}


def test_pitch_and_level_survive_44100_hz_stereo() -> None:
    played = PlaybackLayout(44_100, 2, "mono")
    heard = CaptureLayout(44_100, 2, "mono", 20)
    signal = tone(1000)
    out = [heard.frame(played.data(signal[at : at + 960])) for at in range(0, len(signal), 960)]
    assert level_at(np.concatenate(out)[9600:], 1000) == pytest.approx(8000, rel=0.01)


@pytest.mark.parametrize(
    ("side", "expected"),
    [("mono", [2, -32768, 32767]), ("left", [1, -32768, 32767]), ("right", [3, -32768, 32767])],
)
def test_mono_is_the_mean_without_overflow(side: Side, expected: list[int]) -> None:
    block = np.array([[1, 3], [-32768, -32768], [32767, 32767]], np.int16)
    assert one_side(block, side).tolist() == expected


def test_mono_is_played_on_both_sides_and_a_side_on_its_own() -> None:
    samples = np.array([5, -6], np.int16)
    assert np.frombuffer(PlaybackLayout(48_000, 2, "mono").data(samples), np.int16).tolist() == [5, 5, -6, -6]
    assert np.frombuffer(PlaybackLayout(48_000, 2, "right").data(samples), np.int16).tolist() == [0, 5, 0, -6]


def test_two_sides_are_interleaved_or_summed_where_there_is_but_one() -> None:
    left, right = np.array([1, 30_000], np.int16), np.array([2, 30_000], np.int16)
    assert np.frombuffer(StereoLayout(48_000, 2).data(left, right), np.int16).tolist() == [
        1,
        2,
        30_000,
        30_000,
    ]
    assert np.frombuffer(StereoLayout(48_000, 1).data(left, right), np.int16).tolist() == [3, 32_767]
