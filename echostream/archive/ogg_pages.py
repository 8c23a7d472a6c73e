"""Pages of the Ogg container (RFC 3533) with Opus in them (RFC 7845): made, and read without trust."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

CAPTURE: Final = b"OggS"
FIRST: Final = 2
LAST: Final = 4
GRANULE_HZ: Final = 48_000
"""An Opus stream counts samples at this rate, whatever it was encoded at."""
FLAGS_AT: Final = 5
"""Offset of a page's flags."""
_HEAD: Final = struct.Struct("<4sBBqIIIB")
_HEAD_BYTES: Final = _HEAD.size
_MOST_SEGMENTS: Final = 255
_LACE: Final = 255
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_OPUS_HEAD: Final = struct.Struct("<8sBBHIhB")


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it stands in a file. granule: samples at 48 kHz up to its end, pre-skip included; -1: none.

    body: offset of its packets. end: offset behind it.
    """

    offset: int
    end: int
    flags: int
    granule: int
    serial: int
    sequence: int
    body: int


@dataclass(frozen=True, slots=True)
class OpusHead:
    """What a player has to know. pre_skip: samples at 48 kHz to drop first. rate_hz: of the original."""

    channels: int
    pre_skip: int
    rate_hz: int


def crc(data: bytes) -> int:
    """RFC 3533: polynomial 0x04c11db7, highest bit first, begins with 0.

    That is zlib's CRC seen in a mirror: bits of each byte and of the result reversed.
    """
    mirrored = zlib.crc32(data.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


def make_page(packets: list[bytes], serial: int, sequence: int, granule: int, flags: int = 0) -> bytes:
    """One page of whole packets. ValueError when they are too many for one: 255 segments of 255 bytes."""
    laces = b"".join(b"\xff" * (len(packet) // _LACE) + bytes([len(packet) % _LACE]) for packet in packets)
    if len(laces) > _MOST_SEGMENTS:
        raise ValueError(f"an Ogg page of {len(laces)} segments: expected at most {_MOST_SEGMENTS}")
    head = _HEAD.pack(CAPTURE, 0, flags, granule, serial, sequence, 0, len(laces))
    return with_crc(head + laces + b"".join(packets))


def with_crc(page: bytes) -> bytes:
    """A page with its checksum put right."""
    bare = page[:22] + b"\0\0\0\0" + page[26:]
    return page[:22] + crc(bare).to_bytes(4, "little") + page[26:]


def with_flags(page: bytes, flags: int) -> bytes:
    """A page with other flags."""
    return with_crc(page[:5] + bytes([flags]) + page[6:])


def read_page(data: bytes, offset: int) -> Page | None:
    """The page that begins here; None when none does, or it is cut off or damaged."""
    if len(data) - offset < _HEAD_BYTES:
        return None
    mark, version, flags, granule, serial, sequence, _, segments = _HEAD.unpack_from(data, offset)
    body = offset + _HEAD_BYTES + segments
    if mark != CAPTURE or version != 0 or body > len(data):
        return None
    end = body + sum(data[offset + _HEAD_BYTES : body])
    if end > len(data) or with_crc(data[offset:end]) != data[offset:end]:
        return None
    return Page(offset, end, flags, granule, serial, sequence, body)


def opus_head(head: OpusHead) -> bytes:
    """The packet of the first page (RFC 7845 section 5.1)."""
    return _OPUS_HEAD.pack(b"OpusHead", 1, head.channels, head.pre_skip, head.rate_hz, 0, 0)


def read_opus_head(packet: bytes) -> OpusHead:
    """ValueError for what is none, or of a version that nobody knows."""
    if len(packet) < _OPUS_HEAD.size:
        raise ValueError(f"an OpusHead of {len(packet)} bytes: expected at least {_OPUS_HEAD.size}")
    magic, version, channels, pre_skip, rate_hz, _, _ = _OPUS_HEAD.unpack_from(packet)
    if magic != b"OpusHead" or version >> 4 or not channels:
        raise ValueError("expected an OpusHead")
    return OpusHead(channels, pre_skip, rate_hz)


def opus_tags(vendor: str, comments: list[str]) -> bytes:
    """The packet of the second page (RFC 7845 section 5.2). comments: "NAME=value"."""
    texts = [text.encode() for text in (vendor, *comments)]
    parts = [len(texts[0]).to_bytes(4, "little"), texts[0], len(comments).to_bytes(4, "little")]
    for text in texts[1:]:
        parts += [len(text).to_bytes(4, "little"), text]
    return b"OpusTags" + b"".join(parts)
