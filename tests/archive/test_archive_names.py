"""Names of recordings: as players and scripts know them, never taken twice, never out of their folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive.file_names import FORMS, place_of, source_of, start_of, stem_of, take_place, tidy

NOON_US = 1_795_262_407_123_456


def test_a_name_says_when_and_who_in_utc(tmp_path: Path) -> None:
    place = take_place(tmp_path, NOON_US, "porch", "device")
    assert place.audio("flac") == tmp_path / "2026-11-21" / "2026-11-21_1200_07_porch.flac"
    assert place.path("wav") == "2026-11-21/2026-11-21_1200_07_porch.wav"
    assert place.meta == tmp_path / "2026-11-21" / ".meta" / "2026-11-21_1200_07_porch.json"
    assert place.peaks == place.meta.with_suffix(".peaks")
    for path in (place.meta, place.peaks, place.audio("opus"), place.path("wav")):
        assert place_of(tmp_path, path) == place
    assert stem_of(NOON_US, "fire", "network") == "2026-11-21_1200_07_fire.net"
    assert stem_of(NOON_US, "esp32-192.0.2.17", "quarantine").endswith("_quarantine.esp32-192.0.2.17")
    assert stem_of(NOON_US, "fire", "channel", "engine 7") == "2026-11-21_1200_07_fire_engine-7"


def test_no_two_recordings_share_a_name(tmp_path: Path) -> None:
    places = [take_place(tmp_path, NOON_US, "porch", "device") for _ in range(4)]
    assert [place.stem[18:] for place in places] == ["_porch", "_porch-2", "_porch-3", "_porch-4"]


def test_threads_that_ask_at_once_get_names_of_their_own(tmp_path: Path) -> None:
    stems: list[str] = []

    def take() -> None:
        stems.extend(take_place(tmp_path, NOON_US, "porch", "device").stem for _ in range(20))

    threads = [threading.Thread(target=take, name=f"take-{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert len(set(stems)) == 80


@pytest.mark.parametrize("form", FORMS)
def test_audio_that_lies_there_keeps_its_name(form: str, tmp_path: Path) -> None:
    """Whatever its form, and though nothing is known of it: a copy from elsewhere, a lost meta file."""
    (tmp_path / "2026-11-21").mkdir()
    (tmp_path / "2026-11-21" / f"2026-11-21_1200_07_porch.{form}").write_bytes(b"old")
    place = take_place(tmp_path, NOON_US, "porch", "device")
    assert place.stem == "2026-11-21_1200_07_porch-2"
    assert [one.name for one in place.meta.parent.iterdir()] == [place.meta.name]


def test_what_is_deleted_is_gone_in_every_form(tmp_path: Path) -> None:
    place, other = (take_place(tmp_path, NOON_US, name, "device") for name in ("porch", "shed"))
    for path in (*map(place.audio, FORMS), place.peaks, other.audio("wav")):
        path.write_bytes(b"x")
    place.delete()
    place.delete()
    assert sorted(one.name for one in tmp_path.rglob("*") if one.is_file()) == [
        other.meta.name,
        other.audio("wav").name,
    ]
    other.delete()
    assert not list(tmp_path.iterdir())


def test_recordings_are_not_for_everybody_on_the_machine(tmp_path: Path) -> None:
    place = take_place(tmp_path / "recordings", NOON_US, "fire", "channel")
    for path in (place.meta, place.meta.parent, place.folder, tmp_path / "recordings"):
        assert path.stat().st_mode & 0o007 == 0


@given(st.text(max_size=100))
def test_a_part_of_a_name_never_leaves_its_folder(text: str) -> None:
    name = tidy(text)
    assert name
    assert len(name) <= 60
    assert not name.startswith(".")
    assert Path(name).name == name
    name.encode("ascii")


@given(
    st.integers(-(10**17), 10**18),
    st.text(max_size=80),
    st.sampled_from(["channel", "network", "device", "quarantine"]),
    st.text(max_size=80),
)
def test_every_name_is_read_back(start_us: int, source: str, kind: str, tone: str) -> None:
    stem = stem_of(start_us, source, kind, tone)  # type: ignore[arg-type]
    start = start_of(stem)
    assert start is not None
    if 0 <= start_us < 2 * 10**17:
        assert start == start_us // 1_000_000 * 1_000_000
    assert source_of(stem)
    assert place_of(Path(), f"{stem}.wav").stem == stem


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.wav",
        "2026-11-21_1200.wav",
        "2026-13-21_1200_07_porch.wav",
        "2026-11-21_1200_07_.wav",
        "2026-11-21_1200_07_a b.wav",
        "2026-11-21_1200_07_porch",
        "٢026-11-21_1200_07_porch.wav",
    ],
)
def test_what_is_no_name_of_a_recording_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a recording's name"):
        place_of(Path("/recordings"), name)
