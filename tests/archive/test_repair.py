"""Files whose writer was killed, or lost its power: cut anywhere, flipped, with a tail of zeros."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.audio_file import new_audio_file
from echostream.archive.file_end import WINDOW_S
from echostream.archive.file_names import take_place
from echostream.archive.meta_files import write_meta
from echostream.archive.recording import AudioForm, Gap, Recording, ToneMark
from echostream.archive.repair import recover, repair, repair_file
from echostream.archive.sound_library import AudioReader
from echostream.audio.format import Samples
from echostream.errors import BrokenFile

RATE_HZ = 16_000
FORMS: tuple[AudioForm, ...] = ("wav", "flac", "opus")
STEM = "2026-11-21_1200_07_porch"
START_US = 1_795_262_407_000_000
HELD_BACK_S = {"wav": 0.0, "flac": 4097 / RATE_HZ, "opus": 0.55}
"""What a form does not give away until a block or page of it is complete."""


def sound(seconds: float, seed: int = 7) -> Samples:
    count = round(seconds * RATE_HZ)
    tone = 6000 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(count))
    noise = np.random.default_rng(seed).normal(0, 300, count)
    samples: Samples = (tone + noise).astype(np.int16)
    return samples


def killed(form: AudioForm, path: Path, samples: Samples, part: int = 4000) -> bytes:
    """The bytes that a writer leaves that is never closed."""
    path.unlink(missing_ok=True)
    file = new_audio_file(form, path, RATE_HZ)
    for at in range(0, len(samples), part):
        file.write(samples[at : at + part])
    left = path.read_bytes()
    file.close()
    return left


def recording(form: AudioForm, **other: object) -> Recording:
    known = Recording(
        "0" * 32, f"2026-11-21/{STEM}.{form}", form, "gw", "porch", "device", "continuous", START_US, RATE_HZ
    )
    for name, value in other.items():
        setattr(known, name, value)
    return known


def read(path: Path) -> Samples:
    with AudioReader(path) as reader:
        samples = reader.read(1 << 30)
        assert len(samples) == reader.samples
    return samples


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> AudioForm:
    chosen: AudioForm = request.param
    return chosen


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class Half:
    """A file of 12 s that was never closed, and what was written to it."""

    def __init__(self, data: bytes, written: Samples) -> None:
        self.data = data
        self.written = written


@pytest.fixture(scope="module")
def half(form: AudioForm, folder: Path) -> Half:
    return Half(killed(form, folder / f"half.{form}", sound(12.0)), sound(12.0))


def check(form: AudioForm, path: Path, written: Samples) -> Recording:
    """Repair, and read all of it: the count is right, and it is what was written."""
    fixed = repair(path, recording(form))
    assert fixed.state == "repaired"
    if not fixed.samples:
        return fixed
    has = read(path)
    assert len(has) == fixed.samples <= len(written)
    assert fixed.bytes == path.stat().st_size
    if form == "opus":
        error = (has - written[: len(has)].astype(float))[: -RATE_HZ // 50]
        assert not len(error) or np.std(error) < 1500
    else:
        assert np.array_equal(has, written[: len(has)])
    return fixed


def test_a_killed_writer_costs_no_more_than_its_form_holds_back(
    form: AudioForm, half: Half, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(half.data)
    assert check(form, path, half.written).duration_us >= 1e6 * (12.0 - HELD_BACK_S[form])


def test_what_was_repaired_needs_no_repair(form: AudioForm, half: Half, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    path.write_bytes(half.data[:-777])
    fixed = repair(path, recording(form))
    data = path.read_bytes()
    assert not repair_file(path, form, RATE_HZ).changed
    assert repair(path, fixed) is fixed
    assert path.read_bytes() == data


def test_a_file_that_was_closed_is_left_as_it_is(form: AudioForm, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    for count in (1, 4095, 4096, 4097, 8192, 3 * RATE_HZ):
        path.unlink(missing_ok=True)
        file = new_audio_file(form, path, RATE_HZ)
        file.write(sound(4.0)[:count])
        file.close()
        data = path.read_bytes()
        whole = recording(form, samples=count, state="closed", sha256="x")
        assert repair(path, whole) is whole
        assert path.read_bytes() == data


def test_cut_at_every_byte_of_a_short_file(form: AudioForm, tmp_path: Path) -> None:
    """Every byte of the headers, and some hundred beyond them."""
    written = sound(0.9)
    data = killed(form, tmp_path / f"b.{form}", written)
    path = tmp_path / f"a.{form}"
    for cut in [*range(200), *range(200, len(data), 211)]:
        path.write_bytes(data[:cut])
        check(form, path, written)


@settings(max_examples=30)
@given(share=st.floats(0, 1), zeros=st.sampled_from([0, 1, 2, 3, 511, 4096, 70_000]))
def test_cut_anywhere_with_nothing_behind(form: AudioForm, half: Half, share: float, zeros: int) -> None:
    """A disk may give a file room that it never fills."""
    whole, written = half.data, half.written
    cut = round(share * len(whole))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{form}"
        data = whole[:cut] + bytes(zeros)
        path.write_bytes(data)
        if form == "wav":  # nobody can tell zeros from silence where the header speaks of sound
            written = np.frombuffer(data[44 : len(data) // 2 * 2], "<i2")
        fixed = check(form, path, written)
        # Of what was whole at the cut no more is lost than one block.
        assert fixed.duration_us / 1e6 >= (cut - 200) / len(whole) * 12.0 - HELD_BACK_S[form] - 0.6


@settings(max_examples=30)
@given(share=st.floats(0, 1), flip=st.integers(1, 255))
def test_a_flipped_byte_costs_a_few_seconds_at_most(
    form: AudioForm, half: Half, share: float, flip: int
) -> None:
    whole = bytearray(half.data)
    first = 8000  # how long an Opus file is, is counted by players from its first page
    whole[first + int(share * (len(whole) - first - 1))] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{form}"
        path.write_bytes(whole)
        fixed = repair(path, recording(form))
        assert fixed.duration_us >= 12e6 - 1e6 * (WINDOW_S + 1.1)
        with AudioReader(path) as reader:
            assert reader.samples == fixed.samples


@settings(max_examples=60)
@given(data=st.binary(max_size=3000))
def test_rubbish_is_refused_or_cut_but_never_trips(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            for head in (b"", {"wav": b"RIFF", "flac": b"fLaC\0\0\0\x22", "opus": b"OggS\0\2"}[form]):
                path = Path(folder) / f"{STEM}.{form}"
                path.write_bytes(head + data)
                try:
                    recover(path, Path(folder), "gw")
                except BrokenFile:
                    assert path.read_bytes() == head + data
                repair(path, recording(form))


@pytest.mark.parametrize("behind", [0, 1, 2, 5, 9000])
def test_digital_silence_is_cut_in_the_right_place(behind: int, form: AudioForm, tmp_path: Path) -> None:
    """Frames of it are a few bytes, mostly zeros, and a CRC may end in one."""
    path = tmp_path / f"a.{form}"
    data = killed(form, path, np.zeros(9 * RATE_HZ, np.int16))
    for cut in range(len(data) - 60, len(data) + 1):
        if data[cut : cut + 1] == b"\0":
            continue  # what is missing looks like what follows
        path.write_bytes(data[:cut] + bytes(behind))
        first = repair_file(path, form, RATE_HZ)
        again = repair_file(path, form, RATE_HZ)
        assert (again.changed, again.samples) == (False, first.samples)
        assert first.samples >= 7 * RATE_HZ or form == "wav"
        assert len(read(path)) == first.samples


def test_a_header_that_promises_more_than_there_is_makes_no_file_larger(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    data = bytearray(killed("flac", path, sound(1.0)))
    data[43:46] = b"\xff\xff\xff"  # length of the second block of the header
    path.write_bytes(data)
    assert repair_file(path, "flac", RATE_HZ).samples == 0
    assert path.read_bytes() == data


def test_gaps_and_tones_beyond_the_cut_go_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(killed("wav", tmp_path / "b.wav", sound(5.0)))
    inside = Gap(START_US + 1_000_000, START_US + 1_500_000, "packets lost", RATE_HZ)
    across = Gap(START_US + 4_500_000, START_US + 6_500_000, "packets lost", 4 * RATE_HZ + RATE_HZ // 2)
    beyond = Gap(START_US + 7_000_000, START_US + 7_500_000, "packets lost", 7 * RATE_HZ)
    tones = [ToneMark("a", "A", START_US, START_US + 4_000_000), ToneMark("b", "B", START_US + 9_000_000, 0)]
    fixed = repair(path, recording("wav", gaps=[inside, across, beyond], tones=tones))
    assert [gap.start_us for gap in fixed.gaps] == [inside.start_us, across.start_us]
    assert fixed.gaps[1].end_us == fixed.end_us
    assert [tone.tone_id for tone in fixed.tones] == ["a"]


def test_a_file_that_is_gone_holds_nothing(form: AudioForm, tmp_path: Path) -> None:
    fixed = repair(tmp_path / f"none.{form}", recording(form, samples=500))
    assert (fixed.samples, fixed.bytes, fixed.state) == (0, 0, "repaired")


def test_a_file_alone_tells_its_time_source_and_length(form: AudioForm, tmp_path: Path) -> None:
    path = tmp_path / "2026-11-21" / f"{STEM}.{form}"
    path.parent.mkdir()
    path.write_bytes(killed(form, tmp_path / f"b.{form}", sound(4.0)))
    found = recover(path, tmp_path, "gw")
    assert (found.source, found.start_us, found.rate_hz) == ("porch", START_US, RATE_HZ)
    assert found.samples == len(read(path))
    assert found.id == recover(path, tmp_path, "gw").id != recover(path, tmp_path, "other").id


def test_a_number_is_part_of_a_source_unless_it_tells_two_files_apart(tmp_path: Path) -> None:
    data = killed("wav", tmp_path / "b.wav", sound(1.0))
    (tmp_path / "2026-11-21").mkdir()
    paths = [tmp_path / "2026-11-21" / f"{STEM}{end}.wav" for end in ("", "-2")]
    paths[1].write_bytes(data)
    assert recover(paths[1], tmp_path, "gw").source == "porch-2"
    paths[0].write_bytes(data)
    assert recover(paths[1], tmp_path, "gw").source == "porch"


def test_a_neighbour_tells_who_was_recorded(tmp_path: Path) -> None:
    """A channel, a page on it: names alone cannot say."""
    data = killed("wav", tmp_path / "b.wav", sound(1.0))
    lost = take_place(tmp_path, START_US + 600_000_000, "fire", "channel", "engine-7")
    lost.audio("wav").write_bytes(data)
    known = recover(lost.audio("wav"), tmp_path, "gw")
    assert (known.source, known.kind, known.trigger) == ("fire_engine-7", "device", "continuous")
    for minutes, label in ((0, "Fire dispatch"), (20, "Later"), (5, "")):
        other = take_place(tmp_path, START_US + minutes * 60_000_000, "fire", "channel", "engine-7")
        if label:
            path = other.path("wav")
            page = Recording("1" * 32, path, "wav", "gw", "fire", "channel", "page", START_US, RATE_HZ, label)
            write_meta(tmp_path, replace(page, priority=9, samples=7, notes="theirs"), sync=False)
    known = recover(lost.audio("wav"), tmp_path, "gw")
    assert (known.source, known.kind, known.trigger) == ("fire", "channel", "page")
    assert (known.label, known.priority) == ("Fire dispatch", 9)
    assert known.samples == RATE_HZ
    assert known.notes.startswith("what was known of it was lost")


@pytest.mark.parametrize("program", ["ffmpeg", "sox"])
def test_other_players_read_what_was_repaired(
    program: str, form: AudioForm, half: Half, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt install {program}")
    if (program, form) == ("sox", "opus"):
        return  # it has no Opus without a package of its own
    path = tmp_path / f"a.{form}"
    path.write_bytes(half.data[: len(half.data) * 2 // 3])
    repair(path, recording(form))
    ffmpeg = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    command = ffmpeg if program == "ffmpeg" else ["sox", str(path), "-n"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
