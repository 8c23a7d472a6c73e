"""Exports, compared to the sample with what was recorded: seams, gaps, sources, rates, broken files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import wave
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from archive_house import NOON, SECOND, ArchiveHouse, noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.archive.meta_files import write_meta
from echostream.archive.recording import Gap, ToneMark
from echostream.archive_tools.exporting import ExportOptions
from echostream.archive_tools.exporting import export as run_export
from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.selection import Selection
from echostream.cli import main
from echostream.errors import ArchiveError

RATE = 16_000
Int16 = NDArray[np.int16]


@pytest.fixture
def house(tmp_path: Path) -> ArchiveHouse:
    return ArchiveHouse(tmp_path / "archive")


def export(house: ArchiveHouse, out: Path, *arguments: str | Path) -> int:
    place = ("--directory", str(house.directory), "--utc")
    return main(["recordings", "export", "-o", str(out), *place, *map(str, arguments)])


def sound(path: Path) -> Int16:
    """Shape (n,), or (n, channels) where there are several."""
    samples: Int16 = soundfile.read(str(path), dtype="int16")[0]
    return samples


def segments(house: ArchiveHouse, count: int, form: str = "wav") -> Int16:
    parts = [noise(10 * RATE, seed) for seed in range(count)]
    for number, part in enumerate(parts):
        house.add("porch", NOON + 10 * number * SECOND, part, form=form)
    return np.concatenate(parts)


@pytest.mark.parametrize("form", ["wav", "flac"])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_segments_become_one_sound_without_a_seam(
    house: ArchiveHouse, tmp_path: Path, form: str, ending: str
) -> None:
    whole = segments(house, 3, form)
    assert export(house, tmp_path / f"out.{ending}", "porch") == 0
    assert np.array_equal(sound(tmp_path / f"out.{ending}"), whole)
    assert soundfile.info(str(tmp_path / f"out.{ending}")).samplerate == RATE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", f"out.{ending}"]


def test_a_range_is_cut_at_the_sample(house: ArchiveHouse, tmp_path: Path) -> None:
    whole = segments(house, 3)
    times = ("--from", "2024-11-21 12:00:07.500", "--to", "2024-11-21T12:00:22.25Z")
    assert export(house, tmp_path / "out.wav", "porch", *times) == 0
    assert np.array_equal(sound(tmp_path / "out.wav"), whole[120_000:356_000])


def test_what_is_missing_is_silence_in_its_place(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = noise(5 * RATE, 1), noise(4 * RATE, 2)
    gap = Gap(NOON + 5 * SECOND, NOON + 8 * SECOND, "device gone")
    house.add("porch", NOON, first, ended="device gone")
    house.add("porch", NOON + 8 * SECOND, second, gap_before=gap, ended="pause")
    times = ("--from", "2024-11-21 11:59:58", "--to", "2024-11-21 12:00:14")
    assert export(house, tmp_path / "out.wav", *times, "--json") == 0
    quiet = np.zeros(2 * RATE, np.int16)
    expected = np.concatenate([quiet, first, np.zeros(3 * RATE, np.int16), second, quiet])
    assert np.array_equal(sound(tmp_path / "out.wav"), expected)
    told = json.loads(capsys.readouterr().out)
    (source,) = told["sources"]
    assert [(one["at"], one["samples"], one["cause"]) for one in source["silences"]] == [
        (0, 2 * RATE, "not recorded"),
        (7 * RATE, 3 * RATE, "device gone"),
        (14 * RATE, 2 * RATE, "not recorded"),
    ]
    assert [(one["at"], one["count"]) for one in source["pieces"]] == [(32_000, 80_000), (160_000, 64_000)]


def test_several_sources_are_channels_beside_each_other_in_time(house: ArchiveHouse, tmp_path: Path) -> None:
    porch, garage = noise(6 * RATE, 1), noise(3 * RATE, 2, level=0.5)
    house.add("porch", NOON, porch, ended="pause")
    house.add("garage", NOON + 2 * SECOND, garage, ended="pause")
    assert export(house, tmp_path / "out.flac") == 0
    both = sound(tmp_path / "out.flac")
    assert both.shape == (6 * RATE, 2)
    placed = np.zeros(6 * RATE, np.int16)
    placed[2 * RATE : 5 * RATE] = garage
    assert np.array_equal(both[:, 0], placed), "garage comes first by name"
    assert np.array_equal(both[:, 1], porch)
    assert export(house, tmp_path / "mix.wav", "--mix") == 0
    expected = np.clip(placed.astype(int) + porch, -32768, 32767)
    assert np.array_equal(sound(tmp_path / "mix.wav"), expected)


def test_a_radio_and_what_others_say_on_its_channel_are_two_sources(
    house: ArchiveHouse, tmp_path: Path
) -> None:
    own, others = noise(RATE, 1), noise(RATE, 2)
    house.add("ems", NOON, own, kind="channel")
    house.add("ems", NOON, others, kind="network")
    assert export(house, tmp_path / "own.wav", "ems") == 0
    assert export(house, tmp_path / "others.wav", "ems.net") == 0
    assert np.array_equal(sound(tmp_path / "own.wav"), own)
    assert np.array_equal(sound(tmp_path / "others.wav"), others)


@pytest.mark.parametrize(
    ("rate_hz", "form"), [(8000, "wav"), (48_000, "flac"), (44_100, "wav"), (44_100, "opus")]
)
def test_another_rate_keeps_time_and_pitch(
    house: ArchiveHouse, tmp_path: Path, rate_hz: int, form: str
) -> None:
    """A chirp: a shift in time would show as another frequency."""
    t = np.arange(4 * rate_hz) / rate_hz
    chirp = np.rint(12_000 * np.sin(2 * np.pi * (300 * t + 300 * t * t))).astype(np.int16)
    house.add("porch", NOON, chirp[: 2 * rate_hz], rate_hz=rate_hz, form=form)
    house.add("porch", NOON + 2 * SECOND, chirp[2 * rate_hz :], rate_hz=rate_hz, form=form, ended="pause")
    assert export(house, tmp_path / "out.wav", "--rate", "16000") == 0
    got = sound(tmp_path / "out.wav").astype(float)
    assert got.size == 4 * RATE
    t = np.arange(4 * RATE) / RATE
    expected = 12_000 * np.sin(2 * np.pi * (300 * t + 300 * t * t))
    inner = slice(400, -400)
    if form == "opus":
        inner = slice(RATE, 3 * RATE - RATE // 2)
        shifts = range(-8, 9)
        products = [float(np.dot(np.roll(got, shift)[inner], expected[inner])) for shift in shifts]
        assert abs(shifts[int(np.argmax(products))]) <= 1
        return
    error = got[inner] - expected[inner]
    assert np.sqrt(np.mean(error**2)) < 12_000 * 0.001, "60 dB below it, the seam in its middle included"


def test_squeezed_silence_and_none_at_the_ends(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [noise(RATE, seed) for seed in range(3)]
    for number, word in enumerate(words):
        house.add("porch", NOON + number * 60 * SECOND, word, trigger="vox", ended="pause")
    assert export(house, tmp_path / "out.wav", "--from", "2024-11-21", "--squeeze", "0.5s", "--json") == 0
    quiet = np.zeros(RATE // 2, np.int16)
    expected = np.concatenate([words[0], quiet, words[1], quiet, words[2]])
    assert np.array_equal(sound(tmp_path / "out.wav"), expected)
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert [(one["at"], one["samples"], one["start"], one["end"]) for one in source["silences"]] == [
        (RATE, RATE // 2, "2024-11-21T12:00:01.000000Z", "2024-11-21T12:01:00.000000Z"),
        (5 * RATE // 2, RATE // 2, "2024-11-21T12:01:01.000000Z", "2024-11-21T12:02:00.000000Z"),
    ]
    assert export(house, tmp_path / "again.wav", "--from", "2024-11-21", "--squeeze", "0.5s") == 0
    told = capsys.readouterr().out
    assert "0:04.0, 16000 Hz, from 2024-11-21 12:00:00.000 UTC" in told
    assert "porch: 0:03.0 of 3 recordings; 1:58.0 not recorded" in told


def test_a_file_that_is_gone_or_cut_is_silence_and_told(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = segments(house, 3)
    (house.directory / house.recordings[0].path).unlink()
    cut = house.directory / house.recordings[1].path
    cut.write_bytes(cut.read_bytes()[: 44 + 2 * 30_000])
    assert export(house, tmp_path / "out.wav") == 1
    got = sound(tmp_path / "out.wav")
    assert not got[: 10 * RATE].any()
    assert np.array_equal(got[10 * RATE : 10 * RATE + 30_000], whole[10 * RATE : 10 * RATE + 30_000])
    assert not got[10 * RATE + 30_000 : 20 * RATE].any()
    assert np.array_equal(got[20 * RATE :], whole[20 * RATE :])
    told = capsys.readouterr().err
    assert "No such file" in told
    assert "130000 samples" in told


def test_what_is_being_written_is_exported_as_far_as_it_goes(house: ArchiveHouse, tmp_path: Path) -> None:
    for form in ("wav", "flac"):
        samples = noise(5 * RATE, 3)
        house.add(form, NOON, samples, form=form, state="open", ended="")
        write_meta(house.directory, replace(house.recordings[-1], samples=0, bytes=0, sha256=""))
        assert export(house, tmp_path / f"{form}.wav", form) == 0
        assert np.array_equal(sound(tmp_path / f"{form}.wav"), samples)


def test_a_recording_that_was_filed_in_another_form_meanwhile(house: ArchiveHouse, tmp_path: Path) -> None:
    whole = segments(house, 1)
    wav = house.directory / house.recordings[0].path
    soundfile.write(str(wav.with_suffix(".flac")), whole, RATE)
    wav.unlink()
    assert export(house, tmp_path / "out.wav") == 0
    assert np.array_equal(sound(tmp_path / "out.wav"), whole)


def test_nothing_is_overwritten_or_left_half_done(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segments(house, 1)
    there = tmp_path / "there.wav"
    there.write_text("precious")
    assert export(house, there) == 2
    assert there.read_text() == "precious"
    assert export(house, there, "--force") == 0
    for wrong in ("out.mp3", "out", "nowhere/out.wav"):
        assert export(house, tmp_path / wrong) == 2
    assert export(house, tmp_path / "none.wav", "--from", "2030-01-01") == 2
    assert export(house, tmp_path / "none.wav", "--rate", "15999") == 2
    assert export(house, tmp_path / "none.wav", "--from", "12:00", "--to", "11:00") == 2
    told = capsys.readouterr().err
    for words in ("is there already; --force", "ends in .wav", "no directory", "nothing to export", "--rate"):
        assert words in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "there.wav"]


def test_a_pipe_gets_a_wav_and_nothing_else(house: ArchiveHouse) -> None:
    whole = segments(house, 2)
    command = [sys.executable, "-m", "echostream", "recordings", "export", "porch", "-o", "-"]
    done = subprocess.run(
        [*command, "--directory", str(house.directory)], capture_output=True, timeout=60, check=True
    )
    with wave.open(io.BytesIO(done.stdout)) as file:
        assert np.array_equal(np.frombuffer(file.readframes(file.getnframes()), "<i2"), whole)
    assert b"of 2 recordings" in done.stderr


def test_a_zip_holds_the_files_untouched_and_what_is_known(house: ArchiveHouse, tmp_path: Path) -> None:
    tone = ToneMark("engine-7", "Engine 7", NOON + SECOND, NOON + 4 * SECOND)
    gap = Gap(NOON - SECOND, NOON, "overload")
    house.add("porch", NOON, noise(5 * RATE), form="flac", label="=cmd|calc", gap_before=gap, tones=[tone])
    house.add("garage", NOON, noise(RATE), notes='Straße; "quoted", and\nlines')
    assert export(house, tmp_path / "out.zip") == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert file.testzip() is None
        for one in house.recordings:
            assert hashlib.sha256(file.read(one.path)).hexdigest() == one.sha256
        tables = {
            name: list(csv.DictReader(io.StringIO(file.read(f"{name}.csv").decode(), newline="")))
            for name in ("recordings", "gaps", "tones")
        }
    garage, porch = sorted(tables["recordings"], key=lambda row: row["source"])
    assert porch["label"] == "'=cmd|calc", "a spreadsheet must not run it"
    assert (porch["start_utc"], porch["samples"]) == ("2024-11-21T12:00:00.000000Z", "80000")
    assert garage["notes"] == 'Straße; "quoted", and\nlines'
    assert [(row["cause"], row["duration_s"]) for row in tables["gaps"]] == [("overload", "1.000000")]
    assert [(row["tone_id"], row["position"]) for row in tables["tones"]] == [("engine-7", "16000")]


def test_a_zip_tells_what_is_not_as_it_was_recorded(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segments(house, 2)
    changed = house.directory / house.recordings[0].path
    data = bytearray(changed.read_bytes())
    data[1000] ^= 1
    changed.write_bytes(data)
    (house.directory / house.recordings[1].path).unlink()
    assert export(house, tmp_path / "out.zip") == 1
    told = capsys.readouterr().err
    assert "is not what was recorded" in told
    assert "No such file" in told


def test_a_table_alone(house: ArchiveHouse, tmp_path: Path) -> None:
    segments(house, 2)
    assert export(house, tmp_path / "out.csv") == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_bytes().decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [one.id for one in house.recordings]


SOME: Any = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 12_000), st.sampled_from(["wav", "flac"])),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0],
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SOME, st.integers(0, 20_000), st.integers(1, 30_000))
def test_any_recordings_come_out_as_time_says(
    tmp_path_factory: pytest.TempPathFactory, some: list[tuple[int, int, str]], first: int, count: int
) -> None:
    """Against the plainest possible reference: an array of time into which each is put, the earliest wins."""
    tmp_path = tmp_path_factory.mktemp("any")
    house = ArchiveHouse(tmp_path / "archive")
    whole = np.zeros(60_000, np.int16)
    taken = np.zeros(60_000, bool)
    for number, (start, length, form) in enumerate(sorted(some)):
        samples = np.maximum(noise(length, number), 1)
        at_us = NOON + round(start * 62.5)
        house.add("porch", at_us, samples, form=form, ended="pause")
        free = ~taken[start : start + length]
        whole[start : start + length][free] = samples[free]
        taken[start : start + length] = True
    begin, end = (NOON + round(at * 62.5) for at in (first, first + count))
    times = ("--from", f"@{begin / 1e6:.6f}", "--to", f"@{end / 1e6:.6f}", "--join", "time")
    out = tmp_path / "out.wav"
    if not taken[first : first + count].any():
        assert export(house, out, "porch", *times) == 2
        return
    assert export(house, out, "porch", *times) == 0
    got = sound(out)
    assert abs(got.size - count) <= 1, "62.5 µs are no whole number of them"
    same = min(got.size, count)
    assert np.count_nonzero(got[:same] != whole[first : first + same]) <= 2 * len(some)


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


def test_a_wav_is_not_written_to_a_terminal(house: ArchiveHouse) -> None:
    segments(house, 1)
    store, options = FileStore(house.directory), ExportOptions(Path("-"))
    with pytest.raises(ArchiveError, match="aplay"):
        run_export(store, Selection(), options, NOON, Terminal(), io.StringIO(), io.BytesIO())
