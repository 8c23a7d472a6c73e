"""Recordings to a bucket."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.config.recording_models import Recording
from echostream.config.s3_models import S3
from echostream.coordinator.worker import Worker
from echostream.events import Post, RecordingFiled
from echostream.notices.notice import Notice
from echostream.vitals.model import LinkVitals, Vitals


class S3Uploader(Worker):
    """Thread `s3`."""

    def __init__(
        self,
        s3: S3,
        recording: Recording,
        gateway_id: str,
        keys: tuple[str, str] | None,
        database_url: str | None,
        post: Post,
    ) -> None:
        """keys: access key id and secret; None: what the machine's own identity gives."""
        super().__init__("s3", post)

    def filed(self, recordings: Sequence[RecordingFiled]) -> None:
        """Recordings that have their last form. Any thread, never blocks."""

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
