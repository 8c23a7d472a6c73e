"""The processes that serve streams, all together: `relay.workers` of them where that is more than one."""

from __future__ import annotations

import logging
import selectors
import time
import zlib
from typing import Final, Protocol

from echostream.audio.device_ports import GapCause
from echostream.config.esp32_models import Relay
from echostream.events import Post, WorkerFailed
from echostream.network.esp32_pipe import Failed, Message, Over, Record, Rules, Said, Seen, Stop, Told
from echostream.network.esp32_status import RelayCounters, sum_of
from echostream.network.esp32_workers import RecordJob, RemoteStream, StreamWorker

log = logging.getLogger(__name__)

STOP_S: Final = 25.0
"""How long they may take to close their recordings."""


class Books(Protocol):
    """Who keeps the books of streams."""

    def end(self, stream: RemoteStream, cause: GapCause, detail: str, now: float) -> None: ...

    def rest(self, stream: RemoteStream, now: float) -> None: ...


class WorkerPool:
    """On the relay's thread."""

    def __init__(self, relay: Relay, books: Books, selector: selectors.BaseSelector, post: Post) -> None:
        self._relay = relay
        self._books = books
        self._selector = selector
        self._post = post
        self._job: RecordJob | None = None
        self._workers: list[StreamWorker] = []
        self._made = 0

    @property
    def workers(self) -> list[StreamWorker]:
        """Those that there are, running or about to."""
        return list(self._workers)

    @property
    def count(self) -> int:
        """Streams that are served there."""
        return sum(len(worker.streams) for worker in self._workers)

    def streams(self) -> list[RemoteStream]:
        """Every stream that is served there."""
        return [stream for worker in self._workers for stream in worker.streams.values()]

    def worker_for(self, name: str) -> StreamWorker | None:
        """Who serves a device; None: the gateway itself, also while that process is not there."""
        if not self._workers:
            return None
        worker = self._workers[zlib.crc32(name.encode()) % len(self._workers)]
        return worker if worker.running else None

    def counters(self) -> RelayCounters:
        """What was counted there."""
        return sum_of(worker.counted for worker in self._workers)

    def set_rules(self, relay: Relay, now: float) -> None:
        """Another number of processes ends those that there are; their devices connect again."""
        if relay.workers != self._relay.workers:
            self.close(now, "another number of workers")
        self._relay = relay
        for worker in self._workers:
            worker.send(Rules(relay))

    def record_with(self, job: RecordJob | None) -> None:
        """By this from now on; None: nothing."""
        self._job = job
        for worker in self._workers:
            worker.send(self._record)

    def check(self, now: float) -> None:
        """Start what is due, notice what hangs. A few times a second."""
        if self._relay.workers > 1 and not self._workers:
            for _ in range(self._relay.workers):
                self._made += 1
                self._workers.append(StreamWorker(self._made, self._selector, self._hear))
        for worker in self._workers:
            self._ended(worker, worker.keep_up(self._relay, self._record, now), now)

    def close(self, now: float, detail: str) -> None:
        """End them all in order: every recording is closed, and told of."""
        for worker in self._workers:
            for stream in list(worker.streams.values()):
                self._books.end(stream, "stopped", detail, now)
            worker.send(Stop())
        until_s = time.monotonic() + STOP_S
        for worker in self._workers:
            for message in worker.close(until_s):
                self._take(worker, message, now)
        self._workers = []

    # ---- inside

    @property
    def _record(self) -> Record:
        job = self._job
        return Record(None, "") if job is None else Record(job.recording, job.gateway_id)

    def _hear(self, worker: StreamWorker, now: float) -> None:
        messages, ended = worker.receive(now)
        for message in messages:
            self._take(worker, message, now)
        self._ended(worker, ended, now)

    def _take(self, worker: StreamWorker, message: Message, now: float) -> None:
        match message:
            case Over(number, cause, detail, rest, last):
                stream = worker.streams.pop(number, None)
                if stream is not None:
                    stream.seen = last
                    if rest:
                        self._books.rest(stream, now)
                    self._books.end(stream, cause, detail, now)
            case Seen(seen, counters):
                worker.counters = counters
                for number, status in seen:
                    if number in worker.streams:
                        worker.streams[number].seen = status
            case Told():
                self._tell(message)
            case Said(logger, level, text):
                logging.getLogger(logger).log(level, "%s: %s", worker.name, text)
            case Failed(name, error):
                self._post(WorkerFailed(f"{worker.name} {name}", error))

    def _tell(self, told: Told) -> None:
        job = self._job
        if job is None:
            return
        if told.path is None:
            job.written()
        elif not told.path.is_relative_to(job.recording.directory):
            log.debug("%s: of another archive, which finds it by itself", told.path)
        elif told.word == "closed":
            job.closed(told.path)
        else:
            job.changed(told.path)

    def _ended(self, worker: StreamWorker, why: str, now: float) -> None:
        if not why:
            return
        log.error("%s: %s; it is started again, its devices connect again", worker.name, why)
        self._post(WorkerFailed(worker.name, why))
        streams = list(worker.streams.values())
        worker.streams.clear()
        for stream in streams:
            self._books.end(stream, "killed", "its process ended", now)
