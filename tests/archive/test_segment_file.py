"""Files that are whole at every moment, and never somebody else's."""

from __future__ import annotations

import errno
import io
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive.file_names import new_segment, tidy
from echostream.archive.segment_file import SegmentFile

RATE_HZ = 16_000
NOON = 1_700_000_000.0


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(7).integers(-3000, 3000, round(seconds * RATE_HZ)).astype(np.int16)


def read(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "a.wav", RATE_HZ)
    for part in np.array_split(noise(3.3), 17):
        file.write(part)
    file.close()
    assert file.duration_s == pytest.approx(3.3)
    assert np.array_equal(read((tmp_path / "a.wav").read_bytes()), noise(3.3))


def test_a_process_that_is_killed_leaves_a_file_short_by_two_seconds_at_most(tmp_path: Path) -> None:
    """What is on disk after any write, without any close, is what a kill leaves."""
    path = tmp_path / "a.wav"
    file = SegmentFile(path, RATE_HZ)
    for number, part in enumerate(np.array_split(noise(5.0), 20), 1):
        file.write(part)
        whole = read(path.read_bytes())
        assert len(whole) >= (number * 0.25 - 2.0) * RATE_HZ
        assert np.array_equal(whole, noise(5.0)[: len(whole)])
    file.close()


def test_no_recording_ever_overwrites_another(tmp_path: Path) -> None:
    files = [new_segment(tmp_path, NOON, ["fire", "engine-7"], RATE_HZ) for _ in range(4)]
    names = [file.path.name for file in files]
    for file in files:
        file.close()
    assert len(set(names)) == 4
    assert names[1] == names[0].replace(".wav", "-2.wav")
    with pytest.raises(FileExistsError):
        SegmentFile(files[0].path, RATE_HZ)


def test_a_disk_that_is_full_says_so_and_keeps_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SegmentFile(tmp_path / "a.wav", RATE_HZ)
    file.write(noise(2.0))

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    whole = file._file
    monkeypatch.setattr(file, "_file", Full())
    with pytest.raises(OSError, match="No space left"):
        file.write(noise(1.0))
    whole.close()
    assert len(read((tmp_path / "a.wav").read_bytes())) == 2 * RATE_HZ


@given(st.text(max_size=100))
def test_a_name_never_leaves_its_folder(text: str) -> None:
    name = tidy(text)
    assert name
    assert len(name) <= 60
    assert not name.startswith(".")
    assert Path(name).name == name
    name.encode("ascii")


def test_recordings_are_not_for_everybody_on_the_machine(tmp_path: Path) -> None:
    """On the air and on the network it may have been secret."""
    file = new_segment(tmp_path / "recordings", NOON, ["fire"], RATE_HZ)
    file.close()
    for path in (file.path, file.path.parent, tmp_path / "recordings"):
        assert path.stat().st_mode & 0o007 == 0


def test_a_power_cut_leaves_all_but_the_last_seconds_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may keep what was written for half a minute; only a sync puts it on the disk."""
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(number: int) -> None:
        synced.append(os.fstat(number).st_size)
        real(number)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    file = SegmentFile(tmp_path / "a.wav", RATE_HZ)
    for part in np.array_split(noise(20.0), 80):
        file.write(part)
        written_s = file.duration_s
        on_disk_s = (synced[-1] - 44) / 2 / RATE_HZ if synced else 0.0
        assert written_s - on_disk_s < 6.5
    assert len(synced) < 6  # a memory card has only so many writes
    file.close()
    assert synced[-1] == (tmp_path / "a.wav").stat().st_size
