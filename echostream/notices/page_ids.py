"""The id of a page: made of what it is, so that its recording can name it a week and a restart later."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

_SPACE: Final = uuid.UUID("6f5c1d0e-6d6b-4a57-9b0a-3f1f5f6c2b11")


def page_id(gateway_id: str, channel_id: str, tone_id: str, start_us: int) -> str:
    """A UUID (version 5, RFC 9562). start_us: Unix microseconds of its first tone, as recordings mark it."""
    name = "\x00".join((gateway_id, channel_id, tone_id, str(start_us)))
    return str(uuid.uuid5(_SPACE, name))


def page_ids(gateway_id: str, channel_id: str, pages: Iterable[tuple[str, int]]) -> list[str]:
    """Of the pages (tone_id, start_us) in a recording, each once."""
    return list(
        dict.fromkeys(page_id(gateway_id, channel_id, tone_id, start_us) for tone_id, start_us in pages)
    )
