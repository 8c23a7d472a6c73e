"""What comes of one stream, in the order of its own time: runs of samples, gaps between them, its end.

Everything here runs on the recorder's thread, twice a second for each source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from echostream.archive.archive_state import Archive
from echostream.archive.channel_feed import ChannelFeed
from echostream.archive.gates import Gate
from echostream.archive.history import History
from echostream.archive.recording import ToneMark
from echostream.archive.segment_writer import Missing, SegmentWriter
from echostream.archive.source import Source
from echostream.archive.source_tap import Edge, Ended, Item, SourceTap
from echostream.archive.stream_time import StreamTime
from echostream.archive.wall_clock import ClockStep
from echostream.audio.device_ports import DeviceAudio, GapCause
from echostream.audio.format import Frame, Samples, silence

FILL_S: Final = 2.0
"""A shorter gap is silence in the file; for a longer one the file ends."""


class SourceRecorder:
    """One stream of one source. `ended`: it is over, and its last recording is closed."""

    def __init__(self, source: Source, gate: Gate, tap: SourceTap, archive: Archive) -> None:
        self.source = source
        self.tap = tap
        self.ended = False
        self.due_at_s = 0.0
        self._gate = gate
        self._time = StreamTime(source.rate_hz)
        self._history = History(gate.pre_roll + source.rate_hz)
        self._feed: ChannelFeed | None = None
        self.files = SegmentWriter(source, archive, self._time, self._history)
        self._dropped = 0
        self._next = -1

    @property
    def recording(self) -> str:
        """Path of what is being written; "" when nothing is."""
        file = self.files.file
        return "" if file is None else file.meta.path

    def work(self, now: float) -> None:
        """Take what has come, and write it. now: monotonic seconds."""
        self.files.now = now
        dropped, self._dropped = self._dropped, self.tap.dropped
        blocks, frames, cause = self._sorted(self.tap.take())
        if frames or self._feed is not None:
            self._feed = self._feed or ChannelFeed()
            blocks += self._feed.take(frames, overloaded=dropped != self._dropped)
            if cause is not None:
                blocks += self._feed.flush()
        for run in _runs(blocks):
            self._take(run)
        self.files.keep_up(ahead=self._gate.steady)
        if cause is not None:
            self.finish(cause)

    def finish(self, cause: GapCause) -> None:
        """No more of this stream."""
        if self._next >= 0:
            self.files.end(cause, self._next)
        self.ended = True

    def rest(self, now: float) -> None:
        """Something was wrong with what came: what is open is closed, and the next audio begins anew."""
        self.files.now = now
        self.files.rest()
        self._history.forget()
        self._feed = None
        self._next = -1

    def clock_stepped(self, step: ClockStep) -> None:
        """The wall clock was set."""
        self.files.clock_stepped(step)

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
                    self.files.mark(item)
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
            self.files.written = self._next = position
        long = missing >= FILL_S * self.source.rate_hz
        if long:
            self._skip(missing, first.cause or "overload")
        # Nothing was taken up later than it is here.
        self._time.note(end, min(last.ends_at_s, self.files.now), last.ppm, last.error_ms)
        if missing > 0 and not long:
            self._fill(missing, first)
        if len(samples):
            self._accept(samples, position)

    def _skip(self, count: int, cause: GapCause) -> None:
        """A long gap. What came before has its times from what was known before."""
        self.files.end(cause, self._next)
        self._next += count
        self.files.written = max(self.files.written, self._next)
        self._time.restart()
        self._history.forget()
        self._gate.jump(self._next)

    def _fill(self, count: int, block: DeviceAudio) -> None:
        """A short gap before a block, or told with it."""
        cause = block.cause or "overload"
        at = self._next if block.gap_at is None else block.gap_at
        if self._gate.steady and self.files.began_later(count, cause, at):
            self._history.forget()
            self._next += count
            return
        self.files.miss(Missing(self._next, count, cause, at))
        self._accept(silence(count), self._next)

    def _accept(self, samples: Samples, position: int) -> None:
        self._next = position + len(samples)
        self._history.add(samples, position)
        spans = self._gate.update(samples, position, self._time)
        for number, (begin, end) in enumerate(spans):
            self.files.write(begin, end)
            if number < len(spans) - 1 or not self._gate.open:
                self.files.close("pause")


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
