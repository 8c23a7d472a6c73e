"""The words of MDC1200: 112 bits on the air that say operation, argument and unit, and guard themselves.

A word is 4 bytes (operation, argument, unit id high, low), a CRC-16 of them (polynomial 0x1021 reflected,
from 0, inverted, low byte first) and a zero byte: 56 bits, the lowest of each byte first. 56 check bits
follow, each the sum of the present bit and those 2, 5 and 6 bits ago: a systematic convolutional code of
rate 1/2 and constraint length 7, which the zero byte brings back to rest. The 112 bits leave as the
columns of 16 rows of 7.

Sources, agreeing with each other: the batlabs forum's "MDC decoding" (thread 36459: 16 x 7, byte order,
and words taken off the air, which the tests hold and which confirm CRC and check bits); the public
programs of Kaufman and of OneOfEleven (taps, double packets, operations); the MDC-1200 page of the
PortaPack Mayhem wiki (operations, CRC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Bits = NDArray[np.uint8]

WORD_BITS: Final = 112
_BITS: Final = WORD_BITS // 2
_PAYLOAD_BITS: Final = 48
_ROWS: Final = 16
_COLUMNS: Final = WORD_BITS // _ROWS
_TAPS: Final = (0, 2, 5, 6)
"""How many bits ago the bits were whose sum is a check bit."""
_MEMORY: Final = 6
_STATES: Final = 1 << _MEMORY
_NEVER: Final = -1e9
DOUBLE: Final = frozenset((0x35, 0x55))
"""Operations whose first word is followed by a second one."""


@dataclass(frozen=True, slots=True)
class Word:
    """What one word says. wrong_bits: of the 112 as received, how many the code corrected."""

    operation: int
    argument: int
    unit: int
    wrong_bits: int


_ORDER: Final = np.arange(WORD_BITS) % _COLUMNS * _ROWS + np.arange(WORD_BITS) // _COLUMNS
"""On the air, bit _ORDER[n] is bit n of the word."""


def check_bits(bits: Bits) -> Bits:
    """The convolutional code's sums: shape (56,) to shape (56,), 0 and 1."""
    padded = np.concatenate((np.zeros(_MEMORY, np.uint8), bits))
    total = np.zeros_like(bits)
    for ago in _TAPS:
        total ^= padded[_MEMORY - ago : padded.size - ago]
    return total


def crc(content: bytes) -> int:
    """CRC-16 as MDC1200 has it: 0x1021 reflected, from 0, inverted at the end."""
    register = 0
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return register ^ 0xFFFF


def read_word(soft: Float) -> Word | None:
    """The word in 112 soft bits as they came (shape (112,); sign: 1 is positive; size: how sure).

    The most likely code word is looked for first; None where its CRC is wrong.
    """
    in_order = soft[_ORDER]
    bits = _most_likely(in_order[:_BITS], in_order[_BITS:])
    content = np.packbits(bits, bitorder="little").tobytes()
    if crc(content[:4]) != int.from_bytes(content[4:6], "little"):
        return None
    sent = np.concatenate((bits, check_bits(bits)))
    wrong = int(np.count_nonzero((in_order > 0) != sent))
    return Word(content[0], content[1], int.from_bytes(content[2:4], "big"), wrong)


def _paths() -> tuple[NDArray[np.intp], Float]:
    """For each state: the two it may come from, and the sign of the check bit on either way.

    A state is the last six bits, the latest one lowest; so the bit that led to a state is its lowest.
    """
    state = np.arange(_STATES)
    before = np.stack((state >> 1, state >> 1 | _STATES >> 1))
    check = np.zeros_like(before)
    for ago in _TAPS:
        check ^= (state & 1) if ago == 0 else before >> (ago - 1) & 1
    return before, 2.0 * check - 1.0


_BEFORE, _CHECK_SIGN = _paths()
_BIT_SIGN: Final = 2.0 * (np.arange(_STATES) & 1) - 1.0


def _most_likely(soft: Float, check: Float) -> Bits:
    """Viterbi's search through the 64 states; the last eight bits are known to be 0."""
    score = np.full(_STATES, _NEVER)
    score[0] = 0.0
    choices = np.zeros((_BITS, _STATES), np.intp)
    every = np.arange(_STATES)
    for at in range(_BITS):
        ways = score[_BEFORE] + _CHECK_SIGN * check[at]
        choice = ways.argmax(axis=0)
        choices[at] = _BEFORE[choice, every]
        score = ways[choice, every] + _BIT_SIGN * soft[at]
        if at >= _PAYLOAD_BITS:
            score[1::2] = _NEVER
    state = 0
    bits = np.zeros(_BITS, np.uint8)
    for at in range(_BITS - 1, -1, -1):
        bits[at] = state & 1
        state = int(choices[at, state])
    return bits


_MEANINGS: Final[dict[int, str]] = {
    0x00: "emergency",
    0x01: "ptt_id",
    0x06: "status_response",
    0x07: "message",
    0x11: "remote_monitor",
    0x20: "emergency_ack",
    0x22: "status_request",
    0x23: "ack",
    0x30: "radio_check_ack",
    0x46: "status",
    0x47: "message",
    0x55: "selective_call",
    0x63: "radio_check",
}
_CALLS: Final[dict[int, str]] = {
    0x80: "selective_call",
    0x82: "selective_call",
    0x81: "call_alert",
    0x83: "call_alert",
    0xA0: "call_alert_ack",
}
"""Operation 0x35, by the operation in its second word."""


def meaning(word: Word, second: Word | None = None) -> str:
    """What it is about, in a word of our own ("ptt_id", "emergency", ...); "" for what nobody published."""
    if word.operation == 0x35:
        return _CALLS.get(second.operation, "call") if second else "call"
    if word.operation == 0x2B:
        return "enable" if word.argument == 0x0C else "disable" if word.argument == 0 else ""
    if word.operation == 0x01 and word.argument == 0:
        return "post_id"
    return _MEANINGS.get(word.operation, "")


def describe(word: Word, second: Word | None = None) -> str:
    """One line, numbers in hex: `op=01 arg=80 ptt_id`, `op=35 arg=89 op2=83 arg2=0d from=1234 call_alert`."""
    parts = [f"op={word.operation:02x} arg={word.argument:02x}"]
    if second:
        parts.append(f"op2={second.operation:02x} arg2={second.argument:02x} from={second.unit:04x}")
    parts.append(meaning(word, second))
    return " ".join(part for part in parts if part)
