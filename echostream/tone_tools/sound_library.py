"""The door to libsndfile: sound files of many kinds, a chunk at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from echostream.errors import AudioError, LibraryMissing

try:
    import soundfile
except ImportError as error:
    raise LibraryMissing(
        "sound files need the Python package soundfile: `make run` installs it, or `pip install soundfile`"
    ) from error
except OSError as error:
    raise LibraryMissing(f"libsndfile is missing ({error}): apt install libsndfile1") from error

_BROKEN: Final = "it is broken here, or cut off"


class _Forwards(soundfile.SoundFile):  # type: ignore[misc]  # the package has no types
    """Never seeks. soundfile does after each read, to where it is already, and an MP3's decoder forgets."""

    def seekable(self) -> bool:
        """No."""
        return False


class SoundFile:
    """One file, open for reading. `frames`: as its header says, 0 where that is not known."""

    def __init__(self, path: Path) -> None:
        """AudioError names the file, what is wrong and what helps."""
        try:
            self._file: Any = _Forwards(str(path))
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"{path}: no sound that can be read ({_reason(error)}); "
                f"WAV, FLAC, Ogg and MP3 can, `ffmpeg -i IN out.wav` converts others"
            ) from None
        self._path = path
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = max(0, int(self._file.frames))

    def read(self, frames: int) -> NDArray[np.float32]:
        """Shape (n, channels), ±1.0; n is less than asked for only at the end. AudioError where it breaks."""
        try:
            block: NDArray[np.float32] = self._file.read(frames, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioError(f"{self._path}: {_BROKEN} ({_reason(error)})") from None
        return block

    def close(self) -> None:
        """Close it."""
        self._file.close()


def write_sound(path: Path, samples: NDArray[np.float32], rate_hz: int) -> None:
    """Write mono, 16 bits: WAV, FLAC, Ogg or MP3 by the name's ending. AudioError says what is wrong."""
    kinds = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise AudioError(f"{path}: expected a name that ends in {', '.join(kinds)}")
    try:
        soundfile.write(str(path), samples, rate_hz, format=kind)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: cannot be written: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", "") or error).strip().rstrip(".")
