"""The files of one stream: each begins on time, ends at a border of UTC or where nothing follows, and says
what is missing in it and before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from echostream.archive.archive_state import Archive
from echostream.archive.borders import Ahead
from echostream.archive.history import History
from echostream.archive.open_recording import Beginning, LastWords, OpenRecording
from echostream.archive.recording import Gap, ToneMark
from echostream.archive.source import LastEnd, Source
from echostream.archive.stream_time import StreamTime
from echostream.archive.wall_clock import ClockStep
from echostream.audio.device_ports import GapCause

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
class Missing:
    """Samples [position, position + count) of the stream are silence in place of what is missing.

    at: where it went missing, when that turned out later than what followed was written.
    """

    position: int
    count: int
    cause: GapCause
    at: int


class SegmentWriter:
    """Positions are samples of the stream's own time. now: monotonic seconds, which its owner sets each turn.

    written: up to where the stream is written, or will not be. superseded: a later stream of the same source
    has begun, and where this one ends is no gap.
    """

    def __init__(self, source: Source, archive: Archive, time: StreamTime, history: History) -> None:
        self.source = source
        self.now = 0.0
        self.written = 0
        self.superseded = False
        self._archive = archive
        self._time = time
        self._history = history
        self._ahead = Ahead(source, archive.shelf)
        self._missing: deque[Missing] = deque()
        self._marks: deque[ToneMark] = deque(maxlen=KEPT_MARKS)
        self._file: OpenRecording | None = None
        self._file_start = 0
        self._start_s = 0.0
        self._settled_at_start = False
        self._offset_s = archive.clock.offset_s
        """Of the wall clock when the open file began: one file has one clock."""
        self._until_us = 0
        self._retry_at_s = 0.0

    @property
    def file(self) -> OpenRecording | None:
        """What is being written."""
        return self._file

    def write(self, begin: int, end: int) -> None:
        """Samples of the history, what was written before left out."""
        begin = max(begin, self.written)
        while begin < end:
            if self._file is None and not self._begin(begin):
                break
            border = max(begin, self._time.position_at(self._until_us / 1e6 - self._offset_s))
            cut = min(end, border)
            if cut > begin and not self._write_piece(begin, cut):
                break
            begin = self.written = max(cut, begin)
            if self._file is not None and (cut == border or self._file.full):
                self.close("segment")
        self.written = max(self.written, end)

    def close(self, ended: str) -> None:
        """The open file ends with what is written."""
        file, self._file = self._file, None
        if file is None:
            return
        self._tell_marks(file)
        self._remember(self.written, _cause_of(ended))
        words = self._words(ended)
        try:
            file.end()
        except OSError as error:
            file.abandon(words)
            self._refused(error)
            return
        self._archive.closings.add(file, words)

    def end(self, cause: GapCause, position: int) -> None:
        """Nothing follows for a while from this position on."""
        if self._file is None:
            self._miss(cause, position)
        self.close(cause)
        self._ahead.drop()

    def rest(self) -> None:
        """Close what is open, and leave the disk alone for a while."""
        self._retry_at_s = self.now + RETRY_S
        self.close("overload")
        self._ahead.drop()
        self._missing.clear()

    def clock_stepped(self, step: ClockStep) -> None:
        """The wall clock was set: what follows is another file."""
        self._ahead.drop()
        last = self._archive.last_end(self.source)
        if self._file is not None:
            if step.trusted:
                self._offset_s = self._archive.clock.offset_s
                self._file.meta.clock = self._archive.clock.quality.state
            self.close("clock step")
            if step.trusted:  # by the clock that is right nothing is missing
                self._remember(self.written, None)
        elif last is not None and step.trusted:
            last.end_us += round(step.by_s * 1e6)

    def keep_up(self, ahead: bool) -> None:
        """What was found out about the open file; ahead: another one follows it, and may be made by now."""
        file = self._file
        if file is None:
            return
        self._tell_marks(file)
        if not self._settled_at_start:
            self._correct(file)
        try:
            file.keep_up(self.now)
        except OSError as error:
            self._give_up(error)
            return
        if ahead and self._ahead.file is None:
            left_s = self._until_us / 1e6 - self._offset_s - self._time.at(self.written)
            if 0 < left_s < self._ahead.lead_s(self._archive.segment_s):
                clock = self._archive.clock.quality.state
                self._ahead.make(Beginning(self._until_us, self._error_ms(), clock))

    def mark(self, tone: ToneMark) -> None:
        """A page was heard."""
        self._marks.append(tone)

    def miss(self, missing: Missing) -> None:
        """The history holds silence there."""
        while self._missing and self._missing[0].position + self._missing[0].count < self._history.begin:
            self._missing.popleft()
        self._missing.append(missing)

    def began_later(self, count: int, cause: GapCause, at: int) -> bool:
        """So many samples turn out to be missing from before the open file: it began later than it says, and
        the stream goes on that much further. False: they are missing within it."""
        file = self._file
        if file is None or at > self._file_start:
            return False
        old_us = file.meta.start_us
        self._file_start += count
        self.written += count
        self._start_s = self._time.at(self._file_start)
        start_us, error_ms = self._start()
        file.correct(start_us, error_ms)
        before = file.meta.gap_before
        if before is not None:
            file.meta.gap_before = Gap(before.start_us, start_us, before.cause)
        elif old_us < start_us:
            file.meta.gap_before = Gap(old_us, start_us, cause)
        self._missing.clear()
        return True

    # ---- inside

    def _write_piece(self, begin: int, end: int) -> bool:
        """Into the file that is open. False: the disk refused, or others need its room."""
        file = self._file
        assert file is not None
        if not self._archive.room.allows(self.source.priority):
            self.close("disk")
            return False
        samples, at = self._history.cut(begin, end)
        try:
            if at > begin or not len(samples):  # asked for more than the history holds
                file.write_silence((at if len(samples) else end) - begin)
            file.write(samples)
        except OSError as error:
            self._give_up(error)
            return False
        self.written = end
        for missing in self._missing:
            low = max(missing.position, begin)
            high = min(missing.position + missing.count, end)
            if low < high:
                start_us = self._us(low - missing.position + missing.at)
                end_us = start_us + round(1e6 * (high - low) / self.source.rate_hz)
                file.add_gap(Gap(start_us, end_us, missing.cause, low - self._file_start))
        return True

    def _begin(self, position: int) -> bool:
        """A new file whose first sample is that of `position`. False: not now."""
        archive, clock = self._archive, self._archive.clock
        if self.now < self._retry_at_s or not archive.room.allows(self.source.priority):
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
        self._file, self._file_start, self.written = file, position, position
        return True

    def _gap(self, start_us: int) -> Gap | None:
        last = self._archive.last_end(self.source)
        if last is None or last.cause is None:
            return None
        cause, last.cause = last.cause, None
        return Gap(last.end_us, start_us, cause) if last.end_us < start_us else None

    def _words(self, ended: str) -> LastWords:
        return LastWords(ended, *self._start(), self._time.ppm)

    def _start(self) -> tuple[int, float]:
        """When the open file began, as far as is known now, and how far that may be off in ms."""
        start_s = self._start_s if self._settled_at_start else self._time.at(self._file_start)
        return round((start_s + self._offset_s) * 1e6), self._error_ms()

    def _give_up(self, error: OSError) -> None:
        file, self._file = self._file, None
        assert file is not None
        self._remember(self.written, "disk")
        file.abandon(self._words("disk"))
        self._refused(error)

    def _refused(self, error: OSError) -> None:
        self._retry_at_s = self.now + RETRY_S
        last = self._archive.last_end(self.source)
        if last is not None and last.cause is None:
            last.cause = "disk"
        self._archive.say_refused(self.source.name, error)

    def _remember(self, position: int, cause: GapCause | None) -> None:
        """Where the last recording of this source ended, or would have."""
        if not self.superseded:
            self._archive.remember(self.source, LastEnd(self._us(position), cause))

    def _miss(self, cause: GapCause, position: int) -> None:
        """Nothing was recorded just now, and nothing can be for a while: that is a gap all the same."""
        last = self._archive.last_end(self.source)
        if last is None or last.cause is None:
            self._offset_s = self._archive.clock.offset_s
            self._remember(position, cause)

    def _us(self, position: int) -> int:
        return round((self._time.at(position) + self._offset_s) * 1e6)

    def _error_ms(self) -> float:
        return self._time.error_ms + self._archive.clock.quality.error_ms

    def _correct(self, file: OpenRecording) -> None:
        """A stream tells its time better and better: what is said of an open file keeps up with it."""
        start_us, error_ms = self._start()
        moved = abs(start_us - file.meta.start_us) > MOVED_US
        if moved or error_ms < file.meta.start_error_ms / 2:
            file.correct(start_us, error_ms)

    def _tell_marks(self, file: OpenRecording) -> None:
        """Pages that were heard while this was recorded. One that is heard before is kept for a while."""
        now_us = self._archive.clock.unix_us(self.now)
        for mark in list(self._marks):
            if mark.end_us >= file.meta.start_us:
                file.add_tone(mark)
                self._marks.remove(mark)
            elif now_us - mark.end_us > MARK_S * 1e6:
                self._marks.remove(mark)


def _cause_of(ended: str) -> GapCause | None:
    return None if ended in ("segment", "pause") else ended  # type: ignore[return-value]
