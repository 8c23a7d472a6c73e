"""Which recordings are uploaded, and which of them first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from echostream.archive.recording import Recording
from echostream.config.s3_models import S3Rule


class Turn(IntEnum):
    """Who goes first."""

    PAGE = 0
    OTHER = 1


def has_page(recording: Recording) -> bool:
    """A page was heard in it, or it was made because of one."""
    return recording.trigger == "page" or bool(recording.tones)


def turn_of(recording: Recording) -> Turn:
    """Pages go before everything else, and at any time of day."""
    return Turn.PAGE if has_page(recording) else Turn.OTHER


def wanted(recording: Recording, rules: Sequence[S3Rule]) -> bool:
    """Whether it has its last form, and meets all of one rule."""
    if recording.state == "open" or not recording.sha256:
        return False
    return any(_meets(recording, rule) for rule in rules)


def _meets(recording: Recording, rule: S3Rule) -> bool:
    if recording.kind not in rule.kinds or (rule.sources and recording.source not in rule.sources):
        return False
    return {"pages": has_page(recording), "protected": recording.protected, "all": True}[rule.what]
