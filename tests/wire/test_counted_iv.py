"""The counted IV: bounds, clocks that lie, sources that start over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import StateError
from echostream.wire.counted_iv import MAX_TICK, first_tick, make_iv, new_prefix, split_iv

PREFIX = b"\x01\x02\x03\x04\x05\x06"


def test_layout_is_prefix_then_big_endian_tick() -> None:
    assert make_iv(PREFIX, 0x0A0B0C0D0E0F) == bytes.fromhex("0102030405060a0b0c0d0e0f")


@given(st.binary(min_size=6, max_size=6), st.integers(0, MAX_TICK))
def test_round_trip(prefix: bytes, tick: int) -> None:
    assert split_iv(make_iv(prefix, tick)) == (prefix, tick)


@pytest.mark.parametrize("tick", [-1, MAX_TICK + 1, 2**64])
def test_tick_beyond_48_bits_is_refused(tick: int) -> None:
    with pytest.raises(StateError, match="2\\^48"):
        make_iv(PREFIX, tick)


@pytest.mark.parametrize("prefix", [b"", b"12345", b"1234567"])
def test_prefix_of_other_length_is_refused(prefix: bytes) -> None:
    with pytest.raises(StateError, match="prefix"):
        make_iv(prefix, 0)


@pytest.mark.parametrize("size", [0, 11, 13])
def test_iv_of_other_length_is_refused(size: int) -> None:
    with pytest.raises(StateError, match="IV"):
        split_iv(bytes(size))


def test_new_prefix_takes_six_bytes_of_the_given_source() -> None:
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return b"abcdef"

    assert new_prefix(source) == b"abcdef"
    assert asked == [6]


def test_random_source_that_runs_dry_is_an_error_not_a_short_prefix() -> None:
    with pytest.raises(StateError, match="random source"):
        new_prefix(lambda count: bytes(count - 1))


def test_first_tick_is_unix_time_in_20_ms() -> None:
    assert first_tick(1_700_000_000_019) == 85_000_000_000


@given(st.integers())
def test_any_clock_gives_a_first_tick_with_years_to_go(unix_ms: int) -> None:
    assert 0 <= first_tick(unix_ms) <= MAX_TICK // 2 + 1
