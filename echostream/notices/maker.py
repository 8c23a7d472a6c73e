"""What an event of the coordinator means to those who are told."""

from __future__ import annotations

from echostream.config.models import Config
from echostream.events import Event
from echostream.notices.notice import Notice


class NoticeMaker:
    """One for a configuration. Not thread-safe: the coordinator's thread."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def notices(self, event: Event, now: float) -> list[Notice]:
        """now: monotonic seconds."""
        return []
