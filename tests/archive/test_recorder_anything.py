"""Whatever befalls a recorder, in any order: every sample that it took is in a file, once, in order, and each
file's count fits what it says is missing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorder_stand import CONTINUOUS, UNIX_S, Stand

from echostream.archive.disk_room import Disk
from echostream.archive.recording import Recording
from echostream.archive.wall_clock import ClockQuality
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import Samples
from echostream.config.recording_models import RecordPolicy

RATE = 8000
WRAP = 32_767
"""Each sample is one more than the one before, from 1 to this and from 1 again; 0 is left to silence."""
CAUSES: list[GapCause] = ["device lost audio", "packets lost", "overload"]


class Ordeal:
    """One device, and what happens to it and around it."""

    def __init__(
        self, directory: Path, seed: int, unsteady: bool = True, policy: RecordPolicy = CONTINUOUS
    ) -> None:
        self.policy = policy
        self.unsteady = unsteady
        self.chance = random.Random(seed)
        self.stand = Stand(directory, segment_s=20.0)
        self.sent = 0
        self.stream = 0
        self.position = 0
        self.full = False
        self.sink: DeviceSink | None = None
        self.connect()

    def connect(self) -> None:
        if self.sink is not None:
            self.sink.ended("device gone")
            if self.chance.random() < 0.5:
                self.stand.serve()
            self.stand.now += self.chance.choice([0.0, 0.5, 30.0])
        self.stream += 1
        info = StreamInfo("porch", "", RATE, "192.0.2.7", self.stream)
        self.sink = self.stand.recorder.open_device(info, self.policy)
        self.position = self.chance.choice([0, 12_345])
        self.began = self.position
        self.settled = self.chance.random() < 0.5

    def block(self, count: int, missing: int = 0, gap_at: int | None = None) -> None:
        if self.position == self.began:
            missing, gap_at = 0, None  # before its first sample nothing is missing
        samples: Samples = (np.arange(self.sent, self.sent + count) % WRAP + 1).astype(np.int16)
        self.sent += count
        self.position += missing
        self.stand.now += (count + missing) / RATE
        assert self.sink is not None
        self.sink.audio(
            DeviceAudio(
                samples,
                self.position,
                self.stand.now,
                missing / RATE,
                self.chance.choice(CAUSES) if missing else None,
                self.chance.choice([None, 3.0, -200.0]) if self.unsteady else None,
                gap_at,
                20.0 if self.settled else self.chance.choice([None, 3000.0]),
            )
        )
        self.position += count

    def talk(self) -> None:
        for _ in range(self.chance.randrange(1, 60)):
            self.block(self.chance.choice([1, 7, 160, 800, 4000]))
            if self.chance.random() < 0.4:
                self.stand.serve()

    def short_gap(self) -> None:
        self.block(800, self.chance.randrange(1, 2 * RATE))

    def long_gap(self) -> None:
        self.block(800, self.chance.randrange(2 * RATE, 90 * RATE))

    def late_gap(self) -> None:
        back = self.chance.randrange(0, 12 * RATE)
        self.block(800, self.chance.randrange(1200, 3 * RATE), max(self.began, self.position - back))

    def clock_set(self) -> None:
        self.stand.unix_s += self.chance.choice([-3600.0, -1.0, 0.05, 7.0, 86_400.0])
        self.stand.quality = ClockQuality(self.chance.choice(["synchronised", "unsynchronised"]), 3.0)

    def disk(self) -> None:
        self.stand.disk = self.chance.choice([Disk(10**12, 10**12), Disk(0, 10**12)])
        self.full = self.full or self.stand.disk.free == 0

    def end(self) -> list[Recording]:
        assert self.sink is not None
        self.sink.ended("device gone")
        self.stand.serve()
        self.stand.recorder._late.step(5.0)
        return self.stand.recordings()

    def run(self, steps: list[Callable[[], None]]) -> list[Recording]:
        for _ in range(25):
            self.chance.choice(steps)()
            if self.chance.random() < 0.7:
                self.stand.now += 0.5 if self.unsteady and self.chance.random() < 0.1 else 0.0
                self.stand.serve()
        return self.end()


def places(ordeal: Ordeal, recording: Recording) -> np.ndarray:
    """Which of the sent samples a file holds; the silence of its gaps is where it says."""
    heard = ordeal.stand.samples(recording).astype(int)
    assert len(heard) == recording.samples
    keep = np.ones(len(heard), bool)
    for gap in recording.gaps:
        assert gap.position is not None
        count = round((gap.end_us - gap.start_us) * RATE / 1e6)
        assert gap.start_us <= gap.end_us
        assert not heard[gap.position : gap.position + count].any()
        assert gap.position + count <= len(heard)
        keep[gap.position : gap.position + count] = False
    values = heard[keep]
    assert values.all(), "silence that no gap tells of"
    return np.asarray(values)


def follow(values: np.ndarray) -> bool:
    """Each is the next of the one before."""
    return bool(np.all((values[1:] - values[:-1]) % WRAP == 1))


@pytest.mark.parametrize("seed", range(30))
def test_every_sample_is_in_a_file_once_and_in_order(tmp_path: Path, seed: int) -> None:
    ordeal = Ordeal(tmp_path, seed)
    steps = [ordeal.talk] * 4 + [ordeal.short_gap, ordeal.long_gap, ordeal.late_gap, ordeal.connect]
    if seed % 3 == 1:
        steps.append(ordeal.clock_set)
    if seed % 3 == 2:
        steps.append(ordeal.disk)
    recordings = ordeal.run(steps)
    assert ordeal.stand.recorder.failures == 0
    assert ordeal.stand.events == []
    assert all(one.state == "closed" for one in recordings)
    assert not list((tmp_path / ".open").glob("2*"))
    assert len(list(tmp_path.glob("*/*.wav"))) == len(recordings)
    held = [places(ordeal, one) for one in recordings]
    assert all(follow(values) for values in held)
    total = sum(map(len, held))
    assert total == ordeal.sent or ordeal.full
    assert total <= ordeal.sent
    for one in recordings:
        gap = one.gap_before
        if gap is not None and one.clock == "synchronised":
            assert gap.start_us <= gap.end_us


@pytest.mark.parametrize("seed", range(20))
def test_what_is_loud_is_in_one_piece_too(tmp_path: Path, seed: int) -> None:
    policy = RecordPolicy(mode="vox", threshold_dbfs=-12, pre_roll_ms=300, post_roll_ms=200)
    ordeal = Ordeal(tmp_path, seed, policy=policy)
    steps = [ordeal.talk] * 4 + [ordeal.short_gap, ordeal.long_gap, ordeal.late_gap, ordeal.connect]
    recordings = ordeal.run(steps)
    assert ordeal.stand.recorder.failures == 0
    held = [places(ordeal, one) for one in recordings]
    assert all(follow(values) for values in held)
    assert 0 < sum(map(len, held)) <= ordeal.sent
    assert not list((tmp_path / ".open").glob("2*"))


def test_without_steps_of_the_clock_files_never_overlap_and_gaps_fill_what_is_between(tmp_path: Path) -> None:
    for seed in range(12):
        ordeal = Ordeal(tmp_path / str(seed), seed, unsteady=False)
        ordeal.settled = True
        recordings = ordeal.run([*[ordeal.talk] * 4, ordeal.short_gap, ordeal.long_gap])
        ends_us = round(UNIX_S * 1e6)
        for number, one in enumerate(recordings):
            if number and one.gap_before is None:
                assert abs(one.start_us - ends_us) < 1000
            elif one.gap_before is not None:
                assert abs(one.gap_before.start_us - ends_us) < 1000
                assert one.gap_before.end_us == one.start_us
            ends_us = one.end_us
