"""What becomes of recordings, as notices."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.events import RecordingAtRisk, RecordingClosed, RecordingFiled, RecordingUploaded
from echostream.notices import words
from echostream.notices.notice import Json, Notice, Weight
from echostream.notices.page_ids import page_ids

Pages = Sequence[tuple[str, int]]


def closed(event: RecordingClosed, gateway_id: str, at_us: int) -> Notice:
    """A recording of a page, or one that somebody asked for, is whole, or could not be made."""
    state = "failed" if event.error else "closed"
    data: dict[str, Json] = {
        "state": state,
        "path": event.path,
        "source": event.channel_id,
        "source_kind": "channel",
        "trigger": event.trigger,
        **_pages(event.tone_ids, event.pages, gateway_id, event.channel_id),
        "started_at_us": round(event.started_at_s * 1e6),
        "duration_s": round(event.duration_s, 3),
        "sha256": "",
        "error": event.error,
    }
    what = "is not whole" if event.error else "is recorded"
    text = words.recorded(event.path, what, event.duration_s, event.error)
    return Notice("recording", at_us, text, event.channel_id, event.path, data=data)


def filed(event: RecordingFiled, gateway_id: str, at_us: int) -> Notice:
    """A recording has the form in which it is kept."""
    data: dict[str, Json] = {
        "state": "filed",
        "path": event.path,
        "source": event.source,
        "source_kind": event.kind,
        "trigger": event.trigger,
        **_pages(event.tone_ids, event.pages, gateway_id, event.channel_id),
        "started_at_us": round(event.started_at_s * 1e6),
        "duration_s": round(event.duration_s, 3),
        "sha256": event.sha256,
        "error": "",
    }
    text = words.recorded(event.path, "is filed", event.duration_s)
    return Notice("recording", at_us, text, event.channel_id, event.recording, data=data)


def uploaded(event: RecordingUploaded, gateway_id: str, at_us: int) -> Notice:
    """A recording is in the bucket."""
    data: dict[str, Json] = {
        "key": event.key,
        "bucket": event.bucket,
        "url": f"s3://{event.bucket}/{event.key}",
        "path": event.path,
        "source": event.source,
        "source_kind": event.kind,
        **_pages(event.tone_ids, event.pages, gateway_id, event.channel_id),
        "started_at_us": round(event.started_at_s * 1e6),
        "duration_s": round(event.duration_s, 3),
        "bytes": event.bytes,
    }
    return Notice("upload", at_us, words.uploaded(event), event.channel_id, event.recording, data=data)


def at_risk(event: RecordingAtRisk) -> Notice:
    """Recordings will be deleted before they are uploaded."""
    data: dict[str, Json] = {
        "recordings": event.recordings,
        "bytes": event.bytes,
        "reason": event.reason,
        "until_us": round(event.until_s * 1e6),
        "paths": list(event.paths),
    }
    at_us = round(event.at_s * 1e6)
    return Notice("at_risk", at_us, words.at_risk(event), weight=Weight.ALARM, data=data)


def _pages(tone_ids: Sequence[str], pages: Pages, gateway_id: str, channel_id: str) -> dict[str, Json]:
    return {
        "tone_ids": list(dict.fromkeys(tone_ids)),
        "page_ids": list(page_ids(gateway_id, channel_id, pages)),
    }
