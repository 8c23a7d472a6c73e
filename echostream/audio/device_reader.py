"""Reads a network microphone at the channel's pace, along the line of its arrivals.

A servo holds the reading on that line, whatever the two clocks do. Nothing there: silence, and then the wait
that the next hole of this kind would need, so that a hole is one pause and not many.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.device_stream import DeviceStream
from echostream.audio.drift_servo import DriftServo
from echostream.audio.format import RATE_HZ
from echostream.audio.histogram import MsHistogram
from echostream.audio.resampler import RationalResampler, VariableResampler

Float32 = NDArray[np.float32]

_SKIP_ABOVE_MS: Final = 30.0
"""More delay than asked for by this much goes in the next quiet moment; the servo would take minutes."""
_QUIET_SWING: Final = 800
"""Between the lowest and the highest sample, -38 dBFS: so quiet a frame can go, and nobody hears it."""
_PATIENCE_FRAMES: Final = 250
"""After so many frames without a quiet one the delay goes all the same."""
_FADE_MS: Final = 5


class _Chain:
    """From the device's rate to another, and along its clock."""

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self.out_hz = out_hz
        self._in_hz = in_hz
        self._fixed = RationalResampler(in_hz, out_hz) if in_hz != out_hz else None
        # Speech fills the whole band of a low rate: a longer sinc keeps it flat nearer to its edge.
        self._variable = VariableResampler(16 if out_hz == RATE_HZ else 32)

    def asks(self, count: int, ratio: float) -> int:
        """Samples of the device that make `count` of ours, or the most of them."""
        return -(-self._variable.needed(count, ratio) * self._in_hz // self.out_hz)

    def push(self, samples: Float32) -> None:
        self._variable.push(samples if self._fixed is None else self._fixed.process(samples))

    def pull(self, count: int, ratio: float) -> Float32:
        return self._variable.pull(count, ratio)


class DeviceReader:
    """`begin`, `pull` once a frame, `leave`. Counters since it was made.

    underruns: holes, each of one or more frames for which nothing had arrived. skipped: samples left out to
    get rid of delay; dropped: those that found no room.
    """

    def __init__(self, stream: DeviceStream, frame_ms: int) -> None:
        self._stream = stream
        self._frame_ms = frame_ms
        self.servo = DriftServo()
        self._chain: _Chain | None = None
        self.position: int | None = None
        """Of the next sample to be read; None: off."""
        self.late = 0.0
        """Samples by which it may be behind the line."""
        self._offset = np.float32(0)
        self._waits = False
        self._fades = False
        self._impatience = 0
        self._delays: MsHistogram | None = None
        self.underruns = self.skipped = self.dropped = 0

    def delay_ms(self, percent: float) -> float:
        """How far at most so many percent of all frames began behind the newest arrival; 0 before the first.

        Just after a block has come that is the way of its first sample from the microphone to the air, which
        the highest percentiles thus show. What a pre-roll makes late is not counted.
        """
        return 0.0 if self._delays is None else self._delays.percentile_ms(percent)

    @property
    def block_ms(self) -> float:
        """The longest block of late: what the device itself makes its samples wait."""
        return 1000.0 * self._stream.block / self._stream.rate_hz

    def begin(self, now: float, start: int | None = None) -> None:
        """Read from `start` on, and stay as late as that is; None: on the line."""
        wanted = self._stream.wanted(now)
        if self._delays is None:
            self._delays = MsHistogram()
        position = max(wanted if start is None else min(start, wanted), self._stream.oldest)
        self.position = position
        self.late = max(0.0, float(wanted - position))
        self._chain = None
        self._offset = self._stream.offset()  # left in, it would be a thump at each beginning and each end
        self._waits, self._fades, self._impatience = False, False, 0
        self.servo.hold()

    def leave(self) -> None:
        """Off."""
        self.position = None
        self.late = 0.0
        self._chain = None

    def arrived(self, position: int, end: int, now: float) -> None:
        """A block has come that begins at `position`; all before `end` had come before."""
        if self.position is None:
            return
        if position > end and self.position >= end - self._stream.frame:
            # It waited in this gap: it goes on where the line is, not at the gap's beginning.
            self.position = max(self.position, min(self._stream.wanted(now), position))
        oldest = self._stream.oldest
        if self.position < oldest:
            self.dropped += oldest - self.position
            self.position = oldest

    def pull(self, rate_hz: int, now: float, ahead: bool = False) -> Float32 | None:
        """The next frame, shape (rate_hz * frame_ms / 1000,), float32 in int16 units; None: nothing is there.

        ahead: one of several for the same moment; what it is late shrinks by it.
        """
        assert self.position is not None, "begin() comes first"
        if self._chain is None or self._chain.out_hz != rate_hz:
            self._chain = _Chain(self._stream.rate_hz, rate_hz)
        chain = self._chain
        if ahead:
            self.late = max(0.0, self.late - self._stream.frame)
            ratio = self.servo.ratio
        else:
            ratio = self._follow(now)
        if self._waits:
            return None
        count = rate_hz * self._frame_ms // 1000
        while (asked := chain.asks(count, ratio)) > 0:
            if not self._take(chain, asked):
                return None
        samples = chain.pull(count, ratio)
        if self._delays is not None:
            behind = self._stream.ring.end - self.position - self.late + self._stream.frame
            self._delays.add(1000.0 * behind / self._stream.rate_hz)
        return self._faded_in(samples, rate_hz) if self._fades else samples

    # ---- inside

    def _take(self, chain: _Chain, count: int) -> bool:
        assert self.position is not None
        left = self._stream.ring.end - self.position
        if left < count and not (self._stream.over and left > 0):
            self.underruns += 1
            self._waits = True
            return False
        chain.push(self._stream.ring.read(self.position, count) - self._offset)
        self.position += count
        return True

    def _follow(self, now: float) -> float:
        """The ratio of the next frame; much too much goes at once, where it is quiet."""
        assert self.position is not None
        excess = self._stream.wanted(now) - self.late - self.position
        if self._waits and (excess >= 0 or self._stream.over):
            self._waits, self._fades = False, True
        excess_ms = 1000 * excess / self._stream.rate_hz
        if excess_ms <= _SKIP_ABOVE_MS:
            self._impatience = 0
            return self.servo.update(excess_ms, 0.0, self._frame_ms / 1000)
        self._impatience += 1
        if self._impatience > _PATIENCE_FRAMES or self._stream.young:
            self._skip(int(excess))
            self._fades = True
        else:
            next_ones = self._stream.ring.read(self.position, int(min(excess, self._stream.frame)))
            if int(next_ones.max()) - int(next_ones.min()) < _QUIET_SWING:
                self._skip(next_ones.size)
        return self.servo.hold()

    def _skip(self, count: int) -> None:
        assert self.position is not None
        self.position += count
        self.skipped += count

    def _faded_in(self, samples: Float32, rate_hz: int) -> Float32:
        self._fades = False
        count = rate_hz * _FADE_MS // 1000
        samples[:count] *= np.linspace(0, 1, count, dtype=np.float32)
        return samples
