"""Everything that keeps what was heard, in order: recorder, disk, filing, index, retention.

taps ─> Recorder, PageRecorder ─meta file─> IndexWriter
                 └─closed─> Filing ─meta file─┘        Retention deletes by the index
"""

from __future__ import annotations

import logging
from pathlib import Path

from echostream.archive.disk_sync import DiskSync
from echostream.archive.filing import Filing
from echostream.archive.page_recorder import PageRecorder
from echostream.archive.recorder import Recorder
from echostream.config.recording_models import Recording
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.index.retention import Retention
from echostream.index.writer import IndexWriter

log = logging.getLogger(__name__)

STOP_S = 30.0
"""A thousand files take seconds to close, more on a memory card. By then no line is keyed any more."""


class RecordRoom:
    """The workers of one archive. Built when recording is enabled; another folder is another room."""

    def __init__(
        self, recording: Recording, gateway_id: str, post: Post, database_url: str | None = None
    ) -> None:
        directory = Path(recording.directory)
        self.directory = directory
        self.index = IndexWriter(directory, post, database_url)
        self.filing = Filing(
            directory, recording.kept_form, post, self.index.changed, recording.opus_bitrate_bps
        )
        self.sync = DiskSync(directory, post)
        self.recorder = Recorder(
            recording, gateway_id, post, self.index.changed, self.filing.closed, self.sync.written
        )
        self.pages = PageRecorder(
            recording,
            gateway_id,
            post,
            self.index.changed,
            self.filing.closed,
            self.sync.written,
            self.recorder.mend,
        )
        self.retention = Retention(directory, recording, post, database_url)
        self.workers: list[Worker] = [
            *(self.index, self.sync, self.filing, self.recorder, self.pages, self.retention)
        ]

    def start(self) -> None:
        """Who takes things first, who makes them last."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Who makes things first: what they close is still filed and indexed."""
        for worker in reversed(self.workers):
            worker.request_stop()
            if not worker.join(STOP_S):
                log.error("worker %s has not ended after %.1f s", worker.name, STOP_S)
