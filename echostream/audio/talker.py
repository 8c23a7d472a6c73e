"""One talker, from packets to samples: order, decode, redundancy, concealment, and the clocks in step.

Three means keep the delay where the jitter buffer wants it, from gentle to quick: the servo's change of speed
(±0.3 %), leaving out or repeating pitch periods (25 % faster, 50 % where a pre-roll has to be caught up
with), and cutting pauses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.audio import time_stretch
from echostream.audio.arrival import PullClock
from echostream.audio.catch_up import CatchUp
from echostream.audio.drift_servo import DriftServo
from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Samples
from echostream.audio.histogram import MsHistogram
from echostream.audio.jitter_buffer import (
    LOSS_PAUSE_TICKS,
    QUIET_PAUSE_TICKS,
    JitterBuffer,
    Lost,
    Packet,
)
from echostream.audio.opus_codec import MAX_PACKET_SAMPLES, OpusDecoder
from echostream.audio.resampler import VariableResampler
from echostream.errors import CodecError

Float32 = NDArray[np.float32]

CONCEAL_MS: Final = 60.0
"""So long is a voice continued that nothing arrives from; then the talk-spurt is over."""
_STEP: Final = TICK_SAMPLES
_PER_MS: Final = RATE_HZ / 1000.0
_FULL_GAIN_MS: Final = 20.0
_FADE_IN: Final = RATE_HZ * 5 // 1000
_DRAIN_ABOVE_MS, _DRAIN_UNTIL_MS, _CUT_ABOVE_MS = 18.0, 9.0, 6.0
_SLOW_ABOVE_MS: Final = 12.0
_BLOCK_MS: Final = 60.0
_QUIET_PART: Final = 0.05
"""-26 dB below the voice, or below _QUIET_RMS: a pause."""
_QUIET_RMS: Final = 15.0
_LAG_SMOOTHING: Final = 0.1


class Decoder(Protocol):
    """What a talker asks of a codec."""

    def decode(self, packet: bytes) -> Samples: ...
    def decode_fec(self, packet: bytes, samples: int) -> Samples: ...
    def conceal(self, samples: int) -> Samples: ...


@dataclass(frozen=True, slots=True)
class JitterSettings:
    """Bounds of the depth (ms), the length of a pull (ms), and samples per tick of the sender's clock.

    counts: the sender's ticks show what was lost; without, they only number the packets.
    """

    min_ms: float = 20
    max_ms: float = 320
    frame_ms: float = 20
    tick_samples: int = TICK_SAMPLES
    counts: bool = True


@dataclass(frozen=True, slots=True)
class TalkerStats:
    """Counters of one talker since it was made, and where it stands now."""

    received: int
    lost: int
    late: int
    duplicate: int
    dropped: int
    malformed: int
    spurts: int
    fec_recovered: int
    concealed: int
    undecodable: int
    removed_samples: int
    added_samples: int
    buffer_ms: float
    target_ms: float
    lag_ms: float
    jitter_ms: float
    drift_ppm: float


class Talker:
    """push() what arrives, pull() what the loudspeaker takes. One thread."""

    def __init__(
        self,
        settings: JitterSettings | None = None,
        decoder: Decoder | None = None,
        pulls: PullClock | None = None,
        delays: MsHistogram | None = None,
        jitters: MsHistogram | None = None,
    ) -> None:
        """pulls: shared by talkers that one thread pulls, which then notes the pulls itself."""
        settings = settings or JitterSettings()
        self._settings = settings
        self._buffer = JitterBuffer(
            settings.min_ms, settings.max_ms, settings.frame_ms, settings.tick_samples, settings.counts
        )
        self._decoder: Decoder = decoder or OpusDecoder()
        self._own_pulls = PullClock(settings.frame_ms) if pulls is None else None
        self._pulls = pulls or self._own_pulls or PullClock(settings.frame_ms)
        self._delays = delays or MsHistogram()
        self._jitters = jitters or MsHistogram()
        # Each loss of a sender that does not count looks like a step of its clock.
        self._servo = DriftServo(learns=settings.counts)
        self._resampler = VariableResampler()
        self._waiting_to_sound: deque[tuple[int, float]] = deque(maxlen=64)
        self._media_end = 0
        self._playing = False
        self._ended = False
        self._silent = False
        self._held_ms = 0.0
        self._gain = 1.0
        self._lag_ms = 0.0
        self._draining = False
        self._catch_up = CatchUp()
        self._allowance = 0.0
        self._voice_rms = 0.0
        self._quiet = True
        self._fec_recovered = self._concealed = self._undecodable = 0
        self._removed = self._added = 0
        self.not_before_s = 0.0
        """Monotonic seconds before which no talk-spurt begins."""

    def push(self, tick: int, packet: bytes, now: float) -> None:
        """Take a packet that arrived `now` (monotonic seconds). Bad ones are counted, never raised."""
        if self._buffer.push(tick, packet, now):
            self._jitters.add(self._buffer.jitter_ms)

    def take(self, tick: int) -> Packet | None:
        """Take a packet back that has not been decoded; None when it is too late for that."""
        return self._buffer.take(tick)

    def pull(self, count: int, now: float) -> Samples | None:
        """The next `count` samples, int16; None while there is nothing to play."""
        if self._own_pulls is not None:
            self._own_pulls.note(now)
        self._buffer.reserve_ms = self._pulls.early_ms
        if not self._playing and not self._begin(count, now):
            return None
        ratio = self._regulate(count, now)
        while self._resampler.available(ratio) < count:
            self._resampler.push(self._next_block())
        out = self._resampler.pull(count, ratio)
        self._note_delays(now)
        if self._silent:
            self._finish()
        return np.clip(np.rint(out), -32768, 32767).astype(np.int16)

    def flush(self) -> None:
        """Throw away what is buffered; the next packet begins a talk-spurt."""
        self._buffer.clear()
        self._finish()

    @property
    def talking(self) -> bool:
        """Whether the last pull played something and the next one may."""
        return self._playing

    @property
    def idle(self) -> bool:
        """Nothing plays and nothing waits."""
        return not self._playing and self._buffer.held_ms == 0

    @property
    def buffer_ms(self) -> float:
        """Audio in hand, decoded or not."""
        return self._buffer.held_ms + self._resampler.available(1.0) / _PER_MS

    @property
    def stats(self) -> TalkerStats:
        """A snapshot."""
        counters = self._buffer.counters
        return TalkerStats(
            received=counters.received,
            lost=counters.lost,
            late=counters.late,
            duplicate=counters.duplicate,
            dropped=counters.dropped,
            malformed=counters.malformed,
            spurts=counters.spurts,
            fec_recovered=self._fec_recovered,
            concealed=self._concealed,
            undecodable=self._undecodable,
            removed_samples=self._removed,
            added_samples=self._added,
            buffer_ms=self.buffer_ms,
            target_ms=self._buffer.target_ms,
            lag_ms=self._lag_ms,
            jitter_ms=self._buffer.jitter_ms,
            drift_ppm=self._servo.ppm,
        )

    def _begin(self, count: int, now: float) -> bool:
        """Begin the talk-spurt that waits, inside this pull at the sample where its depth is reached."""
        wait_ms = self._buffer.start_in_ms(now)
        if wait_ms is None:
            return False
        wait_ms = max(wait_ms, 1000.0 * (self.not_before_s - now))
        if wait_ms * _PER_MS >= count:
            return False
        self._resampler.reset()
        self._resampler.push(np.zeros(int(wait_ms * _PER_MS), np.float32))
        self._media_end = self._buffer.begin() * self._settings.tick_samples
        self._playing, self._draining = True, False
        self._held_ms, self._gain = 0.0, 1.0
        self._lag_ms = self._measured_lag_ms(now)
        self._servo.hold()
        self._catch_up.begin()
        return True

    def _finish(self) -> None:
        self._playing = self._ended = self._silent = False
        self._waiting_to_sound.clear()
        self._resampler.reset()

    def _measured_lag_ms(self, now: float) -> float:
        return self._buffer.lag_ms(self._media_end - self._resampler.available(1.0), now)

    @property
    def _excess_ms(self) -> float:
        """Delay above the target that is really there: not what a late start still has to catch up."""
        return self._lag_ms - self._buffer.target_ms - self._buffer.catching_up_ms

    @property
    def _shortfall_ms(self) -> float:
        """Delay below the target."""
        return self._buffer.target_ms - self._lag_ms

    def _regulate(self, count: int, now: float) -> float:
        self._lag_ms += _LAG_SMOOTHING * (self._measured_lag_ms(now) - self._lag_ms)
        excess = self._excess_ms
        if excess > _DRAIN_ABOVE_MS:
            self._draining = True
        elif excess < _DRAIN_UNTIL_MS:
            self._draining = False
        self._catch_up.update(excess, _DRAIN_UNTIL_MS, self._draining, count / _PER_MS)
        if self._ended or self._buffer.catching_up_ms > 0:
            return self._servo.hold()
        return self._servo.update(self._lag_ms, self._buffer.target_ms, count / RATE_HZ)

    def _advance(self, media_end: int, given: int) -> None:
        """The media clock stands at `media_end` after `given` samples of sound: their difference is lag."""
        self._lag_ms -= (media_end - self._media_end - given) / _PER_MS
        self._media_end = media_end

    def _next_block(self) -> Float32:
        """The next decoded, concealed or silent samples, stretched as the delay asks; never empty."""
        if self._ended and self._buffer.goes_on:
            self._ended = False
        if self._ended:
            self._silent = True
            return np.zeros(_STEP // 2, np.float32)
        block = self._next_sound()
        if self._ended or self._held_ms:
            return block
        excess = self._excess_ms
        pause = excess > _CUT_ABOVE_MS and self._quiet and self._loudness(block) < self._quiet_below
        if self._draining and not pause:
            block = self._gather(block)
        decoded = block.size
        if pause:
            block, removed = time_stretch.cut(block, int(min(excess * _PER_MS, 0.6 * decoded)))
            self._removed += removed
        elif self._draining:
            # What one block could not give, for want of a whole period, the next one may.
            self._allowance = min(self._allowance, time_stretch.MOST_PERIOD) + self._catch_up.part * decoded
            most = int(min(excess * _PER_MS, self._allowance))
            block, removed = time_stretch.accelerate(block, most, self._catch_up.alike)
            self._allowance -= removed
            self._removed += removed
        elif self._shortfall_ms > _SLOW_ABOVE_MS:
            block, added = time_stretch.expand(block, int(self._shortfall_ms * _PER_MS))
            self._added += added
        self._lag_ms += (block.size - decoded) / _PER_MS
        return block

    def _gather(self, block: Float32) -> Float32:
        """More packets behind `block`, as long as they are at hand: stretching needs some pitch periods."""
        parts, size = [block], block.size
        while size < _BLOCK_MS * _PER_MS and self._buffer.ready_ms > 0:
            part = self._next_sound()
            parts.append(part)
            size += part.size
        return np.concatenate(parts)

    def _next_sound(self) -> Float32:
        # While the depth is too small, waiting for a late packet gains both the packet and the depth.
        may_wait = self._held_ms == 0 and self._shortfall_ms > _SLOW_ABOVE_MS / 2
        verdict = self._buffer.next(may_wait)
        while isinstance(verdict, Lost):
            covered = min(verdict.ticks, int(self._held_ms * _PER_MS) // self._settings.tick_samples)
            if covered:
                # What was played while waiting stands for what has now turned out to be lost.
                self._held_ms -= covered * self._settings.tick_samples / _PER_MS
                self._advance((verdict.tick + covered) * self._settings.tick_samples, 0)
            if covered < verdict.ticks:
                return self._recover(verdict, covered)
            verdict = self._buffer.next(may_wait)
        if isinstance(verdict, Packet):
            return self._decode(verdict)
        return self._hold()

    def _decode(self, packet: Packet) -> Float32:
        media = packet.tick * self._settings.tick_samples
        try:
            samples = self._decoder.decode(packet.payload)
        except CodecError:
            self._undecodable += 1
            samples = self._conceal(packet.ticks * self._settings.tick_samples)
        self._waiting_to_sound.append((media, packet.arrived_s))
        self._held_ms = 0.0
        self._advance(media + packet.ticks * self._settings.tick_samples, samples.size)
        self._judge(samples)
        return self._faded_in(samples.astype(np.float32))

    def _recover(self, lost: Lost, covered: int) -> Float32:
        """Sound for lost ticks: from the redundancy of the packet behind them, or extrapolated."""
        missing = min((lost.ticks - covered) * self._settings.tick_samples, MAX_PACKET_SAMPLES)
        samples: Samples | None = None
        if lost.fec is not None:
            try:
                samples = self._decoder.decode_fec(lost.fec, missing)
                self._fec_recovered += 1
            except CodecError:
                self._undecodable += 1
        if samples is None:
            samples = self._conceal(missing)
        self._held_ms = 0.0
        self._advance((lost.tick + lost.ticks) * self._settings.tick_samples, missing)
        return self._faded_in(samples.astype(np.float32))

    def _hold(self) -> Float32:
        """Nothing is there: continue the voice without moving on, fading, until the talk-spurt is over."""
        most_ms = max(CONCEAL_MS, self._buffer.packet_ms + _FULL_GAIN_MS)
        sound = self._conceal(_STEP).astype(np.float32)
        self._held_ms += _STEP / _PER_MS
        goal = min(1.0, max(0.0, (most_ms - self._held_ms) / (most_ms - _FULL_GAIN_MS)))
        sound *= np.linspace(self._gain, goal, _STEP, dtype=np.float32)
        self._gain = goal
        self._ended = goal <= 0.0
        self._advance(self._media_end, _STEP)
        return sound

    def _conceal(self, count: int) -> Samples:
        self._concealed += 1
        return self._decoder.conceal(count)

    def _faded_in(self, sound: Float32) -> Float32:
        if self._gain < 1.0:
            ramp = sound[:_FADE_IN]
            ramp *= np.linspace(self._gain, 1.0, ramp.size, dtype=np.float32)
            self._gain = 1.0
        return sound

    def _judge(self, samples: Samples) -> None:
        """Follow the voice's level, to tell pauses from speech."""
        rms = self._loudness(samples.astype(np.float32))
        self._voice_rms = max(rms, 0.995 * self._voice_rms)
        self._quiet = rms < self._quiet_below
        self._buffer.pause_ticks = QUIET_PAUSE_TICKS if self._quiet else LOSS_PAUSE_TICKS

    @property
    def _quiet_below(self) -> float:
        return max(_QUIET_RMS, _QUIET_PART * self._voice_rms)

    @staticmethod
    def _loudness(sound: Float32) -> float:
        return float(np.sqrt(sound @ sound / max(1, sound.size)))

    def _note_delays(self, now: float) -> None:
        position = self._media_end - self._resampler.available(1.0)
        while self._waiting_to_sound and self._waiting_to_sound[0][0] < position:
            self._delays.add(1000.0 * (now - self._waiting_to_sound.popleft()[1]))
