"""One microphone with its own clock on its way to a channel: blocks in, frames at the channel's pace out.

The blocks wait in a ring. While the voice is on the air they are read along the line of their arrivals, as
late as the device's own blocks ask for and 40 ms more; a servo keeps the reading on that line, whatever the
two clocks do. What went up before the voice opened the valve is read first, in one go where the channel is
free for that, else the voice stays behind by so much until its valve shuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.arrival_line import ArrivalLine
from echostream.audio.device_gate import DeviceGate
from echostream.audio.device_ports import DeviceAudio
from echostream.audio.drift_servo import DriftServo
from echostream.audio.format import Samples
from echostream.audio.opus_codec import RATES_HZ
from echostream.audio.resampler import RationalResampler, VariableResampler
from echostream.audio.sample_ring import SampleRing

Float32 = NDArray[np.float32]

BOUND_S: Final = 1.0
"""Audio that may wait, beyond one block and the pre-roll; the oldest gives way."""
MARGIN_MS: Final = 20.0
"""Kept in hand beyond the frame at hand: what a busy machine may be late."""
_SKIP_ABOVE_MS: Final = 60.0
"""More delay than asked for by this much goes in the next quiet moment; the servo would take minutes."""
_QUIET_PEAK: Final = 400
"""-38 dBFS: a frame below it can go, and nobody hears it."""
_LONGEST_BLOCK_S: Final = 4.0
_SILENT_S: Final = 2.0
"""A stream that brings nothing for so long has nothing to say, whatever its valve says."""


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Of one device; gain_db before anything else. always: on the air without a valve."""

    rate_hz: int
    always: bool = False
    gain_db: float = 0.0
    threshold_dbfs: float = -40.0
    attack_ms: int = 40
    hang_ms: int = 800
    pre_roll_ms: int = 200


def opus_rate(rate_hz: int) -> int:
    """The lowest rate that Opus takes and that loses nothing of `rate_hz`."""
    return next(rate for rate in RATES_HZ if rate >= min(rate_hz, RATES_HZ[-1]))


class _Chain:
    """From the device's rate to another, and along its clock."""

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self.out_hz = out_hz
        self._in_hz = in_hz
        self._fixed = RationalResampler(in_hz, out_hz) if in_hz != out_hz else None
        self._variable = VariableResampler(16 if out_hz == RATES_HZ[-1] else 32)

    def asks(self, count: int, ratio: float) -> int:
        """Samples of the device that make `count` of ours, or the most of them."""
        return -(-self._variable.needed(count, ratio) * self._in_hz // self.out_hz)

    def push(self, samples: Samples) -> None:
        self._variable.push(samples if self._fixed is None else self._fixed.process(samples))

    def pull(self, count: int, ratio: float) -> Float32:
        return self._variable.pull(count, ratio)


class DeviceVoice:
    """Owned by the channel's capture thread. Counters since the stream began.

    underruns: frames for which nothing had arrived. skipped: samples left out to get rid of delay; dropped:
    those that found no room.
    """

    def __init__(self, settings: VoiceSettings, frame_ms: int) -> None:
        self.settings = settings
        self.rate_hz = opus_rate(settings.rate_hz)
        """At which it is encoded when it is alone."""
        self._frame_ms = frame_ms
        self._frame = settings.rate_hz * frame_ms / 1000
        self._pre_roll = settings.rate_hz * settings.pre_roll_ms // 1000
        self._gain: Any = np.float32(10 ** (settings.gain_db / 20)) if settings.gain_db else None
        longest_s = BOUND_S + settings.pre_roll_ms / 1000 + _LONGEST_BLOCK_S / 2
        self._ring = SampleRing(math.ceil(settings.rate_hz * longest_s))
        self._line = ArrivalLine(settings.rate_hz)
        self._gate = DeviceGate(
            settings.rate_hz,
            settings.threshold_dbfs,
            settings.attack_ms,
            settings.hang_ms,
            settings.gain_db,
        )
        self.servo = DriftServo()
        self._chain: _Chain | None = None
        self._read: int | None = None
        self._late = 0.0
        self._block = 0
        self._ended = False
        self._heard_at_s = -math.inf
        self._silent = True
        self.underruns = self.skipped = self.dropped = 0

    # ---- what arrives

    def take(self, block: DeviceAudio, now: float, inhibited: bool = False) -> None:
        """The next block. inhibited: a voice in it opens nothing."""
        size, end = block.samples.size, self._ring.end
        if not size:
            return
        self._heard_at_s = now
        missing = block.position - end if self._line.known else 0
        self._block = max(size, self._block - self._block // 64)
        self._ring.write(block.position, block.samples)
        if not self._line.known or missing > 0:
            self._line.begin(self._ring.end, now)
        if missing > 0 and self._read is not None and self._read >= end - self._frame:
            self._read = max(self._read, min(self._wanted(now), block.position))  # it waited in the gap
        if not self.settings.always:
            self._gate.hear(block.position, block.samples, inhibited)
        self._make_room()

    def look(self, now: float) -> None:
        """Once a frame, after what has arrived was taken."""
        self._line.look(self._ring.end, now)
        self._silent = now - self._heard_at_s > _SILENT_S
        if self._silent and self._gate.is_open:
            self._gate.close()

    def end(self) -> None:
        """No more will arrive: what is there is still read."""
        self._gate.close()
        self._ended = True

    @property
    def ended(self) -> bool:
        return self._ended

    # ---- what goes on the air

    @property
    def active(self) -> bool:
        """It has something to say: its valve is open, or what it let through is not read yet."""
        if self._read is not None and self._read < self._stop_at:
            return True
        if self._ended or self._silent:
            return False
        return self.settings.always or self._gate.is_open

    @property
    def _stop_at(self) -> int:
        """Position at which reading ends, as far as is known."""
        if self.settings.always or self._gate.is_open:
            return self._ring.end if self._ended or self._silent else self._ring.end + 1
        return self._gate.closed_at

    @property
    def reading(self) -> bool:
        return self._read is not None

    @property
    def late_frames(self) -> int:
        """Whole frames by which it is behind because its pre-roll came first."""
        return int(self._late / self._frame)

    def begin(self, now: float) -> None:
        """It goes on the air now."""
        wanted = self._wanted(now)
        start = wanted
        if not self.settings.always:
            start = min(wanted, self._gate.opened_at - self._pre_roll)
        self._read = max(start, self._ring.start, self._ring.end - self._most())
        self._late = max(0.0, float(wanted - self._read))
        self._chain = None
        self.servo.hold()

    def leave(self) -> None:
        """Off the air; the valve stays as it is."""
        self._read = None
        self._late = 0.0
        self._chain = None

    def pull(self, rate_hz: int, now: float, ahead: bool = False) -> Float32 | None:
        """The next frame, shape (rate_hz * frame_ms / 1000,), float32 in int16 units; None: nothing is there.

        ahead: one of several for the same moment; what it is late shrinks by it.
        """
        assert self._read is not None, "begin() comes first"
        if self._chain is None or self._chain.out_hz != rate_hz:
            self._chain = _Chain(self.settings.rate_hz, rate_hz)
        if ahead:
            self._late = max(0.0, self._late - self._frame)
            ratio = self.servo.ratio
        else:
            ratio = self._follow(now)
        count = rate_hz * self._frame_ms // 1000
        chain = self._chain
        while (asked := chain.asks(count, ratio)) > 0:
            left = self._ring.end - self._read
            if left < asked and not (self._ended and left > 0):
                self.underruns += 1
                return None
            chain.push(self._ring.read(self._read, asked))
            self._read += asked
        samples = chain.pull(count, ratio)
        return samples if self._gain is None else samples * self._gain

    # ---- inside

    def _wanted(self, now: float) -> int:
        """Where reading should be."""
        if not self._line.known:
            return self._ring.end
        margin = self._frame + MARGIN_MS * self.settings.rate_hz / 1000
        return max(0, int(self._line.position(now) - margin))

    def _most(self) -> int:
        return int(BOUND_S * self.settings.rate_hz) + self._block + self._pre_roll

    def _make_room(self) -> None:
        if self._read is None:
            return
        oldest = max(self._ring.start, self._ring.end - self._most())
        if self._read < oldest:
            self.dropped += oldest - self._read
            self._read = oldest

    def _follow(self, now: float) -> float:
        """The ratio of the next frame; much too much goes at once, where it is quiet."""
        assert self._read is not None
        rate_hz = self.settings.rate_hz
        excess = self._wanted(now) - self._late - self._read
        if excess > _SKIP_ABOVE_MS * rate_hz / 1000:
            most = int(min(excess, self._frame))
            ahead = self._ring.read(self._read, most)
            if int(ahead.max()) - int(ahead.min()) < 2 * _QUIET_PEAK:
                self._read += most
                self.skipped += most
            return self.servo.hold()
        return self.servo.update(1000 * excess / rate_hz, 0.0, self._frame_ms / 1000)
