"""docs/protocol.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from echostream.wire import (
    esp32_hello,
    esp32_order,
    esp32_stream,
    packet_v1,
    replay_guard,
    signalling_v1,
    strict_text,
)
from echostream.wire.counted_iv import make_iv

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def test_every_reason_for_refusal_is_documented() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "echostream" / "wire").glob("*.py"))
    reasons = set(re.findall(r'Malformed\(\s*"(\w+)"', sources))
    assert len(reasons) > 20
    assert {reason for reason in reasons if f"`{reason}`" not in TEXT} == set()


def test_limits_are_the_codes() -> None:
    assert f"| datagram | {packet_v1.MAX_DATAGRAM} bytes |" in TEXT
    assert f"cut to {signalling_v1.MAX_MEMBERS} |" in TEXT
    assert f"| nesting | {strict_text.MAX_DEPTH} levels |" in TEXT
    assert f"| integers, other numbers | {strict_text.MAX_DIGITS} and {strict_text.MAX_REAL} char" in TEXT
    assert f"| `channel_id`, `type` | 1 to {strict_text.MAX_TEXT} characters |" in TEXT
    assert f"Memory: {replay_guard.MAX_PREFIXES} prefixes" in TEXT
    assert f"live on {replay_guard.MAX_CHANNELS} channels" in TEXT
    assert f"({replay_guard.WINDOW_TICKS} ticks below" in TEXT


def test_the_example_datagram_is_what_we_write() -> None:
    sealed = make_iv(b"prefix", 85_000_000_000) + bytes(20)
    written = packet_v1.encode_audio("42", sealed).decode()
    example = next(line for line in TEXT.splitlines() if line.startswith('{"channel_id":"42","type"'))
    assert written.startswith(example.split("...")[0])
    assert packet_v1.KEEP_ALIVE.decode() in TEXT.splitlines()


def test_what_is_said_of_microphones_is_the_codes() -> None:
    assert f"is {esp32_hello.MAX_HELLO_BYTES} bytes long at most" in TEXT
    assert f"| `token` | its secret, at most {esp32_hello.MAX_TOKEN} characters" in TEXT
    rates = esp32_hello.RATES_HZ
    assert f"| `rate` | samples per second, {rates.start} to {rates.stop - 1};" in TEXT
    wait_ms = round(1000 * esp32_order.WAIT_S)
    assert f"for {wait_ms} ms, in company of {esp32_order.MOST_HELD} at most" in TEXT
    assert f"After {esp32_order.LATE_IN_A_ROW} old numbers in a row" in TEXT
    assert esp32_order.MOST_LOST_S == 60
    assert f"A header of {esp32_stream.HEADER_BYTES} bytes" in TEXT
    line = next(line for line in TEXT.splitlines() if line.startswith('{"hello"'))
    assert esp32_hello.parse_hello(line.encode()).device == "porch"
