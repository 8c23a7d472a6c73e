"""The recorder as a thread in a process: it is stopped, killed, and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echostream.archive import recorder as recorder_module
from echostream.archive import settling
from echostream.archive.meta_files import read_meta
from echostream.archive.open_marks import OpenMarks, half_written
from echostream.archive.recorder import Recorder
from echostream.archive.recording import Recording
from echostream.audio.device_ports import DeviceAudio, StreamInfo
from echostream.config.recording_models import Recording as Settings
from echostream.config.recording_models import RecordPolicy
from echostream.events import Event

RATE = 16_000
CHILD = """
import sys, time
import numpy as np
from echostream.archive.recorder import Recorder
from echostream.audio.device_ports import DeviceAudio, StreamInfo
from echostream.config.recording_models import Recording, RecordPolicy

directory, form = sys.argv[1:]
settings = Recording.model_validate({"enabled": True, "directory": directory, "write": form, "segment_s": 10})
recorder = Recorder(settings, "gw", print)
recorder.start()
info = StreamInfo("porch", "", 16000, "192.0.2.7", 1)
tap = recorder.open_device(info, RecordPolicy(mode="continuous"))
began = time.monotonic()
position = 0
print("began", flush=True)
while True:
    time.sleep(0.05)
    due = int((time.monotonic() - began) * 16000)
    samples = (np.arange(position, due) % 20011 - 10000).astype(np.int16)
    position = due
    tap.audio(DeviceAudio(samples, due - len(samples), time.monotonic()))
    print(due, flush=True)
"""


def settings_for(directory: Path, form: str = "wav") -> Settings:
    return Settings.model_validate({"enabled": True, "directory": str(directory), "write": form})


def known(directory: Path) -> list[Recording]:
    metas = [read_meta(path) for path in directory.glob("*/.meta/*.json")]
    return sorted(metas, key=lambda one: one.start_us)


def until(directory: Path, count: int) -> None:
    deadline_s = time.monotonic() + 10
    while len(half_written(directory)) + sum(one.state == "open" for one in known(directory)) > count:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("form", ["wav", "flac", "opus"])
def test_a_kill_costs_two_seconds_at_most_and_the_next_start_makes_it_whole(
    tmp_path: Path, form: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), form], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip().isdigit() and int(line) > 3.3 * RATE:
                child.send_signal(signal.SIGKILL)
                break
        sent = max([int(line), *(int(word) for word in child.stdout.read().split() if word.isdigit())])
    assert [half.cause for half in half_written(tmp_path)] == ["killed"] * len(half_written(tmp_path))
    events: list[Event] = []
    changed: list[Path] = []
    recorder = Recorder(settings_for(tmp_path, form), "gw", events.append, changed.append)
    recorder.start()
    try:
        until(tmp_path, 0)
        tap = recorder.open_device(
            StreamInfo("porch", "", RATE, "192.0.2.7", 1), RecordPolicy(mode="continuous")
        )
        assert tap is not None
        tap.audio(DeviceAudio(np.ones(800, np.int16), 0, time.monotonic()))
        tap.ended("device gone")
        deadline_s = time.monotonic() + 5
        while recorder.sources:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
    finally:
        recorder.request_stop()
        assert recorder.join(5)
    *old, new = known(tmp_path)
    assert events == []
    assert {one.state for one in old} <= {"repaired", "closed"}
    assert old[-1].ended == "killed"
    assert sum(one.samples for one in old) >= sent - 2 * RATE
    sound = [soundfile.read(tmp_path / one.path, dtype="int16")[0] for one in old]
    if form != "opus":
        assert [len(part) for part in sound] == [one.samples for one in old]
        joined = np.concatenate(sound)
        np.testing.assert_array_equal(joined, np.arange(len(joined)) % 20011 - 10000)
    assert new.gap_before is not None
    assert (new.gap_before.cause, new.gap_before.start_us) == ("killed", old[-1].end_us)
    assert new.gap_before.end_us == new.start_us


def test_what_another_live_process_writes_is_left_alone(tmp_path: Path) -> None:
    OpenMarks(tmp_path).put("2023-11-14_2213_20_porch")
    assert half_written(tmp_path) == []
    assert OpenMarks(tmp_path).claim() == []


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("", "power cut"),
        ("\0\0\0\0\0\0", "power cut"),
        ("another-boot 1 5", "power cut"),
        ("{boot} 99999999 5", "killed"),
        ("{boot} 1 not-its-start", "killed"),
        ("{boot} 99999999 5 power cut", "power cut"),
        ("another-boot 99999999 5 killed", "killed"),
        ("{boot} ² 5", "power cut"),
    ],
)
def test_a_marker_tells_why_its_writer_is_gone(tmp_path: Path, words: str, cause: str) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    OpenMarks(tmp_path).put("2023-11-14_2213_20_porch")
    (tmp_path / ".open" / "2023-11-14_2213_20_porch").write_text(words.replace("{boot}", boot))
    assert [half.cause for half in half_written(tmp_path)] == [cause]
    claimed = OpenMarks(tmp_path).claim()
    assert [half.cause for half in claimed] == [cause]
    assert half_written(tmp_path) == []  # this process repairs it


def test_a_marker_goes_only_after_the_disk_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may take the end of a file and leave the news of it."""
    may_sync = threading.Event()
    synced: list[set[str]] = []

    def sync(directory: Path) -> None:
        synced.append({path.name for path in (directory / ".open").glob("2*")})
        if not may_sync.is_set():
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(settling, "sync_folder", sync)
    monkeypatch.setattr(settling, "GATHER_S", 0.02)
    monkeypatch.setattr(settling, "RETRY_S", 0.05)
    closed: list[Path] = []
    recorder = Recorder(settings_for(tmp_path), "gw", lambda event: None, closed=closed.append)
    recorder.start()
    try:
        info = StreamInfo("porch", "", RATE, "192.0.2.7", 1)
        tap = recorder.open_device(info, RecordPolicy(mode="continuous"))
        assert tap is not None
        tap.audio(DeviceAudio(np.ones(RATE, np.int16), 0, time.monotonic()))
        tap.ended("device gone")
        deadline_s = time.monotonic() + 5
        while len(synced) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert [one.state for one in known(tmp_path)] == ["closed"]
        assert len(synced[-1]) == 1
        assert closed == []
        may_sync.set()
        while not closed:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert not list((tmp_path / ".open").glob("2*"))
    finally:
        may_sync.set()
        recorder.request_stop()
        assert recorder.join(3)


def test_a_stop_joins_within_two_seconds_and_closes_what_is_open(tmp_path: Path) -> None:
    recorder = Recorder(settings_for(tmp_path), "gw", lambda event: None)
    recorder.start()
    taps = [
        recorder.open_device(
            StreamInfo(f"d{number}", "", RATE, "192.0.2.7", 1), RecordPolicy(mode="continuous")
        )
        for number in range(20)
    ]
    for tap in taps:
        assert tap is not None
        tap.audio(DeviceAudio(np.ones(RATE, np.int16), 0, time.monotonic()))
    recorder.request_stop()
    assert recorder.join(2)
    assert [(one.state, one.ended, one.samples) for one in known(tmp_path)] == [
        ("closed", "stopped", RATE)
    ] * 20


def test_nothing_runs_on_after_a_stop_that_gave_up_on_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    recorder = Recorder(settings_for(tmp_path), "gw", lambda event: None)
    finish_all = recorder._finish_all

    def hang() -> None:
        assert answers.wait(5)
        finish_all()

    monkeypatch.setattr(recorder, "_finish_all", hang)
    recorder.start()
    recorder.request_stop()
    assert not recorder.join(0.05)
    answers.set()
    assert recorder._settler is not None
    assert recorder._settler.join(5)  # it was told by the recorder, as nobody joins again
    assert recorder.join(5)


def test_a_device_that_comes_and_goes_while_the_disk_hangs_costs_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_NEW", 10)
    recorder = Recorder(settings_for(tmp_path), "gw", lambda event: None)  # not started: it takes nothing
    policy = RecordPolicy(mode="continuous")
    recorder.open_device(StreamInfo("goes on", "", RATE, "192.0.2.8", 1), policy)
    for number in range(100):
        tap = recorder.open_device(StreamInfo("porch", "", RATE, "192.0.2.7", 2 + number), policy)
        assert tap is not None
        tap.ended("device gone")
    assert [one.name for one in recorder.sources] == ["goes on"] + ["porch"] * 9
    assert recorder.given_up == 91
