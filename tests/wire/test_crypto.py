"""Sealing: the published vectors, keys as people paste them, and every way a packet can be spoilt."""

from __future__ import annotations

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import DecryptError, StateError, WireError
from echostream.wire.counted_iv import MAX_TICK, make_iv
from echostream.wire.crypto import OVERHEAD_BYTES, Opener, Sealer, parse_key
from echostream.wire.strict_text import Malformed

KEY = bytes(range(32))
PREFIX = b"prefix"
TEXT = base64.b64encode(KEY).decode()

# Test cases 13 to 15 of "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega, submitted to NIST:
# the AES-256 ones with a 96-bit IV and no associated data. (key, iv, plain text, ciphertext, tag)
NIST = [
    ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        "00" * 32,
        "00" * 12,
        "00" * 16,
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
        "b094dac5d93471bdec1a502270e3cc6c",
    ),
]


@pytest.mark.parametrize(("key", "iv", "plain", "cipher", "tag"), NIST)
def test_known_answers(key: str, iv: str, plain: str, cipher: str, tag: str) -> None:
    sealed = bytes.fromhex(iv + cipher + tag)
    prefix, tick = bytes.fromhex(iv)[:6], int(iv[12:], 16)
    assert Sealer(bytes.fromhex(key), prefix).seal(tick, bytes.fromhex(plain)) == sealed
    assert Opener(bytes.fromhex(key)).open(sealed) == (bytes.fromhex(iv), bytes.fromhex(plain))


@given(st.binary(min_size=32, max_size=32), st.integers(0, MAX_TICK), st.binary(max_size=1500))
def test_round_trip(key: bytes, tick: int, opus: bytes) -> None:
    sealed = Sealer(key, PREFIX).seal(tick, opus)
    assert len(sealed) == len(opus) + OVERHEAD_BYTES
    assert Opener(key).open(sealed) == (make_iv(PREFIX, tick), opus)


def test_every_truncation_is_refused() -> None:
    sealed = Sealer(KEY, PREFIX).seal(7, b"an opus packet")
    opener = Opener(KEY)
    for size in range(len(sealed)):
        with pytest.raises(DecryptError):
            opener.open(sealed[:size])


def test_rubbish_appended_is_refused() -> None:
    sealed = Sealer(KEY, PREFIX).seal(7, b"an opus packet")
    for rubbish in (b"\0", b"rubbish", bytes(5000)):
        with pytest.raises(DecryptError):
            Opener(KEY).open(sealed + rubbish)


def test_every_flipped_bit_is_refused_in_the_iv_too() -> None:
    sealed = Sealer(KEY, PREFIX).seal(7, b"an opus packet")
    for place in range(len(sealed) * 8):
        spoilt = bytearray(sealed)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(DecryptError):
            Opener(KEY).open(bytes(spoilt))


def test_another_key_is_refused() -> None:
    with pytest.raises(DecryptError, match="wrong key"):
        Opener(bytes(32)).open(Sealer(KEY, PREFIX).seal(1, b"x"))


@pytest.mark.parametrize("second", [5, 4, 0])
def test_tick_that_does_not_grow_is_refused(second: int) -> None:
    sealer = Sealer(KEY, PREFIX)
    sealer.seal(5, b"x")
    with pytest.raises(StateError, match="never repeat"):
        sealer.seal(second, b"y")
    assert len(sealer.seal(6, b"z")) == 1 + OVERHEAD_BYTES


def test_tick_beyond_48_bits_is_refused_and_the_sealer_lives_on() -> None:
    sealer = Sealer(KEY, PREFIX)
    with pytest.raises(StateError):
        sealer.seal(MAX_TICK + 1, b"x")
    sealer.seal(MAX_TICK, b"x")


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_key_of_other_length_is_refused(key: bytes) -> None:
    with pytest.raises(StateError, match="expected 32"):
        Sealer(key, PREFIX)
    with pytest.raises(StateError, match="expected 32"):
        Opener(key)


def test_prefix_of_other_length_is_refused_before_the_first_packet() -> None:
    with pytest.raises(StateError, match="prefix"):
        Sealer(KEY, b"short")


def test_repr_never_shows_the_key() -> None:
    for thing in (Sealer(KEY, PREFIX), Opener(KEY)):
        shown = repr(thing) + str(thing)
        assert TEXT not in shown
        assert KEY.hex() not in shown
        assert str(KEY)[2:-1] not in shown


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.encode(),
        TEXT.rstrip("="),
        f"  {TEXT}\r\n",
        f"{TEXT[:20]}\n{TEXT[20:]}\n",
        f"{TEXT[:10]} \t{TEXT[10:].rstrip('=')}",
        KEY,
    ],
)
def test_key_as_people_paste_it(text: str | bytes) -> None:
    assert parse_key(text) == KEY


@given(st.binary(min_size=32, max_size=32))
def test_any_key_round_trips(key: bytes) -> None:
    assert parse_key(base64.b64encode(key)) == key
    assert parse_key(base64.b64encode(key).decode().rstrip("=")) == key
    assert parse_key(key) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "N/A",
        TEXT[:-4],
        TEXT + TEXT,
        "x" + TEXT,
        TEXT + "=",
        "=" + TEXT,
        TEXT.replace("A", "-", 1),
        TEXT[:-2] + "é=",
        "\ud800" + TEXT,
        KEY + b"\n",
        b"\xff" * 44,
        "A" * 32,
        "A" * 100_000,
    ],
)
def test_what_is_no_key_says_why_and_never_shows_it(text: str | bytes) -> None:
    with pytest.raises(WireError, match="expected base64 of 32 bytes") as caught:
        parse_key(text)
    assert isinstance(caught.value, Malformed)
    assert caught.value.reason == "bad_key"
    everything = "".join(traceback.format_exception(caught.value, chain=True)).replace(__file__, "")
    secret = text if isinstance(text, str) else text.decode("latin-1")
    assert caught.value.__context__ is None
    if len(secret) > 8:
        assert secret[:8] not in everything
        assert secret[-8:] not in everything


def test_every_truncation_of_a_key_is_refused() -> None:
    for size in range(43):
        with pytest.raises(WireError):
            parse_key(TEXT[:size])
