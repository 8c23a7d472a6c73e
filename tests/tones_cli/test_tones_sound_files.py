"""Files as people have them: any format, any rate, and broken in every way."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tone_files import PAGE, PAGE_START_S, page_sound, wav_bytes, write_page

from echostream.errors import AudioError
from echostream.tone_tools import sound_files
from echostream.tone_tools.hearing import hear
from echostream.tone_tools.sound_files import Float32, Sound
from echostream.tone_tools.wav_stream import WavStream
from echostream.tones.heard import Detection
from echostream.tones.plan import ListenPlan

PLAN = {"": ListenPlan(two_tone=(PAGE,))}


def pages(sound: Sound) -> list[Detection]:
    return [item.heard for item in hear(sound, PLAN) if isinstance(item.heard, Detection)]


def read_all(sound: Sound) -> Float32:
    return np.concatenate(list(sound.blocks()))


@pytest.mark.parametrize(
    "rate_hz", [2000, 6000, 7350, 8000, 8001, 11025, 16000, 22050, 32000, 44100, 48000, 96000]
)
def test_a_page_is_heard_at_any_rate_at_the_same_time(rate_hz: int, tmp_path: Path) -> None:
    (page,) = pages(Sound(write_page(tmp_path / "page.wav", rate_hz)))
    assert page.tone_id == "engine-7"
    assert page.start / 8000 == pytest.approx(PAGE_START_S, abs=0.02)
    assert abs(page.tones[0].hz - 349.0) < 0.1
    assert abs(page.tones[1].hz - 433.7) < 0.1


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("page.wav", "PCM_U8"),
        ("page.wav", "PCM_24"),
        ("page.wav", "PCM_32"),
        ("page.wav", "FLOAT"),
        ("page.wav", "DOUBLE"),
        ("page.wav", "ULAW"),
        ("page.wav", "ALAW"),
        ("page.wav", "MS_ADPCM"),
        ("page.flac", "PCM_16"),
        ("page.ogg", "VORBIS"),
        ("page.ogg", "OPUS"),
        ("page.mp3", "MPEG_LAYER_III"),
        ("page.aiff", "PCM_16"),
    ],
)
def test_a_page_is_heard_in_any_format(name: str, subtype: str, tmp_path: Path) -> None:
    rate_hz = 24000 if subtype in ("OPUS", "MPEG_LAYER_III") else 16000
    path = write_page(tmp_path / name, rate_hz, subtype)
    (page,) = pages(Sound(path))
    assert page.tone_id == "engine-7"
    assert page.start / 8000 == pytest.approx(PAGE_START_S, abs=0.08)


def test_an_mp3_in_chunks_is_what_it_is_in_one_piece(tmp_path: Path) -> None:
    """A seek after each chunk would cost its decoder the frames before."""
    path = write_page(tmp_path / "page.mp3", 16000)
    whole, _ = soundfile.read(str(path), dtype="float32")
    assert np.allclose(read_all(Sound(path)), whole, rtol=0, atol=1e-6)


def test_stereo_is_mixed_or_one_channel_is_taken(tmp_path: Path) -> None:
    page = page_sound(16000)
    path = tmp_path / "stereo.wav"
    soundfile.write(str(path), np.stack((page, np.zeros_like(page)), axis=1), 16000)
    assert len(pages(Sound(path))) == 1
    assert len(pages(Sound(path, channel=1))) == 1
    assert pages(Sound(path, channel=2)) == []
    with pytest.raises(AudioError, match="has 2 channel"):
        Sound(path, channel=3)


@pytest.mark.parametrize("rate_hz", [4000, 7350, 8001, 44100])
def test_what_is_resampled_keeps_its_place_and_its_level(rate_hz: int, tmp_path: Path) -> None:
    t = np.arange(2 * rate_hz) / rate_hz
    soundfile.write(str(tmp_path / "sine.wav"), 0.5 * np.sin(2 * np.pi * 441 * t), rate_hz, "FLOAT")
    sound = Sound(tmp_path / "sine.wav")
    heard = read_all(sound)
    wanted = 0.5 * np.sin(2 * np.pi * 441 * np.arange(heard.size) / sound.rate_hz)
    assert heard.size / sound.rate_hz == pytest.approx(2.0, abs=0.01)
    assert np.abs(heard - wanted)[200:-200].max() < 1e-3


# ---- broken


@pytest.mark.parametrize("name", ["missing.wav", "x" * 300 + ".wav", "nul\0.wav"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read"):
        Sound(tmp_path / name)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read"):
        Sound(tmp_path)


def test_an_empty_file_says_that_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"empty \(0 bytes\)"):
        Sound(tmp_path / "empty.wav")


def test_a_file_without_samples_is_noted(tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "none.wav"), np.zeros(0), 8000)
    sound = Sound(tmp_path / "none.wav")
    assert pages(sound) == []
    assert "no sound" in sound.note


@pytest.mark.parametrize("content", [b"RIFF", b"hello, this is no sound at all\n" * 50, b"\0" * 4096])
def test_what_is_no_sound_names_a_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_bytes(content)
    with pytest.raises(AudioError, match="ffmpeg"):
        Sound(tmp_path / "notes.wav")


def test_a_truncated_file_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.wav", 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 9 // 10])
    sound = Sound(path)
    assert len(pages(sound)) == 1
    assert "cut off" in sound.note


@pytest.mark.parametrize("name", ["page.flac", "page.ogg", "page.mp3"])
def test_a_truncated_compressed_file_ends_or_is_told(name: str, tmp_path: Path) -> None:
    path = write_page(tmp_path / name, 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    heard = []
    told = ""
    try:
        heard = list(Sound(path).blocks())
    except AudioError as error:
        told = str(error)
    assert str(path) in told or 0 < sum(block.size for block in heard) < page_sound(16000).size


@pytest.mark.parametrize("rate_hz", [0, 1, 500_000, 4_000_000_000])
def test_a_header_with_an_impossible_rate(rate_hz: int, tmp_path: Path) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(wav_bytes(b"\0" * 4000, rate_hz=rate_hz))
    with pytest.raises(AudioError, match=r"sample rate|no sound"):
        Sound(path)


def test_a_header_that_promises_the_world_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    path.write_bytes(wav_bytes(page_sound(8000).astype("<f4").tobytes(), bits=32, tag=3))
    assert len(pages(Sound(path))) == 1


def test_numbers_that_are_none_do_not_poison_the_ear(tmp_path: Path) -> None:
    page = page_sound(8000).astype(np.float32)
    page[100:110], page[200], page[300] = np.nan, np.inf, -1e30
    soundfile.write(str(tmp_path / "odd.wav"), page, 8000, "FLOAT")
    assert len(pages(Sound(tmp_path / "odd.wav"))) == 1


# ---- a WAV that flows


@pytest.mark.parametrize(
    ("tag", "bits", "scale", "kind"),
    [(1, 16, 32767, "<i2"), (1, 32, 2**31 - 1, "<i4"), (3, 32, 1, "<f4"), (3, 64, 1, "<f8")],
)
def test_a_wav_from_a_pipe_is_read_in_every_form(tag: int, bits: int, scale: int, kind: str) -> None:
    wanted = np.array([0.0, 0.5, -0.5, 0.25, -1.0, 0.125])
    data = (wanted * scale).astype(kind).tobytes()
    stream = WavStream(io.BytesIO(wav_bytes(data, bits=bits, channels=2, tag=tag)))
    assert (stream.rate_hz, stream.channels) == (8000, 2)
    assert np.allclose(stream.read(100), wanted.reshape(3, 2), atol=1e-4)
    assert len(stream.read(100)) == 0


def test_eight_and_twenty_four_bits() -> None:
    eight = WavStream(io.BytesIO(wav_bytes(bytes([128, 192, 0]), bits=8)))
    assert eight.read(9).ravel().tolist() == [0.0, 0.5, -1.0]
    twenty_four = WavStream(io.BytesIO(wav_bytes(b"\0\0\x40\0\0\xc0", bits=24)))
    assert twenty_four.read(9).ravel().tolist() == [0.5, -0.5]


def test_half_a_frame_at_the_end_is_left_out() -> None:
    stream = WavStream(io.BytesIO(wav_bytes(b"\0" * 7, channels=2)))
    assert stream.read(10).shape == (1, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"OggS" + b"\0" * 40,
        wav_bytes(b"", bits=12),
        wav_bytes(b"", channels=0),
        wav_bytes(b"", channels=65535),
        wav_bytes(b"", tag=85),
        wav_bytes(b"")[:20],
        b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
    ],
)
def test_what_is_no_wav_is_refused(data: bytes) -> None:
    with pytest.raises(AudioError, match="standard input"):
        WavStream(io.BytesIO(data))


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_make_it_fail_otherwise(noise: bytes, at: int) -> None:
    data = wav_bytes(b"\1\2\3\4" * 20)
    data = data[:at] + noise + data[at + len(noise) // 2 :]
    try:
        stream = WavStream(io.BytesIO(data))
        block = stream.read(50)
    except AudioError:
        return
    assert block.shape[1] == stream.channels
    assert block.dtype == np.float32


def test_a_pipe_gives_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of a pipe may return less than was asked for."""

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            data = page_sound(8000)
            self._data = io.BytesIO(wav_bytes((data * 32767).astype("<i2").tobytes()))

        def read(self, size: int = -1) -> bytes:
            return self._data.read(min(size, 37))

    class Stdin:
        buffer = Slow()

    monkeypatch.setattr(sound_files.sys, "stdin", Stdin())  # type: ignore[attr-defined]
    assert len(pages(Sound(sound_files.STDIN))) == 1
