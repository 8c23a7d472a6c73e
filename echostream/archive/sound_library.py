"""The archive's door to libsndfile: FLAC out, and every form of recording in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from echostream.archive.file_end import samples_of
from echostream.audio.format import Samples, silence
from echostream.errors import BrokenFile, LibraryMissing

try:
    import soundfile
except ImportError as error:
    raise LibraryMissing(
        "FLAC needs the Python package soundfile: `make run` installs it, or `pip install soundfile`"
    ) from error
except OSError as error:
    raise LibraryMissing(f"libsndfile is missing ({error}): apt install libsndfile1") from error

_LEVELS: Final = 8
_MOST_SAMPLES: Final = 1 << 40
"""What a FLAC that is being written claims to have is more than that."""
_STEP: Final = 1 << 16


class _Memory:
    """The file that libsndfile writes to: it keeps the changes until somebody takes them."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, bytes]] = []
        self._position = 0
        self._size = 0

    def write(self, data: Any) -> int:
        """Bytes of any buffer, at the present position."""
        self.changes.append((self._position, bytes(data)))
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def read(self, count: int) -> bytes:
        """Nothing is read of what was written."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files do."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        """As files do."""
        return self._position


class _Forwards(soundfile.SoundFile):  # type: ignore[misc]  # the package has no types
    """Never seeks by itself: soundfile asks for its position five times with each write."""

    def seekable(self) -> bool:
        """No."""
        return False


class FlacEncoder:
    """Samples in; what has to be written where, out."""

    def __init__(self, rate_hz: int, level: int, channels: int = 1) -> None:
        """level: 0 to 8 as of the command `flac`. ValueError for a rate or number of channels it has not."""
        self._memory = _Memory()
        try:
            self._file: Any = _Forwards(
                self._memory,
                "w",
                rate_hz,
                channels,
                subtype="PCM_16",
                format="FLAC",
                compression_level=level / _LEVELS,
            )
        except soundfile.SoundFileError as error:
            raise ValueError(f"FLAC at {rate_hz} Hz: {_reason(error)}") from None

    def write(self, samples: Samples) -> None:
        """Shape (n,) int16; of several channels (n, channels)."""
        self._file.write(samples)

    def take(self) -> list[tuple[int, bytes]]:
        """(offset in the file, bytes) since the last time, in the order in which they have to be written."""
        changes, self._memory.changes = self._memory.changes, []
        return changes

    def close(self) -> None:
        """Complete the last block and the header; `take` what that makes."""
        if not self._file.closed and not self._file.frames:
            self._file.write(np.zeros((0, self._file.channels), np.int16))  # makes the header
        self._file.close()


class AudioReader:
    """A recording, open for reading. rate_hz and samples: as the file says.

    An Opus file whose rate Opus does not have is read at the rate that it was encoded at.
    """

    def __init__(self, path: Path) -> None:
        """BrokenFile names the file and what is wrong with it; OSError where it is not there."""
        with path.open("rb"):
            pass
        try:
            self._file: Any = soundfile.SoundFile(str(path))
        except soundfile.SoundFileError as error:
            raise BrokenFile(f"{path}: no recording that can be read ({_reason(error)})") from None
        self.path = path
        if self._file.channels != 1:
            self._file.close()
            raise BrokenFile(f"{path}: has {self._file.channels} channels; recordings have one")
        self.rate_hz = int(self._file.samplerate)
        self.samples = max(0, int(self._file.frames))
        self._growing = self.samples > _MOST_SAMPLES
        if self._growing:
            self.samples = samples_of(path, "flac")
            self._begin_again()
        self._position = 0
        self._whole_numbers = self._file.subtype == "PCM_16"

    def read(self, count: int) -> Samples:
        """The next samples, shape (n,) int16; n is less than asked for only at the end. BrokenFile."""
        count = min(count, self.samples - self._position)
        if count <= 0:
            return silence(0)
        try:
            samples = self._read(count)
        except soundfile.SoundFileError as error:
            raise BrokenFile(f"{self.path}: it is broken here ({_reason(error)})") from None
        self._position += len(samples)
        return samples

    def _read(self, count: int) -> Samples:
        if self._whole_numbers:
            whole: Samples = self._file.read(count, dtype="int16")
            return whole
        block = self._file.read(count, dtype="float32")
        clipped: Samples = np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16)
        return clipped

    def seek(self, position: int) -> None:
        """The sample that `read` begins at. BrokenFile outside of the file."""
        if not 0 <= position <= self.samples:
            raise BrokenFile(f"{self.path}: has {self.samples} samples, none at {position}")
        if self._growing:
            self._go_through(position)
            return
        try:
            if position < self.samples:
                self._file.seek(position)
        except soundfile.SoundFileError as error:
            raise BrokenFile(f"{self.path}: no sample {position} ({_reason(error)})") from None
        self._position = position

    def _go_through(self, position: int) -> None:
        """In a FLAC that is being written, the library finds a place only by reading up to it."""
        if position < self._position:
            self._begin_again()
        while self._position < position and len(self.read(min(_STEP, position - self._position))):
            pass

    def _begin_again(self) -> None:
        self._file.close()
        self._file = _Forwards(str(self.path))
        self._position = 0

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", "") or error).strip().rstrip(".")
