"""WAV from a pipe: read forwards only, a chunk at a time, whatever lengths its header promises.

Programs that write WAV to a pipe cannot know its length and put 0 or the largest number there, so the sound
is taken to go on until the pipe ends.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from echostream.errors import AudioError

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE
_LONGEST_HEADER: Final = 1 << 20
MOST_CHANNELS: Final = 64
_REMEDY: Final = "`ffmpeg -i IN -f wav -c:a pcm_s16le -` makes it one"


class WavStream:
    """PCM of 8 to 32 bits or floats, in a WAV that flows. `frames` is 0: nobody knows."""

    frames = 0

    def __init__(self, stream: BinaryIO) -> None:
        """AudioError where it is no WAV, or one that cannot be read."""
        self._stream = stream
        if not (head := self._exactly(12)):
            raise AudioError("standard input: empty; expected a WAV file")
        if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            raise AudioError(f"standard input: no WAV file; {_REMEDY}")
        form = b""
        passed = 12
        while True:
            chunk = self._exactly(8)
            if len(chunk) < 8:
                raise AudioError("standard input: a WAV file without sound in it (no data chunk)")
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                break
            passed += size
            if passed > _LONGEST_HEADER:
                raise AudioError(
                    f"standard input: a WAV file with a header of more than {_LONGEST_HEADER} bytes"
                )
            body = self._exactly(size + size % 2)
            if name == b"fmt ":
                form = body
        self._understand(form)

    def _understand(self, form: bytes) -> None:
        if len(form) < 16:
            raise AudioError("standard input: a WAV file that does not say its format (fmt chunk)")
        tag, self.channels, self.rate_hz, _, self._frame_bytes, bits = struct.unpack("<HHIIHH", form[:16])
        if tag == _EXTENSIBLE and len(form) >= 26:
            tag = struct.unpack("<H", form[24:26])[0]
        self._width = bits // 8
        self._is_float = tag == _FLOAT
        known = (tag == _PCM and bits in (8, 16, 24, 32)) or (tag == _FLOAT and bits in (32, 64))
        if not known or not 1 <= self.channels <= MOST_CHANNELS:
            raise AudioError(
                f"standard input: a WAV file of kind {tag} with {bits} bits and {self.channels} channels; "
                f"{_REMEDY}"
            )
        if self._frame_bytes != self._width * self.channels:
            raise AudioError(f"standard input: a WAV file whose sizes contradict each other; {_REMEDY}")

    def read(self, frames: int) -> NDArray[np.float32]:
        """Shape (n, channels), ±1.0; n is less than asked for only at the end."""
        data = self._exactly(frames * self._frame_bytes)
        whole = len(data) // self._frame_bytes * self._frame_bytes
        return self._numbers(data[:whole]).reshape(-1, self.channels)

    def close(self) -> None:
        """Standard input is not ours to close."""

    def _numbers(self, data: bytes) -> NDArray[np.float32]:
        if self._is_float:
            with np.errstate(over="ignore", invalid="ignore"):  # who reads looks for what is no number
                return np.frombuffer(data, f"<f{self._width}").astype(np.float32)
        if self._width == 1:
            return np.frombuffer(data, np.uint8).astype(np.float32) / np.float32(128) - np.float32(1)
        if self._width == 3:
            # Each number's three bytes become the upper three of four.
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return wide.view("<i4").ravel().astype(np.float32) / np.float32(2**31)
        numbers = np.frombuffer(data, f"<i{self._width}")
        return numbers.astype(np.float32) / np.float32(2 ** (8 * self._width - 1))

    def _exactly(self, size: int) -> bytes:
        """size bytes, fewer only where the stream ends."""
        parts: list[bytes] = []
        while size > 0 and (part := self._stream.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
