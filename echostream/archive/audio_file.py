"""What every form of recording does while it is written, and how a new one is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from echostream.archive.recording import AudioForm
from echostream.archive.wav_file import WavFile
from echostream.audio.format import Samples

DEFAULT_BITRATE_BPS = 64_000


class AudioFile(Protocol):
    """A new file of 16-bit mono sound. One thread at a time.

    samples: what was accepted, at rate_hz. A process that is killed, or a machine that loses power a second
    after its disk was synchronised, leaves at most the last second of it out; `repair` makes the file whole.
    """

    path: Path
    rate_hz: int
    samples: int

    @property
    def duration_s(self) -> float: ...

    @property
    def full(self) -> bool:
        """The form cannot say more: begin another file."""
        ...

    def write(self, samples: Samples) -> None:
        """Append shape (n,) int16, any n. OSError: the disk refused; `close`, then `repair` what is there."""
        ...

    def keep(self) -> None:
        """Bring what the file says of itself up to date. Done by `write` each second too."""
        ...

    def close(self) -> None:
        """End the file. Closed also when the disk refuses (OSError). Idempotent."""
        ...


def new_audio_file(
    form: AudioForm, path: Path, rate_hz: int, bitrate_bps: int = DEFAULT_BITRATE_BPS
) -> AudioFile:
    """Begin a file of this form. OSError; FileExistsError where the path is taken; LibraryMissing."""
    # Imported when they are wanted: recorders that write WAV run without the libraries.
    if form == "flac":
        from echostream.archive.flac_file import FlacFile

        return FlacFile(path, rate_hz)
    if form == "opus":
        from echostream.archive.opus_file import OpusFile

        return OpusFile(path, rate_hz, bitrate_bps)
    return WavFile(path, rate_hz)
