"""Blind mutation of bytes: what a broken or hostile peer does to something that was right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
Generator = Callable[[Random], bytes]


def below(rng: Random, bound: int) -> int:
    """0 to bound-1, as fast as `random` gives it; 0 when bound is 0."""
    return int(rng.random() * bound)


def pick(rng: Random, choices: Sequence[T]) -> T:
    """One of them."""
    return choices[int(rng.random() * len(choices))]


def mutate(rng: Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """One to several changes, each of a random kind; may come out unchanged."""
    out = bytearray(data)
    while True:
        pick(rng, _OPERATIONS)(rng, out, tokens)
        if rng.random() < 0.5:
            return bytes(out)


def mutator(seeds: Sequence[bytes], tokens: Sequence[bytes]) -> Generator:
    """A generator that mutates one of the seeds."""
    return lambda rng: mutate(rng, pick(rng, seeds), tokens)


def blend(*weighted: tuple[float, Generator]) -> Generator:
    """A generator that asks one of several, by weight."""
    total = sum(weight for weight, _ in weighted)
    steps: list[tuple[float, Generator]] = []
    reached = 0.0
    for weight, generate in weighted:
        reached += weight / total
        steps.append((reached, generate))

    def generate_one(rng: Random) -> bytes:
        at = rng.random()
        for step, generate in steps:
            if at < step:
                return generate(rng)
        return steps[-1][1](rng)

    return generate_one


def rubbish(longest: int) -> Generator:
    """Random bytes, mostly short."""
    return lambda rng: rng.randbytes(below(rng, int(longest * rng.random() ** 3) + 2))


def _flip(rng: Random, out: bytearray, _tokens: Sequence[bytes]) -> None:
    if out:
        out[below(rng, len(out))] ^= 1 << below(rng, 8)


def _overwrite(rng: Random, out: bytearray, _tokens: Sequence[bytes]) -> None:
    if out:
        out[below(rng, len(out))] = below(rng, 256)


def _truncate(rng: Random, out: bytearray, _tokens: Sequence[bytes]) -> None:
    del out[below(rng, len(out) + 1) :]


def _cut(rng: Random, out: bytearray, _tokens: Sequence[bytes]) -> None:
    start = below(rng, len(out) + 1)
    del out[start : start + 1 + below(rng, 8)]


def _repeat(rng: Random, out: bytearray, _tokens: Sequence[bytes]) -> None:
    start = below(rng, len(out) + 1)
    piece = out[start : start + 1 + below(rng, 16)]
    out[start:start] = piece * (1 + below(rng, 3))


def _insert(rng: Random, out: bytearray, tokens: Sequence[bytes]) -> None:
    start = below(rng, len(out) + 1)
    out[start:start] = pick(rng, tokens)


def _replace(rng: Random, out: bytearray, tokens: Sequence[bytes]) -> None:
    start = below(rng, len(out) + 1)
    token = pick(rng, tokens)
    out[start : start + len(token)] = token


def _append(rng: Random, out: bytearray, tokens: Sequence[bytes]) -> None:
    out += pick(rng, tokens) if rng.random() < 0.5 else rng.randbytes(1 + below(rng, 8))


_OPERATIONS = (_flip, _overwrite, _truncate, _cut, _repeat, _insert, _replace, _append)
