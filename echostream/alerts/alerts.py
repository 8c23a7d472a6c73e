"""Messages to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from echostream.config.alert_models import Alerts as Settings
from echostream.config.models import Gateway
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.notices.notice import Notice
from echostream.vitals.model import LinkVitals, Vitals


class Alerts(Worker):
    """Thread `alerts`."""

    def __init__(
        self,
        alerts: Settings,
        gateway: Gateway,
        urls: Mapping[str, str],
        spool: Path,
        tell: Callable[[Notice], None],
        post: Post,
    ) -> None:
        """urls: of the targets, by name. tell: everybody else, of an alert that was raised or is over."""
        super().__init__("alerts", post)

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
