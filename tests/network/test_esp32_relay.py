"""The relay over real sockets: every sample of every device, and what one device may cost the others."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import threading
import time

import numpy as np
import pytest
from esp32_bench import WAIT_S, Bench, closed_by_relay, free_port, hello_line, noise, running

from echostream.audio.device_ports import DeviceAudio, GapCause, StreamInfo
from echostream.config.base import Secret
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.events import DevicesChanged
from echostream.network.esp32_connection import Connection
from echostream.network.esp32_device import DeviceStream
from echostream.network.esp32_rounds import Rounds

PORCH = Esp32Device(name="porch", label="Porch")
GARAGE = Esp32Device(name="garage", address="127.0.0.7")


def came(bench: Bench, name: str, samples: int) -> bool:
    """Whether so many samples of this device's newest stream come within a while."""
    return bench.until(
        lambda: (
            any(one.info.name == name for one in bench.streams) and bench.named(name).samples.size >= samples
        )
    )


def refusals(bench: Bench, reason: str) -> int:
    return bench.relay.counters.refused.get(reason, 0)


# Any byte stream


def test_a_device_that_knows_nothing_arrives_to_the_sample_in_any_chunks() -> None:
    sent = noise(50_001)
    data = sent.tobytes()
    with running() as bench:
        with bench.device() as sock:
            at = 0
            for size in (1, 2, 3, 4095, 1, 19_200, 8192, 7, 30_000):
                sock.sendall(data[at : at + size])
                at += size
            sock.sendall(data[at:])
            assert came(bench, "esp32-127.0.0.1", sent.size)
        (taken,) = bench.streams
        assert bench.until(lambda: taken.causes == ["device gone"])
        assert np.array_equal(taken.samples, sent)
        assert (taken.info.rate_hz, taken.info.known, taken.info.quarantined) == (16_000, False, False)
        sizes = [block.samples.size for block in taken.blocks]
        assert [block.position for block in taken.blocks] == np.cumsum([0, *sizes])[:-1].tolist()
        assert bench.until(lambda: [change.present for change in bench.changes] == [True, False])


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_hello_names_the_device_and_what_follows_it_is_audio(pieces: int) -> None:
    esp32 = Esp32(devices=(Esp32Device(name="porch", label="Porch", rate_hz=8000),))
    sent = noise(3000)
    line = b'{"hello": "echostream", "device": "porch", "rate": 48000, "format": "s16le"}\r\n'
    data = line + sent.tobytes()
    step = len(data) if pieces == 1 else pieces
    with running(esp32) as bench:
        with bench.device() as sock:
            for at in range(0, len(data), step):
                sock.sendall(data[at : at + step])
            assert came(bench, "porch", sent.size)
        taken = bench.named("porch")
        assert np.array_equal(taken.samples, sent)
        assert (taken.info.label, taken.info.rate_hz, taken.info.known) == ("Porch", 48_000, True)


def test_each_form_and_stereo_become_mono_samples() -> None:
    with running() as bench:
        sent = noise(800)
        forms = {
            "u8": (((sent.astype(np.int32) >> 8) + 128).astype(np.uint8).tobytes(), (sent >> 8) * 256),
            "f32le": ((sent / 32768).astype("<f4").tobytes(), sent),
            "s16le": (np.repeat(sent, 2).tobytes(), sent),
        }
        for form, (data, expected) in forms.items():
            channels = 2 if form == "s16le" else 1
            with bench.device(hello={"device": form, "format": form, "channels": channels}) as sock:
                sock.sendall(data)
                assert came(bench, form, 800)
            assert np.array_equal(bench.named(form).samples, expected)


def test_the_end_of_a_stream_loses_nothing_that_was_sent_before_it() -> None:
    """The last bytes and the FIN arrive together; a burst of three seconds waits in the kernel."""
    sent = noise(48_000)
    with running() as bench:
        with bench.device() as sock:
            sock.sendall(sent.tobytes() + b"\x7f")
        assert came(bench, "esp32-127.0.0.1", sent.size)
        assert np.array_equal(bench.streams[0].samples, sent)
        assert bench.until(lambda: bench.streams[0].causes == ["device gone"])


def test_the_first_block_is_the_whole_burst_of_what_a_device_kept() -> None:
    """Only so can be said when its first sample was taken up."""
    sent = noise(24_000)
    with running() as bench:
        before_s = time.monotonic()
        with bench.device(hello={"device": "d"}) as sock:
            sock.sendall(sent.tobytes())
            assert came(bench, "d", sent.size)
        first = bench.streams[0].blocks[0]
        assert first.samples.size > 20_000
        assert first.ends_at_s - first.samples.size / 16_000 < before_s


def test_no_sample_seems_to_have_come_before_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread may lose its core between the beginning of a round and a read: more bytes come meanwhile."""
    before = Rounds.read

    def late(rounds: Rounds, connection: Connection) -> None:
        time.sleep(0.15)
        before(rounds, connection)

    monkeypatch.setattr(Rounds, "read", late)
    receive = Connection._receive

    def later(connection: Connection, room: int, now: float) -> int:
        time.sleep(0.15)
        return receive(connection, room, now)

    monkeypatch.setattr(Connection, "_receive", later)
    with running() as bench, bench.device(hello={"device": "d"}) as sock:
        began_s = time.monotonic()
        for step in range(1, 16):
            time.sleep(max(0.0, began_s + 0.1 * step - time.monotonic()))
            sock.sendall(noise(1600).tobytes())
        assert came(bench, "d", 15 * 1600)
        for block in bench.streams[0].blocks:
            taken_up_s = began_s + (block.position + block.samples.size) / 16_000
            assert block.ends_at_s > taken_up_s - 0.02


def test_a_block_says_when_its_last_sample_was_taken_up() -> None:
    with running() as bench, bench.device() as sock:
        began_s = time.monotonic()
        for step in range(10):
            time.sleep(max(0.0, began_s + 0.05 * (step + 1) - time.monotonic()))
            sock.sendall(noise(800).tobytes())
        assert came(bench, "esp32-127.0.0.1", 8000)
        block = bench.streams[0].blocks[-1]
        assert block.ends_at_s == pytest.approx(
            began_s + (block.position + block.samples.size) / 16_000, abs=0.1
        )


# Identity and admission


@pytest.mark.parametrize(
    ("source", "hello", "name"),
    [("127.0.0.1", {"device": "porch"}, "porch"), ("127.0.0.7", None, "garage")],
    ids=["hello", "address"],
)
def test_a_new_connection_takes_the_place_of_the_old_one_and_loses_none_of_its_audio(
    source: str, hello: dict[str, object] | None, name: str
) -> None:
    sent = noise(20_000)
    with running(Esp32(devices=(PORCH, GARAGE))) as bench, bench.device(source, hello) as old:
        old.sendall(sent[:1000].tobytes())
        assert came(bench, name, 1000)
        first = bench.named(name)
        old.sendall(sent[1000:].tobytes())
        with bench.device(source, hello) as new:
            new.sendall(sent.tobytes())
            assert bench.until(lambda: bench.named(name) is not first)
            assert closed_by_relay(old)
            assert first.causes == ["device gone"]
            assert np.array_equal(first.samples, sent)
            assert came(bench, name, sent.size)
            assert bench.named(name).causes == []
        assert bench.relay.counters.replaced == 1


def test_two_strangers_behind_one_address_are_two_devices() -> None:
    with running() as bench, bench.device() as one, bench.device() as two, bench.device() as three:
        for sock in (one, two, three):
            sock.sendall(noise(100).tobytes())
        names = ["esp32-127.0.0.1", "esp32-127.0.0.1-2", "esp32-127.0.0.1-3"]
        assert bench.until(lambda: sorted(taken.info.name for taken in bench.streams) == names)


def test_a_stranger_that_lost_its_power_takes_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its old connection is half open: silent, and nobody closed it."""
    monkeypatch.setattr("echostream.network.esp32_roster.HALF_OPEN_S", 0.2)
    with running(relay=Relay(max_per_address=1)) as bench, bench.device() as before:
        before.sendall(noise(8000).tobytes())
        assert came(bench, "esp32-127.0.0.1", 8000)
        time.sleep(0.4)
        with bench.device() as after:
            after.sendall(noise(100).tobytes())
            assert bench.until(lambda: len(bench.streams) == 2)
            assert closed_by_relay(before)
            assert bench.streams[1].info.name == "esp32-127.0.0.1"


@pytest.mark.parametrize("name", ["barn-127.0.0.7", "esp32-127.0.0.1"])
def test_a_stranger_cannot_call_itself_what_another_device_is_called(name: str) -> None:
    esp32 = Esp32(devices=(Esp32Device(name="barn", address="127.0.0.6/31"),), unknown="accept")
    source = "127.0.0.7" if name.startswith("barn") else "127.0.0.1"
    with running(esp32) as bench, bench.device(source) as barn:
        barn.sendall(noise(100).tobytes())
        assert came(bench, name, 100)
        with bench.device(hello={"device": name}) as stranger:
            assert closed_by_relay(stranger)
        assert refusals(bench, "taken") == 1
        assert bench.streams[0].causes == []


def test_two_devices_of_one_name_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    with running(Esp32(devices=(PORCH,))) as bench, contextlib.ExitStack() as stack:
        for number in range(8):
            stack.enter_context(bench.device(hello={"device": "porch"}))
            assert bench.until(lambda number=number: len(bench.streams) == number + 1)  # type: ignore[misc]
    assert caplog.text.count("two of that name?") == 1


def test_a_wrong_token_is_refused_and_stands_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    porch = Esp32Device(name="porch", token=Secret(env="PORCH_TOKEN"))
    caplog.set_level(logging.DEBUG)
    with running(Esp32(devices=(porch,)), tokens={"porch": "right-secret"}) as bench:
        for said in ({"token": "wrong-secret"}, {}):
            with bench.device(hello={"device": "porch", **said}) as sock:
                assert closed_by_relay(sock)
        with bench.device(hello={"device": "porch", "token": "right-secret"}) as sock:
            sock.sendall(noise(100).tobytes())
            assert came(bench, "porch", 100)
        assert refusals(bench, "bad_token") == 2
    assert len(bench.streams) == 1
    assert "secret" not in caplog.text
    assert "porch: its hello carries a wrong token" in caplog.text


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b'{"hello": "echostream", "device": "../x"}\n', "bad_hello"),
        (b'{"hello": "somebody else"}\n', "bad_hello"),
        (b'{"hello": "echostream", "device": "x", "channels": 6}\n', "bad_hello"),
        (b'{"hello"' + b"x" * 600, "bad_hello"),
        (hello_line(device="x") + hello_line(device="y"), "bad_hello"),
        (hello_line(device="off"), "disabled"),
    ],
)
def test_what_is_no_hello_of_ours_is_closed(first: bytes, reason: str) -> None:
    off = Esp32Device(name="off", enabled=False)
    with running(Esp32(devices=(off,), unknown="accept")) as bench, bench.device() as sock:
        sock.sendall(first)
        assert closed_by_relay(sock)
        assert refusals(bench, reason) == 1


@pytest.mark.parametrize("unknown", ["refuse", "quarantine"])
def test_strangers_are_refused_or_kept_apart(unknown: str) -> None:
    defaults = DeviceDefaults(channel="4", transmit="always")
    esp32 = Esp32(unknown=unknown, defaults=defaults)  # type: ignore[arg-type]
    with running(esp32) as bench, bench.device() as sock:
        sock.sendall(noise(100).tobytes())
        if unknown == "refuse":
            assert closed_by_relay(sock)
            assert bench.streams == []
            return
        assert came(bench, "esp32-127.0.0.1", 100)
        assert bench.streams[0].info.quarantined
        (status,) = bench.relay.devices()
        assert (status.quarantined, status.channel, status.transmit) == (True, None, "never")


# What one device may cost the others


def test_a_hello_that_never_ends_and_one_that_never_begins_are_given_up() -> None:
    relay = Relay(hello_wait_ms=50).model_copy(update={"silence_s": 0.6})
    with running(relay=relay) as bench, bench.device() as mute, bench.device() as half:
        half.sendall(b'{"hel')
        assert came(bench, "esp32-127.0.0.1", 2)  # audio, by then
        assert closed_by_relay(mute)
        assert refusals(bench, "says_nothing") == 1


def test_a_device_that_dribbles_is_as_good_as_silent() -> None:
    with running(relay=Relay().model_copy(update={"silence_s": 0.6})) as bench, bench.device() as sock:
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(0.05):
                try:
                    sock.send(b"\x01")
                except OSError:
                    return

        thread = threading.Thread(target=dribble, name="dribble")
        thread.start()
        try:
            assert bench.until(lambda: bool(bench.streams) and bool(bench.streams[0].causes), 4.0)
        finally:
            stop.set()
            thread.join(1.0)
        assert bench.streams[0].samples.size < 60
        assert bench.until(lambda: "silent" in bench.changes[-1].detail)


def test_a_flood_is_held_back_and_others_lose_nothing() -> None:
    """Ten times too fast, for as long as it is let; beside it a device in real time."""
    relay = Relay(burst_s=1, most_speed=1.5)
    flood, good = {"device": "flood"}, {"device": "good"}
    sent = noise(16_000)
    with running(relay=relay) as bench, bench.device(hello=flood) as fast, bench.device(hello=good) as slow:
        fast.setblocking(False)
        began_s = time.monotonic()
        for step in range(20):
            with contextlib.suppress(BlockingIOError):
                for _ in range(3):
                    fast.send(bytes(32_000))
            slow.sendall(sent[step * 800 : (step + 1) * 800].tobytes())
            time.sleep(max(0.0, began_s + 0.05 * (step + 1) - time.monotonic()))
        assert came(bench, "good", sent.size)
        passed_s = time.monotonic() - began_s
        assert np.array_equal(bench.named("good").samples, sent)
        assert bench.named("flood").samples.size <= 16_000 * (1 + 1.5 * passed_s + 0.2)
        assert bench.relay.counters.throttled > 0


def test_what_is_held_back_of_a_fast_device_comes_in_the_end() -> None:
    sent = noise(40_000)
    with running(relay=Relay(burst_s=1, most_speed=10)) as bench, bench.device() as sock:
        sock.sendall(sent.tobytes())
        assert came(bench, "esp32-127.0.0.1", sent.size)
        assert np.array_equal(bench.streams[0].samples, sent)


def test_a_rate_that_cannot_be_right_ends_the_stream_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.network.esp32_limits.FLOOD_S", 1.0)
    hello: dict[str, object] = {"device": "fast", "rate": 8000}
    with running(relay=Relay(burst_s=1, most_speed=10)) as bench:
        with bench.device(hello=hello) as sock:
            sock.settimeout(WAIT_S)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                for _ in range(1000):
                    sock.sendall(bytes(16_000))
        assert bench.until(lambda: "is rate_hz right?" in bench.changes[-1].detail)
        with bench.device(hello=hello) as sock:
            assert closed_by_relay(sock)
        assert refusals(bench, "rests") == 1


def test_places_are_limited_and_a_stranger_gives_way_to_a_device_with_an_entry() -> None:
    esp32 = Esp32(devices=(PORCH,), unknown="accept")
    with running(esp32, Relay(max_connections=2)) as bench, contextlib.ExitStack() as stack:
        first = stack.enter_context(bench.device(hello={"device": "a"}))
        assert bench.until(lambda: len(bench.streams) == 1)
        second = stack.enter_context(bench.device(hello={"device": "b"}))
        assert bench.until(lambda: len(bench.streams) == 2)
        third = stack.enter_context(bench.device(hello={"device": "c"}))
        assert closed_by_relay(third)
        assert refusals(bench, "full") == 1
        porch = stack.enter_context(bench.device(hello={"device": "porch"}))
        assert closed_by_relay(second)
        for sock, name in ((first, "a"), (porch, "porch")):
            sock.sendall(noise(100).tobytes())
            assert came(bench, name, 100)


def test_connections_that_say_nothing_are_few_and_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.network.esp32_relay.MAX_MUTE", 4)
    with running(Esp32(devices=(PORCH,)), Relay(max_connections=1)) as bench, contextlib.ExitStack() as stack:
        quiet = stack.enter_context(bench.device("127.0.0.8"))
        mute = [stack.enter_context(bench.device("127.0.0.9")) for _ in range(9)]
        assert all(closed_by_relay(sock) for sock in mute[:6])
        porch = stack.enter_context(bench.device(hello={"device": "porch"}))
        porch.sendall(noise(100).tobytes())
        assert came(bench, "porch", 100)
        quiet.setblocking(False)
        with pytest.raises(BlockingIOError):
            quiet.recv(1)


def test_one_address_has_few_places_for_strangers_and_any_number_for_those_with_a_name() -> None:
    devices = tuple(Esp32Device(name=f"d{n}") for n in range(5))
    with running(Esp32(devices=devices), Relay(max_per_address=2)) as bench:
        socks = [socket.create_connection(("127.0.0.1", bench.relay.tcp_port)) for _ in range(9)]
        try:
            for number, sock in enumerate(socks[:4]):
                sock.sendall(noise(10, number).tobytes())
            assert bench.until(lambda: refusals(bench, "per_address") == 2)
            for number, sock in enumerate(socks[4:]):
                sock.sendall(hello_line(device=f"d{number}") + noise(10).tobytes())
            assert bench.until(lambda: sum(taken.info.known for taken in bench.streams) == 5)
        finally:
            for sock in socks:
                sock.close()


def test_a_stranger_that_comes_again_and_again_makes_few_streams() -> None:
    with running(relay=Relay(max_per_address=2)) as bench:
        counters = bench.relay._roster.counters
        for number in range(20):
            with bench.device() as sock:
                sock.sendall(b"ab")
                sock.shutdown(socket.SHUT_WR)
                assert closed_by_relay(sock)
            over = number + 1
            assert bench.until(lambda over=over: counters.ended + sum(counters.refused.values()) == over)  # type: ignore[misc]
        assert refusals(bench, "too_often") == 12
        assert len(bench.streams) == 8


def test_a_taker_that_fails_costs_its_own_part_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def audio(self, block: DeviceAudio) -> None:
            raise RuntimeError("the one bug")

        def ended(self, cause: GapCause) -> None:
            raise RuntimeError("another bug")

    def broken(info: StreamInfo) -> list[Broken]:
        return [Broken()]

    sent = noise(3000)
    with running() as bench:
        bench.open_sinks = broken  # type: ignore[assignment]
        with bench.device() as sock:
            sock.sendall(sent.tobytes())
            assert came(bench, "esp32-127.0.0.1", sent.size)
        assert bench.until(lambda: bench.streams[0].causes == ["device gone"])
        assert np.array_equal(bench.streams[0].samples, sent)
    assert caplog.text.count("RuntimeError: the one bug") == 1


def test_a_bug_in_the_stream_of_one_device_ends_no_other_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = DeviceStream.feed

    def broken(stream: DeviceStream, data: bytes, now: float) -> None:
        if stream.info.name == "bad":
            raise ZeroDivisionError("the one bug")
        feed(stream, data, now)

    monkeypatch.setattr(DeviceStream, "feed", broken)
    sent = noise(3000)
    with running() as bench, bench.device(hello={"device": "good"}) as good:
        good.sendall(sent[:1000].tobytes())
        assert came(bench, "good", 1000)
        with bench.device(hello={"device": "bad"}) as bad:
            bad.sendall(sent.tobytes())
            assert closed_by_relay(bad)
        good.sendall(sent[1000:].tobytes())
        assert came(bench, "good", sent.size)
        assert [stream.causes for stream in bench.streams] == [[], ["overload"]]
        assert bench.relay.restarts == 0
    assert caplog.text.count("ZeroDivisionError: the one bug") == 1


def test_a_device_without_power_is_noticed_by_the_kernel_within_half_a_minute() -> None:
    with running() as bench, bench.device():
        assert bench.until(lambda: len(bench.relay._rounds.all) == 1)
        (sock,) = (connection.sock for connection in bench.relay._rounds.all)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle_s, between_s, probes = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in options)
        assert idle_s + between_s * probes < 30


def test_a_reset_is_an_end_like_any_other() -> None:
    with running() as bench:
        with bench.device() as sock:
            sock.sendall(noise(100).tobytes())
            assert came(bench, "esp32-127.0.0.1", 100)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert bench.until(lambda: bench.streams[0].causes == ["device gone"])


def test_many_that_come_and_go_at_once_are_few_events() -> None:
    names = [f"d{number}" for number in range(120)]
    with running(relay=Relay(max_per_address=200)) as bench:
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(bench.device(hello={"device": name}))
            assert bench.until(lambda: len(bench.changes) == 120)
        assert bench.until(lambda: len(bench.changes) == 240)
        assert sum(isinstance(event, DevicesChanged) for event in bench.events) < 60
        assert len({taken.info.stream for taken in bench.streams}) == 120


# Rules that change, ports that are taken, the end


def test_new_rules_leave_alone_whom_they_do_not_touch() -> None:
    esp32 = Esp32(devices=(PORCH, GARAGE), tcp_port=free_port(), udp_port=None, bind="127.0.0.1")
    with running(esp32) as bench, bench.device(hello={"device": "porch"}) as porch:
        with bench.device("127.0.0.7") as garage:
            for sock in (porch, garage):
                sock.sendall(noise(100).tobytes())
            assert came(bench, "porch", 100)
            assert came(bench, "garage", 100)
            other = GARAGE.model_copy(update={"rate_hz": 8000})
            bench.relay.reconfigure(esp32.model_copy(update={"devices": (other, PORCH)}), Relay(), {})
            assert closed_by_relay(garage)
        assert bench.until(lambda: bench.named("garage").causes == ["stopped"])
        porch.sendall(noise(100).tobytes())
        assert came(bench, "porch", 200)
        assert bench.named("porch").causes == []


def test_where_a_device_goes_changes_without_a_new_connection() -> None:
    esp32 = Esp32(devices=(PORCH,), tcp_port=free_port(), udp_port=None, bind="127.0.0.1")
    with running(esp32) as bench, bench.device(hello={"device": "porch"}) as sock:
        sock.sendall(noise(100).tobytes())
        assert came(bench, "porch", 100)
        talks = PORCH.model_copy(update={"channel": "4", "transmit": "always"})
        bench.relay.reconfigure(esp32.model_copy(update={"devices": (talks,)}), Relay(), {})
        assert bench.until(lambda: len(bench.streams) == 2)
        sock.sendall(noise(100).tobytes())
        assert bench.until(lambda: bench.streams[1].samples.size == 100)
        assert bench.streams[0].causes == ["stopped"]
        assert bench.streams[1].info.stream == bench.streams[0].info.stream
        assert bench.streams[1].blocks[0].position == 100


def test_another_port_takes_new_ones_and_keeps_those_that_are_there() -> None:
    first, second = free_port(), free_port()
    esp32 = Esp32(devices=(PORCH,), tcp_port=first, udp_port=None, bind="127.0.0.1")
    with running(esp32) as bench, bench.device(hello={"device": "porch"}) as sock:
        assert bench.until(lambda: len(bench.streams) == 1)
        bench.relay.reconfigure(esp32.model_copy(update={"tcp_port": second}), Relay(), {})
        assert bench.until(lambda: bench.relay.tcp_port == second)
        sock.sendall(noise(100).tobytes())
        assert came(bench, "porch", 100)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), timeout=1)


def test_a_device_has_one_address_on_a_port_of_both_families() -> None:
    """On `::` an IPv4 device comes as ::ffff:127.0.0.7; its entry says 127.0.0.7."""
    six = Esp32Device(name="six", address="::1")
    esp32 = Esp32(devices=(GARAGE, six), tcp_port=free_port(), udp_port=None, bind="::")
    with running(esp32) as bench:
        port = bench.relay.tcp_port
        for host, source, name in (("127.0.0.1", "127.0.0.7", "garage"), ("::1", "::1", "six")):
            with socket.create_connection((host, port), source_address=(source, 0)) as sock:
                sock.sendall(noise(100).tobytes())
                assert came(bench, name, 100)
            assert bench.named(name).info.address == source


def test_a_port_that_is_taken_is_said_and_had_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("echostream.network.esp32_ports.RETRY_S", 0.1)
    port = free_port()
    esp32 = Esp32(tcp_port=port, udp_port=None, bind="127.0.0.1")
    bench = Bench(esp32, Relay(), {})
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        bench.relay.start()
        assert bench.until(lambda: f"TCP port {port} of 127.0.0.1" in caplog.text)
        assert bench.relay.tcp_port == 0
    assert bench.until(lambda: bench.relay.tcp_port == port)
    bench.relay.request_stop()
    assert bench.relay.join(1.0)


def test_the_stop_ends_every_stream_once_and_leaves_nothing_open() -> None:
    with contextlib.ExitStack() as stack:
        with running() as bench:
            socks = [stack.enter_context(bench.device(hello={"device": f"d{n}"})) for n in range(3)]
            assert bench.until(lambda: len(bench.streams) == 3)
        assert [taken.causes for taken in bench.streams] == [["stopped"]] * 3
        assert all(closed_by_relay(sock) for sock in socks)


def test_devices_tell_who_is_there_and_who_is_not() -> None:
    with running(Esp32(devices=(PORCH, GARAGE), unknown="accept")) as bench:
        with bench.device(hello={"device": "porch", "rate": 8000}) as sock:
            sock.sendall(np.full(1600, 16_384, np.int16).tobytes())
            assert came(bench, "porch", 1600)
            porch, garage = bench.relay.devices()
            assert (porch.name, porch.connected, porch.samples, porch.rate_hz) == ("porch", True, 1600, 8000)
            assert porch.peak_dbfs == -6.0
            assert (garage.name, garage.connected, garage.since_s) == ("garage", False, None)
        assert bench.until(lambda: not bench.relay.devices()[0].connected)
        porch = bench.relay.devices()[0]
        assert (porch.detail, porch.samples) == ("it closed the connection", 1600)


def test_a_hello_is_read_as_any_firmware_writes_it() -> None:
    line = json.dumps({"hello": "echostream", "device": "tight"}, separators=(",", ":")).encode()
    with running() as bench, bench.device() as sock:
        sock.sendall(line + b"\r\n")
        assert bench.until(lambda: len(bench.streams) == 1)
        assert bench.streams[0].info.name == "tight"
