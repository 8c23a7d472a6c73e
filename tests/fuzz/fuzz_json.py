"""JSON with structure: mostly right messages with one thing wrong, written by many hands."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence, Set
from random import Random

from fuzz_mutate import Generator, below, pick

from echostream.wire.strict_text import Malformed

_B64 = base64.b64encode(bytes(range(80))).decode()

VALUES: tuple[str, ...] = (
    "null", "true", "false", "0", "-1", "1", "42", "65535", "65536", "1.5", "1e3", "1e308", "1e999", "-0",
    "NaN", "Infinity", "-Infinity", "9" * 20, "9" * 21, "9" * 400, "0." + "3" * 70, "01", "+1", ".5", "0x10",
    '""', '" "', '"x"', '"N/A"', '"51234"', '"\\u0000"', '"\\ud83d\\ude92"', '"\\ud800"', '"\\udc00x"',
    '"\\\\ud800"', '"\\q"', '"\x01"', '"\x1b[2J"', '"ü"', '"\u202e"', '"a\nb"', '"\ud800"',
    f'"{"y" * 256}"', f'"{"y" * 257}"', "[]", "{}", "[[]]", '[{"a":1}]', '{"a":{"a":{"a":1}}}',
    '{"a":1,"a":2}', "[" * 40 + "]" * 40, "[" * 2000, '{"a":' * 33 + "1" + "}" * 33, "[1,]", '{"a"}', "",
    f'"{_B64}"', f'"{_B64[:-2]}"', f'"{_B64[:30]}\\n{_B64[30:]}"', '"===="', '"AA=A"', '"-_-_"', '"é="',
    "'x'", '"AAAA"', '["x"]', '[null]', '{"connected":[]}', '{"connected":5}',
)  # fmt: skip
"""What a stranger may write where anything is expected."""

TOKENS: tuple[bytes, ...] = (
    *(value.encode("utf-8", "surrogatepass") for value in VALUES if len(value) < 100),
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0",
    b'"type":"KEEP_ALIVE"', b'"type":"audio"', b'"channel_id":', b'"data":"', b'"udp_port":0', b'"connect":{',
)  # fmt: skip
"""Pieces that hurt when they turn up in the middle."""

_TEXT_REASONS = frozenset(
    {
        "too_long",
        "not_utf8",
        "not_json",
        "not_object",
        "duplicate_key",
        "bad_number",
        "too_deep",
        "lone_surrogate",
    }
)
_SPACES = ("", "", "", " ", "\n", "\r\n  ", "\t")


def reasons_known(parse: Callable[[bytes], bool], reasons: Set[str]) -> Callable[[bytes], bool]:
    """`parse`, with a check on its refusals: they are counted by reason, so one nobody knows is a finding."""
    known = _TEXT_REASONS | reasons

    def run(data: bytes) -> bool:
        try:
            return parse(data)
        except Malformed as error:
            refusal = error
        assert refusal.reason in known, refusal.reason
        raise refusal

    return run


def write(rng: Random, pairs: Sequence[tuple[str, str]]) -> str:
    """An object of keys and values already written, with the spacing of some writer."""
    gap = pick(rng, _SPACES)
    inside = ("," + gap).join(f'"{key}":{gap}{value}' for key, value in pairs)
    return f"{{{gap}{inside}{gap}}}"


def object_of(rng: Random, fields: Mapping[str, Sequence[str]], wrong: float) -> str:
    """An object with these keys, each with one of its right values; with probability `wrong` another value, a
    key left out, twice, or more of them; in any order."""
    pairs: list[tuple[str, str]] = []
    for key, right in fields.items():
        if rng.random() >= wrong:
            pairs.append((key, pick(rng, right)))
        elif rng.random() < 0.7:
            pairs.append((key, pick(rng, VALUES)))
    if rng.random() < wrong:
        pairs.append((pick(rng, (*fields, "x", "\\u0061", "seq")), pick(rng, VALUES)))
    if rng.random() < 0.5:
        rng.shuffle(pairs)
    return write(rng, pairs)


def any_json(rng: Random, keys: Sequence[str], depth: int = 3) -> str:
    """A value of no particular shape under keys that mean something."""
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return pick(rng, VALUES)
    if kind < 0.6:
        return "[" + ",".join(any_json(rng, keys, depth - 1) for _ in range(below(rng, 4))) + "]"
    return write(rng, [(pick(rng, keys), any_json(rng, keys, depth - 1)) for _ in range(below(rng, 4))])


def shapeless(keys: Sequence[str]) -> Generator:
    """A generator of objects without sense under keys that have one."""

    def generate(rng: Random) -> bytes:
        pairs = [(pick(rng, keys), any_json(rng, keys)) for _ in range(1 + below(rng, 3))]
        return write(rng, pairs).encode("utf-8", "surrogatepass")

    return generate


def quoted(*texts: str) -> tuple[str, ...]:
    """Strings as JSON writes them, with and without \\u escapes."""
    return tuple(json.dumps(text, ensure_ascii=plain) for text in texts for plain in (True, False))
