"""One device's stream without sockets or threads, on time that the test makes."""

from __future__ import annotations

import numpy as np
import pytest
from esp32_bench import Taken, noise

from echostream.audio.device_ports import DeviceAudio, StreamInfo
from echostream.config.esp32_models import DeviceDefaults
from echostream.network.esp32_admission import Admitted
from echostream.network.esp32_device import DeviceStream, bytes_per_s
from echostream.network.esp32_limits import SpeedLimit
from echostream.network.esp32_status import RelayCounters

CHUNK = 4096
CHUNK_S = CHUNK / 16_000


def stream() -> tuple[DeviceStream, Taken]:
    admitted = Admitted("d", "", 16_000, "s16le", 1, DeviceDefaults(), True, False, False)
    info = StreamInfo("d", "", 16_000, "192.0.2.1", 1)
    limit = SpeedLimit(bytes_per_s(admitted), 1.5, 5.0, 0.0)
    made, taken = DeviceStream(admitted, info, limit, RelayCounters(), 0.0, "tcp"), Taken(info)
    made.set_sinks([taken])
    return made, taken


def feed(device: DeviceStream, count: int, now: float) -> float:
    for _ in range(count):
        now += CHUNK_S
        device.feed(bytes(2 * CHUNK), now)
    return now


@pytest.mark.parametrize("goes_on_s", [30.0, 3.0], ids=["told while it lasts", "told at its end"])
def test_what_a_device_lost_is_a_gap_of_its_length_in_its_place(goes_on_s: float) -> None:
    device, taken = stream()
    now = feed(device, 200, 0.0)
    now = feed(device, int(goes_on_s / CHUNK_S), now + 1.0)
    device.end("device gone")
    gaps = [block for block in taken.blocks if block.gap_s]
    assert len(gaps) == 1
    (gap,) = gaps
    assert gap.gap_s == pytest.approx(1.0, abs=0.05)
    assert gap.cause == "device lost audio"
    place = gap.gap_at if gap.gap_at is not None else gap.position - round(gap.gap_s * 16_000)
    assert place == pytest.approx(200 * CHUNK, abs=2 * CHUNK)
    last = taken.blocks[-1]
    assert last.position + last.samples.size == pytest.approx(16_000 * now, abs=2000)
    assert last.ends_at_s == pytest.approx(now, abs=0.1)
    assert taken.causes == ["device gone"]


def test_a_stall_that_catches_up_is_no_gap() -> None:
    device, taken = stream()
    now = feed(device, 100, 0.0) + 2.0
    for _ in range(8):
        device.feed(bytes(2 * CHUNK), now)
    feed(device, 100, now)
    device.end("device gone")
    assert [block.gap_s for block in taken.blocks if block.gap_s] == []


def test_lost_datagrams_are_no_news_to_the_clock() -> None:
    device, taken = stream()
    now = 0.0
    for number in range(400):
        now += CHUNK_S
        if number % 10 == 3:
            device.lost(CHUNK)
        else:
            device.feed(bytes(2 * CHUNK), now)
    device.end("device gone")
    assert {block.cause for block in taken.blocks if block.gap_s} == {"packets lost"}
    assert sum(block.gap_s for block in taken.blocks) == pytest.approx(40 * CHUNK_S)
    assert taken.blocks[-1].position == 399 * CHUNK


def test_the_end_before_the_first_sample_is_an_end() -> None:
    device, taken = stream()
    device.feed(b"\x01", 0.1)
    device.end("device gone")
    assert (taken.blocks, taken.causes) == ([], ["device gone"])


def test_a_taker_that_fails_is_told_that_it_is_over_and_leaves_nothing_behind() -> None:
    class Broken(Taken):
        def audio(self, block: DeviceAudio) -> None:
            raise ZeroDivisionError

    device, taken = stream()
    broken = Broken(taken.info)
    device.set_sinks([broken, taken])
    feed(device, 3, 0.0)
    assert broken.causes == ["overload"]
    device.end("device gone")
    assert (broken.causes, taken.causes) == (["overload"], ["device gone"])


def test_a_block_is_memory_of_its_own() -> None:
    device, taken = stream()
    sent = noise(100)
    buffer = bytearray(sent.tobytes())
    device.feed(memoryview(buffer), 0.1)
    buffer[:] = bytes(200)
    assert np.array_equal(taken.samples, sent)
