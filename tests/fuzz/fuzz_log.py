"""Fuzz of the event log's lines, as a power cut, a stranger's editor or another version leaves them."""

from __future__ import annotations

import io
from random import Random

from fuzz_json import TOKENS, object_of, quoted, shapeless
from fuzz_mutate import Generator, below, blend, mutator, rubbish

from echostream.event_log.backwards import lines_backwards
from echostream.event_log.lines import MOST_BYTES, Logged, decode, encode
from echostream.event_tools.listing import printable
from echostream.notices.notice import Notice, Weight

_PAGE = Notice(
    "page", 1_795_262_400_000_000, "Engine 7", "fire", "engine-7", Weight.ALARM, data={"measured_a_hz": 349.2}
)
_ACT = Notice("admin", 0, "deleted", who="cli:anna", before={"protected": True}, after=[1, None, 2.5])
_SEEDS = tuple(encode(Logged(number, "station-7", one)) for number, one in ((1, _PAGE), (2**40, _ACT)))
_FIELDS: dict[str, tuple[str, ...]] = {
    "n": ("1", "9223372036854775807"),
    "kind": quoted("page", "admin"),
    "at_us": ("0", "1795262400000000"),
    "weight": ("0", "2"),
    "id": quoted("1"),
    "text": quoted("x", "\u202e\x07"),
    "who": quoted("cli:anna"),
    "channel_id": quoted("fire"),
    "subject": quoted("s"),
    "gateway": quoted("g"),
    "data": ('{"a":1e999}', "{}"),
    "before": ("null", '{"a":[]}'),
}


def _lines(rng: Random) -> bytes:
    return object_of(rng, _FIELDS, 0.03).encode("utf-8", "surrogatepass")


generate_line: Generator = blend(
    (4, mutator(_SEEDS, TOKENS)), (4, _lines), (1, shapeless(tuple(_FIELDS))), (1, rubbish(300))
)


def run_line(data: bytes) -> bool:
    """What is read is written again, and read as the same; it fits, and steers no terminal."""
    logged = decode(data)
    line = encode(logged)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= MOST_BYTES
    assert encode(decode(line)) == line
    assert printable(logged.notice.text).isprintable()
    return True


def generate_file(rng: Random) -> bytes:
    """Lines, and now and then one that is longer than a block."""
    longest = [90_000 if rng.random() < 0.1 else 40 for _ in range(1 + below(rng, 12))]
    return b"\n".join(b"x" * below(rng, most) for most in longest)


def run_file(data: bytes) -> bool:
    """From the end it is the same as from the beginning."""
    assert list(lines_backwards(io.BytesIO(data))) == data.split(b"\n")[-2::-1]
    return True
