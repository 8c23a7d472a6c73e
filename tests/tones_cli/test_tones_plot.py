"""The picture: it is drawn for any sound, and its memory does not grow with the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tone_files import page_sound

from echostream.errors import AudioError
from echostream.tone_tools.hearing import HeardOn
from echostream.tone_tools.plot import check, draw
from echostream.tone_tools.spectrogram import MOST_COLUMNS, Spectrogram
from echostream.tones.heard import Detection, Kind, NearMiss, ToneSpan

A = ToneSpan(349.0, 4000, 12000, -15.0, 20.0)
B = ToneSpan(433.7, 12000, 28000, -15.0, 20.0)
PAGE = Detection(Kind.TWO_TONE, "engine-7", 4000, 28000, 28200, (A, B), snr_db=20.0)
MISS = NearMiss(Kind.TWO_TONE, "ladder-2", 30000, 34000, "b_too_short", "tone B lasted 0.5 s", (B,))


@pytest.mark.parametrize("found", [[], [PAGE], [PAGE, MISS], [PAGE, MISS] * 100])
def test_a_picture_of_anything(found: list[Detection | NearMiss], tmp_path: Path) -> None:
    spectrogram = Spectrogram(16000)
    spectrogram.add(page_sound(16000).astype(np.float32))
    path = tmp_path / "out.png"
    draw(path, "page.wav", spectrogram.result(), [HeardOn("fire", item) for item in found])
    with Image.open(path) as image:
        assert image.width >= 1000
        assert image.height >= 500
        assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 20, "there is something in it"


def test_a_picture_of_no_sound_at_all(tmp_path: Path) -> None:
    draw(tmp_path / "none.png", "none.wav", Spectrogram(8000).result(), [])
    assert (tmp_path / "none.png").stat().st_size > 1000


def test_a_place_that_cannot_be_written_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no directory"):
        check(tmp_path / "nowhere" / "out.png")
    with pytest.raises(AudioError, match=r"ends in \.png"):
        check(tmp_path / "out.gif")


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100])
def test_a_tone_is_where_it_is(rate_hz: int) -> None:
    t = np.arange(3 * rate_hz) / rate_hz
    tone = np.where((t >= 1) & (t < 2), np.sin(2 * np.pi * 1000 * t), 0.0).astype(np.float32)
    spectrogram = Spectrogram(rate_hz)
    spectrogram.add(tone)
    picture = spectrogram.result()
    row, column = np.unravel_index(int(np.argmax(picture.levels_db)), picture.levels_db.shape)
    assert row / picture.levels_db.shape[0] * picture.highest_hz == pytest.approx(1000, abs=20)
    assert 0.95 < column * picture.column_s < 2.05
    assert picture.levels_db.max() == pytest.approx(0.0, abs=0.3)
    assert picture.duration_s == pytest.approx(3.0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_the_blocks_make_no_difference(sizes: list[int]) -> None:
    sound = page_sound(8000).astype(np.float32)[:16000]
    whole, parts = Spectrogram(8000), Spectrogram(8000)
    whole.add(sound)
    for at in np.split(sound, np.minimum(np.cumsum(sizes), sound.size)):
        parts.add(at)
    assert np.allclose(whole.result().levels_db, parts.result().levels_db, atol=1e-3)


def test_a_long_sound_needs_no_more_memory() -> None:
    spectrogram = Spectrogram(8000)
    block = np.random.default_rng(1).normal(size=8000 * 10).astype(np.float32)
    for _ in range(15):
        spectrogram.add(block)
    picture = spectrogram.result()
    assert picture.levels_db.shape[1] <= MOST_COLUMNS
    assert picture.levels_db.shape[1] * picture.column_s == pytest.approx(150, abs=1)
