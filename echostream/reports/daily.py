"""The daily report, written when its time has come."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.notices.notice import Notice
from echostream.vitals.model import LinkVitals, Vitals


class DailyReport(Worker):
    """Thread `report`."""

    def __init__(self, config: Config, database_url: str | None, post: Post) -> None:
        super().__init__("report", post)

    @property
    def workers(self) -> Sequence[Worker]:
        return [self]

    def take(self, notice: Notice) -> None:
        """Told what happened. Any thread, never blocks."""

    def look(self, vitals: Vitals) -> None:
        """Told how the gateway is, about once a second. Any thread, never blocks."""

    def link(self) -> LinkVitals | None:
        """How this way out is; None: it is none."""
        return None

    def _work(self) -> None:
        self._stopping.wait()
