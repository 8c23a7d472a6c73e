"""Recordings to a bucket: one after another, pages first, until all of them are there.

What is to be sent stands in the index and survives everything but the index's loss; after that it is found
again, and what is in the bucket already is not sent twice.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive.recording import Recording as Kept
from echostream.config.recording_models import Recording
from echostream.config.s3_models import S3
from echostream.coordinator.worker import Worker
from echostream.errors import IndexUnavailable
from echostream.events import Post, RecordingFiled, RecordingUploaded
from echostream.index.door import open_index
from echostream.notices.notice import Notice
from echostream.uploads.backlog import Backlog, Told
from echostream.uploads.body import Stopped
from echostream.uploads.causes import Cause, Refused
from echostream.uploads.client import Bucket, extra_of, target_of
from echostream.uploads.deferred import Deferred
from echostream.uploads.errand import STUCK_S, Errand, Stuck
from echostream.uploads.keys import key_of
from echostream.uploads.lag import Lag
from echostream.uploads.pace import Pace, Window, drawn
from echostream.uploads.rules import Turn
from echostream.uploads.sending import Job, Sender, Ways
from echostream.uploads.uplink import Uplink
from echostream.vitals.model import LinkVitals, Vitals

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex
    from echostream.index.uploads import Upload, Waiting

log = logging.getLogger(__name__)

IDLE_S: Final = 30.0
SEARCH_FIRST_S: Final = 30.0
SEARCH_S: Final = 3600.0
"""The index is searched at the start, and ever more rarely: it may still be in the making then."""
LOOK_S: Final = 900.0
"""How often a bucket that nothing is sent to is looked at."""
COUNT_S: Final = 2.0
INDEX_RETRY_S: Final = 2.0
INDEX_PATIENCE_S: Final = 30.0


class S3Uploader(Worker):
    """Thread `s3`; requests are made on `s3-request`, which can be given up."""

    def __init__(
        self,
        s3: S3,
        recording: Recording,
        gateway_id: str,
        keys: tuple[str, str] | None,
        database_url: str | None,
        post: Post,
        stuck_s: float = STUCK_S,
    ) -> None:
        """keys: access key id and secret; None: what the machine's own identity gives."""
        super().__init__("s3", post)
        self._s3 = s3
        self._keys = keys
        self._recorded = recording.enabled
        self._directory = Path(recording.directory)
        self._database_url = database_url
        self._stuck_s = stuck_s
        self._target = target_of(s3)
        self._pace = Pace(s3.most_kbit_s)
        self._window = Window(s3.window)
        self._told = Told()
        self._wake = threading.Event()
        self._errand: Errand[bool] | None = None
        self._bucket: Bucket | None = None
        self._deferred = Deferred()
        self._search_at_s = self._protected_at_s = self._count_at_s = self._look_at_s = 0.0
        self._search_each_s = SEARCH_FIRST_S
        self._lag = Lag(time.monotonic())
        self._uplink = Uplink(self._target, post, time.monotonic())
        self._waiting: Waiting | None = None
        self._index_told = ""
        self._index_failed_s: float | None = None
        self.sent = 0
        """Recordings that were sent since the start."""
        self.bytes_sent = 0

    # ---- from any thread

    def filed(self, recordings: Sequence[RecordingFiled]) -> None:
        """Recordings that have their last form. Any thread, never blocks."""
        self._told.add(recordings)
        self._wake.set()

    @property
    def workers(self) -> Sequence[Worker]:
        return [self]

    def take(self, notice: Notice) -> None:
        """Told what happened. Any thread, never blocks."""

    def look(self, vitals: Vitals) -> None:
        """Told how the gateway is, about once a second. Any thread, never blocks."""

    def link(self) -> LinkVitals | None:
        """How this way out is; None: it is none."""
        now, link, waiting = time.monotonic(), self._uplink, self._waiting
        return LinkVitals(
            name="s3",
            up=link.up is True,
            for_s=now - link.since_s,
            waiting=0 if waiting is None else waiting.count,
            oldest_s=self._lag.age_s(now),
            sent=self.sent,
            bytes_waiting=0 if waiting is None else waiting.bytes,
            detail=link.detail,
        )

    # ---- on its own thread

    def _unblock(self) -> None:
        errand = self._errand
        if errand is not None:
            errand.cut()
        self._wake.set()

    def _work(self) -> None:
        if not self._recorded:
            log.warning("s3: nothing is recorded (recording.enabled is false), so nothing is uploaded")
            self._stopping.wait()
            return
        try:
            # Made by whoever fills it: one that were made here would not be known as empty there.
            with open_index(self._directory, self._database_url, create=False) as index:
                self._index_works()
                self._keep_up(index)
        except (IndexUnavailable, OSError) as error:
            self._index_fails(error)
        finally:
            self._disconnect()

    def _keep_up(self, index: ArchiveIndex) -> None:
        """Until it is told to stop, or the index fails or is another one."""
        backlog = Backlog(index, self._target, self._s3.rules)
        index.uploads.drop_others(self._target)
        self._search_at_s, self._search_each_s = 0.0, SEARCH_FIRST_S
        while not self._stopping.is_set() and not index.was_replaced():
            self._wake.clear()
            self._gather(backlog)
            self._count(index)
            wait_s = self._one(index, backlog)
            if wait_s > 0:
                self._wake.wait(min(wait_s, IDLE_S))

    def _gather(self, backlog: Backlog) -> None:
        now, now_us = time.monotonic(), time.time_ns() // 1000
        added = 0
        if told := self._told.take():
            added += backlog.add_told(told, now_us)
        if self._told.overflowed or now >= self._search_at_s:
            self._told.overflowed = False
            self._search_at_s = now + self._search_each_s
            self._search_each_s = min(SEARCH_S, 4 * self._search_each_s)
            added += backlog.search(now_us, self._stopping.is_set)
        elif now >= self._protected_at_s:
            self._protected_at_s = now + IDLE_S
            added += backlog.search_protected(now_us, self._stopping.is_set)
        if added:
            self._count_at_s = 0.0

    def _count(self, index: ArchiveIndex) -> None:
        now = time.monotonic()
        if now < self._count_at_s:
            return
        self._count_at_s = now + COUNT_S
        waiting = index.uploads.waiting(self._target)
        self._lag.oldest(waiting.oldest, waiting.since_us, time.time_ns() // 1000, now)
        self._waiting = waiting

    def _one(self, index: ArchiveIndex, backlog: Backlog) -> float:
        """Send what is next. How long to wait after that."""
        now = time.monotonic()
        if now < self._uplink.pause_until_s:
            return self._uplink.pause_until_s - now
        turns = Turn.OTHER + 1 if self._window.is_open(_local_time()) else Turn.OTHER
        if self._uplink.up is None and not self._tried(self._looked):
            return 0.0
        row = self._next(index, turns, now)
        if row is None:
            if now >= self._look_at_s or self._uplink.failing:
                self._look_at_s = now + LOOK_S
                self._tried(self._looked)
                return 0.0
            return min(IDLE_S, self._deferred.wait_s(now))
        found = backlog.recording_of(row)
        if found is None:
            self._forget(index, row)
        else:
            self._send(index, row, *found)
        return 0.0

    def _next(self, index: ArchiveIndex, turns: int, now: float) -> Upload | None:
        """Those that failed lately come after all others."""
        alone, failed = self._deferred.at(now)
        for besides in (alone | failed, alone) if failed else (alone,):
            if rows := index.uploads.next(self._target, turns, besides):
                return rows[0]
        return None

    def _looked(self, errand: Errand[bool]) -> bool:
        try:
            self._connected().look()
        except Refused as error:
            if error.cause is not Cause.DENIED:
                raise
            # It may be allowed to write all the same: the first upload says.
        return True

    def _forget(self, index: ArchiveIndex, row: Upload) -> None:
        """It is gone, or nobody wants it there any more: nor its parts."""

        def abort(errand: Errand[bool]) -> bool:
            self._connected().abort(row.key, row.upload_id)
            return True

        if not row.upload_id or self._tried(abort):
            index.uploads.drop(row.recording_id, row.target)
            self._count_at_s = 0.0

    def _send(self, index: ArchiveIndex, row: Upload, recording: Kept, audio: Path) -> None:
        try:
            key = key_of(self._s3.key, recording)
            upload_id = row.upload_id if row.key == key else ""
            index.uploads.begin(recording.id, row.target, key, upload_id)
            job = Job(recording, audio, key, upload_id, round(self._s3.part_mb * 1e6), extra_of(self._s3))
            sent = self._run(self._sending(index, row, job))
        except Stopped:
            return
        except IndexUnavailable:
            raise
        except (Refused, OSError, ValueError) as error:
            self._failed(index, row, error)
            return
        self.sent += sent
        if sent or row.key:  # what is found of an index that is lost was told in its time
            self._post(_uploaded(recording, audio, self._s3.bucket, key))
        index.uploads.done(recording.id, row.target, key)
        if (waiting := self._waiting) is not None:
            left = max(0, waiting.count - 1)
            self._waiting = replace(waiting, count=left, bytes=max(0, waiting.bytes - row.bytes))

    def _sending(self, index: ArchiveIndex, row: Upload, job: Job) -> Callable[[Errand[bool]], bool]:
        def send(errand: Errand[bool]) -> bool:
            def remember(upload_id: str) -> None:
                if errand.given_up:
                    raise Stopped
                index.uploads.begin(row.recording_id, row.target, job.key, upload_id)

            def moved(count: int) -> None:
                errand.moved()
                self.bytes_sent += count

            bucket = self._connected()
            if row.upload_id and not job.upload_id:  # it was begun under another name
                bucket.abort(row.key, row.upload_id)
            ways = Ways(errand.wait, moved, lambda: self._uplink.works(time.monotonic()), remember)
            return Sender(bucket, job, self._pace, ways).send()

        return send

    def _failed(self, index: ArchiveIndex, row: Upload, error: Refused | OSError | ValueError) -> None:
        """It stays, behind those that were not tried yet; what is wrong with it alone keeps it off longer."""
        text = str(error) if not isinstance(error, OSError) else f"cannot be read: {error.strerror or error}"
        cause = error.cause if isinstance(error, Refused) else Cause.FILE
        index.uploads.failed(row.recording_id, row.target, text)
        wait_s = drawn(row.attempts, cause.first_s, cause.most_s)
        self._deferred.add(row.number, time.monotonic() + wait_s, alone=not cause.of_all)
        if not cause.of_all:
            level = logging.ERROR if row.error != text[:500] else logging.DEBUG
            log.log(level, "s3: %s: %s; others go on, it is tried again in %.0f s", row.path, text, wait_s)

    # ---- requests

    def _tried(self, what: Callable[[Errand[bool]], bool]) -> bool:
        """False: it came to nothing, and was told."""
        try:
            return self._run(what)
        except (Refused, Stopped):
            return False

    def _run(self, what: Callable[[Errand[bool]], bool]) -> bool:
        """Do it, and learn of it whether the bucket works. Raises Refused, Stopped."""
        errand = self._errand = Errand(what)
        try:
            if self._stopping.is_set():
                raise Stopped
            done = errand.outcome(self._stuck_s)
        except Stuck:
            self._disconnect()
            error = Refused(Cause.NETWORK, f"{self._target} has not moved for {self._stuck_s:.0f} s")
            self._uplink.fails(error, time.monotonic())
            raise error from None
        except Refused as error:
            self._uplink.fails(error, time.monotonic())
            raise
        finally:
            self._errand = None
        self._uplink.works(time.monotonic())
        return done

    def _connected(self) -> Bucket:
        if self._bucket is None:
            self._bucket = Bucket(self._s3, self._keys)
        return self._bucket

    def _disconnect(self) -> None:
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.close()

    # ---- the index

    def _index_works(self) -> None:
        if self._index_told:
            log.info("s3: the index of recordings can be used again")
        self._index_told, self._index_failed_s = "", None

    def _index_fails(self, error: Exception) -> None:
        """At the first start it is not there yet: what is over within half a minute is not told."""
        now, text = time.monotonic(), str(error)
        if self._index_failed_s is None:
            self._index_failed_s = now
        if now - self._index_failed_s >= INDEX_PATIENCE_S and text != self._index_told:
            log.error("s3: %s; recordings wait", text)
            self._index_told = text
        self._stopping.wait(INDEX_RETRY_S)


def _local_time() -> dt.time:
    return dt.datetime.now().time()


def _uploaded(recording: Kept, audio: Path, bucket: str, key: str) -> RecordingUploaded:
    return RecordingUploaded(
        recording=recording.id,
        path=str(audio),
        source=recording.source,
        kind=recording.kind,
        channel_id=recording.channel_id,
        tone_ids=tuple(tone.tone_id for tone in recording.tones),
        started_at_s=recording.start_us / 1e6,
        duration_s=recording.duration_us / 1e6,
        bucket=bucket,
        key=key,
        bytes=recording.bytes,
        pages=tuple((tone.tone_id, tone.start_us) for tone in recording.tones),
    )
