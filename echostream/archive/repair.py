"""Makes a file whole whose writer was killed or lost its power, without decoding it: looks at the header and
the last seconds, cuts what is torn, and brings the header up to date.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from echostream.archive.file_end import find_end
from echostream.archive.file_names import FORMS, Place, place_of, source_of, start_of
from echostream.archive.meta_files import read_meta
from echostream.archive.recording import AudioForm, Gap, Recording, SourceKind
from echostream.audio.device_ports import GapCause
from echostream.errors import BrokenFile

_OF_ITS_SOURCE: Final = ("source", "kind", "trigger", "label", "channel_id", "priority", "keep_days")
_TRIED_NEIGHBOURS: Final = 4
_MOST_NAMES: Final = 20_000


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


def cut_short(recording: Recording, told: Recording, cause: GapCause) -> Recording:
    """What is there of a recording whose end was told already; what is not is a gap after it."""
    if recording.samples >= told.samples:
        return recording
    return replace(recording, gaps=[*recording.gaps, Gap(recording.end_us, told.end_us, cause)])


def recover(audio: Path, directory: Path, gateway: str) -> Recording:
    """What a recording without a (readable) meta file says of itself, after repair. BrokenFile, OSError.

    Its id is always the same one. Its start is known to a second only. Who was recorded is taken from another
    recording of that name on the same day; where there is none, from the name.
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
    place = place_of(directory, audio)
    name = _without_number(place)
    path = place.path(known[form])
    source, kind = _source(name)
    recovered = Recording(
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
    like = _neighbour(place, name)
    if like is None:
        return recovered
    return replace(recovered, **{name: getattr(like, name) for name in _OF_ITS_SOURCE})


def _neighbour(place: Place, name: str) -> Recording | None:
    """Another recording of this SOURCE[_TONE] on that day, the newest one before it or else the first."""
    try:
        names = os.listdir(place.meta.parent)
    except FileNotFoundError:
        return None
    if len(names) > _MOST_NAMES:  # a whole day may be without; each of its files would look through all
        return None
    stems = sorted(one.removesuffix(".json") for one in names if one.endswith(".json"))
    same = [stem for stem in stems if stem != place.stem and source_of(stem) == name]
    earlier = [stem for stem in same if stem < place.stem]
    for stem in [*earlier[:-_TRIED_NEIGHBOURS:-1], *same[:_TRIED_NEIGHBOURS]]:
        try:
            return read_meta(Place(place.directory, stem).meta)
        except (BrokenFile, OSError):
            continue
    return None


def repair_file(audio: Path, form: AudioForm, rate_hz: int) -> Repaired:
    """Make one file whole. rate_hz: what it was written at, 0 when nobody knows. OSError.

    Where the header is no header, or the file is empty, `samples` is 0 and the file stays as it is; a WAV
    gets a new header when its rate is known.
    """
    with audio.open("r+b") as file:
        found = find_end(file, form, rate_hz)
        if not found.whole:
            for offset, data in found.changes:
                file.seek(offset)
                file.write(data)
            file.flush()
            file.truncate(found.size)
            os.fdatasync(file.fileno())
    return Repaired(found.rate_hz, found.samples, found.size, not found.whole)


def _gaps_until(gaps: list[Gap], recording: Recording) -> list[Gap]:
    """Those that lie in what is left; one that reaches beyond the end is shortened."""
    left = []
    for gap in gaps:
        if gap.position is not None and gap.position >= recording.samples:
            continue
        left.append(replace(gap, end_us=min(gap.end_us, max(gap.start_us, recording.end_us))))
    return left


def _without_number(place: Place) -> str:
    """SOURCE of a name. One that was taken got "-2": it is that where the one without it is there."""
    stem, dash, number = place.stem.rpartition("-")
    if dash and number.isascii() and number.isdigit() and start_of(stem) is not None:
        first = Place(place.directory, stem)
        if any(path.exists() for path in (first.meta, *map(first.audio, FORMS))):
            return source_of(stem)
    return source_of(place.stem)


def _source(text: str) -> tuple[str, SourceKind]:
    """SOURCE of a name, and of which kind it is: that of channels and of devices look the same."""
    if text.endswith(".net"):
        return text.removesuffix(".net"), "network"
    if text.startswith("quarantine."):
        return text.removeprefix("quarantine."), "quarantine"
    return text, "device"
