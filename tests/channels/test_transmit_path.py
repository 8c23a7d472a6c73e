"""The transmit path on real Opus, clocked by hand: what leaves, when, and under which tick."""

from __future__ import annotations

import random

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Frame, samples_per_frame
from echostream.audio.opus_codec import EncoderSettings, OpusDecoder, packet_samples
from echostream.channels.transmit_path import TransmitPath, TransmitSettings

START_TICK = 5_000


class Wire:
    """An uplink that keeps what it was given."""

    def __init__(self, start_tick: int = START_TICK) -> None:
        self.start_tick = start_tick
        self.sent: list[tuple[int, bytes]] = []
        self.takes = True

    def send_packet(self, tick: int, opus: bytes) -> int:
        if not self.takes:
            return 0
        self.sent.append((tick, opus))
        return len(opus)

    @property
    def ticks(self) -> list[int]:
        return [tick for tick, _ in self.sent]


class Bench:
    """Feeds frames at their due times; frame n is complete at (n + 1) frame periods."""

    def __init__(self, **settings: object) -> None:
        self.vox: list[bool] = []
        self.drained: list[int] = []
        self.playing = False
        self.settings = TransmitSettings(high_pass_hz=0, **settings)  # type: ignore[arg-type]
        self.path = TransmitPath(
            self.settings,
            on_vox=lambda active, at_s: self.vox.append(active),
            on_drained=self.drained.append,
            is_playing=lambda: self.playing,
        )
        self.wire = Wire()
        self.path.set_uplink(self.wire)
        self.count = samples_per_frame(self.settings.frame_ms)
        self.frame_s = self.settings.frame_ms / 1000
        self.index = -1

    @property
    def now(self) -> float:
        return (self.index + 1) * self.frame_s

    def feed(self, frames: int, level: int = 0) -> None:
        rng = np.random.default_rng(self.index + 2)
        for _ in range(frames):
            self.index += 1
            noise = rng.integers(-level, level + 1, self.count).astype(np.int16)
            self.path.feed(Frame(noise, self.index, self.now))

    def key(self, number: int, frames: int, at_s: float | None = None) -> None:
        self.path.arm(number, self.now if at_s is None else at_s)
        self.path.open(number)
        self.feed(frames, 3000)
        self.path.close(number)
        self.feed(20)


def test_nothing_is_sent_while_the_key_is_up() -> None:
    bench = Bench()
    bench.feed(50, 3000)
    assert bench.wire.sent == []


def test_pre_roll_goes_out_in_a_burst_and_is_gone_within_a_second() -> None:
    bench = Bench(pre_roll_ms=1000)
    bench.feed(60, 3000)
    bench.path.arm(1, bench.now)
    bench.path.open(1)
    for fed in range(1, 51):
        bench.feed(1, 3000)
        behind = bench.index - (bench.wire.ticks[-1] - START_TICK)
        assert len(bench.wire.sent) <= 3 * fed
        if behind == 0:
            break
    assert behind == 0
    assert fed <= 30
    assert bench.wire.ticks == list(range(bench.wire.ticks[0], bench.wire.ticks[0] + len(bench.wire.ticks)))


def test_thousand_key_ups_at_random_phase_lose_no_sample_of_the_pre_roll() -> None:
    rng = random.Random(7)
    bench = Bench(pre_roll_ms=200, encoder=EncoderSettings(complexity=0, fec=False))
    for number in range(1, 1001):
        bench.feed(rng.randint(13, 16))
        before = len(bench.wire.sent)
        pressed_s = bench.now + rng.random() * bench.frame_s
        bench.feed(1)  # the frame in which the key went down completes before the request is seen
        bench.path.arm(number, pressed_s)
        bench.path.open(number)
        bench.feed(6)
        bench.path.close(number)
        bench.feed(4)
        first_tick = bench.wire.ticks[before]
        assert (first_tick - START_TICK) * bench.frame_s <= pressed_s - 0.2 + 1e-9
    assert bench.drained == list(range(1, 1001))
    assert len(set(bench.wire.ticks)) == len(bench.wire.ticks)


def test_ticks_grow_over_silence_and_never_repeat() -> None:
    bench = Bench()
    bench.feed(20)
    bench.key(1, 10)
    bench.feed(100)
    bench.key(2, 10)
    ticks = bench.wire.ticks
    assert ticks == sorted(set(ticks))
    assert max(np.diff(ticks)) > 100


def test_the_frame_in_which_the_key_goes_up_is_still_sent() -> None:
    bench = Bench(pre_roll_ms=0)
    bench.path.arm(1, bench.now)
    bench.path.open(1)
    bench.feed(5, 3000)
    bench.path.close(1)
    bench.feed(1, 3000)
    assert len(bench.wire.sent) == 6
    assert bench.drained == [1]


def test_what_was_said_before_the_announcement_left_is_kept() -> None:
    bench = Bench(pre_roll_ms=0)
    bench.path.arm(1, bench.now)
    bench.feed(4, 3000)
    assert bench.wire.sent == []
    bench.path.open(1)
    bench.feed(6, 3000)
    assert bench.wire.ticks == list(range(START_TICK, START_TICK + 10))


@pytest.mark.parametrize(("frame_ms", "advance"), [(10, 1), (20, 1), (40, 2), (60, 3)])
def test_tick_advances_by_the_packet_length(frame_ms: int, advance: int) -> None:
    bench = Bench(frame_ms=frame_ms, pre_roll_ms=0)
    bench.key(1, 13)
    ticks = bench.wire.ticks
    assert set(np.diff(ticks)) == {advance}
    for _, packet in bench.wire.sent:
        assert packet_samples(packet) == max(20, frame_ms) * RATE_HZ // 1000
    assert bench.drained == [1]


@pytest.mark.parametrize("frames_between", [0, 1, 2, 3])
@pytest.mark.parametrize("frames_said", [4, 5])
def test_frames_of_10_ms_never_share_a_tick_between_transmissions(
    frames_said: int, frames_between: int
) -> None:
    bench = Bench(frame_ms=10, pre_roll_ms=0)
    for number in range(1, 30):
        bench.path.arm(number, bench.now)
        bench.path.open(number)
        bench.feed(frames_said, 3000)
        bench.path.close(number)
        bench.feed(1)
        bench.feed(frames_between)
    assert len(bench.drained) == 29
    ticks = bench.wire.ticks
    assert ticks == sorted(set(ticks))
    assert all(packet_samples(packet) == 960 for _, packet in bench.wire.sent)


def test_source_opened_again_continues_the_clock_and_never_repeats_an_iv() -> None:
    bench = Bench(pre_roll_ms=0)
    bench.key(1, 10)
    bench.path.source_lost()
    reopened_at_s = bench.now + 3.0
    for index in range(5):
        frame = Frame(np.zeros(960, np.int16), index, reopened_at_s + index * 0.02)
        bench.path.feed(frame)
    bench.path.arm(2, reopened_at_s + 0.1)
    bench.path.open(2)
    bench.path.feed(Frame(np.zeros(960, np.int16), 5, reopened_at_s + 0.12))
    gap = bench.wire.ticks[-1] - bench.wire.ticks[-2]
    assert gap >= 150


def test_frames_lost_in_the_card_advance_the_tick() -> None:
    bench = Bench(pre_roll_ms=0)
    bench.path.arm(1, 0.0)
    bench.path.open(1)
    bench.feed(3, 3000)
    bench.index += 4
    bench.feed(3, 3000)
    assert [tick - START_TICK for tick in bench.wire.ticks] == [0, 1, 2, 7, 8, 9]
    assert bench.path.stats.frames_lost == 4


def test_new_session_counts_from_its_own_start() -> None:
    bench = Bench(pre_roll_ms=0)
    bench.key(1, 5)
    wire = Wire(start_tick=9_000)
    bench.path.set_uplink(wire)
    bench.key(2, 5)
    assert wire.ticks[0] == 9_000
    assert len(wire.sent) == 6


def test_what_the_loudspeaker_said_never_leaves_as_pre_roll() -> None:
    bench = Bench(pre_roll_ms=200)
    bench.playing = True
    bench.feed(20, 8000)
    bench.playing = False
    bench.feed(2, 0)
    bench.path.arm(1, bench.now)
    bench.path.open(1)
    bench.feed(1, 0)
    decoder = OpusDecoder()
    heard = np.concatenate([decoder.decode(packet) for _, packet in bench.wire.sent])
    assert len(heard) <= 3 * 960
    assert int(np.abs(heard).max()) < 100


def test_network_that_takes_nothing_is_counted_and_ends_in_order() -> None:
    bench = Bench()
    bench.wire.takes = False
    bench.key(1, 10)
    assert bench.path.stats.packets_sent == 0
    assert bench.path.stats.send_failures > 0
    assert bench.drained == [1]


def test_abort_sends_nothing_more_and_reports_nothing() -> None:
    bench = Bench()
    bench.path.arm(1, 0.0)
    bench.path.open(1)
    bench.feed(5, 3000)
    sent = len(bench.wire.sent)
    bench.path.abort(1)
    bench.feed(5, 3000)
    assert len(bench.wire.sent) == sent
    assert bench.drained == []


def test_card_lost_while_draining_reports_the_end() -> None:
    bench = Bench(pre_roll_ms=1000)
    bench.feed(60, 1000)
    bench.path.arm(1, bench.now)
    bench.path.open(1)
    bench.feed(1, 1000)
    bench.path.close(1)
    bench.path.source_lost()
    assert bench.drained == [1]


def test_dtx_sends_next_to_nothing_in_a_pause_and_the_tick_goes_on() -> None:
    bench = Bench(pre_roll_ms=0, encoder=EncoderSettings(complexity=8, dtx=True))
    bench.path.arm(1, 0.0)
    bench.path.open(1)
    bench.feed(25, 8000)
    bench.feed(100, 0)
    in_pause = sum(tick >= START_TICK + 60 for tick in bench.wire.ticks)
    bench.feed(5, 8000)
    assert in_pause < 20
    assert bench.wire.ticks[-1] == START_TICK + 129


def test_voice_opens_and_what_is_played_does_not() -> None:
    bench = Bench(vox_enabled=True, vox_threshold_dbfs=-40.0, vox_attack_ms=40, vox_hang_ms=100)
    bench.feed(5, 0)
    bench.feed(5, 8000)
    assert bench.vox == [True]
    bench.feed(20, 0)
    assert bench.vox == [True, False]
    bench.playing = True
    bench.feed(20, 8000)
    assert bench.vox == [True, False]


def test_clipped_input_is_seen_though_the_limiter_hides_it() -> None:
    bench = Bench(input_gain_db=0.0)
    bench.path.feed(Frame(np.full(960, 32767, np.int16), 0, 0.02))
    stats = bench.path.stats
    assert stats.level.clipped_frames == 1
    assert stats.limited_frames == 1
