"""Who a device is: by its hello, by its address, by nothing; and what a stranger cannot become."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.config.base import Secret
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device
from echostream.network.esp32_admission import Admission, Admitted, Refused, name_of_address, plain_address
from echostream.network.esp32_limits import FLOOD_S, Progress, RateDoubt, SpeedLimit
from echostream.wire.esp32_hello import Hello

TOKEN = Secret(env="PORCH_TOKEN")
DEVICES = (
    Esp32Device(name="porch", label="Porch", token=TOKEN),
    Esp32Device(name="garage", address="192.0.2.17", rate_hz=44_100, format="f32le"),
    Esp32Device(name="barn", address="198.51.100.0/28"),
    Esp32Device(name="stall", address="198.51.100.4/32"),
    Esp32Device(name="off", enabled=False),
    Esp32Device(name="six", address="2001:db8::5"),
)


def admission(unknown: str = "quarantine") -> Admission:
    defaults = DeviceDefaults(rate_hz=8000, channel="4", transmit="always")
    esp32 = Esp32(devices=DEVICES, unknown=unknown, defaults=defaults)  # type: ignore[arg-type]
    return Admission(esp32, {"porch": "s3cret-tökèn"})


def admitted(address: str, hello: Hello | None, unknown: str = "quarantine") -> Admitted:
    verdict = admission(unknown).judge(address, hello)
    assert isinstance(verdict, Admitted)
    return verdict


def refused(address: str, hello: Hello | None, unknown: str = "quarantine") -> Refused:
    verdict = admission(unknown).judge(address, hello)
    assert isinstance(verdict, Refused)
    return verdict


def test_the_hello_names_the_device_and_its_form_comes_first() -> None:
    found = admitted("203.0.113.1", Hello("porch", "s3cret-tökèn", 48_000, "u8", 2))
    assert (found.name, found.label, found.known, found.quarantined) == ("porch", "Porch", True, False)
    assert (found.rate_hz, found.sample_format, found.channels) == (48_000, "u8", 2)


@pytest.mark.parametrize("token", [None, "", "s3cret", "s3cret-tökèn ", "S3CRET-TÖKÈN"])
def test_a_wrong_token_is_refused_and_stands_in_no_message(token: str | None) -> None:
    found = refused("203.0.113.1", Hello("porch", token))
    assert found.reason == "bad_token"
    assert "s3cret" not in found.message.lower()


def test_a_token_that_could_not_be_read_lets_nobody_in() -> None:
    rules = Admission(Esp32(devices=DEVICES), {})
    for token in (None, "", "s3cret-tökèn"):
        verdict = rules.judge("203.0.113.1", Hello("porch", token))
        assert isinstance(verdict, Refused)
        assert verdict.reason == "no_token"


def test_an_address_names_a_device_that_says_nothing() -> None:
    found = admitted("192.0.2.17", None)
    assert (found.name, found.rate_hz, found.sample_format, found.known) == ("garage", 44_100, "f32le", True)
    assert admitted("2001:db8::5", None).name == "six"


def test_the_devices_of_a_network_are_told_apart_and_the_narrowest_entry_holds() -> None:
    assert admitted("198.51.100.3", None).name == "barn-198.51.100.3"
    assert admitted("198.51.100.4", None).name == "stall"


@given(
    st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 31)), max_size=9)
)
def test_the_network_of_an_address_is_the_narrowest_that_holds_it(
    number: int, given_networks: list[tuple[int, int]]
) -> None:
    address = ipaddress.IPv4Address(number)
    networks = list(dict.fromkeys(ipaddress.ip_network(one, strict=False) for one in given_networks))
    devices = tuple(Esp32Device(name=f"n{n}", address=str(network)) for n, network in enumerate(networks))
    fitting = [(network.prefixlen, f"n{n}") for n, network in enumerate(networks) if address in network]
    expected = f"{max(fitting)[1]}-{address}" if fitting else f"esp32-{address}"
    verdict = Admission(Esp32(devices=devices), {}).judge(str(address), None)
    assert isinstance(verdict, Admitted)
    assert verdict.name == expected


def test_no_stream_without_hello_becomes_a_device_with_a_token() -> None:
    assert admitted("203.0.113.1", None).quarantined


def test_a_disabled_device_is_refused() -> None:
    assert refused("203.0.113.1", Hello("off")).reason == "disabled"


def test_strangers_are_refused_quarantined_or_taken() -> None:
    stranger, named = "203.0.113.9", Hello("somebody")
    for hello in (None, named):
        assert refused(stranger, hello, "refuse").reason == "unknown"
        apart = admitted(stranger, hello)
        assert (apart.name, apart.quarantined, apart.known) == ("esp32-203.0.113.9", True, False)
    taken = admitted(stranger, named, "accept")
    assert (taken.name, taken.quarantined, taken.known, taken.rate_hz) == ("somebody", False, False, 8000)
    assert admitted(stranger, None, "accept").name == "esp32-203.0.113.9"


def test_a_stranger_in_quarantine_does_not_choose_the_name_of_its_recordings() -> None:
    found = admitted("203.0.113.9", Hello("esp32-192.0.2.17"))
    assert (found.name, found.label) == ("esp32-203.0.113.9", "esp32-192.0.2.17")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("192.0.2.17", "192.0.2.17"),
        ("::ffff:192.0.2.17", "192.0.2.17"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("nonsense", "nonsense"),
    ],
)
def test_one_device_has_one_address(given: str, plain: str) -> None:
    assert plain_address(given) == plain


def test_a_name_made_of_an_address_is_fit_for_a_file() -> None:
    assert name_of_address("fe80::1") == "esp32-fe80--1"


# Limits


def test_the_burst_is_free_and_the_long_run_is_bounded() -> None:
    limit = SpeedLimit(32_000, most_speed=1.5, burst_s=5.0, now=0.0)
    assert limit.room_bytes(0.0) == 160_000
    taken = 0
    for step in range(1000):
        room = limit.room_bytes(step / 10)
        limit.take(room)
        taken += room
    assert taken == pytest.approx(160_000 + 1.5 * 32_000 * 99.9, rel=0.01)


def test_at_its_own_rate_a_device_never_waits() -> None:
    limit = SpeedLimit(32_000, most_speed=1.05, burst_s=1.0, now=0.0)
    for step in range(1, 2000):
        assert limit.room_bytes(step * 0.5) >= 16_000
        limit.take(16_000)
    assert not limit.floods(1000.0)
    assert limit.speed(1000.0) == pytest.approx(1.0, abs=0.01)


def test_the_wait_is_as_long_as_it_takes() -> None:
    limit = SpeedLimit(32_000, most_speed=1.5, burst_s=1.0, now=0.0)
    limit.take(limit.room_bytes(0.0))
    wait_s = limit.wait_s(3200)
    assert limit.room_bytes(wait_s) == pytest.approx(3200, abs=1)


def test_far_ahead_of_time_is_a_flood() -> None:
    limit = SpeedLimit(32_000, most_speed=1.5, burst_s=5.0, now=0.0)
    limit.take(32_000 * int(5 + FLOOD_S))
    assert not limit.floods(0.0)
    limit.take(32_000)
    assert limit.floods(0.0)
    assert not limit.floods(2.0)


def test_a_byte_a_second_is_silence_and_a_chunk_is_not() -> None:
    progress = Progress(0.0)
    for second in range(100):
        progress.came(1, 32_000, float(second))
    assert progress.at_s == 0.0
    progress.came(3200, 32_000, 100.0)
    assert progress.at_s == 100.0


@pytest.mark.parametrize("speed", [1.5, 2.76, 0.5, 0.0])
def test_a_rate_that_is_wrong_is_doubted_once(speed: float) -> None:
    doubt = RateDoubt(32_000, 0.0)
    said = [doubt.look(round(32_000 * speed * second), float(second)) for second in range(60)]
    assert [value for value in said if value is not None] == [pytest.approx(speed)]
    assert said.index(next(value for value in said if value is not None)) == 20


def test_a_burst_a_stall_and_a_clock_that_is_off_are_no_wrong_rate() -> None:
    doubt = RateDoubt(32_000, 0.0)
    for second in range(120):
        total = 32_000 * (min(second, 40) + max(0, second - 48) + 5) * 1.001
        assert doubt.look(round(total), float(second)) is None
