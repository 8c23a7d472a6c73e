"""The ways out (broker, bucket, people), in a few words and for the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from echostream.vitals.model import LinkVitals

NAMES: Final = {"server": "control server", "mqtt": "MQTT", "s3": "S3", "alerts": "alerts"}


def links_words(links: Sequence[LinkVitals]) -> str:
    """ "MQTT: 120 sent; S3: away for 3 min (no such bucket), 4 wait"; "" where there is no way out."""
    return "; ".join(f"{NAMES.get(link.name, link.name)}: {', '.join(_parts(link))}" for link in links)


def links_summary(links: Sequence[LinkVitals], after: Sequence[LinkVitals]) -> dict[str, object]:
    """By name: whether each was up when the run ended, and what it had sent and kept `after` that."""
    ended = {link.name: link for link in links}
    return {
        link.name: {
            key: round(value, 1) if isinstance(value, float) else value
            for key, value in asdict(_merged(ended.get(link.name, link), link)).items()
            if key != "name"
        }
        for link in after
    }


def _merged(ended: LinkVitals, after: LinkVitals) -> LinkVitals:
    return replace(after, up=ended.up, for_s=ended.for_s, detail=ended.detail)


def _parts(link: LinkVitals) -> list[str]:
    parts = []
    if not link.up:
        why = f" ({link.detail})" if link.detail else ""
        parts.append(f"away for {_lasting(link.for_s)}{why}")
    if link.up or link.sent:
        parts.append(f"{link.sent} sent")
    if link.waiting:
        since = f" for up to {_lasting(link.oldest_s)}" if link.oldest_s >= 1 else ""
        parts.append(f"{link.waiting} wait{since}")
    if link.dropped:
        parts.append(f"{link.dropped} gave way")
    return parts


def _lasting(seconds: float) -> str:
    """ "40 s", "3 min", "2 h", "4 days"."""
    for unit, length_s, until_s in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{int(seconds // 86_400)} days"
