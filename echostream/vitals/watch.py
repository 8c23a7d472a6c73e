"""The thread that looks how the gateway is, about once a second, and tells who wants to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.vitals.model import Vitals

PERIOD_S: Final = 1.0


class VitalsWatch(Worker):
    """Thread `vitals`."""

    def __init__(self, look: Callable[[], Vitals], tell: Callable[[Vitals], None], post: Post) -> None:
        super().__init__("vitals", post)
        self._look = look
        self._tell = tell

    def _work(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self._tell(self._look())
