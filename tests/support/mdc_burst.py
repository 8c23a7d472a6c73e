"""MDC1200 bursts for tests: a sender of its own, bit by bit, sharing nothing with the product's reader."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]
SYNC = "0000011100001001001010100100010001101111"
WORD_S = 112 / 1200
SYNC_S = 40 / 1200


def checksum(content: Sequence[int]) -> int:
    """CRC-16/X-25's polynomial, from zero, highest bit first over reversed bytes, reversed and inverted."""
    register = 0
    for byte in content:
        for bit in range(8):
            top = register >> 15 ^ byte >> bit & 1
            register = register << 1 & 0xFFFF
            if top:
                register ^= 0x1021
    return int(f"{register:016b}"[::-1], 2) ^ 0xFFFF


def word_bits(operation: int, argument: int, unit: int) -> list[int]:
    """112 bits in the order in which they are sent."""
    content = [operation, argument, unit >> 8, unit & 0xFF]
    check = checksum(content)
    content += [check & 0xFF, check >> 8, 0]
    data = [byte >> bit & 1 for byte in content for bit in range(8)]
    register = [0] * 7
    parity = []
    for bit in data:
        register = [bit, *register[:6]]
        parity.append((register[0] + register[2] + register[5] + register[6]) % 2)
    return interleaved(data + parity)


def interleaved(bits: Sequence[int]) -> list[int]:
    """Written in rows of 7, sent by columns of 16."""
    return [bits[row * 7 + column] for column in range(7) for row in range(16)]


def burst(
    *words: tuple[int, int, int],
    rate_hz: int = 8000,
    preamble_bits: int = 24,
    level_dbfs: float = -24.0,
    clock_ppm: float = 0.0,
    delay: float = 0.0,
    spoil: Sequence[int] = (),
) -> Sound:
    """A burst of words (operation, argument, unit): 1200 Hz where a bit is as the one before, else 1800 Hz.

    delay: part of a sample by which it comes later. spoil: bits of the words that are sent wrong.
    """
    data = [bit for word in words for bit in word_bits(*word)]
    for at in spoil:
        data[at] ^= 1
    bits = [n % 2 for n in range(preamble_bits)] + [int(bit) for bit in SYNC] + data
    half_cycles = [3] + [3 if here != before else 2 for before, here in itertools.pairwise(bits)]
    per_sample = 1200 * (1 + clock_ppm * 1e-6) / rate_hz
    bit_time = (np.arange(int(len(bits) / per_sample)) + delay) * per_sample
    which = np.minimum(bit_time.astype(int), len(bits) - 1)
    begun = np.concatenate(([0], np.cumsum(half_cycles)))
    phase = np.pi * (begun[which] + np.asarray(half_cycles)[which] * (bit_time - which))
    sound: Sound = np.sqrt(2) * 10 ** (level_dbfs / 20) * np.sin(phase)
    return sound
