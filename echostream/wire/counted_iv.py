"""The counted IV: a sequence number inside the 12 bytes that AES-GCM wants unique anyway.

`IV = sender prefix (6 random bytes) || tick (48 bits, big-endian)`. An IV that was changed fails to decrypt,
so the tick is as trustworthy as the audio. Peers that know nothing of it see a unique IV: all they ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from echostream.audio.format import TICK_MS
from echostream.errors import StateError

PREFIX_BYTES: Final = 6
TICK_BYTES: Final = 6
IV_BYTES: Final = PREFIX_BYTES + TICK_BYTES
MAX_TICK: Final = 2 ** (8 * TICK_BYTES) - 1
_LATEST_START: Final = 2**47
"""Start no later than this, so that whatever the clock says 2^47 ticks (89,000 years) remain."""


def make_iv(prefix: bytes, tick: int) -> bytes:
    """12 bytes. Raises StateError for a prefix that is not 6 bytes or a tick beyond 48 bits."""
    if len(prefix) != PREFIX_BYTES:
        raise StateError(f"prefix of {len(prefix)} bytes, expected {PREFIX_BYTES}")
    try:
        return prefix + tick.to_bytes(TICK_BYTES, "big")
    except OverflowError:
        raise StateError(f"tick {tick} is outside 0 to 2^48-1") from None


def split_iv(iv: bytes) -> tuple[bytes, int]:
    """(prefix, tick). Raises StateError when `iv` is not 12 bytes: the opener has checked that."""
    if len(iv) != IV_BYTES:
        raise StateError(f"IV of {len(iv)} bytes, expected {IV_BYTES}")
    return iv[:PREFIX_BYTES], int.from_bytes(iv[PREFIX_BYTES:], "big")


def new_prefix(random_bytes: Callable[[int], bytes]) -> bytes:
    """A prefix for one stream of one UDP session. `random_bytes`: a source fit for keys (os.urandom)."""
    prefix = random_bytes(PREFIX_BYTES)
    if len(prefix) != PREFIX_BYTES:
        raise StateError(f"the random source gave {len(prefix)} bytes for {PREFIX_BYTES}")
    return bytes(prefix)


def first_tick(unix_ms: int) -> int:
    """The tick at which a session starts: Unix time in units of 20 ms.

    A clock that was never set is no error: uniqueness rests on the prefix.
    """
    return min(max(unix_ms // TICK_MS, 0), _LATEST_START)
