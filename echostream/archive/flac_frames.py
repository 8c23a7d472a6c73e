"""Frames and header of FLAC (RFC 9639), read without decoding: where a frame ends, and how much it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"fLaC"
INFO_AT: Final = 8
"""Offset of STREAMINFO's 34 bytes: it is always the first block."""
INFO_BYTES: Final = 34
COUNT_AT: Final = INFO_AT + 13
BLOCK_SAMPLES: Final = 4096
_FRAME_SYNC: Final = b"\xff\xf8"
"""Frames of one length, which are numbered; the last one may be shorter."""
_LONGEST_HEAD: Final = 16
_LAST_BLOCK: Final = 0x80


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial) & mask if value & top else value << 1
        table.append(value)
    return tuple(table)


_CRC8: Final = _table(0x07, 8)
_CRC16: Final = _table(0x8005, 16)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the header says. samples: 0 when it is not known (yet). audio: offset of the first frame."""

    rate_hz: int
    channels: int
    bits: int
    block_samples: int
    samples: int
    audio: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Samples `number` * block size to that + `samples`."""

    offset: int
    number: int
    samples: int


def read_head(data: bytes) -> StreamInfo:
    """From the first bytes of a file, with all blocks of metadata. ValueError for what is no FLAC."""
    if data[:4] != MAGIC or len(data) < INFO_AT + INFO_BYTES or data[4] & 0x7F or data[5:8] != b"\0\0\x22":
        raise ValueError("expected a FLAC's header")
    at, last = 4, False
    while not last:
        if at + 4 > len(data):
            raise ValueError("the header is cut off")
        last = bool(data[at] & _LAST_BLOCK)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    if at > len(data):
        raise ValueError("the header is cut off")
    info = data[INFO_AT : INFO_AT + INFO_BYTES]
    packed = int.from_bytes(info[10:18], "big")  # 20 bits rate, 3 channels - 1, 5 bits - 1, 36 samples
    return StreamInfo(
        rate_hz=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        block_samples=int.from_bytes(info[2:4], "big"),
        samples=packed & (1 << 36) - 1,
        audio=at,
    )


def with_samples(info: bytes, samples: int) -> bytes:
    """STREAMINFO's 34 bytes with another count; frame sizes and MD5 become "not known", which is 0."""
    packed = int.from_bytes(info[10:18], "big") >> 36 << 36 | samples
    return info[:4] + bytes(6) + packed.to_bytes(8, "big") + bytes(16)


def sample_count(samples: int) -> bytes:
    """What stands at COUNT_AT of a file of 16 bits: the last 4 of them, less 1, and 36 bits of count."""
    return (0xF << 36 | samples).to_bytes(5, "big")


def empty_file(rate_hz: int) -> bytes:
    """A whole file of no samples, mono, 16 bits."""
    block = BLOCK_SAMPLES.to_bytes(2, "big")
    packed = (rate_hz << 44 | 15 << 36).to_bytes(8, "big")
    return MAGIC + b"\x80\0\0\x22" + block + block + bytes(6) + packed + bytes(16)


def read_frame(data: bytes, offset: int) -> Frame | None:
    """The frame whose header begins here; None when none does."""
    head = data[offset : offset + _LONGEST_HEAD]
    if len(head) < 6 or head[:2] != _FRAME_SYNC or head[3] & 1:
        return None
    number, at = _coded_number(head)
    if number is None:
        return None
    code, rate = head[2] >> 4, head[2] & 15
    extra = {6: 1, 7: 2}.get(code, 0)
    samples = _block_samples(code, head[at : at + extra])
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if samples == 0 or rate == 15 or at >= len(head):
        return None
    crc = 0
    for byte in head[:at]:
        crc = _CRC8[crc ^ byte]
    return Frame(offset, number, samples) if crc == head[at] else None


def _coded_number(head: bytes) -> tuple[int | None, int]:
    """(frame number, offset behind it): as in UTF-8, up to six bytes."""
    first = head[4]
    if first < 0x80:
        return first, 5
    more = next((more for more in range(1, 6) if first >> (6 - more) == (1 << more + 2) - 2), 0)
    rest = head[5 : 5 + more]
    if not more or len(rest) < more or any(byte >> 6 != 2 for byte in rest):
        return None, 5
    number = first & (1 << 6 - more) - 1
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, 5 + more


def _block_samples(code: int, extra: bytes) -> int:
    """Samples of a block from its code (RFC 9639 table 14); 0: not allowed."""
    if code in (6, 7):
        return int.from_bytes(extra, "big") + 1
    if code == 1:
        return 192
    return 576 << code - 2 if 2 <= code <= 5 else 256 << code - 8 if code >= 8 else 0


def frame_end(data: bytes, frame: Frame, ends: list[int]) -> int | None:
    """The first of the offsets `ends` at which the frame is whole by its CRC-16; None: at none."""
    crc, at = 0, frame.offset
    table = _CRC16
    for end in ends:
        for byte in data[at:end]:
            crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ byte]
        at = end
        if crc == 0:  # of a frame with its own CRC behind it
            return end
    return None


def frame_starts(data: bytes, begin: int) -> list[Frame]:
    """All places from `begin` on that look like a frame's header; a few of them may be none."""
    found = []
    at = data.find(_FRAME_SYNC, begin)
    while at >= 0:
        frame = read_frame(data, at)
        if frame is not None:
            found.append(frame)
        at = data.find(_FRAME_SYNC, at + 1)
    return found
