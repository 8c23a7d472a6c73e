"""The recorder: everything that comes of every source, on disk.

Audio comes on other threads into a tap for each source; thread `recorder` empties each four times a second,
one after the other, each into files of its own. Files, times and gaps of one source are `SourceRecorder`'s.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

from echostream.archive.archive_state import Archive
from echostream.archive.channel_feed import RECORD_HZ
from echostream.archive.disk_room import DiskRoom
from echostream.archive.file_names import make_folder
from echostream.archive.gates import gate_of
from echostream.archive.late_clock import LateClock
from echostream.archive.leftovers import LeftOvers
from echostream.archive.open_marks import OpenMarks
from echostream.archive.open_recording import Journal, OpenRecording, Shelf, nobody
from echostream.archive.recording import SourceKind, ToneMark, Trigger
from echostream.archive.settling import Settler
from echostream.archive.source import Source
from echostream.archive.source_recorder import SourceRecorder
from echostream.archive.source_tap import ChannelTap, DeviceTap, SourceTap
from echostream.archive.wall_clock import ClockStep, WallClock
from echostream.audio.device_ports import DeviceSink, GapCause, StreamInfo
from echostream.config.recording_models import Recording, RecordPolicy
from echostream.coordinator.worker import Worker
from echostream.events import Post, WorkerFailed

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.25
"""Each source is served so often: what a kill costs at most, beside what the encoder holds."""
MANY_PERIOD_S: Final = 0.5
FEW: Final = 200
"""More sources than this are served half as often."""
TURN_S: Final = 0.05
IDLE_S: Final = 10.0
LOOK_S: Final = 1.0
TELL_FAILURES_S: Final = 60.0
CLOSING_S: Final = 0.015
"""Of last words about closed files in a turn."""
REPAIR_S: Final = 0.1
"""Of half-written recordings at a time, so that what is recorded meanwhile does not wait."""
MOST_NEW: Final = 2048
"""Streams that wait for a recorder whose disk hangs; each holds the seconds of its tap."""
_TRIGGERS: Final[dict[str, Trigger]] = {
    "continuous": "continuous",
    "vox": "vox",
    "transmissions": "transmission",
}


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """For whoever looks. path: of what is being written, relative to the archive; "" when nothing is.
    lost_s: audio that found its queue full."""

    name: str
    kind: SourceKind
    path: str
    lost_s: float


class Recorder(Worker):
    """Thread `recorder`. Every public method may be called from any thread, and never blocks.

    journal: told each meta file that changed; closed: each whose recording is whole; written: that something
    was, for whoever brings it to the disk itself.
    """

    def __init__(
        self,
        settings: Recording,
        gateway_id: str,
        post: Post,
        journal: Journal = nobody,
        closed: Journal = nobody,
        written: Callable[[], None] = lambda: None,
        clock: WallClock | None = None,
    ) -> None:
        super().__init__("recorder", post)
        directory = Path(settings.directory)
        self._settings = settings
        self.clock = self._clock = clock or WallClock()
        self._room = DiskRoom(directory)
        self.shelf = shelf = Shelf(
            directory,
            settings.write,
            gateway_id,
            OpenMarks(directory),
            journal,
            closed,
            written,
            opus_bitrate_bps=settings.opus_bitrate_bps,
        )
        self._left = LeftOvers(shelf)
        self._late = LateClock(journal)
        self._settler: Settler | None = None
        shelf.abandoned = self.mend
        self._archive = Archive(shelf, self._clock, self._room, settings.segment_s)
        self._archive.closings.closed = self._closed_now
        self._new: deque[SourceRecorder] = deque()
        self._sources: list[SourceRecorder] = []
        self._by_channel: dict[str, SourceTap] = {}
        self._wake = threading.Event()
        self._look_at_s = 0.0
        self._tell_failure_at_s = 0.0
        self.failures = 0
        """Times that a bug ended a recording."""
        self.given_up = 0
        """Streams that found no place while the disk hung."""

    # ---- from any thread

    def open_device(self, info: StreamInfo, policy: RecordPolicy, channel_id: str = "") -> DeviceSink | None:
        """Record one connection of a device; None: nothing of it. channel_id: where it talks, if anywhere."""
        gate = gate_of(policy, info.rate_hz, edges=False)
        if gate is None:
            return None
        tap = DeviceTap(info.rate_hz)
        kind: SourceKind = "quarantine" if info.quarantined else "device"
        source = Source(
            info.name,
            kind,
            "vox" if policy.mode == "transmissions" else _TRIGGERS[policy.mode],
            info.rate_hz,
            info.label,
            channel_id,
            policy.priority,
            policy.keep_days,
        )
        self._add(SourceRecorder(source, gate, tap, self._archive))
        return tap

    def open_channel(
        self,
        channel_id: str,
        label: str,
        policy: RecordPolicy,
        kind: Literal["channel", "network"] = "channel",
    ) -> ChannelTap | None:
        """Record a channel's own radio or card ("channel"), or what others say on it; None: nothing."""
        gate = gate_of(policy, RECORD_HZ, edges=True)
        if gate is None:
            return None
        tap = ChannelTap(self._closed_by)
        trigger = _TRIGGERS[policy.mode]
        source = Source(
            channel_id, kind, trigger, RECORD_HZ, label, channel_id, policy.priority, policy.keep_days
        )
        if kind == "channel":
            self._by_channel[channel_id] = tap
        self._add(SourceRecorder(source, gate, tap, self._archive))
        return tap

    def mark(self, channel_id: str, tone: ToneMark) -> None:
        """A page was heard: it is noted in whichever recording of that channel is being written."""
        tap = self._by_channel.get(channel_id)
        if tap is not None:
            tap.mark(tone)

    def mend(self, stem: str) -> None:
        """The disk refused to end a recording of this process: it is repaired when the disk is well again."""
        self._left.add(stem)

    @property
    def sources(self) -> list[SourceStatus]:
        """Every stream that is being followed."""
        return [
            SourceStatus(
                one.source.name,
                one.source.kind,
                one.recording,
                one.tap.dropped / one.tap.rate_hz,
            )
            for one in (*self._sources, *self._new)
        ]

    def start(self) -> None:
        """And the thread that lets go of what is closed."""
        self._settler = Settler(self.shelf.directory, self._post)
        self._settler.start()
        super().start()

    def join(self, timeout_s: float) -> bool:
        """As Worker.join; what was closed last is let go of."""
        deadline_s = time.monotonic() + timeout_s
        if not super().join(timeout_s):
            return False
        if self._settler is None:
            return True
        self._settler.request_stop()
        return self._settler.join(max(0.0, deadline_s - time.monotonic()))

    # ---- on its own thread

    def _unblock(self) -> None:
        self._wake.set()

    def _work(self) -> None:
        self._look_at_folder()
        self._find_leftovers()
        try:
            while not self._stopping.is_set():
                waiting = self._left.pending + self._late.pending + len(self._archive.closings)
                busy = self._sources or waiting
                self._wake.wait(TURN_S if busy else IDLE_S)
                self._wake.clear()
                now = self._clock.now()
                self._take_new()
                self._look(now)
                self._serve(now)
                self._archive.closings.step(CLOSING_S, len(self._sources))
                self._late.step(CLOSING_S)
                self._left.step(self._clock.now(), REPAIR_S)
        finally:
            # Asked to stop, or tripped over a bug: what is on disk is whole.
            try:
                self._take_new()
                self._finish_all()
            finally:
                if self._stopping.is_set() and self._settler is not None:
                    self._settler.request_stop()  # here: whoever joins may have given up on a slow disk

    def _add(self, one: SourceRecorder) -> None:
        if len(self._new) >= MOST_NEW:
            self._make_room()
        self._new.append(one)
        self._wake.set()

    def _make_room(self) -> None:
        """The disk hangs, and devices come and go meanwhile: the oldest stream that is over gives way."""
        with contextlib.suppress(ValueError, RuntimeError, IndexError):  # the recorder goes on at this moment
            self._new.remove(next((old for old in self._new if old.tap.over), self._new[0]))
            self.given_up += 1

    def _closed_now(self, file: OpenRecording) -> None:
        self._late.closed(file.meta_path, file.meta.clock)
        if self._settler is None:
            file.let_go()
        else:
            self._settler.add(file)

    def _closed_by(self, tap: ChannelTap, cause: GapCause) -> None:
        for channel_id, known in list(self._by_channel.items()):
            if known is tap:
                self._by_channel.pop(channel_id, None)
        self._wake.set()

    def _look_at_folder(self) -> None:
        directory = self._archive.shelf.directory
        try:
            make_folder(directory)
        except OSError as error:
            log.error(
                "nothing can be recorded in %s: %s; look at recording.directory and the disk",
                directory,
                error.strerror or error,
            )

    def _find_leftovers(self) -> None:
        try:
            self._left.find()
        except OSError as error:
            log.error("what the last run left cannot be looked at: %s", error.strerror or error)

    def _take_new(self) -> None:
        came = False
        while self._new:
            one = self._new.popleft()
            for other in self._sources:
                if other.source.key == one.source.key:
                    self._work_on(other, self._clock.now())  # its end comes before the new one's beginning
                    other.files.superseded = not other.ended
            if self._archive.last_end(one.source) is None:
                last = self._left.last_end(one.source)
                if last is not None:
                    self._archive.remember(one.source, last)
            share = crc32(one.source.name.encode()) / 2**32
            one.due_at_s = self._clock.now() + share * PERIOD_S  # not all in one turn
            self._sources.append(one)
            came = True
        if came:
            self._share()

    def _look(self, now: float) -> None:
        if now < self._look_at_s:
            return
        self._look_at_s = now + LOOK_S
        self._room.look()
        step = self._clock.look()
        if step is not None:
            self._clock_stepped(step)

    def _clock_stepped(self, step: ClockStep) -> None:
        log.warning("the wall clock was set by %+.3f s: recordings begin anew", step.by_s)
        self._archive.closings.finish()
        for one in self._sources:
            one.clock_stepped(step)
        if step.trusted:
            self._late.correct(step.by_s, self._clock.quality)

    def _serve(self, now: float) -> None:
        ended = False
        if self._sources:
            self._archive.shelf.written()
        period_s = PERIOD_S if len(self._sources) <= FEW else MANY_PERIOD_S
        for one in self._sources:
            if now >= one.due_at_s:
                behind = now - one.due_at_s > period_s
                one.due_at_s = now + period_s if behind else one.due_at_s + period_s
                self._work_on(one, now)
                ended = ended or one.ended
        if ended:
            self._sources = [one for one in self._sources if not one.ended]
            self._share()

    def _share(self) -> None:
        for one in self._sources:
            one.tap.share(len(self._sources))

    def _work_on(self, one: SourceRecorder, now: float) -> None:
        try:
            one.work(now)
        except Exception as error:
            # A bug of ours in one source is that source's: the other recordings go on.
            self.failures += 1
            if now >= self._tell_failure_at_s:  # not for each of a thousand
                self._tell_failure_at_s = now + TELL_FAILURES_S
                log.exception("recording of %s has failed, and begins anew", one.source.name)
                self._post(WorkerFailed(self.name, f"{one.source.name}: {type(error).__name__}: {error}"))
            one.rest(now)

    def _finish_all(self) -> None:
        now = self._clock.now()
        for one in self._sources:
            self._work_on(one, now)
            if not self._stopping.is_set():
                one.rest(now)
            elif not one.ended:
                one.finish("stopped")
        self._archive.closings.finish()
        if self._stopping.is_set():
            self._sources = []
