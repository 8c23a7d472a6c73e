"""Pages and other tones as notices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from echostream.config.models import Config
from echostream.config.tone_models import AlertTone
from echostream.events import ToneDetected, ToneMissed
from echostream.notices import words
from echostream.notices.notice import Json, Notice, Weight
from echostream.notices.page_ids import page_id
from echostream.tones.heard import ToneSpan

EAR_RATE_HZ: Final = 8000
"""Of the sample indices in a `Detection` (tones/heard.py)."""

Definitions = Mapping[tuple[str, str], AlertTone]


def definitions(config: Config) -> Definitions:
    """Every page that is listened for, by channel and tone_id."""
    return {
        (channel_id, tone.tone_id): tone
        for channel_id, plan in config.tones.items()
        for tone in plan.alert_tones
    }


def heard(event: ToneDetected, gateway_id: str, known: Definitions) -> Notice:
    """A page where a definition was heard, else a tone."""
    found = event.detection
    start_us, end_us = round(event.started_at_s * 1e6), round(event.ended_at_s * 1e6)
    data: dict[str, Json] = {
        "tone_id": found.tone_id,
        "name": event.name,
        "alert": event.alert,
        "tone_kind": str(found.kind),
        **_measured(found.tones if not found.digits else ()),
        "digits": found.digits,
        "system": found.system,
        "started_at_us": start_us,
        "ended_at_us": end_us,
        "snr_db": round(found.snr_db, 1),
        "level_dbfs": round(found.level_dbfs, 1),
        "confidence": round(found.confidence, 3),
    }
    text = words.heard(event)
    if not words.is_page(event):
        return Notice("tone", start_us, text, event.channel_id, found.tone_id, data=data)
    tone = known.get((event.channel_id, found.tone_id))
    data |= {
        "tone_a_hz": tone.tone_a_hz if tone is not None else None,
        "tone_b_hz": tone.tone_b_hz if tone is not None else None,
        "record_length_s": event.record_length_s,
        "priority": event.priority,
    }
    return Notice(
        "page",
        start_us,
        text,
        event.channel_id,
        found.tone_id,
        Weight.ALARM,
        data=data,
        id=page_id(gateway_id, event.channel_id, found.tone_id, start_us),
    )


def missed(event: ToneMissed) -> Notice:
    """What nearly was a page."""
    miss = event.miss
    data: dict[str, Json] = {
        "tone_id": miss.tone_id,
        "tone_kind": str(miss.kind),
        "reason": miss.reason,
        "explanation": miss.explanation,
    }
    at_us = round(event.started_at_s * 1e6)
    return Notice("tone_missed", at_us, words.missed(event), event.channel_id, miss.tone_id, data=data)


def _measured(tones: tuple[ToneSpan, ...]) -> dict[str, Json]:
    """Of the first two tones; null where there is none."""
    data: dict[str, Json] = {}
    for at, letter in enumerate("ab"):
        tone = tones[at] if at < len(tones) else None
        data[f"measured_{letter}_hz"] = None if tone is None else round(tone.hz, 2)
        data[f"{letter}_length_s"] = None if tone is None else round((tone.end - tone.start) / EAR_RATE_HZ, 3)
    return data
