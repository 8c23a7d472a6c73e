"""Pages on disk: what was said from the page's first tone on, for as long as its definition wants.

A ring keeps the last seconds of each channel that has such pages. It is the queue between the capture thread
and the recorder as well: the recorder takes from it what it has not written yet, and counts what it lost.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from echostream.archive.channel_feed import RATIO, RECORD_HZ
from echostream.archive.disk_room import nearly_full
from echostream.archive.file_names import make_folder
from echostream.archive.open_marks import OpenMarks
from echostream.archive.open_recording import Beginning, Journal, LastWords, OpenRecording, Shelf, nobody
from echostream.archive.recording import Gap, ToneMark, Trigger
from echostream.archive.source import Source, channel_policy
from echostream.archive.wall_clock import WallClock
from echostream.audio.device_ports import GapCause
from echostream.audio.format import RATE_HZ, Frame, Samples, silence
from echostream.audio.resampler import RationalResampler
from echostream.config.recording_models import Recording
from echostream.coordinator.worker import Worker
from echostream.events import Post, RecordingClosed

log = logging.getLogger(__name__)

SPARE_S: Final = 10.0
"""What the recorder may be late by: a memory card that is busy with itself takes seconds for a write."""
PERIOD_S: Final = 0.25
LATE_S: Final = 2.0
"""No frame for so long after the end: there is none to wait for."""
LONGEST_S: Final = 6 * 3600.0
START_ERROR_MS: Final = 30.0
"""How far the edge of a first tone may be off."""
AWAY_S: Final = 0.5
"""Frames that are missing for longer: the card was away."""
_PORTION: Final = RATE_HZ // 4


class PageRing:
    """A tap of a transmit path: the last seconds of a channel."""

    def __init__(self, frame_ms: int, page_s: float, old: PageRing | None = None) -> None:
        """page_s: the longest page, from its first tone to its detection. old: the one that it replaces."""
        self.page_s = page_s
        known = () if old is None else old._frames.copy()
        self._frames: deque[Frame] = deque(known, maxlen=int((page_s + SPARE_S) * 1000) // frame_ms)

    def __call__(self, frame: Frame) -> None:
        self._frames.append(frame)

    def since(self, position: int) -> list[Frame]:
        """The frames that end after a sample's index, oldest first."""
        return [frame for frame in self._frames.copy() if frame.index + len(frame.samples) > position]


@dataclass(frozen=True, slots=True)
class PageToRecord:
    """position: index of the channel's sample at which the page began; started_at_s: Unix seconds of it;
    until_s: monotonic seconds. label: of the channel; tone: the page itself, where it is known. tone_id is
    "" where it is no page that is recorded but what somebody asked for: trigger "command"."""

    channel_id: str
    tone_id: str
    position: int
    started_at_s: float
    until_s: float
    label: str = ""
    tone: ToneMark | None = None
    trigger: Trigger = "page"

    @property
    def tone_ids(self) -> list[str]:
        return [self.tone_id] if self.tone_id else []


@dataclass(slots=True)
class _Recording:
    """One that is being written; `begin`: index of its first sample, `next`: of the one that comes next."""

    page: PageToRecord
    ring: PageRing
    file: OpenRecording
    begin: int
    next: int
    until_s: float
    last_frame_s: float
    tone_ids: list[str] = field(default_factory=list)
    resampler: RationalResampler = field(default_factory=lambda: RationalResampler(RATE_HZ, RECORD_HZ))
    skip: int = 0
    over: bool = False


class PageRecorder(Worker):
    """Thread `page-recorder`: a file for each page, in whichever form and beside whatever else is recorded.

    lost_s: silence in place of audio that never came, or that it was too late for. begun: recordings.
    failed: those that the disk refused or ended.
    """

    def __init__(
        self,
        settings: Recording,
        gateway_id: str,
        post: Post,
        journal: Journal = nobody,
        closed: Journal = nobody,
        written: Callable[[], None] = lambda: None,
        mend: Callable[[str], None] = lambda stem: None,
        clock: WallClock | None = None,
    ) -> None:
        """journal, closed, written: as of Recorder. mend: told the name of what the disk refused to end."""
        super().__init__("page-recorder", post)
        self._settings = settings
        self._directory = Path(settings.directory)
        self._shelf = Shelf(
            self._directory,
            settings.write,
            gateway_id,
            OpenMarks(self._directory),
            journal,
            closed,
            written,
            mend,
            opus_bitrate_bps=settings.opus_bitrate_bps,
        )
        self._wall = clock or WallClock()
        self._clock = self._wall.now
        self._asked: deque[PageToRecord | str] = deque(maxlen=64)
        self._wake = threading.Event()
        self._rings: dict[str, PageRing] = {}
        self._recordings: dict[str, _Recording] = {}
        self.lost_s = 0.0
        self.begun = 0
        self.failed = 0

    # ---- from the coordinator's thread

    def set_ring(self, channel_id: str, ring: PageRing) -> None:
        """Where a channel's audio comes from from now on; a running recording goes over to it."""
        self._rings[channel_id] = ring

    def record(self, page: PageToRecord) -> None:
        """Begin, or go on for longer where that channel is recorded already."""
        self._asked.append(page)
        self._wake.set()

    def end(self, channel_id: str) -> None:
        """The channel is gone, or is recorded no more: what is being written of it is closed."""
        self._rings.pop(channel_id, None)
        self._asked.append(channel_id)
        self._wake.set()

    def wants(self, channel_id: str) -> bool:
        """Whether pages of a channel are recorded at all."""
        return channel_policy(self._settings, channel_id).mode != "never"

    def recording(self, channel_id: str) -> bool:
        """Whether a channel is recorded now."""
        return channel_id in self._recordings

    # ---- on its own thread

    def _unblock(self) -> None:
        self._wake.set()

    def _work(self) -> None:
        self._look_at_folder()
        try:
            while not self._stopping.is_set():
                self._wake.wait(PERIOD_S if self._recordings else None)
                self._wake.clear()
                self._obey()
                self._write_all()
        finally:
            # Asked to stop, or tripped over a bug: what is on disk is whole.
            for recording in list(self._recordings.values()):
                self._close(recording)

    def _look_at_folder(self) -> None:
        """Told at the start, when somebody looks, and not when the first page is lost."""
        try:
            make_folder(self._directory)
            if not os.access(self._directory, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it cannot be written to")
            self._leave_room()
        except OSError as error:
            why = error.strerror or str(error)
            log.error(
                "pages cannot be recorded in %s: %s; look at recording.directory and the disk",
                self._directory,
                why,
            )

    def _obey(self) -> None:
        while self._asked:
            asked = self._asked.popleft()
            if isinstance(asked, str):
                gone = self._recordings.get(asked)
                if gone is not None and self._write(gone):
                    self._close(gone)
            else:
                self._begin(asked)

    def _begin(self, page: PageToRecord) -> None:
        running = self._recordings.get(page.channel_id)
        if running is not None:
            longest_s = running.page.until_s + LONGEST_S
            running.until_s = min(max(running.until_s, page.until_s), longest_s)
            if page.trigger == "page":
                running.file.meta.trigger = "page"  # whatever it began as: pages are looked for
            running.tone_ids += [tone_id for tone_id in page.tone_ids if tone_id not in running.tone_ids]
            if page.tone is not None:
                running.file.add_tone(page.tone)
            return
        ring = self._rings.get(page.channel_id)
        if ring is None:
            return
        frames = ring.since(page.position)
        begin = max(page.position, frames[0].index) if frames else page.position
        page = replace(page, started_at_s=page.started_at_s + (begin - page.position) / RATE_HZ)
        try:
            self._leave_room()
            error_ms = START_ERROR_MS + self._wall.quality.error_ms
            beginning = Beginning(round(page.started_at_s * 1e6), error_ms, self._wall.quality.state)
            file = OpenRecording(self._shelf, self._source(page), beginning, tone=page.tone_id)
        except OSError as error:
            self._refused(page, error)
            return
        self.begun += 1
        if page.tone is not None:
            file.add_tone(page.tone)
        recording = _Recording(page, ring, file, begin, begin, page.until_s, self._clock(), page.tone_ids)
        recording.skip = recording.resampler.latency_samples
        self._recordings[page.channel_id] = recording

    def _source(self, page: PageToRecord) -> Source:
        policy = channel_policy(self._settings, page.channel_id)
        channel = page.channel_id
        return Source(
            channel,
            "channel",
            page.trigger,
            RECORD_HZ,
            page.label,
            channel,
            policy.priority,
            policy.keep_days,
        )

    def _refused(self, page: PageToRecord, error: OSError) -> None:
        self.failed += 1
        where = f"{self._directory}: {error.strerror or error}"
        log.error(
            "%s on %s is not recorded: %s; look at recording.directory and the disk",
            f"the page {page.tone_id}" if page.tone_id else "what was asked for",
            page.channel_id,
            where,
        )
        tone_ids, began_s = tuple(page.tone_ids), page.started_at_s
        self._post(RecordingClosed(page.channel_id, "", tone_ids, began_s, 0.0, where, trigger=page.trigger))

    def _write_all(self) -> None:
        if self._recordings:
            self._shelf.written()
        for recording in list(self._recordings.values()):
            if not self._write(recording):
                continue
            if recording.over or self._clock() > max(recording.until_s, recording.last_frame_s) + LATE_S:
                self._close(recording)

    def _write(self, recording: _Recording) -> bool:
        """What has come since. False: the disk refused it, and the recording is closed."""
        try:
            self._leave_room()
            self._write_new(recording)
            recording.file.keep_up(self._clock())
        except OSError as error:
            self._give_up(recording, error)
            return False
        return True

    def _write_new(self, recording: _Recording) -> None:
        # Looked at in this order nothing is missed when the capture thread goes over to another ring.
        ring = self._rings.get(recording.page.channel_id, recording.ring)
        newer = ring.since(recording.next) if ring is not recording.ring else []
        self._write_frames(recording, recording.ring.since(recording.next))
        newer = [frame for frame in newer if frame.index >= recording.next]
        if newer:
            recording.ring = ring
            self._write_frames(recording, newer)

    def _write_frames(self, recording: _Recording, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.complete_at_s > recording.until_s:
                recording.over = True
                return
            self._write_frame(recording, frame)

    def _leave_room(self) -> None:
        if nearly_full(self._directory):
            raise OSError(errno.ENOSPC, "the disk is nearly full, and others need the rest")

    def _write_frame(self, recording: _Recording, frame: Frame) -> None:
        missing = frame.index - recording.next
        if missing > 0:
            self._note_gap(recording, missing)
            while missing > 0:  # in portions: a card may have been away for long
                part = min(missing, _PORTION)
                self._put(recording, silence(part))
                missing -= part
        samples = frame.samples[max(0, -missing) :] if missing < 0 else frame.samples
        self._put(recording, samples)
        recording.next = frame.index + len(frame.samples)
        recording.last_frame_s = frame.complete_at_s

    def _note_gap(self, recording: _Recording, missing: int) -> None:
        self.lost_s += missing / RATE_HZ
        before = recording.next - recording.begin
        start_us = recording.file.meta.start_us + round(1e6 * before / RATE_HZ)
        end_us = start_us + round(1e6 * missing / RATE_HZ)
        cause: GapCause = "card gone" if missing > AWAY_S * RATE_HZ else "overload"
        recording.file.add_gap(Gap(start_us, end_us, cause, before // RATIO))

    def _put(self, recording: _Recording, samples: Samples) -> None:
        resampled = recording.resampler.process(samples)
        if recording.skip:
            left = min(recording.skip, len(resampled))
            recording.skip -= left
            resampled = resampled[left:]
        recording.file.write(resampled)

    def _give_up(self, recording: _Recording, error: OSError) -> None:
        self._close(recording, error.strerror or str(error))

    def _close(self, recording: _Recording, error: str = "") -> None:
        page, file = recording.page, recording.file
        self._recordings.pop(page.channel_id, None)
        error_ms = START_ERROR_MS + self._wall.quality.error_ms
        words = LastWords("pause", file.meta.start_us, error_ms)
        try:
            if not error:
                tail = recording.resampler.latency_samples * RATE_HZ // RECORD_HZ
                self._put(recording, silence(tail))
                file.close(words)
                file.let_go(sync=True)
        except OSError as refused:
            error = refused.strerror or str(refused)
        if error:
            file.abandon(words)
            self.failed += 1
            log.error("%s: the recording ends early: %s; look at the disk", file.path, error)
        self._tell(recording, error)

    def _tell(self, recording: _Recording, error: str) -> None:
        page, duration_s = recording.page, recording.file.samples / RECORD_HZ
        tone_ids = tuple(recording.tone_ids)
        path = str(recording.file.path)
        if not error:
            what = ", ".join(tone_ids) or "what was asked for"
            log.info("Recorded %s on %s: %s (%.0f s)", what, page.channel_id, path, duration_s)
        pages = tuple((tone.tone_id, tone.start_us) for tone in recording.file.meta.tones)
        self._post(
            RecordingClosed(
                page.channel_id,
                path,
                tone_ids,
                page.started_at_s,
                duration_s,
                error,
                pages,
                recording.file.meta.trigger,
            )
        )
