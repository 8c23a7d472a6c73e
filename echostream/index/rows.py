"""A recording as rows of the tables, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from echostream.archive.recording import Gap, Recording, ToneMark
from echostream.index.words import all_words, mark

TIES: Final = 2048
"""So many recordings may begin in the same microsecond: all of a site's segments do."""
LATEST_US: Final = 2**63 // TIES - 2
"""Times that a number can hold, in Unix microseconds: up to the year 2112."""
US_A_DAY: Final = 86_400_000_000
LONGEST_DAYS: Final = 36_500.0


def first_number(start_us: int) -> int:
    """The smallest number of a recording that begins then or later. Order of numbers is order of time."""
    return min(max(start_us, 0), LATEST_US) * TIES


def wanted_number(recording: Recording) -> int:
    """The number it gets where nobody else has that."""
    tie = int.from_bytes(hashlib.blake2b(recording.id.encode("utf-8", "replace"), digest_size=2).digest())
    return first_number(recording.start_us) + tie % TIES


def next_number(number: int) -> int:
    """The next one to try of the same microsecond."""
    return number - number % TIES + (number + 1) % TIES


def plain(text: str) -> str:
    """Text that every database takes: no NUL, no half of a character."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def device_key(archive: str, recording: Recording) -> tuple[str, str, str, str, str]:
    """Of the row in `devices`: archive, gateway, source, kind, channel_id."""
    return (
        archive,
        plain(recording.gateway),
        plain(recording.source),
        recording.kind,
        plain(recording.channel_id),
    )


def marks_of(recording: Recording, device: int) -> list[str]:
    """What is asked for by identity, together with words (words.py)."""
    marks = [mark("d", device)]
    if recording.protected:
        marks.append(PROTECTED)
    if recording.trigger != "continuous":  # which nearly all are
        marks.append(mark("g", recording.trigger))
    if recording.state != "closed":
        marks.append(mark("s", recording.state))
    for tone in recording.tones:
        marks += [mark("t", tone.tone_id), mark("t", tone.name)]
    return list(dict.fromkeys(marks))


PROTECTED: Final = mark("p", "")


def words_for(recording: Recording, device: int) -> str:
    """What the full-text index gets of a recording."""
    texts = [recording.label, recording.channel_id, recording.source, recording.notes]
    texts += [text for tone in recording.tones for text in (tone.name, tone.tone_id)]
    return all_words(texts, marks_of(recording, device))


def keep_until(recording: Recording) -> int | None:
    """Unix microseconds; None where it has no bound of its own."""
    if recording.keep_days is None:
        return None
    return recording.end_us + round(min(max(recording.keep_days, 0.0), LONGEST_DAYS) * US_A_DAY)


def row_of(recording: Recording, device: int, number: int, meta_mtime_ns: int) -> dict[str, Any]:
    """The row in `recordings`."""
    return {
        "number": number,
        "id": recording.id,
        "device": device,
        "path": recording.path,
        "form": recording.form,
        "trigger": recording.trigger,
        "start_us": recording.start_us,
        "end_us": recording.end_us,
        "rate_hz": recording.rate_hz,
        "samples": recording.samples,
        "label": plain(recording.label),
        "state": recording.state,
        "ended": recording.ended,
        "clock": recording.clock,
        "start_error_ms": recording.start_error_ms,
        "ppm": recording.ppm,
        "peak_dbfs": recording.peak_dbfs,
        "rms_dbfs": recording.rms_dbfs,
        "bytes": recording.bytes,
        "sha256": recording.sha256,
        "protected": int(recording.protected),
        "notes": plain(recording.notes),
        "priority": min(max(recording.priority, 0), 9),
        "keep_days": recording.keep_days,
        "keep_until_us": keep_until(recording),
        "meta_mtime_ns": meta_mtime_ns,
        "words": words_for(recording, device),
    }


def gap_rows(recording: Recording, device: int, number: int) -> list[dict[str, Any]]:
    """The rows in `gaps`."""
    before = [(1, recording.gap_before)] if recording.gap_before is not None else []
    return [
        {
            "recording": number,
            "device": device,
            "before": lies_before,
            "start_us": gap.start_us,
            "end_us": gap.end_us,
            "cause": gap.cause,
            "position": gap.position,
        }
        for lies_before, gap in [*before, *((0, gap) for gap in recording.gaps)]
    ]


def tone_rows(recording: Recording, number: int) -> list[dict[str, Any]]:
    """The rows in `tone_events`."""
    return [
        {
            "recording": number,
            "tone_id": plain(tone.tone_id),
            "name": plain(tone.name),
            "kind": plain(tone.kind),
            "start_us": tone.start_us,
            "end_us": tone.end_us,
        }
        for tone in recording.tones
    ]


def gap_of(row: Mapping[str, Any]) -> Gap:
    return Gap(row["start_us"], row["end_us"], row["cause"], row["position"])


def tone_of(row: Mapping[str, Any]) -> ToneMark:
    return ToneMark(row["tone_id"], row["name"], row["start_us"], row["end_us"], row["kind"])


def recording_of(
    row: Mapping[str, Any], gaps: Iterable[Mapping[str, Any]], tones: Iterable[Mapping[str, Any]]
) -> Recording:
    """Of a row of `recordings` joined with its device, and its rows of `gaps` and `tone_events`."""
    gaps = list(gaps)
    return Recording(
        id=row["id"],
        path=row["path"],
        form=row["form"],
        gateway=row["gateway"],
        source=row["source"],
        kind=row["kind"],
        trigger=row["trigger"],
        start_us=row["start_us"],
        rate_hz=row["rate_hz"],
        label=row["label"],
        channel_id=row["channel_id"],
        samples=row["samples"],
        state=row["state"],
        ended=row["ended"],
        clock=row["clock"],
        start_error_ms=row["start_error_ms"],
        ppm=row["ppm"],
        peak_dbfs=row["peak_dbfs"],
        rms_dbfs=row["rms_dbfs"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        protected=bool(row["protected"]),
        notes=row["notes"],
        priority=row["priority"],
        keep_days=row["keep_days"],
        gap_before=next((gap_of(one) for one in gaps if one["before"]), None),
        gaps=[gap_of(one) for one in gaps if not one["before"]],
        tones=[tone_of(one) for one in tones],
    )
