"""The receive path in virtual time: talkers told apart, legacy senders, floods, half duplex, figures."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ
from echostream.audio.opus_codec import EncoderSettings, OpusEncoder
from echostream.channels import receive_path
from echostream.channels.receive_path import INBOX_PACKETS, MAX_PREFIXES, MAX_TALKERS, ReceivePath

Float32 = NDArray[np.float32]
Datagram = tuple[float, bytes, int, bytes]
"""(arrival in seconds, prefix, tick, packet)."""

ANNE, BERT = b"anne..", b"bert.."
TICK = 87_000_000_000
TINY = bytes([0xF8, 1, 2, 3])


@lru_cache(maxsize=16)
def tone_packets(hz: float, seconds: float, packet_ms: int = 20) -> tuple[bytes, ...]:
    """A steady tone with some noise: by its frequency a talker is known again in the mix."""
    t = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    noise = np.random.default_rng(int(hz)).normal(0, 20, t.size)
    signal = (6000 * np.sin(2 * np.pi * hz * t) + noise).astype(np.int16)
    encoder = OpusEncoder(EncoderSettings(bitrate_bps=32_000), packet_ms)
    size = encoder.packet_samples
    return tuple(encoder.encode(signal[at : at + size]) for at in range(0, signal.size - size + 1, size))


def counted(
    packets: tuple[bytes, ...],
    prefix: bytes = ANNE,
    start_s: float = 0.0,
    jitter_ms: float = 3.0,
    ticks: int = 1,
) -> list[Datagram]:
    rng = np.random.default_rng(len(packets))
    return [
        (
            start_s + (k + 1) * ticks * 0.02 + rng.uniform(0, jitter_ms) / 1000,
            prefix,
            TICK + k * ticks,
            packet,
        )
        for k, packet in enumerate(packets)
    ]


def uncounted(
    packets: tuple[bytes, ...],
    packet_ms: int,
    start_s: float = 0.0,
    jitter_ms: float = 3.0,
    loss: float = 0.0,
) -> list[Datagram]:
    rng = np.random.default_rng(packet_ms + int(1000 * start_s))
    out = []
    for k, packet in enumerate(packets):
        arrival_s = start_s + (k + 1) * packet_ms / 1000 + rng.uniform(0, jitter_ms) / 1000
        if rng.random() >= loss:
            out.append((arrival_s, rng.bytes(6), int.from_bytes(rng.bytes(6), "big"), packet))
    return out


def play(
    path: ReceivePath, datagrams: list[Datagram], until_s: float, phase_s: float = 0.004, frame_ms: int = 20
) -> tuple[Float32, NDArray[np.bool_]]:
    """Feed and pull in virtual time: all that was heard, and per frame whether somebody was talking."""
    waiting = sorted(datagrams, key=lambda datagram: datagram[0], reverse=True)
    frames, talking = [], []
    for k in range(int((until_s - phase_s) * 1000 / frame_ms)):
        now = phase_s + k * frame_ms / 1000
        while waiting and waiting[-1][0] <= now:
            arrival_s, prefix, tick, packet = waiting.pop()
            path.accept(prefix, tick, packet, arrival_s)
        frame, active = path.pull(now)
        assert frame.shape == (RATE_HZ * frame_ms // 1000,)
        assert frame.dtype == np.float32
        frames.append(frame)
        talking.append(active)
    return np.concatenate(frames), np.array(talking)


def level_at(sound: Float32, hz: float, from_s: float, to_s: float) -> float:
    """Amplitude of that frequency in a stretch of sound: the mean over windows of 50 ms, in any phase."""
    part = sound[int(from_s * RATE_HZ) : int(to_s * RATE_HZ)].astype(np.float64)
    frames = part[: part.size // 2400 * 2400].reshape(-1, 2400)
    window = np.hanning(2400)
    wave = window * np.exp(-2j * np.pi * hz * np.arange(2400) / RATE_HZ)
    return float(np.mean(2 * np.abs(frames @ wave)) / window.sum())


def longest_silence_ms(sound: Float32) -> float:
    return float(np.diff(np.flatnonzero(sound)).max() - 1) / 48


def make(frame_ms: int = 20) -> ReceivePath:
    return ReceivePath(frame_ms, 20, 320)


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
def test_a_counting_sender_loses_nothing_and_starts_without_a_hiccup(frame_ms: int) -> None:
    path = make(frame_ms)
    packets = tone_packets(440, 3, max(20, frame_ms))
    sound, talking = play(path, counted(packets, ticks=max(20, frame_ms) // 20), 3.6, frame_ms=frame_ms)
    stats = path.stats
    assert (stats.packets_lost, stats.packets_late, stats.dropped) == (0, 0, 0)
    assert stats.packets_received == len(packets)
    assert longest_silence_ms(sound) < 2
    heard_s = np.count_nonzero(np.abs(sound) > 0) / RATE_HZ
    assert 3.0 <= heard_s <= 3.0 + 0.1 + frame_ms / 500
    assert stats.frames_played == np.count_nonzero(talking)
    assert not talking[-1]
    assert stats.talkers == 0


def test_added_delay_on_a_clean_network_at_any_phase() -> None:
    for phase_s in (0.0, 0.004, 0.009, 0.013, 0.019):
        path = make()
        play(path, counted(tone_packets(440, 3), jitter_ms=5.0), 3.2, phase_s)
        stats = path.stats
        assert stats.delay_ms_p50 <= 40
        assert stats.delay_ms_p99 <= 70
        assert stats.jitter_ms_p99 <= 5


def test_two_talkers_are_mixed_and_not_shredded() -> None:
    path = make()
    two = counted(tone_packets(500, 3)) + counted(tone_packets(900, 2), BERT, 0.5)
    sound, _ = play(path, two, 3.6)
    alone = level_at(sound, 500, 0.2, 0.45)
    assert level_at(sound, 500, 1.0, 2.0) == pytest.approx(alone, rel=0.1)
    assert level_at(sound, 900, 1.0, 2.0) == pytest.approx(alone, rel=0.2)
    assert level_at(sound, 900, 0.2, 0.45) < 0.02 * alone
    assert path.stats.concealed <= 8


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
def test_random_ivs_are_played_in_order_of_arrival(packet_ms: int) -> None:
    path = make()
    packets = tone_packets(500, 3, packet_ms)
    sound, _ = play(path, uncounted(packets, packet_ms), 3.6)
    assert longest_silence_ms(sound) < 2
    assert level_at(sound, 500, 0.5, 2.5) == pytest.approx(6000, rel=0.1)
    stats = path.stats
    assert (stats.packets_received, stats.packets_lost, stats.packets_late) == (len(packets), 0, 0)
    assert stats.concealed <= 4
    assert stats.delay_ms_p99 <= 60 + packet_ms + 30


def test_random_ivs_with_jitter_and_loss_leave_no_gap() -> None:
    path = make()
    sound, _ = play(path, uncounted(tone_packets(500, 9, 40), 40, jitter_ms=60, loss=0.03), 9.6)
    assert longest_silence_ms(sound) <= 20


def test_pause_of_a_random_iv_sender_is_silence_and_no_loss() -> None:
    path = make()
    packets = tone_packets(500, 1, 40)
    sound, talking = play(path, uncounted(packets, 40) + uncounted(packets, 40, start_s=4.0), 5.6)
    assert not talking[80:195].any()
    assert path.stats.packets_lost == 0
    assert level_at(sound, 500, 4.3, 4.9) == pytest.approx(6000, rel=0.1)


def test_old_and_new_senders_at_once() -> None:
    path = make()
    sound, _ = play(
        path, uncounted(tone_packets(500, 3, 40), 40) + counted(tone_packets(900, 2), ANNE, 0.7), 3.6
    )
    assert level_at(sound, 500, 1.2, 2.5) == pytest.approx(6000, rel=0.1)
    assert level_at(sound, 900, 1.2, 2.5) == pytest.approx(6000, rel=0.2)
    assert path.stats.packets_lost == 0


def test_a_counting_sender_of_100_ms_packets_is_claimed_before_it_plays() -> None:
    frames = tone_packets(500, 3)
    joined = []
    for at in range(0, len(frames) - 4, 5):
        five = frames[at : at + 5]
        if len({frame[0] for frame in five}) > 1:
            continue
        lengths = bytes(len(frame) - 1 for frame in five[:-1])
        joined.append(bytes([five[0][0] | 3, 0x85]) + lengths + b"".join(frame[1:] for frame in five))
    path = make()
    sound, _ = play(path, counted(tuple(joined), ticks=5), 3.6)
    assert longest_silence_ms(sound) < 2
    assert path._legacy.talker.stats.spurts == 0
    # Two at once, one of them in the legacy stream, would be louder.
    assert np.abs(sound).max() < 9000
    assert path.stats.packets_lost == 0


def test_legacy_datagram_that_the_network_doubled_is_played_once() -> None:
    path = make()
    once = uncounted(tone_packets(500, 2, 40), 40)
    twice = once + [(arrival_s + 0.001, *rest) for arrival_s, *rest in once]
    sound, _ = play(path, twice, 2.6)  # type: ignore[arg-type]
    assert path.stats.duplicates == len(once)
    assert np.count_nonzero(sound) / RATE_HZ < 2.2


def test_replayed_packets_of_a_counting_sender_are_not_heard() -> None:
    path = make()
    once = counted(tone_packets(500, 2))
    _, talking = play(path, once + [(arrival_s + 4, *rest) for arrival_s, *rest in once], 6.6)  # type: ignore[misc]
    assert not talking[120:].any()
    assert path.stats.duplicates + path.stats.packets_late == len(once)
    assert path.stats.packets_lost == 0


def test_pre_roll_of_a_counting_sender_is_whole_and_its_delay_gone_in_a_second() -> None:
    path = make()
    packets = tone_packets(500, 3)
    burst = [(max(0.2, (k + 1) * 0.02), ANNE, TICK + k, packet) for k, packet in enumerate(packets)]
    sound, talking = play(path, burst, 3.6)
    assert longest_silence_ms(sound) < 2
    stats = path.stats
    assert (stats.packets_lost, stats.dropped) == (0, 0)
    # 200 ms of delay at the start are gone at the end: the last sound comes when it would have without.
    assert np.flatnonzero(talking)[-1] * 0.02 < 3.0 + 0.15
    assert stats.delay_ms_p50 <= 40


def test_ninth_talker_is_refused_while_all_are_busy_and_taken_when_one_is_quiet() -> None:
    path = make()
    names = [b"talk%02d" % k for k in range(MAX_TALKERS + 1)]
    for k in range(50):
        for index, name in enumerate(names):
            path.accept(name, TICK + k, TINY, k * 0.02 + index * 1e-4)
        path.pull(k * 0.02 + 0.005)
    assert path.stats.talkers == MAX_TALKERS
    assert path.stats.dropped > 40
    received = path.stats.packets_received
    for k in range(100, 120):
        path.accept(names[-1], TICK + k, TINY, k * 0.02)
        path.pull(k * 0.02 + 0.005)
    assert path.stats.talkers == 1
    assert path.stats.packets_received == received + 20


def test_figures_of_a_talker_that_made_room_are_kept() -> None:
    path = make()
    for k in (0, 1, 2, 4, 5, 6):
        path.accept(ANNE, TICK + k, TINY, k * 0.02)
        path.pull(k * 0.02 + 0.03)
    for k in range(7, 20):
        path.pull(k * 0.02 + 0.03)
    lost = path.stats.packets_lost
    assert lost == 1
    for index in range(MAX_TALKERS):
        for k in range(2):
            path.accept(b"new%03d" % index, TICK + k, TINY, 5 + k * 0.02)
    path.pull(5.05)
    assert path.stats.packets_lost == lost


def test_remembered_prefixes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PREFIXES == 16_384
    monkeypatch.setattr(receive_path, "MAX_PREFIXES", 50)
    path = make()
    for k in range(200):
        path.accept(b"%06d" % k, k, TINY, k * 0.02)
        path.pull(k * 0.02)
    assert len(path._seen) == 50
    path.accept(b"%06d" % 199, 5000, TINY, 4.0)
    path.pull(4.0)
    assert len(path._talkers) == 1


def test_inbox_overflow_is_counted_and_keeps_the_newest() -> None:
    path = make()
    for k in range(INBOX_PACKETS + 40):
        path.accept(ANNE, TICK + k, TINY, 0.0)
    assert path.stats.dropped == 40
    path.pull(0.1)
    assert path.stats.packets_received == INBOX_PACKETS + 40


def test_flush_silences_at_once_and_the_next_packet_plays() -> None:
    path = make()
    datagrams = counted(tone_packets(500, 3))
    for arrival_s, prefix, tick, packet in datagrams[:50]:
        path.accept(prefix, tick, packet, arrival_s)
        path.pull(arrival_s + 0.004)
    assert path.stats.talkers == 1
    path.flush()
    frame, active = path.pull(1.04)
    assert not active
    assert not frame.any()
    _, talking = play(path, [(at + 0.5, *rest) for at, *rest in datagrams[60:]], 4.0)  # type: ignore[misc]
    assert talking.any()


def test_rubbish_inside_is_counted_and_disturbs_nobody() -> None:
    path = make()
    rng = np.random.default_rng(1)
    rubbish = [(0.02 * k + 0.001, ANNE if k % 2 else rng.bytes(6), TICK + k, b"\xfb") for k in range(100)]
    sound, _ = play(path, counted(tone_packets(500, 2), BERT) + rubbish, 2.6)
    assert longest_silence_ms(sound) < 2
    assert path.stats.malformed >= 99
    assert path.stats.packets_lost == 0


def test_two_threads_never_block_or_break_each_other() -> None:
    path = make()
    packets = tone_packets(500, 3)
    stop = threading.Event()

    def network() -> None:
        for k in range(3000):
            path.accept(ANNE if k % 3 else b"%06d" % k, TICK + k // 20, packets[k % len(packets)], k * 0.001)
            if k % 500 == 0:
                path.flush()
        stop.set()

    thread = threading.Thread(target=network, name="test-network")
    thread.start()
    k = 0
    while not stop.is_set() or k < 50:
        frame, _ = path.pull(k * 0.02)
        assert frame.shape == (960,)
        assert path.stats.packets_received <= 3000
        k += 1
    thread.join(10)
    assert not thread.is_alive()
    assert path.stats.packets_received == 3000


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="200 to 100 ms"):
        ReceivePath(20, 200, 100)
    with pytest.raises(ValueError, match="frame_ms 25"):
        ReceivePath(25, 20, 320)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([ANNE, BERT, b"carl..", b"\0" * 6, b"", b"longer than six"]),
            st.one_of(st.integers(0, (1 << 48) - 1), st.integers(0, 20)),
            st.one_of(st.binary(max_size=40), st.just(TINY)),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_anything_accepted_gives_frames_of_exact_length(steps: list[tuple[bytes, int, bytes, bool]]) -> None:
    path, now = make(), 9.0
    for prefix, tick, packet, pull in steps:
        path.accept(prefix, tick, packet, now)
        if pull:
            now += 0.02
            frame, _ = path.pull(now)
            assert frame.shape == (960,)
            assert np.isfinite(frame).all()
    stats = path.stats
    assert stats.packets_received == len(steps)
    assert stats.packets_lost >= 0
