"""What an object is called and what stands beside it. Pure: the same recording has the same key for ever, so
that it takes its own place when it is sent again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from echostream.archive.file_names import tidy
from echostream.archive.recording import Recording

CONTENT_TYPES: Final = {"wav": "audio/wav", "flac": "audio/flac", "opus": "audio/ogg"}
MOST_KEY_BYTES: Final = 1024
"""Amazon S3 User Guide, "Naming Amazon S3 objects"."""
_LONGEST_VALUE: Final = 200
_LONGEST_TONES: Final = 600
"""All metadata together has 2 KB: Amazon S3 User Guide, "Working with object metadata"."""
_ODD: Final = re.compile(r"[\x00-\x20\x7f]+")
_PLAIN: Final = " !#$&'()*+,-./:;<=>?@[]^_`{|}~"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def key_of(template: str, recording: Recording) -> str:
    """The template with the recording's values. Values keep letters, digits, dot, dash and underscore.

    ValueError for a key that is longer than S3 takes.
    """
    start = _time(recording.start_us)
    key = template.format_map(
        {
            "gateway": tidy(recording.gateway),
            "date": f"{start:%Y-%m-%d}",
            "year": f"{start:%Y}",
            "month": f"{start:%m}",
            "day": f"{start:%d}",
            "channel": tidy(recording.channel_id or recording.source),
            "source": tidy(recording.source),
            "kind": recording.kind,
            "name": PurePosixPath(recording.path).name,
            "form": recording.form,
            "id": recording.id,
        }
    )
    if len(key.encode()) > MOST_KEY_BYTES:
        raise ValueError(f"its key is longer than {MOST_KEY_BYTES} bytes: make s3.key shorter")
    return key


def metadata_of(recording: Recording) -> dict[str, str]:
    """What is stored with the object, as x-amz-meta-NAME: ASCII, the rest percent-encoded."""
    values = {
        "recording": recording.id,
        "sha256": recording.sha256,
        "gateway": recording.gateway,
        "channel": recording.channel_id,
        "source": recording.source,
        "kind": recording.kind,
        "trigger": recording.trigger,
        "label": recording.label,
        "start": _stamp(recording.start_us),
        "end": _stamp(recording.end_us),
        "duration-s": f"{recording.duration_us / 1e6:.3f}",
        "clock": recording.clock,
        "tones": _listed(recording),
    }
    most = {"tones": _LONGEST_TONES}
    return {
        name: text
        for name, value in values.items()
        if (text := _ascii(value, most.get(name, _LONGEST_VALUE)))
    }


def _listed(recording: Recording) -> str:
    """ID@TIME of each page, as many as there is room for."""
    listed = ""
    for tone in recording.tones:
        one = f"{tone.tone_id}@{_stamp(tone.start_us)}"
        if len(listed) + len(one) + 1 > _LONGEST_TONES:
            break
        listed += f",{one}" if listed else one
    return listed


def _ascii(text: str, longest: int) -> str:
    """Never cut within one character's code."""
    words = _ODD.sub(" ", text).strip()
    out = ""
    for letter in words:
        code = (
            letter
            if letter.isascii() and (letter.isalnum() or letter in _PLAIN)
            else quote(letter, errors="replace")
        )
        if len(out) + len(code) > longest:
            break
        out += code
    return out.rstrip()  # cut behind a blank: a server would sign it without


def _stamp(us: int) -> str:
    return f"{_time(us):%Y-%m-%dT%H:%M:%S}.{us % 1_000_000 // 1000:03d}Z"


def _time(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
