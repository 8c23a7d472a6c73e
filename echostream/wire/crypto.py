"""AES-256-GCM of one audio packet: `IV (12) || ciphertext || tag (16)`, no associated data.

From `cryptography`: the one AEAD with wheels for every Pi, constant-time on all of them, 3 µs a packet.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from echostream.errors import DecryptError, StateError
from echostream.wire.counted_iv import IV_BYTES, make_iv
from echostream.wire.strict_text import Malformed, decode_base64

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = IV_BYTES + TAG_BYTES
_MAX_KEY_TEXT: Final = 1024


def parse_key(text: str | bytes) -> bytes:
    """The 32 bytes of a key written in base64; white space and missing padding are tolerated.

    Exactly 32 bytes (not str) are the key itself. Raises Malformed (a WireError, reason `bad_key`) that says
    what is wrong and never contains the key.
    """
    if isinstance(text, bytes) and len(text) == KEY_BYTES:
        return text
    if len(text) > _MAX_KEY_TEXT:
        raise Malformed("bad_key", f"key of {len(text)} characters: expected base64 of {KEY_BYTES} bytes")
    problem = ""
    try:
        key = decode_base64(text)
    except Malformed as error:
        problem = str(error)
    if problem:
        raise Malformed("bad_key", f"key: expected base64 of {KEY_BYTES} bytes, but it is {problem}")
    if len(key) != KEY_BYTES:
        raise Malformed("bad_key", f"key: expected base64 of {KEY_BYTES} bytes, but it holds {len(key)}")
    return key


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise StateError(f"key of {len(key)} bytes, expected {KEY_BYTES}")
    return AESGCM(key)


class Sealer:
    """Seals one stream's packets. Owns the promise that an IV never repeats under its key."""

    __slots__ = ("_cipher", "_last_tick", "_prefix")

    def __init__(self, key: bytes, prefix: bytes) -> None:
        """`prefix`: 6 bytes, fresh for every sealer (counted_iv.new_prefix)."""
        make_iv(prefix, 0)
        self._cipher = _cipher(key)
        self._prefix = prefix
        self._last_tick = -1

    def seal(self, tick: int, opus: bytes) -> bytes:
        """IV || ciphertext || tag. Raises StateError for a tick that does not grow or exceeds 48 bits.

        Two packets under one IV would give away both and the authentication key with them, so this is never
        forgiven; a gap between ticks is fine.
        """
        if tick <= self._last_tick:
            raise StateError(f"tick {tick} after {self._last_tick}: an IV must never repeat")
        iv = make_iv(self._prefix, tick)
        self._last_tick = tick
        return iv + self._cipher.encrypt(iv, opus, None)

    def __repr__(self) -> str:
        return f"<Sealer prefix={self._prefix.hex()} last_tick={self._last_tick}>"


class Opener:
    """Opens what anyone with the key sealed. Keeps nothing between packets: safe from several threads."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key)

    def open(self, sealed: bytes) -> tuple[bytes, bytes]:
        """(IV of 12 bytes, Opus packet). Raises DecryptError: too short, wrong key, or changed on the way."""
        if len(sealed) < OVERHEAD_BYTES:
            raise DecryptError(f"{len(sealed)} bytes sealed, at least {OVERHEAD_BYTES} are needed")
        iv = sealed[:IV_BYTES]
        try:
            return iv, self._cipher.decrypt(iv, sealed[IV_BYTES:], None)
        except InvalidTag:
            raise DecryptError("authentication failed: wrong key, or changed on the way") from None

    def __repr__(self) -> str:
        return "<Opener>"
