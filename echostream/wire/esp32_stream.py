"""Bytes of an ESP32 microphone, in chunks of any size, to samples; and the optional datagram form.

A TCP read may end anywhere, also within a sample or between the two halves of a stereo pair: what is not
whole waits for the rest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import Samples
from echostream.audio.sample_forms import DECODERS, SAMPLE_BYTES, SampleFormat
from echostream.wire.strict_text import Malformed

_HEADER: Final = struct.Struct("<IIHH")
HEADER_BYTES: Final = _HEADER.size
MAX_DATAGRAM_BYTES: Final = 8192
"""A device has 1460 bytes without fragments; nobody sends more than this."""


class SampleAssembler:
    """One stream's bytes to mono int16. Between two calls it holds less than one sample of each channel."""

    def __init__(self, sample_format: SampleFormat, channels: int = 1) -> None:
        """channels: 1, or 2 interleaved ones that are averaged. ValueError for any other."""
        if channels not in (1, 2):
            raise ValueError(f"channels {channels}: expected 1 or 2")
        self._decode = DECODERS[sample_format]
        self._channels = channels
        self._unit_bytes = SAMPLE_BYTES[sample_format] * channels
        self._rest = b""

    @property
    def pending_bytes(self) -> int:
        """Bytes of a sample that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes | memoryview) -> Samples:
        """The samples that `data` completes, in memory of their own: shape (n,), n may be 0."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        over = len(data) % self._unit_bytes
        if over:
            self._rest = bytes(data[len(data) - over :])
            data = data[: len(data) - over]
        samples = self._decode(data)
        if self._channels == 1:
            return samples
        left, right = samples[0::2].astype(np.int32), samples[1::2]
        return ((left + right) >> 1).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Datagram:
    """Audio with its place. sequence: counts datagrams, modulo 2^32. device_ms: the device's own clock,
    modulo 2^32. flags: none is known yet; kept, not read. audio: the samples, as sent."""

    sequence: int
    device_ms: int
    samples: int
    flags: int
    audio: bytes


def parse_datagram(data: bytes, sample_format: SampleFormat = "s16le") -> Datagram:
    """A datagram with its header of 12 bytes. Raises Malformed where the length does not fit the count."""
    if len(data) <= HEADER_BYTES:
        raise Malformed("too_short", f"{len(data)} bytes: a header of {HEADER_BYTES} and audio are expected")
    sequence, device_ms, samples, flags = _HEADER.unpack_from(data)
    audio = data[HEADER_BYTES:]
    if len(audio) != samples * SAMPLE_BYTES[sample_format]:
        raise Malformed("bad_length", f"{len(audio)} bytes of audio for {samples} samples of {sample_format}")
    return Datagram(sequence, device_ms, samples, flags, audio)


def pack_datagram(
    sequence: int, device_ms: int, audio: bytes, sample_format: SampleFormat = "s16le"
) -> bytes:
    """What a device sends; both counters are taken modulo 2^32."""
    samples = len(audio) // SAMPLE_BYTES[sample_format]
    return _HEADER.pack(sequence & 0xFFFFFFFF, device_ms & 0xFFFFFFFF, samples, 0) + audio
