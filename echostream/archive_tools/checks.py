"""What may be wrong with one recording, with two that follow each other, and with a folder of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from echostream.archive.file_names import FORMS, Place, place_of, start_of
from echostream.archive.recording import Recording
from echostream.archive.sound_library import AudioReader
from echostream.archive_tools.assembly import doubt_us, end_us
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.times import iso, span_shown
from echostream.audio.device_ports import GapCause
from echostream.errors import ArchiveError

_READ: Final = 1 << 18
_HASH_BLOCK: Final = 1 << 20
_SEAM_US: Final = 250_000
"""Two segments that follow each other at once may seem to be apart by this: start times are that exact."""
_LONG_AGO_US: Final = 86_400_000_000
"""After so long a source begins anew: that it was gone stands at the end of its last recording."""
_NAME_OFF_US: Final = 5_000_000
"""The start in a name is that of the first word written; the exact one is known when the file is closed."""
_GAP_CAUSES: Final = get_args(GapCause)


@dataclass(frozen=True, slots=True)
class Finding:
    """fault: something is wrong; else it is worth knowing. code: for machines."""

    code: str
    text: str
    fault: bool = True


def check_file(directory: Path, one: Recording, quick: bool) -> Iterator[Finding]:
    """The audio against what is known of it. quick: neither hashed nor decoded."""
    path = directory / one.path
    try:
        size = path.stat().st_size
    except OSError as error:
        yield Finding("missing", f"the file cannot be found: {error.strerror or error}")
        return
    if one.state == "open":
        yield Finding("half-written", "a crash left it half-written: `echostream recordings repair`")
        return
    if one.bytes and size != one.bytes:
        yield Finding("bytes", f"has {size} bytes, {one.bytes} were written")
    if not quick and one.sha256 and (digest := _sha256(path)) != one.sha256:
        yield Finding("hash", f"is not what was recorded: SHA-256 {digest}")
    if not one.sha256:
        yield Finding("no hash", "was not hashed yet", fault=False)
    yield from _check_sound(path, one, quick)
    if not place_of(directory, one.path).peaks.exists():
        yield Finding("no waveform", "has no waveform yet", fault=False)


def _check_sound(path: Path, one: Recording, quick: bool) -> Iterator[Finding]:
    try:
        with AudioReader(path) as reader:
            expected = -(-one.samples * reader.rate_hz // one.rate_hz)
            if one.form != "opus" and reader.rate_hz != one.rate_hz:
                yield Finding("rate", f"is of {reader.rate_hz} Hz, {one.rate_hz} Hz were recorded")
            if reader.samples != expected:
                yield Finding("count", f"says {reader.samples} samples, {expected} were recorded")
            if quick:
                return
            count = 0
            while size := reader.read(_READ).size:
                count += size
            if count != reader.samples:
                yield Finding("count", f"can be read for {count} of {reader.samples} samples")
    except (ArchiveError, OSError) as error:
        yield Finding("unreadable", f"cannot be read: {error}")


def check_knowledge(one: Recording) -> Iterator[Finding]:
    """Whether what is known of it holds together."""
    named_us = start_of(Path(one.path).stem)
    if named_us is not None and abs(named_us - one.start_us) > _NAME_OFF_US:
        yield Finding("name", f"begins at {iso(one.start_us)}, and its name says {iso(named_us)}")
    at = 0
    for gap in one.gaps:
        if gap.position is None:
            yield Finding("gap", f"a gap at {iso(gap.start_us)} has no place in it")
            continue
        count = round((gap.end_us - gap.start_us) * one.rate_hz / 1e6)
        if gap.position < at or gap.position + count > one.samples + one.rate_hz // 10:
            yield Finding("gap", f"a gap at sample {gap.position} lies outside of it, or in another one")
        at = gap.position
    if one.state != "open" and not one.samples:
        yield Finding("empty", "holds no sound")


def check_pair(before: Recording, after: Recording) -> Iterator[Finding]:
    """Whether the time between two recordings of a source that record all of it is explained.

    The finding is the second one's.
    """
    if before.trigger != "continuous" or after.trigger != "continuous":
        return
    apart_us = after.start_us - end_us(before)
    allowed_us = _SEAM_US + doubt_us(before) + doubt_us(after)
    length = span_shown(abs(apart_us))
    name = before.path.rpartition("/")[2]
    if apart_us < -allowed_us:
        yield Finding("overlap", f"begins {length} before {name} ends")
    if apart_us <= allowed_us or after.gap_before is not None:
        return
    if before.ended in _GAP_CAUSES and apart_us < _LONG_AGO_US:
        yield Finding("gap", f"{length} after {name} are missing ({before.ended}), and no gap says so")
    elif before.ended == "segment":
        yield Finding("hole", f"{length} after {name} are not there: deleted, or lost", fault=False)


def unknown_sound(directory: Path, known: set[str]) -> Iterator[Path]:
    """Audio without a meta file. known: names, without their form, that are not looked at."""
    for folder in sorted(directory.glob("????-??-??")):
        for path in sorted(folder.iterdir()):
            form = path.suffix[1:]
            named = form in FORMS and start_of(path.stem) is not None and path.stem not in known
            if named and not Place(directory, path.stem).meta.exists():
                yield path


class Neighbours:
    """The last recording of each source that was seen, in order of time."""

    def __init__(self) -> None:
        self._last: dict[str, Recording] = {}

    def follow(self, one: Recording) -> Iterator[Finding]:
        """What is wrong between it and the one before it."""
        name = source_name(one)
        before = self._last.get(name)
        if before is not None and before.gateway == one.gateway and one.state != "open":
            yield from check_pair(before, one)
        if one.trigger == "continuous":
            self._last[name] = one


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
