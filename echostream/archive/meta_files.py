"""What is known of a recording, in a JSON file of its own: written so that it is whole at every moment, read
without trust."""

from __future__ import annotations

import fcntl
import json
import math
import os
import threading
import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from echostream.archive.disk_sync import sync_folder
from echostream.archive.file_names import Place, place_of
from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.errors import BrokenFile

_MOST_BYTES: Final = 8_000_000
"""A segment of an hour with a gap each second is a tenth of this."""
_LOCK: Final = ".lock"
_MOST_US: Final = 253_402_300_800_000_000
"""The year 10000."""
_MOST_RATE_HZ: Final = 768_000


def write_meta(directory: Path, recording: Recording, sync: bool = True) -> Path:
    """Write it anew, and return where it is. OSError.

    A reader, or a process that is killed, sees the old one or the new one. sync: on the disk itself before
    the old one goes; False where the whole folder is synchronised each second anyway.
    """
    meta = place_of(directory, recording.path).meta
    new = _write_new(meta, recording, sync)
    os.replace(new, meta)
    return meta


def write_metas(directory: Path, recordings: list[Recording]) -> list[Path]:
    """Many at the price of one: written, synchronised together, put in their places. OSError."""
    metas = [place_of(directory, one.path).meta for one in recordings]
    news = [_write_new(meta, one, False) for meta, one in zip(metas, recordings, strict=True)]
    if news:
        sync_folder(directory)
    for new, meta in zip(news, metas, strict=True):
        os.replace(new, meta)
    return metas


def update_meta(meta: Path, change: Callable[[Recording], Recording]) -> Recording:
    """Read, change and write one, in turn with others who do; what it is now. OSError, BrokenFile."""
    directory = place_of_meta(meta).directory
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    leave_to_owner(directory / _LOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        recording = change(read_meta(meta))
        write_meta(directory, recording)
    finally:
        os.close(lock)
    return recording


def read_meta(meta: Path) -> Recording:
    """BrokenFile names the file, the place in it and what is wrong; OSError where it is not there."""
    with meta.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    try:
        recording = parse_meta(data)
        if place_of(meta.parent, recording.path).meta.name != meta.name:
            raise ValueError(f"path: {recording.path!r} is another recording's")
    except ValueError as error:
        raise BrokenFile(f"{meta}: {error}; `echostream recordings repair` makes it anew") from None
    return recording


def place_of_meta(meta: Path) -> Place:
    """From DIRECTORY/DATE/.meta/NAME.json. ValueError when it is none by its name."""
    return place_of(meta.parents[2], meta)


def _write_new(meta: Path, recording: Recording, sync: bool) -> Path:
    text = json.dumps(_plain(recording), ensure_ascii=False, allow_nan=False, indent=1)
    # Threads and processes that write the same one at the same time each write their own; the last one stays.
    new = meta.with_name(f".{meta.name}.{os.getpid()}-{threading.get_native_id()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    number = os.open(new, flags, FILE_MODE)
    leave_to_owner(new)
    try:
        with open(number, "wb", buffering=0) as file:
            file.write(text.encode(errors="replace"))
            if sync:
                os.fdatasync(number)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return new


def _plain(recording: Recording) -> dict[str, Any]:
    """What `asdict` makes of it, at a third of the price: a thousand recordings begin at the same moment."""
    plain = {name: getattr(recording, name) for name in _NAMES[Recording]}
    for name in ("gaps", "tones"):
        plain[name] = [_flat(one) for one in plain[name]]
    plain["gap_before"] = None if recording.gap_before is None else _flat(recording.gap_before)
    return plain


def _flat(one: Gap | ToneMark) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _NAMES[type(one)]}


def parse_meta(data: bytes) -> Recording:
    """ValueError names the place and what is wrong there."""
    if not data:
        raise ValueError("is empty: the recording was never begun, or the power went")
    if len(data) > _MOST_BYTES:
        raise ValueError(f"is larger than {_MOST_BYTES} bytes")
    try:
        document = json.loads(data.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from None
    recording: Recording = _build(Recording, document, "")
    _check(recording)
    return recording


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _build(kind: type[Any], value: object, place: str) -> Any:
    """A dataclass from a JSON object; keys that this version does not know are passed over."""
    if not isinstance(value, dict):
        raise ValueError(f"{place or 'the file'}: expected an object, got {_short(value)}")
    hints = _HINTS[kind]
    given = {}
    for one in fields(kind):
        at = f"{place}.{one.name}" if place else one.name
        if one.name in value:
            given[one.name] = _value(hints[one.name], value[one.name], at)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{at}: is missing")
    return kind(**given)


def _value(hint: Any, value: object, at: str) -> Any:
    origin = get_origin(hint)
    if origin is list:
        if not isinstance(value, list):
            raise ValueError(f"{at}: expected a list, got {_short(value)}")
        return [_value(get_args(hint)[0], one, f"{at}[{number}]") for number, one in enumerate(value)]
    if origin in (types.UnionType, Union):
        if value is None:
            return None
        return _value(next(one for one in get_args(hint) if one is not types.NoneType), value, at)
    if origin is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{at}: expected one of {', '.join(get_args(hint))}, got {_short(value)}")
        return value
    if hint in _HINTS:
        return _build(hint, value, at)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{at}: expected {_WORDS[hint]}, got {_short(value)}")
    return value


_HINTS: Final = {kind: get_type_hints(kind) for kind in (Recording, Gap, ToneMark)}
_NAMES: Final = {kind: tuple(one.name for one in fields(kind)) for kind in (Recording, Gap, ToneMark)}
_WORDS: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _check(recording: Recording) -> None:
    """What the types do not say."""
    limits = (
        ("rate_hz", recording.rate_hz, 1, _MOST_RATE_HZ),
        ("samples", recording.samples, 0, 1 << 40),
        ("bytes", recording.bytes, 0, 1 << 50),
        ("start_us", recording.start_us, 0, _MOST_US),
        *((f"gaps[{at}].start_us", gap.start_us, 0, _MOST_US) for at, gap in enumerate(recording.gaps)),
        *(
            (f"gaps[{at}].end_us", gap.end_us, gap.start_us, _MOST_US)
            for at, gap in enumerate(recording.gaps)
        ),
        *((f"tones[{at}].start_us", tone.start_us, 0, _MOST_US) for at, tone in enumerate(recording.tones)),
    )
    for place, value, least, most in limits:
        if not least <= value <= most:
            raise ValueError(f"{place}: expected {least} to {most}, got {value}")
    expected = place_of(Path(), recording.path).path(recording.form)
    if recording.path != expected:
        raise ValueError(f"path: expected {expected!r}, got {_short(recording.path)}")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
