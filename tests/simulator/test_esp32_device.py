"""A simulated microphone sends what it says it sent, when it says so, in every form of its firmware."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.simulator.esp32_device import Esp32Device
from echostream.simulator.esp32_plan import Esp32Plan, Loop, encoded

RATE_HZ = 16_000


def recording(samples: int = 5000) -> NDArray[np.int16]:
    return np.random.default_rng(4).integers(-32_768, 32_768, samples).astype(np.int16)


def plan(**kwargs: object) -> Esp32Plan:
    return Esp32Plan("127.0.0.1", 9000, **kwargs)  # type: ignore[arg-type]


def device(wanted: Esp32Plan, samples: NDArray[np.int16] | None = None, number: int = 0) -> Esp32Device:
    return Esp32Device(wanted, number, Loop(recording() if samples is None else samples, wanted), 100.0)


def writes(one: Esp32Device, now: float) -> list[bytes]:
    """Everything that is due, taken whole."""
    taken = []
    while data := bytes(one.next_write(now)):
        taken.append(data)
        one.wrote(len(data))
    return taken


@settings(max_examples=60, deadline=None)
@given(
    chunk=st.integers(1, 4000),
    form=st.sampled_from(["s16le", "u8", "f32le"]),
    channels=st.integers(1, 2),
    most=st.integers(1, 5000),
    steps=st.lists(st.floats(0.001, 0.1), min_size=1, max_size=8),
)
def test_bytes_come_whole_in_order_however_they_are_cut(
    chunk: int, form: str, channels: int, most: int, steps: list[float]
) -> None:
    """Odd chunks, and a network that takes a few bytes at a time, lose nothing and repeat nothing."""
    wanted = plan(chunk=chunk, format=form, channels=channels, ring_s=60)
    one = device(wanted)
    now, received = 100.0, b""
    one.opened(now, "")
    for step in steps:
        now += step
        while data := one.next_write(now):
            received += bytes(data[:most])
            one.wrote(min(most, len(data)))
    one.closed("ended")
    (sent,) = one.sent
    whole = received[: len(received) // wanted.frame_bytes * wanted.frame_bytes]
    samples = np.repeat(np.resize(recording(), sent.samples), channels)
    assert whole == encoded(samples, wanted.format)
    assert sent.samples * wanted.frame_bytes == len(whole)
    assert sent.sha256 == hashlib.sha256(whole).hexdigest()
    assert sent.lost_samples == 0
    assert now - one.time_of(sent.samples) < chunk / wanted.frame_bytes / RATE_HZ + 0.001


def test_a_chunk_goes_out_when_it_is_full_and_not_before() -> None:
    one = device(plan(chunk=3200))
    one.opened(100.0, "")
    assert one.due_s == pytest.approx(100.1)
    assert not one.next_write(100.0999)
    assert [len(data) for data in writes(one, 100.1)] == [3200]
    assert one.due_s == pytest.approx(100.2)


def test_firmware_that_wakes_at_intervals_writes_what_is_there() -> None:
    one = device(plan(chunk=1000, interval_s=0.05))
    one.opened(100.0, "")
    assert not one.next_write(100.049)
    assert [len(data) for data in writes(one, 100.051)] == [1000, 632]
    assert one.due_s == pytest.approx(100.1)


def test_the_burst_is_what_the_ring_kept_and_is_told_in_time() -> None:
    one = device(plan(chunk=3200, burst_s=2.0))
    sent = one.opened(105.0, "")
    assert sum(map(len, writes(one, 105.0))) == 2 * 2 * RATE_HZ
    assert sent.first_at_s == pytest.approx(103.0)
    assert sent.latest_ms == 0.0  # it is the firmware that is late here, not the simulator


def test_what_was_sent_is_not_kept_for_the_next_connection() -> None:
    one = device(plan(chunk=3200, burst_s=2.0))
    one.opened(103.0, "")
    writes(one, 103.0)
    one.closed("disconnected")
    again = one.opened(103.5, "")
    writes(one, 103.5)
    assert again.first_at_s == pytest.approx(103.0)
    assert again.samples == RATE_HZ // 2


def test_a_device_that_just_got_power_has_no_burst() -> None:
    one = device(plan(chunk=320, burst_s=2.0))
    one.power_up(110.0)
    sent = one.opened(110.5, "")
    writes(one, 110.5)
    assert sent.first_at_s == pytest.approx(110.0)
    assert sent.samples == RATE_HZ // 2


def test_a_full_ring_loses_the_oldest_and_says_where() -> None:
    one = device(plan(chunk=3200, ring_s=1.0))
    sent = one.opened(100.0, "")
    writes(one, 100.1)
    writes(one, 104.1)
    assert sent.lost_samples == 3 * RATE_HZ
    assert [(gap.at, gap.samples) for gap in sent.gaps] == [(1600, 3 * RATE_HZ)]
    assert sent.samples == 1600 + RATE_HZ


def test_clock_error_shows_in_the_number_of_samples() -> None:
    fast, slow = (device(plan(chunk=320, devices=2, ppm=(500, -500)), number=n) for n in (0, 1))
    assert fast.captured(100.0 + 1000) == 16_008_000
    assert slow.captured(100.0 + 1000) == 15_992_000
    assert fast.ppm == 500


def test_devices_play_different_places_of_the_file() -> None:
    wanted = plan(devices=4, chunk=2000)
    said = []
    for number in range(4):
        one = device(wanted, number=number)
        one.opened(100.0, "")
        said.append(writes(one, 100.07)[0])
    assert len(set(said)) == 4


def test_what_happens_by_chance_is_the_same_again() -> None:
    def run() -> tuple[int, float]:
        one = device(plan(chunk=320, drop=0.3, seed=7))
        sent = one.opened(100.0, "")
        writes(one, 102.0)
        return sent.samples, one.event_after(60.0, 0.0)

    assert run() == run()
    samples, _ = run()
    assert 0.5 * 2 * RATE_HZ < samples < 0.9 * 2 * RATE_HZ


def test_the_hello_goes_first_and_is_no_audio() -> None:
    one = device(plan(hello=True, token="s", rate_hz=8000, chunk=1600))
    sent = one.opened(100.0, "")
    line, audio = writes(one, 100.1)
    assert json.loads(line) == {
        "hello": "echostream",
        "device": "esp32",
        "token": "s",
        "rate": 8000,
        "format": "s16le",
        "channels": 1,
    }
    assert line.startswith(b'{"hello"')
    assert line.endswith(b"}\n")
    assert sent.samples == len(audio) // 2 == 800


def test_datagrams_count_also_those_that_were_lost() -> None:
    one = device(plan(udp=True, chunk=1024, drop=0.4, seed=3))
    sent = one.opened(100.0, "")
    heads = [(*struct.unpack_from("<IIHH", data), len(data)) for data in writes(one, 101.6)]
    sequences = [head[0] for head in heads]
    assert sequences == sorted(set(sequences))
    assert 20 < len(heads) < 40
    for sequence, at_ms, samples, flags, size in heads:
        assert (samples, flags, size) == (512, 0, 12 + 1024)
        assert at_ms == sequence * 32
    assert sent.samples == 512 * len(heads)
    assert sent.lost_samples + sent.samples == 50 * 512


def test_the_end_sends_also_what_fills_no_chunk() -> None:
    one = device(plan(chunk=3200, samples=4001))
    one.opened(100.0, "")
    writes(one, 100.2)
    assert one.due_s == pytest.approx(100.0 + 4001 / RATE_HZ)
    assert one.over(200.0)
    assert [len(data) for data in writes(one, 200.0)] == [1602]
