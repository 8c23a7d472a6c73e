"""What is known of a recording: whole at every moment on the disk, and never believed without a look."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive import meta_files
from echostream.archive.file_names import place_of
from echostream.archive.meta_files import place_of_meta, read_meta, update_meta, write_meta, write_metas
from echostream.archive.recording import (
    ClockState,
    Gap,
    Recording,
    SourceKind,
    State,
    ToneMark,
    Trigger,
)
from echostream.audio.device_ports import GapCause
from echostream.errors import BrokenFile

STEM = "2026-11-21_1200_07_porch"
START_US = 1_795_262_407_000_000


def known(**changes: Any) -> Recording:
    path = f"2026-11-21/{STEM}.wav"
    base = Recording("0" * 32, path, "wav", "gw", "porch", "device", "continuous", START_US, 16_000)
    return replace(base, **changes)


def folder(tmp_path: Path) -> Path:
    (tmp_path / "2026-11-21" / ".meta").mkdir(parents=True, exist_ok=True)
    return tmp_path


times_us = st.integers(0, 10**17)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
gaps = st.builds(
    lambda start, length, cause, position: Gap(start, start + length, cause, position),
    times_us,
    st.integers(0, 10**12),
    st.sampled_from(get_args(GapCause)),
    st.none() | st.integers(0, 10**9),
)
recordings = st.builds(
    known,
    id=texts,
    gateway=texts,
    source=texts,
    kind=st.sampled_from(get_args(SourceKind)),
    trigger=st.sampled_from(get_args(Trigger)),
    start_us=times_us,
    rate_hz=st.integers(1, 192_000),
    label=texts,
    channel_id=texts,
    samples=st.integers(0, 10**10),
    state=st.sampled_from(get_args(State)),
    ended=texts,
    clock=st.sampled_from(get_args(ClockState)),
    start_error_ms=finite,
    ppm=st.none() | finite,
    peak_dbfs=st.none() | finite,
    rms_dbfs=st.none() | finite,
    bytes=st.integers(0, 10**12),
    sha256=texts,
    protected=st.booleans(),
    notes=texts,
    priority=st.integers(0, 9),
    keep_days=st.none() | finite,
    gap_before=st.none() | gaps,
    gaps=st.lists(gaps, max_size=3),
    tones=st.lists(st.builds(ToneMark, texts, texts, times_us, times_us, texts), max_size=3),
)


@settings(max_examples=50)
@given(recording=recordings)
def test_everything_that_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, recording: Recording
) -> None:
    directory = folder(tmp_path_factory.mktemp("metas"))
    meta = write_meta(directory, recording, sync=False)
    assert read_meta(meta) == recording
    assert meta == place_of(directory, recording.path).meta
    assert place_of_meta(meta).directory == directory


def test_every_field_is_in_the_file(tmp_path: Path) -> None:
    meta = write_meta(folder(tmp_path), known())
    assert set(json.loads(meta.read_text())) == {field.name for field in fields(Recording)}


def test_a_file_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    meta = write_meta(folder(tmp_path), known(gaps=[Gap(1, 2, "disk")]))
    document = json.loads(meta.read_text())
    document["mood"] = document["gaps"][0]["mood"] = "calm"
    del document["notes"]
    meta.write_text(json.dumps(document))
    assert read_meta(meta) == known(gaps=[Gap(1, 2, "disk")])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate_hz": 0}, "rate_hz: expected 1 to"),
        ({"rate_hz": "16000"}, 'rate_hz: expected a whole number, got "16000"'),
        ({"rate_hz": True}, "rate_hz: expected a whole number, got true"),
        ({"samples": -1}, "samples: expected 0 to"),
        ({"start_us": 10**18}, "start_us: expected 0 to"),
        ({"start_us": 1.5}, "start_us: expected a whole number"),
        ({"ppm": "fast"}, 'ppm: expected a number, got "fast"'),
        ({"kind": "radio"}, "kind: expected one of channel, network"),
        ({"gaps": {}}, "gaps: expected a list"),
        ({"gaps": [1]}, r"gaps\[0\]: expected an object, got 1"),
        ({"gaps": [{"start_us": 2, "end_us": 1, "cause": "disk"}]}, r"gaps\[0\].end_us: expected 2 to"),
        ({"gaps": [{"start_us": 2, "end_us": 3, "cause": "rain"}]}, r"gaps\[0\].cause: expected one of"),
        ({"gap_before": {"start_us": 2, "cause": "disk"}}, "gap_before.end_us: is missing"),
        ({"path": "/etc/passwd"}, "expected a recording's name"),
        ({"path": f"../../2026-11-21/{STEM}.wav"}, "path: expected"),
        ({"path": f"2026-11-21/{STEM}.flac"}, "path: expected"),
        ({"path": "2026-11-21/2026-11-21_1200_07_shed.wav"}, "another recording's"),
        ({"id": None}, "id: expected text, got null"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    meta = write_meta(folder(tmp_path), known())
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    with pytest.raises(BrokenFile, match=words) as caught:
        read_meta(meta)
    assert str(caught.value).startswith(str(meta))
    assert "echostream recordings repair" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (bytes(4096), "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[]", "expected an object"),
        (b"{}", "id: is missing"),
        (b"[" * 100_000, "meta"),
        (b'{"ppm": NaN}', "NaN is no number"),
        (b'{"ppm": 1e999}', "id: is missing"),
        (b"{" + b'"a": 1,' * 1_500_000, "is larger than"),
    ],
)
def test_rubbish_is_refused_with_the_name_of_the_file(data: bytes, words: str, tmp_path: Path) -> None:
    meta = folder(tmp_path) / "2026-11-21" / ".meta" / f"{STEM}.json"
    meta.write_bytes(data)
    with pytest.raises(BrokenFile, match=words):
        read_meta(meta)


@given(data=st.data())
def test_a_file_that_was_cut_or_changed_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = folder(tmp_path_factory.mktemp("metas"))
    full = known(gaps=[Gap(1, 2, "disk", 5)], tones=[ToneMark("a", "b", 1, 2)], ppm=1.5)
    meta = write_meta(directory, full, sync=False)
    text = bytearray(meta.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    meta.write_bytes(text[: data.draw(st.integers(0, len(text)))])
    try:
        read_meta(meta)
    except BrokenFile as error:
        assert str(meta) in str(error)  # noqa: PT017 - most of what was changed is still read


def test_a_kill_while_it_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = write_meta(folder(tmp_path), known(notes="old"))

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        write_meta(tmp_path, known(notes="new"))
    assert read_meta(meta).notes == "old"


def test_it_is_on_the_disk_before_the_old_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda number: order.append("sync"))
    real = os.replace

    def replaced(*names: Path) -> None:
        order.append("replace")
        real(*names)

    monkeypatch.setattr(os, "replace", replaced)
    write_meta(folder(tmp_path), known())
    assert order == ["sync", "replace"]
    order.clear()
    write_meta(tmp_path, known(), sync=False)
    assert order == ["replace"]


def test_many_are_synchronised_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    many = [known(path=f"2026-11-21/{STEM}-{number}.wav", samples=number) for number in range(2, 40)]
    new = folder(tmp_path) / "2026-11-21" / ".meta"
    monkeypatch.setattr(
        meta_files, "sync_folder", lambda directory: synced.append(len(list(new.glob(".*.new"))))
    )
    metas = write_metas(tmp_path, many)
    assert synced == [38]
    assert [read_meta(meta) for meta in metas] == many
    assert write_metas(tmp_path, []) == []


def test_two_who_change_it_at_once_do_not_undo_each_other(tmp_path: Path) -> None:
    meta = write_meta(folder(tmp_path), known(samples=0))

    def count() -> None:
        for _ in range(25):
            update_meta(meta, lambda one: replace(one, samples=one.samples + 1))

    threads = [threading.Thread(target=count, name=f"count-{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert read_meta(meta).samples == 75
    assert asdict(read_meta(meta))["samples"] == 75


def test_text_that_no_file_can_hold_costs_nothing_else(tmp_path: Path) -> None:
    meta = write_meta(folder(tmp_path), known(notes="half of a pair: \ud800", samples=7))
    assert read_meta(meta).samples == 7
