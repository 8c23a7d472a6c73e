"""Makes a file whole whose writer was killed or lost its power, without decoding it: looks at the header and
the last seconds, cuts what is torn, and brings the header up to date.

Only the end of a file can be torn: what is older than two seconds was put on the disk while it was written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from echostream.archive import flac_frames, ogg_pages
from echostream.archive.file_names import place_of, source_of, start_of
from echostream.archive.recording import AudioForm, Gap, Recording, SourceKind
from echostream.archive.wav_file import HEADER_BYTES, wav_header
from echostream.errors import BrokenFile

WINDOW_S: Final = 3.0
"""A break in the last seconds of a file ends it; what is older is left as it is, whole or not."""
_LEAST_WINDOW: Final = 65_536
_MOST_HEAD: Final = 65_536
_WIDER: Final = 8
_FRAME_SPARE: Final = 64
"""What a frame of noise has more than its samples."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a file holds now. changed: it was not whole."""

    rate_hz: int
    samples: int
    bytes: int
    changed: bool


def repair(audio: Path, recording: Recording) -> Recording:
    """Make the file whole, and return what is known of it now; the meta file is written by who asked.

    The same recording when nothing was wrong. samples 0: there is nothing in it (delete it), or no file.
    A file that was open becomes "repaired"; levels, bytes and hash have to be found anew. OSError.
    """
    try:
        found = repair_file(audio, recording.form, recording.rate_hz)
    except FileNotFoundError:
        return replace(recording, samples=0, state="repaired", bytes=0, sha256="", gaps=[], tones=[])
    whole = not found.changed and found.samples == recording.samples
    if whole and recording.state != "open":
        return recording
    result = replace(
        recording,
        samples=found.samples,
        bytes=found.bytes,
        sha256="",
        state="repaired",
        peak_dbfs=None,
        rms_dbfs=None,
    )
    result.gaps = _gaps_until(recording.gaps, result)
    result.tones = [tone for tone in recording.tones if tone.start_us <= result.end_us]
    return result


def recover(audio: Path, directory: Path, gateway: str) -> Recording:
    """What a recording without a (readable) meta file says of itself, after repair. BrokenFile, OSError.

    Its id is always the same one. Its start is known to a second only.
    """
    stem, form = audio.stem, audio.suffix[1:]
    start_us = start_of(stem)
    known: dict[str, AudioForm] = {"wav": "wav", "flac": "flac", "opus": "opus"}
    if start_us is None or form not in known:
        raise BrokenFile(
            f"{audio}: expected a recording's name, YYYY-MM-DD_HHMM_SS_SOURCE.wav, .flac or .opus"
        )
    found = repair_file(audio, known[form], 0)
    if not found.rate_hz:
        raise BrokenFile(f"{audio}: no {form} by its header; nothing of it can be told")
    path = place_of(directory, audio).path(known[form])
    source, kind = _source(source_of(stem))
    return Recording(
        id=hashlib.sha256(f"{gateway}/{path}".encode()).hexdigest()[:32],
        path=path,
        form=known[form],
        gateway=gateway,
        source=source,
        kind=kind,
        trigger="continuous",
        start_us=start_us,
        rate_hz=found.rate_hz,
        samples=found.samples,
        state="repaired",
        start_error_ms=1000.0,
        bytes=found.bytes,
        notes="what was known of it was lost; this is from the file alone",
    )


def repair_file(audio: Path, form: AudioForm, rate_hz: int) -> Repaired:
    """Make one file whole. rate_hz: what it was written at, 0 when nobody knows. OSError.

    Where the header is no header, or the file is empty, `samples` is 0 and the file stays as it is; a WAV
    gets a new header when its rate is known.
    """
    with audio.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        found = _REPAIRS[form](file, size, rate_hz)
        if found.changed:
            file.truncate(found.bytes)
            file.flush()
            os.fdatasync(file.fileno())
    return found


def _repair_wav(file: BinaryIO, size: int, rate_hz: int) -> Repaired:
    head = _read(file, 0, HEADER_BYTES)
    ours = head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and head[36:40] == b"data"
    if not ours and not rate_hz:
        return Repaired(0, 0, size, False)  # of another program, or torn: a new header might spoil it
    rate_hz = rate_hz or int.from_bytes(head[24:28], "little")
    has = max(0, size - HEADER_BYTES) // 2
    said = min(has, int.from_bytes(head[40:44], "little") // 2) if ours else 0
    # Beyond what the header speaks of, a disk may have given the file room and never filled it.
    samples = said + _without_zeros(file, HEADER_BYTES + 2 * said, has - said)
    header = wav_header(rate_hz, samples)
    end = HEADER_BYTES + 2 * samples
    whole = header == head and end == size
    if not whole:
        file.seek(0)
        file.write(header)
    return Repaired(rate_hz, samples, end, not whole)


def _without_zeros(file: BinaryIO, offset: int, samples: int) -> int:
    """How many of these samples there are up to the last one that is not 0."""
    portion = 1 << 20
    while samples > 0:
        begin = max(0, samples - portion)
        block = np.frombuffer(_read(file, offset + 2 * begin, 2 * (samples - begin)), "<i2")
        loud = np.flatnonzero(block)
        if len(loud):
            return begin + int(loud[-1]) + 1
        samples = begin
    return 0


def _repair_flac(file: BinaryIO, size: int, rate_hz: int) -> Repaired:
    try:
        head = _read(file, 0, min(size, _MOST_HEAD))
        info = flac_frames.read_head(head)
    except ValueError:
        return Repaired(0, 0, size, False)
    window = _window(info.rate_hz)
    end, samples = _last_of(file, size, info.audio, window, lambda data: _flac_end(data, info))
    whole = end == size and samples == info.samples
    if not whole:
        old = head[flac_frames.INFO_AT : flac_frames.INFO_AT + flac_frames.INFO_BYTES]
        file.seek(flac_frames.INFO_AT)
        file.write(flac_frames.with_samples(old, samples))
    return Repaired(info.rate_hz, samples, end, not whole)


def _flac_end(data: bytes, info: flac_frames.StreamInfo) -> tuple[int, int] | None:
    """(offset behind the last whole frame, samples up to there)."""
    starts = flac_frames.frame_starts(data, 0)
    filled = len(data.rstrip(b"\0"))
    # Where the last frame may end: its CRC may end in zeros itself.
    ends = [frame.offset for frame in starts] + list(range(filled, min(filled + 3, len(data)) + 1))
    longest = 2 * info.channels * info.block_samples + _FRAME_SPARE
    span = info.rate_hz * WINDOW_S / max(1, info.block_samples)
    parts: list[_Part] = []
    for frame in reversed(starts):
        if parts and frame.number < parts[0].number - span:
            break
        likely = [end for end in ends if frame.offset < end <= frame.offset + longest]
        end = flac_frames.frame_end(data, frame, likely)
        if end is not None:
            total = frame.number * info.block_samples + frame.samples
            parts.append(_Part(frame.offset, end, frame.number, total))
    return _torn_off(parts[::-1])


def _repair_opus(file: BinaryIO, size: int, rate_hz: int) -> Repaired:
    head = _read(file, 0, min(size, _MOST_HEAD))
    first = ogg_pages.read_page(head, 0)
    tags = ogg_pages.read_page(head, first.end) if first else None
    if first is None or tags is None:
        return Repaired(0, 0, size, False)
    try:
        opus = ogg_pages.read_opus_head(head[first.body : first.end])
    except ValueError:
        return Repaired(0, 0, size, False)
    rate_hz = rate_hz or opus.rate_hz or ogg_pages.GRANULE_HZ
    window = _window(rate_hz)
    end, granule = _last_of(file, size, tags.end, window, lambda data: _opus_end(data, first.serial))
    samples = max(0, granule - opus.pre_skip) * rate_hz // ogg_pages.GRANULE_HZ
    ended = end == tags.end or _mark_last(file, end)
    return Repaired(rate_hz, samples, end, end != size or not ended)


def _mark_last(file: BinaryIO, end: int) -> bool:
    """Have the page that ends here say that it is the last one. False: it did not."""
    begin = max(0, end - ogg_pages.MOST_BYTES)
    data = _read(file, begin, end - begin)
    at = data.rfind(ogg_pages.CAPTURE)
    page = None
    while page is None or page.end != len(data):
        page = ogg_pages.read_page(data, at)
        at = data.rfind(ogg_pages.CAPTURE, 0, at)
    if page.flags & ogg_pages.LAST:
        return True
    file.seek(begin + page.offset)
    file.write(ogg_pages.with_flags(data[page.offset :], page.flags | ogg_pages.LAST))
    return False


def _opus_end(data: bytes, serial: int) -> tuple[int, int] | None:
    """(offset behind the last whole page, its granule position)."""
    parts: list[_Part] = []
    at = data.find(ogg_pages.CAPTURE)
    while at >= 0:
        page = ogg_pages.read_page(data, at)
        if page is not None and page.serial == serial:
            parts.append(_Part(at, page.end, page.sequence, page.granule))
        at = data.find(ogg_pages.CAPTURE, page.end if page is not None else at + 1)
    least = parts[-1].total - WINDOW_S * ogg_pages.GRANULE_HZ if parts else 0
    return _torn_off([part for part in parts if part.total >= least])


@dataclass(frozen=True, slots=True)
class _Part:
    """A whole frame or page, as its checksum says. total: what there is up to its end."""

    offset: int
    end: int
    number: int
    total: int


def _torn_off(parts: list[_Part]) -> tuple[int, int] | None:
    """(end, total) of the first parts that follow each other without a break."""
    last: _Part | None = None
    for part in parts:
        if last is not None and (part.offset, part.number) != (last.end, last.number + 1):
            break
        last = part
    return None if last is None else (last.end, last.total)


def _last_of(
    file: BinaryIO, size: int, audio: int, window: int, look: Callable[[bytes], tuple[int, int] | None]
) -> tuple[int, int]:
    """What `look` finds in the last bytes of a file, or in more of them; (audio, 0) when there is nothing."""
    while True:
        begin = max(audio, size - window)
        found = look(_read(file, begin, max(0, size - begin)))
        if found is not None:
            return begin + found[0], found[1]
        if begin == audio:
            return audio, 0
        window *= _WIDER


_REPAIRS: Final = {"wav": _repair_wav, "flac": _repair_flac, "opus": _repair_opus}


def _window(rate_hz: int) -> int:
    return max(_LEAST_WINDOW, int(2 * rate_hz * WINDOW_S))


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _gaps_until(gaps: list[Gap], recording: Recording) -> list[Gap]:
    """Those that lie in what is left; one that reaches beyond the end is shortened."""
    left = []
    for gap in gaps:
        if gap.position is not None and gap.position >= recording.samples:
            continue
        left.append(replace(gap, end_us=min(gap.end_us, max(gap.start_us, recording.end_us))))
    return left


def _source(text: str) -> tuple[str, SourceKind]:
    """SOURCE of a name, and of which kind it is: that of channels and of devices look the same."""
    if text.endswith(".net"):
        return text.removesuffix(".net"), "network"
    if text.startswith("quarantine."):
        return text.removeprefix("quarantine."), "quarantine"
    return text, "device"
