"""What every form of recording promises while it is written: one suite for WAV, FLAC and Opus."""

from __future__ import annotations

import errno
import io
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.audio_file import AudioFile, new_audio_file
from echostream.archive.recording import AudioForm
from echostream.archive.repair import repair_file
from echostream.archive.sound_library import AudioReader
from echostream.audio.format import Samples
from echostream.errors import BrokenFile

FORMS: tuple[AudioForm, ...] = ("wav", "flac", "opus")
LOSSLESS: tuple[AudioForm, ...] = ("wav", "flac")
RATE_HZ = 16_000
KILL_COSTS_S = 1.05


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> AudioForm:
    chosen: AudioForm = request.param
    return chosen


def noise(count: int, seed: int = 3) -> Samples:
    samples: Samples = np.random.default_rng(seed).integers(-3000, 3000, count).astype(np.int16)
    return samples


def read(path: Path) -> Samples:
    with AudioReader(path) as reader:
        samples = reader.read(1 << 30)
        assert len(samples) == reader.samples
        assert not len(reader.read(1))
    return samples


def write(file: AudioFile, samples: Samples, parts: int) -> None:
    for part in np.array_split(samples, parts):
        file.write(part)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_as_many_samples_as_were_written(form: AudioForm, rate_hz: int, tmp_path: Path) -> None:
    for number, count in enumerate((0, 1, 319, 4096, 4097, 3 * rate_hz + 7)):
        path = tmp_path / f"{number}.{form}"
        file = new_audio_file(form, path, rate_hz)
        write(file, noise(count), 5)
        file.close()
        assert (file.samples, file.path, file.rate_hz) == (count, path, rate_hz)
        assert file.duration_s == pytest.approx(count / rate_hz)
        with AudioReader(path) as reader:
            assert len(reader.read(1 << 30)) == reader.samples == -(-count * reader.rate_hz // rate_hz)
            assert form == "opus" or reader.rate_hz == rate_hz


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 9000), max_size=12), seed=st.integers(0, 100))
def test_bit_for_bit_in_blocks_of_any_length(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(-32768, 32768, size).astype(np.int16) for size in sizes]
    whole = np.concatenate([np.zeros(0, np.int16), *blocks])
    for form in LOSSLESS:
        file = new_audio_file(form, folder / f"a.{form}", RATE_HZ)
        for block in blocks:
            file.write(block)
        file.close()
        assert np.array_equal(read(folder / f"a.{form}"), whole)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 48_000])
def test_opus_keeps_every_sound_in_its_time(rate_hz: int, tmp_path: Path) -> None:
    """Clicks stay where they were, within a tenth of a millisecond."""
    samples = np.zeros(3 * rate_hz, np.int16)
    at = (np.array([0.5, 1.3, 2.71]) * rate_hz).astype(int)
    samples[at] = 30_000
    file = new_audio_file("opus", tmp_path / "a.opus", rate_hz)
    write(file, samples, 11)
    file.close()
    with AudioReader(tmp_path / "a.opus") as reader:
        has, ratio = np.abs(reader.read(1 << 30).astype(float)), reader.rate_hz / rate_hz
    for place in at:
        near = round(place * ratio) - 200
        found = near + int(np.argmax(has[near : near + 400]))
        assert abs(found - place * ratio) <= max(1.0, 1e-4 * reader.rate_hz)


def test_opus_has_the_bit_rate_that_was_asked_for(tmp_path: Path) -> None:
    for bitrate_bps in (16_000, 64_000, 256_000):
        path = tmp_path / f"{bitrate_bps}.opus"
        file = new_audio_file("opus", path, 48_000, bitrate_bps)
        write(file, noise(480_000), 7)
        file.close()
        assert path.stat().st_size * 8 / 10 == pytest.approx(bitrate_bps, rel=0.15)


def test_no_file_is_ever_overwritten(form: AudioForm, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        new_audio_file(form, path, RATE_HZ)
    assert path.read_bytes() == b"somebody's"


def test_what_was_said_is_not_for_everybody_on_the_machine(form: AudioForm, tmp_path: Path) -> None:
    new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ).close()
    assert (tmp_path / f"a.{form}").stat().st_mode & 0o007 == 0


def test_closing_twice_is_closing_once(form: AudioForm, tmp_path: Path) -> None:
    file = new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ)
    file.write(noise(5000))
    file.close()
    data = file.path.read_bytes()
    file.close()
    assert file.path.read_bytes() == data


def test_at_every_moment_a_kill_costs_a_second_at_most(form: AudioForm, tmp_path: Path) -> None:
    """What is in the kernel's hands after any write is what a kill leaves."""
    file = new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ)
    left = tmp_path / f"left.{form}"
    for number, part in enumerate(np.array_split(noise(5 * RATE_HZ), 20), 1):
        file.write(part)
        left.write_bytes(file.path.read_bytes())
        found = repair_file(left, form, RATE_HZ)
        assert found.samples / RATE_HZ >= number * 0.25 - KILL_COSTS_S
    file.close()


def test_a_wav_is_whole_for_any_player_while_it_is_written(tmp_path: Path) -> None:
    file = new_audio_file("wav", tmp_path / "a.wav", RATE_HZ)
    for number, part in enumerate(np.array_split(noise(5 * RATE_HZ), 20), 1):
        file.write(part)
        with wave.open(io.BytesIO(file.path.read_bytes())) as seen:
            assert (seen.getframerate(), seen.getnchannels(), seen.getsampwidth()) == (RATE_HZ, 1, 2)
            whole = np.frombuffer(seen.readframes(seen.getnframes()), "<i2")
        assert len(whole) >= (number * 0.25 - 1.0) * RATE_HZ
        assert np.array_equal(whole, noise(5 * RATE_HZ)[: len(whole)])
    file.close()


def test_a_flac_is_whole_for_any_player_while_it_is_written(tmp_path: Path) -> None:
    """Without repair: it opens, its length is known, and all of it is read and found."""
    file = new_audio_file("flac", tmp_path / "a.flac", RATE_HZ)
    left = tmp_path / "left.flac"
    for number, part in enumerate(np.array_split(noise(6 * RATE_HZ), 24), 1):
        file.write(part)
        left.write_bytes(file.path.read_bytes())
        if number < 8:
            continue  # a file of less than two seconds may say nothing yet
        with soundfile.SoundFile(left) as seen:
            assert seen.frames >= (number * 0.25 - 1.6) * RATE_HZ
            seen.seek(seen.frames - 100)
            assert np.array_equal(
                seen.read(dtype="int16"), noise(6 * RATE_HZ)[seen.frames - 100 : seen.frames]
            )
    file.close()


@pytest.mark.parametrize("refused_at", [1, 2, 3, 5])
@pytest.mark.parametrize("taken", [0, 7])
def test_a_disk_that_is_full_keeps_what_fits(
    form: AudioForm, refused_at: int, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, the file is closed all the same, and what is there is whole after repair."""
    samples = noise(10 * RATE_HZ)
    file = new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ)
    real, calls = os.pwrite, 0

    def pwrite(number: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == refused_at and taken:
            return real(number, data[:taken], offset)
        if calls >= refused_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(number, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        write(file, samples, 10)
    accepted = file.samples
    try:
        file.close()
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - it may also find nothing left to write
    monkeypatch.undo()
    found = repair_file(file.path, form, RATE_HZ)
    assert found.samples <= accepted + RATE_HZ
    if found.samples:
        has = read(file.path)
        assert len(has) == found.samples
        assert form == "opus" or np.array_equal(has, samples[: len(has)])


def test_a_disk_that_takes_a_part_at_a_time_gets_all_of_it(
    form: AudioForm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda number, data, offset: real(number, data[:1000], offset))
    file = new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ)
    write(file, noise(3 * RATE_HZ), 3)
    file.close()
    assert len(read(file.path)) == 3 * RATE_HZ
    assert form == "opus" or np.array_equal(read(file.path), noise(3 * RATE_HZ))


def test_writing_goes_on_after_a_disk_had_no_room_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WAV takes the next block where the refused one would have stood."""
    file = new_audio_file("wav", tmp_path / "a.wav", RATE_HZ)
    file.write(noise(100))
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            file.write(noise(100, seed=8))
    file.write(noise(50, seed=9))
    file.close()
    assert np.array_equal(read(file.path), np.concatenate([noise(100), noise(50, seed=9)]))


def test_a_reader_begins_anywhere(tmp_path: Path) -> None:
    for form in LOSSLESS:
        path = tmp_path / f"a.{form}"
        file = new_audio_file(form, path, RATE_HZ)
        file.write(noise(50_000))
        file.close()
        with AudioReader(path) as reader:
            for position in (49_999, 0, 12_345, 50_000):
                reader.seek(position)
                assert np.array_equal(reader.read(300), noise(50_000)[position : position + 300])
            with pytest.raises(BrokenFile, match="50000 samples, none at 50001"):
                reader.seek(50_001)


def test_what_is_still_being_written_is_read_as_far_as_it_goes(form: AudioForm, tmp_path: Path) -> None:
    file = new_audio_file(form, tmp_path / f"a.{form}", RATE_HZ)
    write(file, noise(10 * RATE_HZ), 40)
    with AudioReader(file.path) as reader:
        assert reader.samples >= 9 * RATE_HZ
        for position in (0, 70_000, 8000):
            reader.seek(position)
            part = reader.read(5000)
            assert len(part) == 5000
            assert form == "opus" or np.array_equal(part, noise(10 * RATE_HZ)[position : position + 5000])
        reader.seek(reader.samples - 10)
        assert len(reader.read(500)) == 10
    file.close()


@given(data=st.binary(max_size=400))
def test_a_reader_refuses_rubbish_with_the_name_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "a.flac"
    path.write_bytes(data)
    with pytest.raises(BrokenFile, match=r"a\.flac"):
        AudioReader(path).close()
