"""Simulated microphones and the gateway's relay agree to the sample, and on when each sample was taken up."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
from esp32_bench import Bench, running

from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.simulator.esp32_device import Esp32Device as SimulatedDevice
from echostream.simulator.esp32_fleet import Esp32Fleet
from echostream.simulator.esp32_plan import Esp32Plan, Loop

SETTLED_S = 2.0
"""Of audio, from which on the time of a stream's first sample is known well."""
NOISE = np.random.default_rng(8).integers(-3000, 3000, 16_000).astype(np.int16)


def play(bench: Bench, for_s: float, **kwargs: object) -> Esp32Fleet:
    plan = Esp32Plan("127.0.0.1", bench.relay.tcp_port, spread_s=0.1, **kwargs)  # type: ignore[arg-type]
    fleet = Esp32Fleet(plan, Loop(NOISE, plan), for_s)
    thread = threading.Thread(target=fleet.run, name="devices")
    thread.start()
    thread.join(for_s + 9)
    assert not thread.is_alive()
    return fleet


def known(count: int) -> Esp32:
    return Esp32(devices=tuple(Esp32Device(name=f"mic-{number + 1}") for number in range(count)))


def check(bench: Bench, device: SimulatedDevice, within_s: float) -> None:
    """Each connection's samples, whole and in order, and its first one where it was in time."""
    taken = [stream for stream in bench.streams if stream.info.name == device.name]
    told = [sent for sent in device.sent if sent.samples]
    assert bench.until(lambda: sum(len(one.samples) for one in taken) == sum(sent.samples for sent in told))
    by_hash = {hashlib.sha256(one.samples.astype("<i2").tobytes()).hexdigest(): one for one in taken}
    for sent in told:
        stream = by_hash[sent.sha256]
        if sent.samples < SETTLED_S * stream.info.rate_hz:
            continue
        last = stream.blocks[-1]
        rate_hz = stream.info.rate_hz
        first_s = last.ends_at_s - (last.position + last.samples.size) / rate_hz
        assert first_s == pytest.approx(sent.first_at_s, abs=within_s)


def test_reconnects_power_cuts_bursts_and_odd_chunks_arrive_to_the_sample() -> None:
    with running(known(6), Relay(max_per_address=100)) as bench:
        fleet = play(
            bench,
            5.0,
            devices=6,
            name="mic",
            hello=True,
            chunk=1111,
            burst_s=0.5,
            reconnect_s=4.0,
            power_cut_s=4.0,
            away_s=0.2,
            ppm=(-500, 500),
        )
        assert sum(len(device.sent) for device in fleet.devices) > 6
        for device in fleet.devices:
            check(bench, device, within_s=0.1)


@pytest.mark.parametrize("form", ["u8", "f32le"])
def test_other_forms_arrive_whole(form: str) -> None:
    with running(Esp32(unknown="accept", defaults=DeviceDefaults(rate_hz=8000))) as bench:
        fleet = play(bench, 0.6, devices=2, rate_hz=8000, format=form, hello=True, chunk=500, name="mic")
        for device in fleet.devices:
            (sent,) = device.sent
            stream = bench.named(device.name)
            assert bench.until(lambda: stream.samples.size == sent.samples)  # noqa: B023 - within the round
            assert stream.info.rate_hz == 8000


def test_headerless_devices_are_told_apart_by_their_addresses() -> None:
    with running() as bench:
        fleet = play(bench, 0.6, devices=3, chunk=640, sources="127.0.7.1")
        for device in fleet.devices:
            (sent,) = device.sent
            name = "esp32-" + sent.source.split(":")[0]
            stream = bench.named(name)
            assert bench.until(lambda: stream.samples.size == sent.samples)  # noqa: B023 - within the round
            assert hashlib.sha256(stream.samples.astype("<i2").tobytes()).hexdigest() == sent.sha256
