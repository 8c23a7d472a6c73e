"""What comes of one stream becomes recordings: segments, gaps, pages, each with its time.

Everything here runs on the recorder's thread, once or twice a second for each source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.archive.archive_state import Archive
from echostream.archive.borders import Ahead
from echostream.archive.channel_feed import ChannelFeed
from echostream.archive.gates import Gate, Span
from echostream.archive.history import History
from echostream.archive.open_recording import Beginning, LastWords, OpenRecording
from echostream.archive.recording import Gap, ToneMark
from echostream.archive.source import LastEnd, Source
from echostream.archive.source_tap import Edge, Ended, Item, SourceTap
from echostream.archive.stream_time import StreamTime
from echostream.archive.wall_clock import ClockStep
from echostream.audio.device_ports import DeviceAudio, GapCause
from echostream.audio.format import Frame, Samples, silence

FILL_S: Final = 2.0
"""A shorter gap is silence in the file; for a longer one the file ends."""
RETRY_S: Final = 10.0
"""After the disk refused."""
SHORTEST_S: Final = 1.0
UNSETTLED_SHORTEST_S: Final = 5.0
"""A file that would be shorter, because a segment's border is so near, goes on to the next one: where nobody
knows yet how old what comes is, the border may not be where it seems."""
MOVED_US: Final = 20_000
KEPT_MARKS: Final = 32
MARK_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Missing:
    """Samples [position, position + count) of the stream are silence in place of what is missing.

    at: where it went missing, when that turned out later than what followed was written.
    """

    position: int
    count: int
    cause: GapCause
    at: int


class SourceRecorder:
    """One stream of one source. `ended`: it is over, and its last recording is closed. `superseded`: a later
    stream of the same source has begun, and where this one ends is no gap."""

    def __init__(self, source: Source, gate: Gate, tap: SourceTap, archive: Archive) -> None:
        self.source = source
        self.tap = tap
        self.ended = False
        self.superseded = False
        self.due_at_s = 0.0
        self._archive = archive
        self._gate = gate
        self._time = StreamTime(source.rate_hz)
        self._feed: ChannelFeed | None = None
        self._ahead = Ahead(source, archive.shelf)
        self._history = History(gate.pre_roll + source.rate_hz)
        self._dropped = 0
        self._next = -1
        self._written = 0
        self._missing: deque[_Missing] = deque()
        self._marks: deque[ToneMark] = deque(maxlen=KEPT_MARKS)
        self._file: OpenRecording | None = None
        self._file_start = 0
        self._start_s = 0.0
        self._settled_at_start = False
        self._offset_s = archive.clock.offset_s
        """Of the wall clock when the open file began: one file has one clock."""
        self._until_us = 0
        self._retry_at_s = 0.0
        self._now = 0.0

    @property
    def recording(self) -> str:
        """Path of what is being written; "" when nothing is."""
        file = self._file
        return "" if file is None else file.meta.path

    def work(self, now: float) -> None:
        """Take what has come, and write it. now: monotonic seconds."""
        self._now = now
        dropped, self._dropped = self._dropped, self.tap.dropped
        blocks, frames, cause = self._sorted(self.tap.take())
        if frames or self._feed is not None:
            self._feed = self._feed or ChannelFeed()
            blocks += self._feed.take(frames, overloaded=dropped != self._dropped)
            if cause is not None:
                blocks += self._feed.flush()
        for run in _runs(blocks):
            self._take(run)
        if self._file is not None:
            self._keep_up(now)
        if cause is not None:
            self.finish(cause)

    def finish(self, cause: GapCause) -> None:
        """No more of this stream."""
        if self._file is None and self._next >= 0:
            self._miss(cause)
        self._close(cause)
        self._ahead.drop()
        self.ended = True

    def rest(self, now: float) -> None:
        """Something was wrong with what came: what is open is closed, and the next audio begins anew."""
        self._retry_at_s = now + RETRY_S
        self._close("overload")
        self._ahead.drop()
        self._history.forget()
        self._missing.clear()
        self._feed = None
        self._next = -1

    def clock_stepped(self, step: ClockStep) -> None:
        """The wall clock was set: what follows is another file."""
        self._ahead.drop()
        last = self._archive.last_end(self.source)
        if self._file is not None:
            if step.trusted:
                self._offset_s = self._archive.clock.offset_s
                self._file.meta.clock = self._archive.clock.quality.state
            self._close("clock step")
            if step.trusted:  # by the clock that is right nothing is missing
                self._remember(self._written, None)
        elif last is not None and step.trusted:
            last.end_us += round(step.by_s * 1e6)

    # ---- inside

    def _sorted(self, items: list[Item]) -> tuple[list[DeviceAudio], list[Frame], GapCause | None]:
        blocks: list[DeviceAudio] = []
        frames: list[Frame] = []
        cause: GapCause | None = None
        for item in items:
            match item:
                case DeviceAudio():
                    blocks.append(item)
                case Frame():
                    frames.append(item)
                case Edge():
                    self._gate.edge(item)
                case ToneMark():
                    self._marks.append(item)
                case Ended():
                    cause = item.cause
        return blocks, frames, cause

    def _take(self, run: list[DeviceAudio]) -> None:
        """Blocks that follow each other without a gap."""
        first, last = run[0], run[-1]
        samples = first.samples if len(run) == 1 else np.concatenate([block.samples for block in run])
        position = first.position
        end = position + len(samples)
        missing = position - self._next if self._next >= 0 else 0
        if missing < 0:
            samples = samples[-missing:]
            position = self._next
        if not len(samples) and (missing <= 0 or self._next < 0):
            return  # without samples, but ahead: what was missing at the end of the stream
        if self._next < 0:
            self._written = self._next = position
        cause = first.cause or "overload"
        if missing >= FILL_S * self.source.rate_hz:
            self._skip(missing, cause)
        # Nothing was taken up later than it is here.
        self._time.note(end, min(last.ends_at_s, self._now), last.ppm, last.error_ms)
        if position > self._next:
            at = self._next if first.gap_at is None else first.gap_at
            self._missing.append(_Missing(self._next, missing, cause, at))
            self._accept(silence(missing), self._next)
        if len(samples):
            self._accept(samples, position)

    def _skip(self, count: int, cause: GapCause) -> None:
        """A long gap. What came before has its times from what was known before."""
        if self._file is None:
            self._miss(cause)
        self._close(cause)
        self._next += count
        self._written = max(self._written, self._next)
        self._time.restart()
        self._history.forget()
        self._gate.jump(self._next)

    def _accept(self, samples: Samples, position: int) -> None:
        self._next = position + len(samples)
        self._history.add(samples, position)
        spans = self._gate.update(samples, position, self._time)
        for number, span in enumerate(spans):
            self._write(span)
            if number < len(spans) - 1 or not self._gate.open:
                self._close("pause")
        while (
            self._missing
            and self._missing[0].position + self._missing[0].count
            < position - len(samples) - self._gate.pre_roll
        ):
            self._missing.popleft()

    def _write(self, span: Span) -> None:
        begin, end = max(span[0], self._written), span[1]
        while begin < end:
            if self._file is None and not self._begin(begin):
                break
            border = max(begin, self._time.position_at(self._until_us / 1e6 - self._offset_s))
            cut = min(end, border)
            if cut > begin and not self._write_piece(begin, cut):
                break
            begin = self._written = max(cut, begin)
            if self._file is not None and (cut == border or self._file.full):
                self._close("segment")
        self._written = max(self._written, end)

    def _write_piece(self, begin: int, end: int) -> bool:
        """Into the file that is open. False: the disk refused, or others need its room."""
        file = self._file
        assert file is not None
        if not self._archive.room.allows(self.source.priority):
            self._close("disk")
            return False
        samples, at = self._history.cut(begin, end)
        try:
            if at > begin or not len(samples):  # the queue was late by more than the history holds
                file.write_silence((at if len(samples) else end) - begin)
            file.write(samples)
        except OSError as error:
            self._give_up(error)
            return False
        self._written = end
        for missing in self._missing:
            lo = max(missing.position, begin)
            hi = min(missing.position + missing.count, end)
            if lo < hi:
                start_us = self._us(lo - missing.position + missing.at)
                end_us = start_us + round(1e6 * (hi - lo) / self.source.rate_hz)
                file.add_gap(Gap(start_us, end_us, missing.cause, lo - self._file_start))
        return True

    def _begin(self, position: int) -> bool:
        """A new file whose first sample is that of `position`. False: not now."""
        archive, clock = self._archive, self._archive.clock
        if self._now < self._retry_at_s or not archive.room.allows(self.source.priority):
            return False
        self._offset_s = clock.offset_s
        self._start_s = self._time.at(position)
        self._settled_at_start = self._time.settled
        start_us = self._us(position)
        segment_us = round(archive.segment_s * 1e6)
        shortest_s = SHORTEST_S if self._settled_at_start else UNSETTLED_SHORTEST_S
        self._until_us = (round(start_us + shortest_s * 1e6) // segment_us + 1) * segment_us
        beginning = Beginning(start_us, self._error_ms(), clock.quality.state, self._gap(start_us))
        file = self._ahead.take(start_us)
        try:
            if file is None:
                file = OpenRecording(archive.shelf, self.source, beginning)
            else:
                file.begin(beginning)
        except OSError as error:
            self._refused(error)
            return False
        self._file, self._file_start, self._written = file, position, position
        return True

    def _gap(self, start_us: int) -> Gap | None:
        last = self._archive.last_end(self.source)
        if last is None or last.cause is None:
            return None
        cause, last.cause = last.cause, None
        return Gap(last.end_us, start_us, cause) if last.end_us < start_us else None

    def _close(self, ended: str) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        self._tell_marks(file)
        self._remember(self._written, _cause_of(ended))
        words = self._words(ended)
        try:
            file.end()
        except OSError as error:
            file.abandon(words)
            self._refused(error)
            return
        self._archive.closings.add(file, words)

    def _words(self, ended: str) -> LastWords:
        return LastWords(ended, *self._start(), self._time.ppm)

    def _start(self) -> tuple[int, float]:
        """When the open file began, as far as is known now, and how far that may be off in ms."""
        start_s = self._start_s if self._settled_at_start else self._time.at(self._file_start)
        return round((start_s + self._offset_s) * 1e6), self._error_ms()

    def _give_up(self, error: OSError) -> None:
        file, self._file = self._file, None
        assert file is not None
        self._remember(self._written, "disk")
        file.abandon(self._words("disk"))
        self._refused(error)

    def _refused(self, error: OSError) -> None:
        self._retry_at_s = self._now + RETRY_S
        last = self._archive.last_end(self.source)
        if last is not None and last.cause is None:
            last.cause = "disk"
        self._archive.say_refused(self.source.name, error)

    def _remember(self, position: int, cause: GapCause | None) -> None:
        """Where the last recording of this source ended, or would have."""
        if not self.superseded:
            self._archive.remember(self.source, LastEnd(self._us(position), cause))

    def _miss(self, cause: GapCause) -> None:
        """Nothing was recorded just now, and nothing can be for a while: that is a gap all the same."""
        last = self._archive.last_end(self.source)
        if last is None or last.cause is None:
            self._offset_s = self._archive.clock.offset_s
            self._remember(self._next, cause)

    def _us(self, position: int) -> int:
        return round((self._time.at(position) + self._offset_s) * 1e6)

    def _error_ms(self) -> float:
        return self._time.error_ms + self._archive.clock.quality.error_ms

    def _keep_up(self, now: float) -> None:
        file = self._file
        assert file is not None
        self._tell_marks(file)
        if not self._settled_at_start:
            self._correct(file)
        try:
            file.keep_up(now)
        except OSError as error:
            self._give_up(error)
            return
        if self._ahead.file is None and self._gate.steady:
            left_s = self._until_us / 1e6 - self._offset_s - self._time.at(self._next)
            if 0 < left_s < self._ahead.lead_s(self._archive.segment_s):
                self._ahead.make(
                    Beginning(self._until_us, self._error_ms(), self._archive.clock.quality.state)
                )

    def _correct(self, file: OpenRecording) -> None:
        """A stream tells its time better and better: what is said of an open file keeps up with it."""
        start_us, error_ms = self._start()
        moved = abs(start_us - file.meta.start_us) > MOVED_US
        if moved or error_ms < file.meta.start_error_ms / 2:
            file.correct(start_us, error_ms)

    def _tell_marks(self, file: OpenRecording) -> None:
        """Pages that were heard while this was recorded. One that is heard before is kept for a while."""
        now_us = self._archive.clock.unix_us(self._now)
        for mark in list(self._marks):
            if mark.end_us >= file.meta.start_us:
                file.add_tone(mark)
                self._marks.remove(mark)
            elif now_us - mark.end_us > MARK_S * 1e6:
                self._marks.remove(mark)


def _runs(blocks: Sequence[DeviceAudio]) -> list[list[DeviceAudio]]:
    """Blocks that follow each other, together."""
    runs: list[list[DeviceAudio]] = []
    following = -1
    for block in blocks:
        if not runs or block.position != following:
            runs.append([])
        runs[-1].append(block)
        following = block.position + len(block.samples)
    return runs


def _cause_of(ended: str) -> GapCause | None:
    return None if ended in ("segment", "pause") else ended  # type: ignore[return-value]
