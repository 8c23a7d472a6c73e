"""Fuzz of what one datagram is made of: the JSON, the sealed packet in it, and the key."""

from __future__ import annotations

import base64
from random import Random

from fuzz_json import TOKENS, object_of, quoted, reasons_known, shapeless
from fuzz_mutate import below, blend, mutate, mutator, pick, rubbish

from echostream.wire.crypto import OVERHEAD_BYTES, Opener, Sealer, parse_key
from echostream.wire.packet_v1 import KEEP_ALIVE, AudioDatagram, encode_audio, parse_datagram
from echostream.wire.strict_text import Malformed

_RNG = Random("seeds")
_KEY = _RNG.randbytes(32)
_KEY_TEXT = base64.b64encode(_KEY).decode()
_SEALER = Sealer(_KEY, b"seeds!")
_SEALED = [_SEALER.seal(85_000_000_000 + n, _RNG.randbytes(1 + n * 7)) for n in range(48)]
_GENUINE = frozenset(_SEALED)
_OPENER = Opener(_KEY)

# Datagrams


def _run_datagram(data: bytes) -> bool:
    datagram = parse_datagram(data)
    if isinstance(datagram, AudioDatagram):
        assert len(datagram.sealed) > OVERHEAD_BYTES
        assert 0 < len(datagram.channel_id) <= 256
        # Escapes can make the channel id six times as long on the way out.
        if len(data) < 1200:
            assert parse_datagram(encode_audio(datagram.channel_id, datagram.sealed)) == datagram
    return True


def _b64_by_another_hand(sealed: bytes) -> str:
    text = base64.b64encode(sealed).decode()
    return "\\n".join(text[at : at + 76] for at in range(0, len(text), 76)).rstrip("=")


def _b64_plain(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode()


_DATA = tuple(f'"{write(sealed)}"' for sealed in _SEALED for write in (_b64_plain, _b64_by_another_hand))
_DATAGRAM_FIELDS = {
    "channel_id": (*quoted("42", "Zentrale Süd", "x" * 256, "🚒"), "42", "-7"),
    "type": quoted("audio", "audio", "audio", "KEEP_ALIVE", "video"),
    "data": _DATA,
}
_DATAGRAM_SEEDS = [encode_audio(channel, sealed) for channel in ("42", "ü") for sealed in _SEALED] + [
    KEEP_ALIVE
] * 8


def _structured_datagram(rng: Random) -> bytes:
    return object_of(rng, _DATAGRAM_FIELDS, 0.15).encode("utf-8", "surrogatepass")


run_datagram = reasons_known(
    _run_datagram, {"no_type", "bad_type", "no_channel", "bad_channel", "no_data", "bad_base64", "too_short"}
)
generate_datagram = blend(
    (4, mutator(_DATAGRAM_SEEDS, TOKENS)),
    (5, _structured_datagram),
    (0.5, shapeless(("channel_id", "type", "data", "x"))),
    (0.5, rubbish(9000)),
)


# Keys


def run_key(data: bytes) -> bool:
    for text in (data, data.decode("latin-1")):
        try:
            key = parse_key(text)
        except Malformed as error:
            refusal = error
        else:
            assert len(key) == 32
            assert parse_key(base64.b64encode(key)) == key
            continue
        assert refusal.reason == "bad_key"
        assert _KEY_TEXT[:12] not in str(refusal)
        assert _KEY_TEXT[-12:] not in str(refusal)
        if text is not data:
            raise refusal
    return True


_KEY_TOKENS = (
    b"=",
    b"==",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"-",
    b"_",
    b"+",
    b"/",
    b"\0",
    b"\xff",
    b"N/A",
    b"A",
    b"AAAA",
)


def _structured_key(rng: Random) -> bytes:
    size = pick(rng, (32, 32, 32, 32, 31, 33, 16, 0))
    text = base64.b64encode(rng.randbytes(size))
    if rng.random() < 0.5:
        text = text.rstrip(b"=")
    at = below(rng, len(text) + 1)
    return text[:at] + pick(rng, (b"", b"", b"\n", b" \r\n", b"=", b"-")) + text[at:]


generate_key = blend(
    (4, mutator([_KEY_TEXT.encode(), _KEY_TEXT.rstrip("=").encode(), _KEY], _KEY_TOKENS)),
    (5, _structured_key),
    (1, rubbish(1500)),
)


# Sealed packets


def run_opener(data: bytes) -> bool:
    iv, _ = _OPENER.open(data)
    assert data in _GENUINE, "a packet that nobody sealed was opened"
    assert len(iv) == 12
    return True


def _structured_sealed(rng: Random) -> bytes:
    """Parts of genuine packets put together: another's IV, another's tag, all zero, none."""
    one, other = pick(rng, _SEALED), pick(rng, _SEALED)
    iv = pick(rng, (one[:12], other[:12], bytes(12), b""))
    tag = pick(rng, (one[-16:], other[-16:], bytes(16), b""))
    return iv + one[12:-16] + tag


def _near_miss(rng: Random) -> bytes:
    return mutate(rng, pick(rng, _SEALED), (bytes(1), bytes(16), b"\xff"))


generate_sealed = blend(
    (5, _near_miss),
    (3, _structured_sealed),
    (1, rubbish(400)),
    (0.5, lambda rng: pick(rng, _SEALED)),
)
