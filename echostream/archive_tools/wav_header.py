"""The 44 bytes before the samples of a WAV file."""

from __future__ import annotations

import struct
from typing import Final

HEADER_BYTES: Final = 44
MOST_BYTES: Final = 0xFFFF_FFFF - HEADER_BYTES


def wav_header(rate_hz: int, channels: int, samples: int) -> bytes:
    """RIFF/WAVE, PCM, 16 bit (Multimedia Programming Interface and Data Specifications 1.0, 1991).

    samples: of each channel. ValueError where a WAV cannot say so many.
    """
    size = 2 * channels * samples
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes: a WAV holds {MOST_BYTES} at most")
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + size, b"WAVE")
    bytes_a_second = 2 * channels * rate_hz
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, bytes_a_second, 2 * channels, 16)
    return riff + form + struct.pack("<4sI", b"data", size)
