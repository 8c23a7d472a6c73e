"""One talker over networks that misbehave, in virtual time: what is heard, how late, and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Samples
from echostream.audio.histogram import MsHistogram
from echostream.audio.opus_codec import EncoderSettings, OpusDecoder, OpusEncoder
from echostream.audio.talker import JitterSettings, Talker

TICK_S = 0.02
FIRST_TICK = 87_000_000_000
BASE_MS = 40.0
"""The most that a talker may wait on a clean network."""

Delay = Callable[[float, np.random.Generator], float]
Lost = Callable[[int, np.random.Generator], bool]


@lru_cache(maxsize=8)
def speech_packets(seconds: float, packet_ms: int = 20) -> tuple[bytes, ...]:
    """Speech-like sound, never digitally silent, as Opus packets."""
    rng = np.random.default_rng(7)
    t = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(110 + 25 * np.sin(2 * np.pi * 0.6 * t)) / RATE_HZ
    tone = sum((np.sin(k * phase) / k for k in range(1, 16)), np.zeros_like(t))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.6, 0.02, None)
    signal = (4000 * tone * syllables + rng.normal(0, 40, t.size)).astype(np.int16)
    encoder = OpusEncoder(EncoderSettings(), packet_ms)
    size = encoder.packet_samples
    return tuple(encoder.encode(signal[at : at + size]) for at in range(0, signal.size - size + 1, size))


@dataclass
class Run:
    """What came of a run: the sound with None as zeros, and per pull (time, lag, target, talking)."""

    talker: Talker
    sound: Samples
    trace: NDArray[np.float64]
    delays: MsHistogram

    @property
    def longest_silence_ms(self) -> float:
        """Longest digital silence between the first and the last sound."""
        sounding = np.flatnonzero(self.sound)
        return float(np.diff(sounding).max() - 1) / 48

    def first_s(self, lag_over_target_below_ms: float, after_s: float) -> float:
        """When the lag first came that close to its target, talking, after `after_s`."""
        at_s, lag, target, talking = self.trace.T
        good = (at_s > after_s) & (lag < target + lag_over_target_below_ms) & (talking > 0)
        return float(at_s[good][0])


@dataclass(frozen=True)
class Network:
    """When a packet leaves (seconds, by its number), how long it takes, and whether it is lost."""

    delay_ms: Delay = lambda sent_s, rng: rng.uniform(0, 5)
    lost: Lost = lambda k, rng: False
    leaves_s: Callable[[int], float] | None = None
    ppm: float = 0.0


def run(
    packets: tuple[bytes, ...],
    network: Network,
    seed: int = 0,
    jitter: JitterSettings | None = None,
    packet_ticks: int = 1,
    first_tick: int = FIRST_TICK,
    pull_wobble_s: float = 0.0,
    decoder: OpusDecoder | None = None,
) -> Run:
    """Send `packets` through `network` and pull them at a random phase until they are played."""
    rng = np.random.default_rng(seed)
    jitter = jitter or JitterSettings()
    events = []
    for k, packet in enumerate(packets):
        sent_s = (k + 1) * packet_ticks * TICK_S / (1 + network.ppm * 1e-6)
        if network.leaves_s is not None:
            sent_s = network.leaves_s(k)
        if not network.lost(k, rng):
            arrival_s = sent_s + network.delay_ms(sent_s, rng) / 1000
            events.append((arrival_s, (first_tick + k * packet_ticks) % (1 << 48), packet))
    events.sort(key=lambda event: event[0])
    delays = MsHistogram()
    talker = Talker(jitter, decoder, delays=delays)
    count = int(jitter.frame_ms * 48)
    due_s, at = rng.uniform(0, TICK_S), 0
    sound, trace = [], []
    while due_s < events[-1][0] + 0.6:
        now = due_s + rng.uniform(-pull_wobble_s, pull_wobble_s)
        while at < len(events) and events[at][0] <= now:
            talker.push(events[at][1], events[at][2], events[at][0])
            at += 1
        samples = talker.pull(count, now)
        sound.append(np.zeros(count, np.int16) if samples is None else samples)
        stats = talker.stats
        trace.append((now, stats.lag_ms, stats.target_ms, float(talker.talking)))
        due_s += jitter.frame_ms / 1000
    return Run(talker, np.concatenate(sound), np.array(trace), delays)


class CountingDecoder(OpusDecoder):
    """Gives a ramp instead of sound: fast, and every sample can be told."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def decode(self, packet: bytes) -> Samples:
        self.decoded += 1
        return np.full(TICK_SAMPLES, 1000, np.int16)

    def conceal(self, samples: int) -> Samples:
        return np.full(samples, 1, np.int16)


@pytest.mark.parametrize("seed", range(6))
def test_clean_network_adds_little_delay_and_touches_nothing(seed: int) -> None:
    result = run(speech_packets(6), Network(), seed)
    stats = result.talker.stats
    assert result.delays.percentile_ms(50) <= 35
    assert result.delays.percentile_ms(99) <= BASE_MS
    assert (stats.lost, stats.late, stats.fec_recovered) == (0, 0, 0)
    assert (stats.removed_samples, stats.added_samples) == (0, 0)
    assert stats.concealed <= 4  # the fade at the very end
    assert result.longest_silence_ms < 2


def test_clean_network_plays_what_the_decoder_gives() -> None:
    packets = speech_packets(6)
    decoder = OpusDecoder()
    wanted = np.concatenate([decoder.decode(packet) for packet in packets]).astype(float)
    heard = run(packets, Network(delay_ms=lambda sent_s, rng: 3.0)).sound.astype(float)
    start = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(wanted)[0])
    part = slice(4800, 28_800)
    best = max(
        np.corrcoef(wanted[part], np.roll(heard, -start - shift)[part])[0, 1] for shift in range(-4, 5)
    )
    assert best > 0.999


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
def test_each_pull_length_keeps_up(frame_ms: int) -> None:
    result = run(speech_packets(6), Network(), 1, JitterSettings(frame_ms=frame_ms))
    stats = result.talker.stats
    assert (stats.lost, stats.late) == (0, 0)
    assert stats.concealed <= 4
    assert result.delays.percentile_ms(99) <= BASE_MS + frame_ms


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_jitter_leave_no_gap_and_the_delay_comes_back(seed: int) -> None:
    network = Network(
        delay_ms=lambda sent_s, rng: rng.uniform(0, 80) if sent_s < 10 else rng.uniform(0, 5),
        lost=lambda k, rng: k < 500 and rng.random() < 0.05,
    )
    result = run(speech_packets(21), network, seed)
    stats = result.talker.stats
    assert result.longest_silence_ms <= 20
    assert stats.fec_recovered > 0
    assert stats.lost + stats.received == len(speech_packets(21))
    assert result.first_s(20, after_s=1.0) < 10
    under_jitter = result.trace[(result.trace[:, 0] > 5) & (result.trace[:, 0] < 10), 1]
    assert under_jitter.mean() > 80
    after = result.trace[(result.trace[:, 0] > 20) & (result.trace[:, 0] < 20.9), 1]
    assert after.max() < BASE_MS + 20


def test_heavy_loss_is_mostly_recovered_from_redundancy() -> None:
    network = Network(lost=lambda k, rng: rng.random() < 0.2)
    stats = run(speech_packets(21), network, 3).talker.stats
    assert stats.lost == pytest.approx(210, abs=30)
    assert stats.fec_recovered > 0.5 * stats.lost


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clock_difference_moves_the_delay_by_little_and_drops_nothing(ppm: int) -> None:
    packets = speech_packets(6) * 15
    decoder = CountingDecoder()
    result = run(packets, Network(ppm=ppm), 2, decoder=decoder)
    lag = result.trace[(result.trace[:, 0] > 5) & (result.trace[:, 0] < 89), 1]
    assert np.ptp(lag) <= 5
    stats = result.talker.stats
    assert decoder.decoded == len(packets)
    assert (stats.lost, stats.late, stats.removed_samples, stats.added_samples) == (0, 0, 0, 0)
    assert stats.concealed <= 4
    assert stats.drift_ppm == pytest.approx(ppm, abs=100)


@pytest.mark.parametrize("paced_s", [0.0, 0.008, 0.014])
def test_pre_roll_burst_is_played_whole_and_drained_within_a_second(paced_s: float) -> None:
    decoder = CountingDecoder()
    packets = speech_packets(6)
    network = Network(
        delay_ms=lambda sent_s, rng: rng.uniform(0, 3),
        leaves_s=lambda k: max(0.2 + k * paced_s, (k + 1) * TICK_S),
    )
    heard = run(packets, network, 1)
    begun_s = float(heard.trace[heard.trace[:, 3] > 0, 0][0])
    caught_up_s = 0.2 * TICK_S / (TICK_S - paced_s)
    assert heard.first_s(20, after_s=begun_s + caught_up_s) - begun_s < 1.1
    assert heard.talker.stats.removed_samples > 0.1 * RATE_HZ
    assert heard.talker.stats.concealed <= 4
    assert heard.longest_silence_ms < 2
    run(packets, network, 1, decoder=decoder)
    assert decoder.decoded == len(packets)


def noise_like(kind: str, seed: int, seconds: float = 4.0) -> tuple[bytes, ...]:
    """Sound in which a splice has no period to go by: hiss, or a whisper in syllables."""
    rng = np.random.default_rng(seed)
    size = int(RATE_HZ * seconds)
    hz, t = np.fft.rfftfreq(size, 1 / RATE_HZ), np.arange(size) / RATE_HZ
    sound = rng.normal(0, 1, size)
    if kind == "whisper":
        formants = [(500, 250, 0.3), (1400, 700, 1.0), (2700, 500, 0.6)]
        shape = np.sum([level * np.exp(-(((hz - at) / width) ** 2)) for at, width, level in formants], axis=0)
        sound = np.fft.irfft(np.fft.rfft(sound) * shape, size)
        sound *= np.clip(np.sin(2 * np.pi * 4 * t + rng.uniform(0, 6)) + 0.6, 0.05, None)
    signal = (2500 * sound / sound.std()).clip(-32768, 32767).astype(np.int16)
    encoder = OpusEncoder(EncoderSettings())
    return tuple(encoder.encode(frame) for frame in signal.reshape(-1, TICK_SAMPLES))


def pre_roll_gone_s(packets: tuple[bytes, ...], seed: int) -> float:
    """Seconds from the key, 0.2 s after the first sample, to the last pull 20 ms above where the lag settles.

    The sender does as a gateway: three packets a frame period until its pre-roll is gone.
    """
    key_s = 0.2
    network = Network(
        delay_ms=lambda sent_s, rng: rng.uniform(0.5, 3),
        leaves_s=lambda k: max(key_s + 0.02 + k // 3 * TICK_S, (k + 1) * TICK_S),
    )
    trace = run(packets, network, seed).trace
    talking = trace[(trace[:, 3] > 0) & (trace[:, 0] < len(packets) * TICK_S)]
    settled_ms = np.median(talking[talking[:, 0] > 2.5, 1])
    delayed_s = talking[talking[:, 1] > settled_ms + 20, 0]
    return float(delayed_s[-1]) - key_s


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["whisper", "hiss"])
def test_noise_like_voice_is_still_shortened_in_time(kind: str, seed: int) -> None:
    assert 0.2 < pre_roll_gone_s(noise_like(kind, seed), seed) < 0.85


@pytest.mark.parametrize("seed", range(3))
def test_voice_is_shortened_in_time(seed: int) -> None:
    assert 0.2 < pre_roll_gone_s(speech_packets(6), seed) < 0.85


def test_pauses_are_cut_before_speech() -> None:
    def removed(loudness: int) -> float:
        class Level(CountingDecoder):
            def decode(self, packet: bytes) -> Samples:
                self.decoded += 1
                rng = np.random.default_rng(self.decoded)
                level = 3000 if self.decoded < 8 else loudness
                return rng.normal(0, level, TICK_SAMPLES).astype(np.int16)

        network = Network(delay_ms=lambda sent_s, rng: 1.0, leaves_s=lambda k: max(0.3, (k + 1) * TICK_S))
        result = run(speech_packets(6), network, decoder=Level())
        begun_s = float(result.trace[result.trace[:, 3] > 0, 0][0])
        return result.first_s(10, after_s=begun_s + 0.3) - begun_s

    assert removed(loudness=30) < 0.6 * removed(loudness=3000)


def test_stalled_network_loses_nothing_and_recovers() -> None:
    decoder = CountingDecoder()
    network = Network(
        delay_ms=lambda sent_s, rng: max(1.0, 1000 * (2.25 - sent_s)) if 2 < sent_s < 2.25 else 1.0
    )
    result = run(speech_packets(6), network, decoder=decoder)
    assert decoder.decoded == 300
    assert (result.talker.stats.lost, result.talker.stats.late) == (0, 0)
    assert result.first_s(20, after_s=2.4) < 4


def test_burst_loss_is_continued_faded_and_counted() -> None:
    network = Network(lost=lambda k, rng: 100 <= k < 106, delay_ms=lambda sent_s, rng: 2.0)
    result = run(speech_packets(6), network)
    assert result.talker.stats.lost == 6
    assert result.longest_silence_ms <= 120 - 60 + BASE_MS


def test_end_of_a_transmission_fades_out_and_is_no_loss() -> None:
    result = run(speech_packets(6)[:150], Network(delay_ms=lambda sent_s, rng: 2.0))
    stats = result.talker.stats
    assert (stats.lost, stats.concealed) == (0, 3)
    assert not result.talker.talking
    last = int(np.flatnonzero(result.sound)[-1])
    tail = np.abs(result.sound[last - 480 : last].astype(int))
    assert tail[-48:].max() <= 0.3 * max(1, int(np.abs(result.sound[last - 3840 : last - 1920]).max()))
    assert last / 48 < 3000 + BASE_MS + 2 + 80


def test_pause_of_the_button_is_no_loss_and_the_next_word_is_whole() -> None:
    decoder = CountingDecoder()
    network = Network(lost=lambda k, rng: 100 <= k < 200, delay_ms=lambda sent_s, rng: 2.0)
    result = run(speech_packets(6), network, decoder=decoder)
    stats = result.talker.stats
    assert (stats.lost, stats.late, stats.spurts) == (0, 0, 2)
    assert decoder.decoded == 200
    assert result.delays.percentile_ms(99) <= BASE_MS


def test_reordered_neighbours_are_played_in_order() -> None:
    network = Network(delay_ms=lambda sent_s, rng: 25.0 if round(sent_s / TICK_S) % 7 == 0 else 2.0)
    result = run(speech_packets(6), network)
    stats = result.talker.stats
    assert stats.lost == 0
    assert result.longest_silence_ms <= 2
    assert stats.late <= 2


def test_packets_of_a_phone_100_ms_long() -> None:
    frames = speech_packets(12)
    joined = []
    for at in range(0, len(frames) - 4, 5):
        five = frames[at : at + 5]
        assert len({frame[0] for frame in five}) == 1
        lengths = bytes(len(frame) - 1 for frame in five[:-1])
        joined.append(bytes([five[0][0] | 3, 0x85]) + lengths + b"".join(frame[1:] for frame in five))
    network = Network(delay_ms=lambda sent_s, rng: rng.uniform(0, 30), lost=lambda k, rng: k % 20 == 19)
    result = run(tuple(joined), network, packet_ticks=5)
    stats = result.talker.stats
    assert stats.lost == sum(k % 20 == 19 for k in range(len(joined) - 1))
    assert stats.late == 0
    assert result.longest_silence_ms <= 20


def test_ticks_wrap_while_talking() -> None:
    result = run(speech_packets(6), Network(), first_tick=(1 << 48) - 100)
    assert (result.talker.stats.lost, result.talker.stats.late) == (0, 0)
    assert result.longest_silence_ms < 2


def test_wobbling_pulls_are_allowed_for() -> None:
    result = run(speech_packets(21), Network(), 4, pull_wobble_s=0.01)
    assert result.talker.stats.concealed <= 8
    assert result.longest_silence_ms < 2
    assert result.delays.percentile_ms(99) <= BASE_MS + 20


def test_flush_forgets_what_is_buffered() -> None:
    packets = speech_packets(6)
    talker = Talker()
    for k in range(5):
        talker.push(FIRST_TICK + k, packets[k], 1.0)
    assert talker.pull(960, 1.05) is not None
    talker.flush()
    assert talker.idle
    assert talker.pull(960, 1.07) is None
    talker.push(FIRST_TICK + 60, packets[60], 2.2)
    assert talker.pull(960, 2.23) is not None


def test_packet_that_does_not_decode_is_concealed_and_counted() -> None:
    packets = list(speech_packets(6)[:100])
    packets[50] = bytes([packets[50][0]]) + b"\xff" * 1270 + b"\xff" * 10  # a frame longer than Opus allows
    packets[60] = bytes([0x78 | 3, 0x01])  # legal by its header alone
    stats = run(tuple(packets), Network(delay_ms=lambda sent_s, rng: 2.0)).talker.stats
    assert stats.malformed == 1
    assert stats.lost == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, (1 << 48) - 1), st.integers(100, 140)),
            st.one_of(
                st.binary(max_size=60), st.sampled_from([bytes([0xF8, 1, 2, 3]), bytes([0x08, 0xC0, 7])])
            ),
            st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_any_packets_give_frames_of_exact_length(steps: list[tuple[int, bytes, int]]) -> None:
    talker, now = Talker(), 50.0
    for tick, packet, pulls in steps:
        talker.push(tick, packet, now)
        for _ in range(pulls):
            now += TICK_S
            samples = talker.pull(960, now)
            assert samples is None or (samples.shape == (960,) and samples.dtype == np.int16)
    assert talker.buffer_ms < 500
