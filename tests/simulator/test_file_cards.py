"""Cards made of files, and the hand on the simulated buttons."""

from __future__ import annotations

import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import CardSpec
from echostream.errors import AudioError, SourceClosed
from echostream.simulator.button import Rhythm, RhythmicHand
from echostream.simulator.file_cards import FileCards, Voice, read_wav


def write_wav(
    path: Path, samples: Samples, rate_hz: int = RATE_HZ, channels: int = 1, width: int = 2
) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path


def tone(seconds: float, rate_hz: int) -> Samples:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return (10_000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_wav_of_any_rate_becomes_48_khz_in_place_and_length(tmp_path: Path, rate_hz: int) -> None:
    samples = read_wav(write_wav(tmp_path / "a.wav", tone(0.5, rate_hz), rate_hz))
    expected = tone(0.5, RATE_HZ)
    assert abs(len(samples) - len(expected)) <= 1
    middle = slice(4_000, 20_000)
    error = samples[middle].astype(float) - expected[middle]
    assert np.sqrt(np.mean(error**2)) < 200


def test_stereo_becomes_mono(tmp_path: Path) -> None:
    left = tone(0.1, RATE_HZ)
    both = np.stack([left, left], axis=1).reshape(-1)
    assert np.array_equal(read_wav(write_wav(tmp_path / "a.wav", both, channels=2)), left)


def test_what_is_no_wav_says_which_file_and_why(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.wav"
    rubbish.write_bytes(b"not a wave file at all")
    eight_bit = write_wav(tmp_path / "eight.wav", np.zeros(100, np.int16), width=1)
    for path, why in ((rubbish, "WAV"), (eight_bit, "8-bit"), (tmp_path / "nowhere.wav", "No such file")):
        with pytest.raises(AudioError, match=why) as caught:
            read_wav(path)
        assert str(path) in str(caught.value)


def test_voice_is_silent_until_it_speaks_and_after() -> None:
    voice = Voice(np.full(1500, 7, np.int16))
    assert not voice.next(960).any()
    voice.speak()
    assert int((voice.next(960) == 7).sum()) == 960
    assert not voice.spoken.is_set()
    assert int((voice.next(960) == 7).sum()) == 540
    assert voice.spoken.is_set()
    assert not voice.next(960).any()


def test_file_card_keeps_the_contract_of_a_card() -> None:
    heard: list[Samples] = []
    cards = FileCards(
        {"a": Voice(np.full(96_000, 5, np.int16), loop=True)}, lambda _name, frame: heard.append(frame)
    )
    source, sink = cards.open_source(CardSpec("a")), cards.open_sink(CardSpec("a"))
    frames = [source.read() for _ in range(3)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert all(frame.samples.shape == (960,) for frame in frames)
    sink.write(frames[0].samples)
    assert len(heard) == 1
    source.close()
    sink.close()
    with pytest.raises(SourceClosed):
        source.read()
    with pytest.raises(SourceClosed):
        sink.write(frames[0].samples)


def test_close_frees_a_blocked_reader() -> None:
    source = FileCards({"a": Voice(np.zeros(0, np.int16))}).open_source(CardSpec("a", frame_ms=60))
    ended: list[type[BaseException]] = []

    def read_for_ever() -> None:
        try:
            while True:
                source.read()
        except SourceClosed:
            ended.append(SourceClosed)

    thread = threading.Thread(target=read_for_ever, name="reader")
    thread.start()
    source.close()
    thread.join(1.0)
    assert ended == [SourceClosed]


def test_hand_presses_each_button_and_lets_go_at_the_end() -> None:
    moves: list[tuple[int, bool]] = []
    pressed = threading.Event()

    def drive(pin: int, down: bool) -> None:
        moves.append((pin, down))
        if len(moves) >= 4:
            pressed.set()

    hand = RhythmicHand([20, 21], drive, Rhythm(first_s=0.0, press_s=0.01, cycle_s=0.05, stagger_s=0.002))
    hand.start()
    assert pressed.wait(2.0)
    hand.stop()
    assert moves[:4] == [(20, True), (21, True), (20, False), (21, False)]
    assert moves[-2:] == [(20, False), (21, False)]
