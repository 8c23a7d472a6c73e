"""Simulated microphones over real sockets: every byte that is told as sent arrives, whatever befalls them."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from echostream.cli import main
from echostream.errors import AudioError
from echostream.simulator.esp32_fleet import Esp32Fleet
from echostream.simulator.esp32_plan import Esp32Plan, Loop

NOISE = np.random.default_rng(1).integers(-3000, 3000, 8000).astype(np.int16)


class Ear:
    """Takes streams as a gateway would; keeps the bytes of each by the address that it came from."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listening.getsockname()[1]
        self.heard: dict[str, bytes] = {}
        self.streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="ear")
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                stream, (host, port) = self._listening.accept()
            except OSError:
                return
            self.streams.append(stream)
            self._threads.append(
                threading.Thread(target=self._hear, args=(stream, f"{host}:{port}"), name="ear")
            )
            self._threads[-1].start()

    def _hear(self, stream: socket.socket, source: str) -> None:
        heard = b""
        with stream:
            while data := stream.recv(65_536):
                heard += data
                self.heard[source] = heard
        self.heard.setdefault(source, b"")

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in (self._acceptor, *self._threads):
            thread.join(3.0)
            assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _the_log_is_put_back() -> Iterator[None]:
    """The command sets the log up for a terminal."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@contextmanager
def ear() -> Iterator[Ear]:
    one = Ear()
    try:
        yield one
    finally:
        one.close()


def play(port: int, for_s: float | None = 1.0, **kwargs: object) -> Esp32Fleet:
    plan = Esp32Plan("127.0.0.1", port, spread_s=0.05, **kwargs)  # type: ignore[arg-type]
    fleet = Esp32Fleet(plan, Loop(NOISE, plan), for_s)
    fleet.run()
    return fleet


def check(fleet: Esp32Fleet, heard: dict[str, bytes]) -> int:
    """Each connection's bytes are those that were told; returns how many connections there were."""
    count = 0
    for device in fleet.devices:
        for sent in device.sent:
            audio = heard.get(sent.source, b"")
            assert len(audio) // 2 == sent.samples, sent
            assert hashlib.sha256(audio[: 2 * sent.samples]).hexdigest() == sent.sha256, sent
            count += 1
    return count


def test_every_device_is_heard_to_the_sample() -> None:
    with ear() as one:
        fleet = play(one.port, devices=20, chunk=999, burst_s=0.5, ppm=(-500, 500))
    assert check(fleet, one.heard) == 20
    assert not fleet.failures
    for device in fleet.devices:
        assert device.sent[0].samples == pytest.approx(1.5 * 16_000, abs=1000)
        assert device.sent[0].ended == "ended"


def test_reconnects_power_cuts_and_stalls_are_told_to_the_sample() -> None:
    fate = {"reconnect_s": 1.0, "power_cut_s": 1.0, "stall_s": 1.0, "stalled_s": 0.2, "away_s": 0.1}
    with ear() as one:
        fleet = play(one.port, 2.0, devices=8, chunk=700, **fate)
    assert check(fleet, one.heard) > 12
    endings = {sent.ended for device in fleet.devices for sent in device.sent}
    assert endings >= {"disconnected", "power cut"}


def test_a_power_cut_leaves_the_other_side_with_a_half_open_connection() -> None:
    with ear() as one:
        plan = Esp32Plan("127.0.0.1", one.port, chunk=320, power_cut_s=0.1, away_s=30.0)
        fleet = Esp32Fleet(plan, Loop(NOISE, plan))
        thread = threading.Thread(target=fleet.run, name="devices")
        thread.start()
        until_s = time.monotonic() + 3
        while not (fleet.devices[0].sent and fleet.devices[0].sent[0].ended) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert fleet.devices[0].sent[0].ended == "power cut"
        time.sleep(0.2)
        assert one.streams[0].fileno() >= 0, "nobody said goodbye"
        fleet.stop()
        thread.join(3.0)
        assert not thread.is_alive()


def test_a_gateway_that_comes_late_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plan = Esp32Plan("127.0.0.1", port, chunk=320, retry_s=0.05, retry_most_s=0.1)
    fleet = Esp32Fleet(plan, Loop(NOISE, plan), 1.5)
    thread = threading.Thread(target=fleet.run, name="devices")
    thread.start()
    time.sleep(0.3)
    with socket.create_server(("127.0.0.1", port)) as late:
        stream, _ = late.accept()
        with stream:
            while stream.recv(65_536):
                pass
    thread.join(5.0)
    assert not fleet.failures
    assert fleet.devices[0].sent[0].samples > 4000


def test_one_that_nobody_listens_to_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fleet = play(port, 0.3, devices=2, retry_s=0.05)
    assert fleet.failures == {"esp32-1": "connection refused", "esp32-2": "connection refused"}


def test_one_that_is_turned_away_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        plan = Esp32Plan("127.0.0.1", port, chunk=16_000, retry_s=0.1, retry_most_s=0.1)
        fleet = Esp32Fleet(plan, Loop(NOISE, plan), 1.0)
        thread = threading.Thread(target=fleet.run, name="devices")
        thread.start()
        for _ in range(3):
            listening.accept()[0].close()
    thread.join(5.0)
    (why,) = fleet.failures.values()
    assert why.startswith("closed by the other side 3 times before any sound")


def test_a_reader_that_stands_still_is_not_told_as_having_heard() -> None:
    """The kernel takes some megabytes; what it did not take is not counted as sent."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plan = Esp32Plan("127.0.0.1", deaf.getsockname()[1], chunk=8000, speed=1000.0, ring_s=0.5)
        fleet = Esp32Fleet(plan, Loop(NOISE, plan), 0.5)
        thread = threading.Thread(target=fleet.run, name="devices")
        thread.start()
        stream, _ = deaf.accept()
        time.sleep(0.8)
        heard = 0
        with stream:
            while data := stream.recv(1 << 20):
                heard += len(data)
        thread.join(8.0)
        assert not thread.is_alive()
    (sent,) = fleet.devices[0].sent
    assert sent.lost_samples > 0
    assert heard // 2 == sent.samples


def test_datagrams_arrive_with_their_header() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        fleet = play(listening.getsockname()[1], 0.5, udp=True, chunk=640, devices=3)
        listening.settimeout(1.0)
        heard: dict[str, bytes] = {}
        for _ in range(sum(sent.writes for device in fleet.devices for sent in device.sent)):
            data, (host, port) = listening.recvfrom(2048)
            heard[f"{host}:{port}"] = heard.get(f"{host}:{port}", b"") + data[12:]
    assert check(fleet, heard) == 3


def test_each_device_has_an_address_of_its_own() -> None:
    with ear() as one:
        fleet = play(one.port, 0.2, devices=3, chunk=320, sources="127.0.9.254")
    assert [device.sent[0].source.split(":")[0] for device in fleet.devices] == [
        "127.0.9.254",
        "127.0.9.255",
        "127.0.10.0",
    ]


def test_a_gateway_is_reached_over_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        plan = Esp32Plan("::1", listening.getsockname()[1], chunk=320)
        fleet = Esp32Fleet(plan, Loop(NOISE, plan), 0.3)
        thread = threading.Thread(target=fleet.run, name="devices")
        thread.start()
        stream, _ = listening.accept()
        with stream:
            while stream.recv(65_536):
                pass
        thread.join(5.0)
    (sent,) = fleet.devices[0].sent
    assert sent.samples > 3000
    assert sent.source.startswith("[::1]:")


def test_an_address_that_is_none_is_refused_before_anything_starts() -> None:
    with pytest.raises(AudioError, match="--from nonsense"):
        play(9, sources="nonsense")


def test_the_command_plays_a_file_once_and_tells_what_it_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with ear() as one:
        code = main(["esp32", "--to", f"127.0.0.1:{one.port}", "--for", "0.4", "--hello", "--json"])
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    ((source, heard),) = one.heard.items()
    line, _, audio = heard.partition(b"\n")
    assert json.loads(line)["device"] == "esp32"
    (connection,) = told["devices"][0]["connections"]
    assert connection["source"] == source
    assert connection["samples"] == len(audio) // 2
    assert connection["sha256"] == hashlib.sha256(audio).hexdigest()
    assert abs(connection["first_at_s"] - time.time()) < 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--udp", "--chunk", "1500"], "--chunk 1500"),
        (["--udp", "--hello"], "--hello"),
        (["--token-file", "nowhere"], "--token-file"),
        (["nowhere.wav"], "nowhere.wav"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["esp32", *options, "--to", "127.0.0.1:9000"]) == 2
    assert words in capsys.readouterr().err
