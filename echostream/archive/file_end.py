"""Where the sound of a file ends that may have lost its own: by its header and its last seconds, without
decoding it, and without changing it.

Only the end of a file can be torn: what is older than two seconds was put on the disk while it was written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from echostream.archive import flac_frames, ogg_pages
from echostream.archive.recording import AudioForm
from echostream.archive.wav_file import HEADER_BYTES, wav_header

WINDOW_S: Final = 3.0
"""A break in the last seconds of a file ends it; what is older is left as it is, whole or not."""
_LEAST_WINDOW: Final = 65_536
_MOST_HEAD: Final = 65_536
_WIDER: Final = 8
_FRAME_SPARE: Final = 64
"""What a frame of noise has more than its samples."""


@dataclass(frozen=True, slots=True)
class FileEnd:
    """rate_hz: 0 when the file does not tell. size: bytes of it that are whole. changes: (offset, bytes) that
    make the file say so. whole: there is nothing to change.
    """

    rate_hz: int
    samples: int
    size: int
    whole: bool
    changes: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """A whole frame or page, as its checksum says. total: what there is up to its end."""

    offset: int
    end: int
    number: int
    total: int


def find_end(file: BinaryIO, form: AudioForm, rate_hz: int = 0) -> FileEnd:
    """rate_hz: what it was written at, 0 when nobody knows. OSError.

    Where the header is no header, `samples` is 0 and there is nothing to change; a WAV gets a new header when
    its rate is known.
    """
    size = file.seek(0, os.SEEK_END)
    return _LOOKS[form](file, size, rate_hz)


def samples_of(audio: Path, form: AudioForm) -> int:
    """What there is in a file now, also in one that is being written. OSError."""
    with audio.open("rb") as file:
        return find_end(file, form).samples


def _wav_end(file: BinaryIO, size: int, rate_hz: int) -> FileEnd:
    head = _read(file, 0, HEADER_BYTES)
    ours = head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and head[36:40] == b"data"
    if not ours and not rate_hz:
        return FileEnd(0, 0, size, True)  # of another program, or torn: a new header might spoil it
    rate_hz = rate_hz or int.from_bytes(head[24:28], "little")
    has = max(0, size - HEADER_BYTES) // 2
    said = min(has, int.from_bytes(head[40:44], "little") // 2) if ours else 0
    # Beyond what the header speaks of, a disk may have given the file room and never filled it.
    samples = said + _without_zeros(file, HEADER_BYTES + 2 * said, has - said)
    header = wav_header(rate_hz, samples)
    end = HEADER_BYTES + 2 * samples
    whole = header == head and end == size
    return FileEnd(rate_hz, samples, end, whole, [] if whole else [(0, header)])


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


def _flac_end(file: BinaryIO, size: int, rate_hz: int) -> FileEnd:
    head = _read(file, 0, min(size, _MOST_HEAD))
    try:
        info = flac_frames.read_head(head)
    except ValueError:
        return FileEnd(0, 0, size, True)
    last = _last_of(file, size, info.audio, _window(info.rate_hz), lambda data: _whole_frames(data, info))
    end, samples = (info.audio, 0) if last is None else (last.end, last.total)
    if end == size and samples == info.samples:
        return FileEnd(info.rate_hz, samples, end, True)
    old = head[flac_frames.INFO_AT : flac_frames.INFO_AT + flac_frames.INFO_BYTES]
    change = (flac_frames.INFO_AT, flac_frames.with_samples(old, samples))
    return FileEnd(info.rate_hz, samples, end, False, [change])


def _whole_frames(data: bytes, info: flac_frames.StreamInfo) -> list[_Part]:
    """Of the last seconds of these bytes."""
    starts = flac_frames.frame_starts(data, 0)
    ends = [frame.offset for frame in starts]
    # A CRC stays right when zeros follow. Two of them may be its own; a longer tail hides where it ends.
    if len(data) - len(data.rstrip(b"\0")) <= 2:
        ends.append(len(data))
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
    return parts[::-1]


def _opus_end(file: BinaryIO, size: int, rate_hz: int) -> FileEnd:
    head = _read(file, 0, min(size, _MOST_HEAD))
    first = ogg_pages.read_page(head, 0)
    tags = ogg_pages.read_page(head, first.end) if first else None
    if first is None or tags is None:
        return FileEnd(0, 0, size, True)
    try:
        opus = ogg_pages.read_opus_head(head[first.body : first.end])
    except ValueError:
        return FileEnd(0, 0, size, True)
    rate_hz = rate_hz or opus.rate_hz or ogg_pages.GRANULE_HZ
    last = _last_of(file, size, tags.end, _window(rate_hz), lambda data: _whole_pages(data, first.serial))
    if last is None:
        return FileEnd(rate_hz, 0, tags.end, tags.end == size)
    samples = max(0, last.total - opus.pre_skip) * rate_hz // ogg_pages.GRANULE_HZ
    page = _read(file, last.offset, last.end - last.offset)
    ended = ogg_pages.with_flags(page, page[ogg_pages.FLAGS_AT] | ogg_pages.LAST)
    changes = [] if ended == page else [(last.offset, ended)]
    return FileEnd(rate_hz, samples, last.end, last.end == size and not changes, changes)


def _whole_pages(data: bytes, serial: int) -> list[_Part]:
    """Of the last seconds of these bytes."""
    parts: list[_Part] = []
    at = data.find(ogg_pages.CAPTURE)
    while at >= 0:
        page = ogg_pages.read_page(data, at)
        if page is not None and page.serial == serial:
            parts.append(_Part(at, page.end, page.sequence, page.granule))
        at = data.find(ogg_pages.CAPTURE, page.end if page is not None else at + 1)
    least = parts[-1].total - WINDOW_S * ogg_pages.GRANULE_HZ if parts else 0
    return [part for part in parts if part.total >= least]


def _last_of(
    file: BinaryIO, size: int, audio: int, window: int, whole_parts: Callable[[bytes], list[_Part]]
) -> _Part | None:
    """The last one of the first parts that follow each other without a break, near the end of the file.

    audio: offset at which the parts begin. None: there is none.
    """
    while True:
        begin = max(audio, size - window)
        parts = whole_parts(_read(file, begin, max(0, size - begin)))
        if parts:
            last = _before_break(parts)
            return replace(last, offset=begin + last.offset, end=begin + last.end)
        if begin == audio:
            return None
        window *= _WIDER


def _before_break(parts: list[_Part]) -> _Part:
    last = parts[0]
    for part in parts[1:]:
        if (part.offset, part.number) != (last.end, last.number + 1):
            break
        last = part
    return last


_LOOKS: Final = {"wav": _wav_end, "flac": _flac_end, "opus": _opus_end}


def _window(rate_hz: int) -> int:
    """Bytes: both FLAC and Opus are smaller than their samples."""
    return max(_LEAST_WINDOW, int(2 * rate_hz * WINDOW_S))


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
