"""The datagram form over a real socket: order, losses, strangers, and senders that anybody could write."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import numpy as np
from esp32_bench import Bench, noise, running

from echostream.audio.format import Samples
from echostream.config.esp32_models import Esp32, Esp32Device, Relay
from echostream.network.esp32_datagrams import IN_EARNEST, MAX_STRANGERS
from echostream.network.esp32_roster import QUIET_S
from echostream.wire.esp32_stream import MAX_DATAGRAM_BYTES, pack_datagram

KNOWN = Esp32(devices=(Esp32Device(name="garage", address="127.0.0.7"),))
BLOCK = 320


@contextlib.contextmanager
def microphone(bench: Bench, source: str = "127.0.0.7") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", bench.relay.udp_port))
        yield sock


def send(sock: socket.socket, samples: Samples, numbers: list[int], start: int = 0) -> None:
    for number in numbers:
        audio = samples[number * BLOCK : (number + 1) * BLOCK].tobytes()
        sock.send(pack_datagram(start + number, number * 20, audio))


def test_datagrams_out_of_order_arrive_to_the_sample() -> None:
    sent = noise(BLOCK * 40)
    order = list(range(40))
    order[5:9] = [8, 6, 7, 5]
    order.insert(20, 3)
    with running(KNOWN) as bench, microphone(bench) as sock:
        send(sock, sent, order, start=2**32 - 20)
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        (taken,) = bench.streams
        assert np.array_equal(taken.samples, sent)
        assert (taken.info.name, taken.info.known) == ("garage", True)
        assert bench.relay.counters.datagrams_late == 1
        assert all(block.gap_s == 0 for block in taken.blocks)


def test_what_is_lost_is_a_gap_of_its_length_and_the_rest_is_in_its_place() -> None:
    sent = noise(BLOCK * 30)
    kept = [number for number in range(30) if number not in {10, 11, 12}]
    with running(KNOWN) as bench, microphone(bench) as sock:
        send(sock, sent, kept)
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == 27 * BLOCK)
        blocks = bench.streams[0].blocks
        for block in blocks:
            place = slice(block.position, block.position + block.samples.size)
            assert np.array_equal(block.samples, sent[place])
        gaps = [(block.position, block.gap_s, block.cause) for block in blocks if block.gap_s]
        assert gaps == [(13 * BLOCK, 3 * BLOCK / 16_000, "packets lost")]
        (status,) = bench.relay.devices()
        assert (status.over, status.gaps, status.missing_s) == ("udp", 1, 0.06)
        assert bench.relay.counters.datagrams_lost == 3


def test_rubbish_is_counted_and_costs_nobody_anything() -> None:
    sent = noise(BLOCK * 4)
    with running(KNOWN) as bench, microphone(bench) as sock:
        send(sock, sent, [0, 1])
        long = b"x" * (MAX_DATAGRAM_BYTES + 1)
        for rubbish in (b"", b"x", b"x" * 13, long, pack_datagram(2, 0, b"ab") + b"c"):
            sock.send(rubbish)
        send(sock, sent, [2, 3])
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        assert np.array_equal(bench.streams[0].samples, sent)
        assert bench.relay.counters.datagrams_bad == 5


def test_audio_without_header_is_heard_in_the_form_of_its_entry() -> None:
    device = Esp32Device(name="garage", address="127.0.0.7", format="u8")
    with running(Esp32(devices=(device,))) as bench, microphone(bench) as sock:
        for number in range(5):
            sock.send(bytes([128 + number]) * 500)
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == 2500)
        assert bench.streams[0].samples[::500].tolist() == [0, 256, 512, 768, 1024]


def test_a_stranger_is_heard_after_some_datagrams_and_they_are_forgotten_in_turn() -> None:
    sent = noise(BLOCK * (IN_EARNEST + 5))
    with running(Esp32(unknown="quarantine")) as bench, microphone(bench, "127.0.0.1") as sock:
        send(sock, sent, list(range(IN_EARNEST - 1)))
        with microphone(bench, "127.0.0.9") as other:
            send(other, sent, [0])
        assert bench.until(lambda: bench.relay.counters.datagrams == IN_EARNEST)
        assert bench.streams == []
        send(sock, sent, list(range(IN_EARNEST - 1, IN_EARNEST + 5)))
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == 6 * BLOCK)
        assert bench.streams[0].info.quarantined


def test_as_many_forged_senders_as_one_likes_are_few_in_memory() -> None:
    with running() as bench:
        flows = bench.relay._datagrams
        for number in range(4 * MAX_STRANGERS):
            source = (f"198.51.{number >> 8}.{number & 255}", 4000)
            flows._take(source, pack_datagram(0, 0, b"ab"), time.monotonic())
        assert len(flows._strangers) == MAX_STRANGERS
        assert len(flows) == 0


def test_a_datagram_takes_no_place_of_a_connection_nor_of_a_flow_that_is_heard() -> None:
    sent = noise(BLOCK * 20)
    with running(KNOWN) as bench, bench.device("127.0.0.7") as device:
        device.sendall(sent.tobytes())
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        with microphone(bench) as forged:
            send(forged, sent, [0, 1])
            assert bench.until(lambda: bench.relay.counters.refused.get("taken", 0) == 2)
        assert bench.streams[0].causes == []
        device.sendall(sent.tobytes())
        assert bench.until(lambda: bench.streams[0].samples.size == 2 * sent.size)


def test_a_device_that_booted_is_heard_from_its_new_port() -> None:
    sent = noise(BLOCK * 20)
    with running(KNOWN) as bench:
        with microphone(bench) as before:
            send(before, sent, list(range(20)), start=5000)
            assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        time.sleep(QUIET_S + 0.1)
        with microphone(bench) as after:
            send(after, sent, list(range(20)))
            assert bench.until(lambda: len(bench.streams) == 2 and bench.streams[1].samples.size == sent.size)
        assert bench.streams[0].causes == ["device gone"]


def test_a_flow_that_stops_ends() -> None:
    with running(KNOWN, Relay().model_copy(update={"silence_s": 0.6})) as bench, microphone(bench) as sock:
        send(sock, noise(BLOCK * 20), list(range(20)))
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].causes == ["device gone"])


def test_a_flood_of_datagrams_is_bounded() -> None:
    sent = noise(BLOCK * 400)
    with running(KNOWN, Relay(burst_s=1, most_speed=1.5)) as bench, microphone(bench) as sock:
        send(sock, sent, list(range(400)))
        assert bench.until(lambda: bench.relay.counters.datagrams == 400)
        assert bench.streams[0].samples.size < 16_000 * 1.6
        assert bench.relay.counters.throttled > 0
