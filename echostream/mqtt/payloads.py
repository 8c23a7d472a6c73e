"""JSON as it is published: never NaN, never longer than any broker takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final

from echostream.notices.notice import Notice

LARGEST: Final = 65_536
"""Bytes. AWS IoT takes 131,072 with the topic."""
_LARGE: Final = ("before", "after", "paths", "detail", "text")
"""What is left out of a payload that is too large, in this order."""


def encoded(values: Mapping[str, object]) -> bytes:
    """JSON in UTF-8. What JSON cannot say (infinity, not a number) is null."""
    payload = _bytes(values)
    shortened: dict[str, object] = dict(values)
    for key in _LARGE:
        if len(payload) <= LARGEST:
            break
        if shortened.pop(key, None) is not None:
            payload = _bytes(shortened | {"shortened": True})
    return payload


def milliseconds(at_us: int) -> int:
    """Unix microseconds as Unix milliseconds."""
    return at_us // 1000


def event_values(gateway: str, notice: Notice) -> dict[str, object]:
    """What every event says, and what its kind says beside it."""
    values: dict[str, object] = {
        "message_id": notice.id,
        "timestamp": milliseconds(notice.at_us),
        "device_id": gateway,
        "event_type": notice.kind,
        "channel_id": notice.channel_id or None,
        "subject": notice.subject,
        "text": notice.text,
    }
    if notice.who:
        values["who"] = notice.who
    for key, value in (("before", notice.before), ("after", notice.after)):
        if value is not None:
            values[key] = value
    return _first(values, notice.data)


def tone_detection_values(gateway: str, notice: Notice) -> dict[str, object]:
    """The keys that subscribers of tone detections have today, and others beside them.

    tone_details: as defined, of unknown tones as measured; 0 where there is no such tone, as the field's
    devices write it.
    """
    data = notice.data
    tones = {name: _tone(data, name) for name in ("a", "b")}
    values: dict[str, object] = {
        "message_id": notice.id,
        "timestamp": milliseconds(notice.at_us),
        "device_id": gateway,
        "event_type": "defined_tones_detected" if notice.kind == "page" else "new_tone_detected",
        "tone_details": {"tone_a": tones["a"], "tone_b": tones["b"]},
        "channel_id": notice.channel_id,
        "text": notice.text,
    }
    return _first(values, data)


def _first(values: dict[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """People read the beginning; what every event says is not overwritten."""
    return values | {key: value for key, value in more.items() if key not in values}


def _tone(data: Mapping[str, object], which: str) -> float:
    for key in (f"tone_{which}_hz", f"measured_{which}_hz"):
        value = data.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
    return 0


def _bytes(values: Mapping[str, object]) -> bytes:
    try:
        text = _JSON.encode(values)
    except ValueError:
        text = _JSON.encode(_sayable(values))
    return text.encode("utf-8", "replace")


def _plain(value: object) -> object:
    """What json itself does not know."""
    return dict(value) if isinstance(value, Mapping) else str(value)


_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _sayable(value: object) -> object:
    """Without infinity and not-a-number. Slow, and seldom needed."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _sayable(item) for key, item in value.items()}
        case list() | tuple():
            return [_sayable(item) for item in value]
        case None | bool() | int() | str():
            return value
    return str(value)
