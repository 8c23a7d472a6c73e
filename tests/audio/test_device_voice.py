"""A network microphone's audio from its blocks to a channel's frames: clocks, holes, gaps, its valve."""

from __future__ import annotations

import numpy as np
import pytest
from device_bench import level_at, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.arrival_line import ArrivalLine
from echostream.audio.device_gate import DeviceGate
from echostream.audio.device_ports import DeviceAudio
from echostream.audio.device_stream import BOUND_S
from echostream.audio.device_voice import DeviceVoice, VoiceSettings, opus_rate
from echostream.audio.format import Samples, silence
from echostream.audio.sample_ring import SampleRing

FRAME_S = 0.02


# ---- the ring


@given(st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 90)), max_size=30), st.integers(1, 64))
def test_the_ring_is_a_long_recording_of_which_the_newest_is_held(
    steps: list[tuple[int, int]], capacity: int
) -> None:
    ring, whole, value = SampleRing(capacity), np.zeros(6000, np.int16), 1
    begun = False
    for jump, size in steps:
        position = max(0, ring.end + jump)
        block = np.arange(value, value + size).astype(np.int16)
        fresh = max(0, ring.end - position) if begun else 0
        ring.write(position, block)
        whole[position + fresh : position + size] = block[fresh:]
        value, begun = value + size, True
        assert ring.end - ring.start <= capacity
        first = max(0, ring.start - 3)
        count = ring.end - first + 5
        wanted = whole[first : first + count].copy()
        wanted[: ring.start - first] = 0
        assert ring.read(first, count).tolist() == wanted.tolist()


# ---- the line of arrivals


def test_the_line_runs_along_the_latest_arrivals() -> None:
    line = ArrivalLine(16_000)
    for frame in range(500):
        now = frame * FRAME_S
        arrived = frame // 10 * 3200  # blocks of 200 ms
        if frame == 10:
            line.begin(arrived, now)
        line.look(arrived, now)
    at = 499 * FRAME_S
    assert line.position(at) == pytest.approx((at - 0.18) * 16_000, abs=1)


def test_a_delay_that_is_over_is_forgotten_within_four_seconds() -> None:
    line = ArrivalLine(16_000)
    line.begin(0, 0.0)
    for frame in range(500):
        now = frame * FRAME_S
        late = 0.4 if 2.0 <= now < 2.4 else 0.0
        line.look((now - late) * 16_000, now)
        if 2.4 <= now < 3.9:
            assert line.position(now) == pytest.approx((now - 0.4) * 16_000, abs=1)
        if now > 6.5:
            assert line.position(now) == pytest.approx(now * 16_000, abs=1)


# ---- the valve


def test_the_valve_opens_where_the_voice_began_whatever_the_blocks() -> None:
    said = np.concatenate((silence(16_000), tone(16_000, 500, 1.0), silence(32_000)))
    for block in (7, 320, 1024, 9600):
        gate = DeviceGate(16_000, -40, 40, 800)
        for at in range(0, said.size, block):
            gate.hear(at, said[at : at + block])
        assert 16_000 - 320 < gate.opened_at <= 16_000
        assert gate.closed_at == pytest.approx(32_000 + 12_800, abs=320)
        assert not gate.is_open


def test_the_constant_part_that_cheap_microphones_add_opens_nothing() -> None:
    gate = DeviceGate(16_000, -40, 40, 800)
    gate.hear(0, np.full(16_000, 5000, np.int16))
    assert not gate.is_open


def test_a_gap_counts_as_silence_and_not_as_a_voice_that_goes_on() -> None:
    gate = DeviceGate(16_000, -40, 40, 800)
    gate.hear(0, tone(16_000, 500, 1.0))
    assert gate.is_open
    gate.hear(16_000 * 60, tone(16_000, 500, 0.02))
    assert not gate.is_open


@given(st.integers(0, 2**31), st.floats(0.5, 2.0), st.sampled_from([320, 333, 1000, 9600]))
@settings(max_examples=30, deadline=None)
def test_the_short_cut_for_quiet_blocks_never_misses_a_voice(seed: int, level: float, block: int) -> None:
    """Noise about the threshold: opened if, and only if, 40 ms of it reach the threshold."""
    rng = np.random.default_rng(seed)
    noise = (level * 327.68 * rng.standard_normal(32_000)).clip(-32768, 32767).astype(np.int16)
    gate = DeviceGate(16_000, -40, 40, 800)
    opened = False
    for at in range(0, noise.size, block):
        gate.hear(at, noise[at : at + block])
        opened |= gate.is_open
    wide = noise[: noise.size // 320 * 320].astype(float).reshape(-1, 320)
    loud = wide.std(axis=1) >= 327.68
    if block == 320:
        assert opened == bool((loud[1:] & loud[:-1]).any())
    elif level > 1.2:
        assert opened


def test_gain_counts_before_the_threshold() -> None:
    quiet = tone(16_000, 500, 0.5, level=100)  # -53 dBFS
    for gain_db, opens in ((0.0, False), (20.0, True)):
        gate = DeviceGate(16_000, -40, 40, 800, gain_db)
        gate.hear(0, quiet)
        assert gate.is_open is opens


# ---- a microphone and a channel on two clocks


class Run:
    """A microphone whose sample n is taken up at n / (rate * (1 + ppm)); what the channel hears of it."""

    def __init__(self, voice: DeviceVoice, ppm: float = 0.0, block: int = 320, out_hz: int = 16_000) -> None:
        self.voice = voice
        self.rate_hz = voice.settings.rate_hz * (1 + ppm * 1e-6)
        self.block = block
        self.out_hz = out_hz
        self.sent = 0
        self.frame = 0
        self.delays_ms: list[float] = []
        self.heard: list[NDArray[np.float32]] = []
        self.silent_frames = 0

    @property
    def now(self) -> float:
        return self.frame * FRAME_S

    def run(self, seconds: float, samples: Samples, arrives: bool = True) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.frame += 1
            while arrives and (self.sent + self.block) / self.rate_hz <= self.now + 1e-9:
                block = np.take(samples, np.arange(self.sent, self.sent + self.block), mode="wrap")
                self.voice.take(DeviceAudio(block, self.sent, self.now), self.now)
                self.sent += self.block
            self.voice.look(self.now)
            self.pull()

    def pull(self) -> None:
        if not self.voice.active:
            return
        if not self.voice.reading:
            self.voice.begin(self.now)
        part = self.voice.pull(self.out_hz, self.now)
        if part is None:
            self.silent_frames += 1
            part = np.zeros(self.out_hz // 50, np.float32)
        else:
            assert self.voice.air.position is not None
            self.delays_ms.append(1000 * (self.now - self.voice.air.position / self.rate_hz))
        self.heard.append(part)


def always(rate_hz: int = 16_000) -> DeviceVoice:
    return DeviceVoice(VoiceSettings(rate_hz, always=True), 20)


@pytest.mark.parametrize(("ppm", "block"), [(0, 320), (500, 320), (-500, 1024), (100, 9600), (-100, 32)])
def test_the_delay_stays_below_100_ms_beyond_the_devices_own_block(ppm: float, block: int) -> None:
    run = Run(always(), ppm, block)
    run.run(60.0, tone(16_000, 500, 1.0))
    beyond_ms = np.array(run.delays_ms[250:]) - 1000 * block / 16_000
    assert np.percentile(beyond_ms, 99) < 60
    air = run.voice.air
    assert air.block_ms == 1000 * block / 16_000
    assert air.delay_ms(99) - air.block_ms < 80  # with the frame itself
    assert run.voice.air.underruns <= 1  # as it begins
    assert run.voice.air.dropped == run.voice.air.skipped == 0


def test_two_clocks_are_heard_as_one_clean_tone() -> None:
    """300 ppm apart: the tone is a third of a per mille higher, give or take what the servo still does."""
    run = Run(always(), 300, 1024)
    run.run(60.0, tone(16_000, 1000, 1.0))
    heard = np.concatenate(run.heard[-25:])[:800]
    at = np.arange(heard.size) / 16_000
    rests = {}
    for hz in np.arange(999.5, 1001.5, 0.02):
        waves = np.stack((np.sin(2 * np.pi * hz * at), np.cos(2 * np.pi * hz * at)), axis=1)
        rests[float(hz)] = float(np.std(heard - waves @ np.linalg.lstsq(waves, heard, rcond=None)[0]))
    best = min(rests, key=lambda hz: rests[hz])
    assert best == pytest.approx(1000.3, abs=0.3)
    assert rests[best] < 0.001 * np.std(heard)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_each_rate_arrives_at_the_lowest_one_that_opus_takes(rate_hz: int) -> None:
    voice = always(rate_hz)
    run = Run(voice, 50, rate_hz // 20, voice.rate_hz)
    run.run(3.0, tone(rate_hz, 1000, 1.0))
    heard = np.concatenate(run.heard[-5:])  # too short to tell the servo's work from the tone
    assert level_at(heard, 1000, voice.rate_hz) == pytest.approx(8000, rel=0.02)
    assert voice.rate_hz >= rate_hz


def test_the_next_rate_up() -> None:
    rates = (8000, 11_025, 16_000, 22_050, 32_000, 48_000)
    assert [opus_rate(rate) for rate in rates] == [8000, 12_000, 16_000, 24_000, 48_000, 48_000]


def test_a_stall_is_one_pause_and_its_delay_goes_in_the_next_quiet_moments() -> None:
    run = Run(always(), 0, 320)
    said = np.concatenate((tone(16_000, 500, 0.7), silence(4800)))
    run.run(10.0, said)
    before = run.voice.air.underruns
    run.run(0.4, said, arrives=False)
    run.run(8.0, said)
    assert run.voice.air.underruns - before == 1
    assert run.delays_ms[-1] < 100
    # Nothing but silence was left out.
    heard = np.concatenate(run.heard).astype(float)
    assert run.voice.air.position is not None
    sent = np.take(said, np.arange(run.voice.air.position), mode="wrap")
    assert (heard**2).sum() == pytest.approx((sent.astype(float) ** 2).sum(), rel=0.005)


@pytest.mark.parametrize("rounds", [1, 10])
def test_what_a_device_kept_before_it_reached_us_does_not_delay_what_it_says_now(rounds: int) -> None:
    """Three seconds at once, or within 200 ms: the relay reads them in pieces."""
    run = Run(always(), 0, 320)
    said = tone(16_000, 500, 1.0)
    for at in range(rounds):
        burst = np.take(said, np.arange(48_000 // rounds), mode="wrap")
        run.voice.take(DeviceAudio(burst, at * burst.size, run.now), run.now)
        run.run(FRAME_S, said, arrives=False)
    run.sent = 48_000
    began_s = run.now - 3.0
    run.rate_hz = 16_000
    for _ in range(100):
        run.frame += 1
        while run.sent + 320 <= (run.now - began_s) * 16_000:
            part = np.take(said, np.arange(run.sent, run.sent + 320), mode="wrap")
            run.voice.take(DeviceAudio(part, run.sent, run.now), run.now)
            run.sent += 320
        run.voice.look(run.now)
        run.pull()
    assert run.voice.air.position is not None
    assert run.sent - run.voice.air.position < 0.08 * 16_000


def test_what_found_no_room_gives_way_and_is_counted() -> None:
    voice = always()
    run = Run(voice, 0, 320)
    run.run(2.0, tone(16_000, 500, 1.0))
    burst = tone(16_000, 500, 3.0)
    voice.take(DeviceAudio(burst, run.sent, run.now), run.now)
    assert voice.air.position is not None
    assert run.sent + burst.size - voice.air.position <= BOUND_S * 16_000 + burst.size + 3200
    for at in range(5):
        voice.take(DeviceAudio(burst, run.sent + (1 + at) * burst.size, run.now), run.now)
    assert voice.air.dropped > 0


def test_after_a_gap_audio_is_where_it_belongs_in_time() -> None:
    """A second of datagrams is lost: the tone behind it comes a second after the one before it."""
    voice = always()
    run = Run(voice, 0, 320)
    run.run(5.0, silence(16_000))
    click = np.full(320, 10_000, np.int16)
    for gap_s, jump in ((0.0, 16_000), (0.98, 320)):
        voice.take(DeviceAudio(click, run.sent, run.now, gap_s), run.now)
        run.sent += jump
        for _ in range(jump // 320):
            run.frame += 1
            voice.look(run.now)
            run.pull()
    run.run(1.0, silence(16_000))
    heard = np.abs(np.concatenate(run.heard))
    loud = np.flatnonzero(heard > 5000)
    first, second = loud[0], loud[loud > loud[0] + 1000][0]
    assert second - first == pytest.approx(16_000, abs=400)


def test_a_gap_that_is_told_late_is_not_made_up_for_again() -> None:
    voice = always()
    run = Run(voice, 0, 320)
    run.run(5.0, tone(16_000, 500, 1.0))
    quiet_before = run.silent_frames
    part, cause = tone(16_000, 500, 0.02), "device lost audio"
    told = DeviceAudio(part, run.sent + 16_000, run.now, 1.0, cause, gap_at=100)  # type: ignore[arg-type]
    voice.take(told, run.now)
    for _ in range(10):
        run.frame += 1
        voice.take(DeviceAudio(tone(16_000, 500, 0.02), run.sent + 16_320, run.now), run.now)
        run.sent += 320
        voice.look(run.now)
        run.pull()
    assert run.silent_frames == quiet_before
    assert min(float(np.abs(part).max()) for part in run.heard[-8:]) > 5000


def test_the_constant_part_of_a_microphone_is_no_thump_on_the_air() -> None:
    voice = DeviceVoice(VoiceSettings(16_000), 20)
    run = Run(voice)
    said = np.concatenate((silence(16_000), tone(16_000, 500, 1.0, level=2000), silence(16_000)))
    run.run(4.0, said + np.int16(5000))
    heard = np.concatenate(run.heard)
    assert float(np.abs(heard[:2000]).max()) < 150
    assert abs(float(heard.mean())) < 150


def test_a_stream_that_falls_silent_has_nothing_to_say() -> None:
    for settings_ in (VoiceSettings(16_000, always=True), VoiceSettings(16_000)):
        voice = DeviceVoice(settings_, 20)
        run = Run(voice)
        run.run(2.0, tone(16_000, 500, 1.0))
        assert voice.active
        run.run(3.0, silence(16_000), arrives=False)
        assert not voice.active


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12_000), st.integers(0, 9)), min_size=1, max_size=40), st.booleans())
def test_any_blocks_at_any_time_are_survived_within_bounds(
    blocks: list[tuple[int, int]], open_mike: bool
) -> None:
    voice = DeviceVoice(VoiceSettings(16_000, always=open_mike), 20)
    position, now = 0, 0.0
    rng = np.random.default_rng(len(blocks))
    for size, frames in blocks:
        samples = rng.integers(-9000, 9000, size).astype(np.int16)
        voice.take(DeviceAudio(samples, position, now), now)
        position += size + (size if size % 7 == 0 else 0)
        for _ in range(frames):
            now += FRAME_S
            voice.look(now)
            if voice.active:
                if not voice.reading:
                    voice.begin(now)
                part = voice.pull(16_000, now)
                assert part is None or (part.shape == (320,) and bool(np.isfinite(part).all()))
                assert voice.air.position is not None
                assert position - voice.air.position <= 16_000 * (BOUND_S + 0.2) + 2 * 12_000 + 24_000
            elif voice.reading:
                voice.leave()
