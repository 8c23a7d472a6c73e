"""From a captured frame to a sealed datagram.

frame -> filter -> limiter -> meter -> pre-roll -> [valve] -> Opus -> AES-256-GCM -> JSON datagram -> send

While another channel is passed through to this one, its frames take the place of the captured ones from the
pre-roll on: `insert`. Where network microphones talk, theirs do, or are mixed with them: `devices`. Taps see
what the card captured, whatever is sent.

`feed` runs on the capture thread and is the only one that touches the encoder; the coordinator's thread
steers it through a small bounded queue of requests that the next `feed` obeys. The path has no thread of
its own: it is clocked by its source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from echostream.audio.filters import InputFilter
from echostream.audio.format import RATE_HZ, TICK_MS, TICK_SAMPLES, Frame, Samples
from echostream.audio.levels import Level, LevelMeter
from echostream.audio.limiter import Limiter
from echostream.audio.opus_codec import EncoderSettings, OpusEncoder
from echostream.audio.pre_roll import PreRoll
from echostream.audio.vox import Vox
from echostream.channels.device_mix import DeviceMix
from echostream.channels.stream_position import StreamPosition

# Two packets more per frame than real time: 200 ms of pre-roll are gone after 100 ms, 1,000 after 500.
BURST_PACKETS = 3
DTX_BYTES = 2  # an Opus packet this short says "nothing new": it is not sent (RFC 7587, 3.1.3)


class Uplink(Protocol):
    """One session's way out for one channel: seals, wraps and sends. Never blocks."""

    def send_packet(self, tick: int, opus: bytes) -> int:
        """Bytes handed to the network, 0 when it did not take them."""
        ...

    @property
    def start_tick(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TransmitSettings:
    """Of one channel; units in the names."""

    frame_ms: int = 20
    pre_roll_ms: int = 200
    input_gain_db: float = 0.0
    high_pass_hz: float = 80.0
    de_emphasis: bool = False
    vox_enabled: bool = False
    vox_threshold_dbfs: float = -40.0
    vox_attack_ms: int = 40
    vox_hang_ms: int = 800
    encoder: EncoderSettings = field(default_factory=EncoderSettings)


@dataclass(frozen=True, slots=True)
class TransmitStats:
    """Counters since the start of the channel."""

    frames_captured: int
    frames_lost: int
    key_ups: int
    packets_sent: int
    bytes_sent: int
    send_failures: int
    pre_roll_dropped: int
    limited_frames: int
    level: Level


@dataclass(slots=True)
class _Transmission:
    """The one under way. `open`: its announcement is out. `ending`: the key is up, drain and stop.

    `wanted` turns False once the frame in which the key went up has been taken.
    """

    number: int
    open: bool = False
    ending: bool = False
    wanted: bool = True


Request = Callable[[], None]
FrameTap = Callable[[Frame], None]


class FrameSource(Protocol):
    """Frames of another channel, one a call; None where there is none now."""

    def pull(self) -> Samples | None: ...


class TransmitPath:
    """The transmit path of one channel.

    on_vox(active, at_s): the voice-operated valve changed. on_drained(transmission): its last packet was
    handed to the network. Both are called on the capture thread and only post.
    """

    def __init__(
        self,
        settings: TransmitSettings,
        on_vox: Callable[[bool, float], None],
        on_drained: Callable[[int], None],
        is_playing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._on_vox = on_vox
        self._on_drained = on_drained
        self._is_playing = is_playing
        self.raw_taps: tuple[FrameTap, ...] = ()
        """Each gets every frame as the card gave it; `index` counts samples since the channel began. Replaced
        as a whole, from any thread; called on the capture thread, so they must not block."""
        self.taps: tuple[FrameTap, ...] = ()
        """The same after filter and limiter."""
        self.record_tap: FrameTap | None = None
        """One more of these, of the recorder."""
        self._insert: FrameSource | None = None
        self.devices: DeviceMix | None = None
        """Who else talks here. Set once, from any thread, when there is a first one."""
        self._card_talks = True
        self._metered_on_air = False
        self._filter = InputFilter(settings.input_gain_db, settings.high_pass_hz, settings.de_emphasis)
        self._limiter = Limiter()
        self.meter = LevelMeter()
        self._vox = Vox(
            settings.vox_threshold_dbfs, settings.vox_attack_ms, settings.vox_hang_ms, settings.frame_ms
        )
        self._vox_active = False
        self._pre_roll = PreRoll(settings.pre_roll_ms, settings.frame_ms)
        self._packet_samples = max(TICK_SAMPLES, settings.frame_ms * RATE_HZ // 1000)
        self._packet_ms = self._packet_samples * 1000 // RATE_HZ
        self._encoder = OpusEncoder(settings.encoder, self._packet_ms)
        self._other_encoders: dict[int, OpusEncoder] = {}
        self._half: Frame | None = None
        self._sent_until = 0
        self._requests: deque[Request] = deque(maxlen=64)
        self._uplink: Uplink | None = None
        self._uplink_position = 0
        self._current: _Transmission | None = None
        self._stream = StreamPosition(settings.frame_ms)
        self._frames_captured = self._frames_lost = self._key_ups = 0
        self._packets_sent = self._bytes_sent = self._send_failures = self._limited = 0

    # ---- steered from the coordinator's thread

    def set_uplink(self, uplink: Uplink | None) -> None:
        """A new session begins (or none): ticks count from its start, the old one is never used again."""
        self._requests.append(lambda: self._set_uplink(uplink))

    def insert(self, source: FrameSource | None) -> None:
        """Send these frames in place of the captured ones; None: the captured ones again."""
        self._requests.append(lambda: self._set_insert(source))

    def card_talks(self, talks: bool) -> None:
        """Whether what the card captured is sent, while network microphones may talk beside it or alone."""
        self._requests.append(lambda: self._set_card_talks(talks))

    def arm(self, transmission: int, at_s: float) -> None:
        """The key went down at `at_s`: keep the pre-roll and what follows until the valve opens."""
        self._requests.append(lambda: self._arm(transmission, at_s))

    def open(self, transmission: int) -> None:
        """transmit_started is out: send."""
        self._requests.append(lambda: self._open(transmission))

    def close(self, transmission: int) -> None:
        """The key is up: send what waits, then report the drain."""
        self._requests.append(lambda: self._close(transmission))

    def abort(self, transmission: int) -> None:
        """Stop at once."""
        self._requests.append(lambda: self._abort(transmission))

    @property
    def frame_ms(self) -> int:
        return self._settings.frame_ms

    @property
    def position(self) -> int:
        """Index of the sample that is captured next, as taps count. Any thread."""
        return self._stream.next_position

    # ---- on the capture thread

    def feed(self, frame: Frame) -> None:
        """Take one captured frame through the whole path."""
        self._obey()
        self._frames_captured += 1
        self._stream.advance(frame)
        playing = self._is_playing()
        if self.devices is not None:
            frame = self._with_devices(self.devices, frame, playing)
        if frame.gap:
            self._filter.reset()
        shaped = self._limiter.process(self._filter.process(frame.samples))
        if self._limiter.gain_reduction_db:
            self._limited += 1
        if not self._metered_on_air:
            self.meter.update(shaped, frame.samples, (self._limiter.peak, self._limiter.energy))
        shaped_frame = Frame(shaped, self._stream.position, frame.complete_at_s, frame.gap)
        for tap in self.taps:
            tap(shaped_frame)
        record_tap = self.record_tap
        if record_tap is not None:
            record_tap(shaped_frame)
        if self.raw_taps:
            raw_frame = Frame(frame.samples, self._stream.position, frame.complete_at_s, frame.gap)
            for tap in self.raw_taps:
                tap(raw_frame)
        if self._settings.vox_enabled:
            self._update_vox(frame.complete_at_s, playing)
        self._transmit(shaped_frame, playing)

    def feed_without_card(self, frame: Frame) -> None:
        """The card is away, network microphones are not: a frame of silence, of whoever keeps the time now.

        Nobody is told that the card was silent: no tap, no meter, no pre-roll.
        """
        self._obey()
        self._stream.advance(frame)
        playing = self._is_playing()
        if self.devices is not None:
            self.devices.listen(frame.complete_at_s, playing)
        if self._current is not None:
            at = self._stream.position
            self._transmit(Frame(frame.samples, at, frame.complete_at_s, frame.gap), playing)

    def source_lost(self) -> None:
        """The source is gone: nothing waits any more, and the voice-operated valve is shut."""
        self._obey()
        self._pre_roll.clear()
        self._filter.reset()
        self._half = None
        self._vox_active = False
        if self.devices is not None:
            self.devices.clock_lost()
        if self._current is not None and self._current.ending:
            self._finish(self._current.number)

    def close_codec(self) -> None:
        """Free the encoders. The path is not used afterwards."""
        for encoder in (self._encoder, *self._other_encoders.values()):
            encoder.close()

    @property
    def stats(self) -> TransmitStats:
        return TransmitStats(
            self._frames_captured,
            self._stream.lost,
            self._key_ups,
            self._packets_sent,
            self._bytes_sent,
            self._send_failures,
            self._pre_roll.dropped,
            self._limited,
            self.meter.snapshot(),
        )

    # ---- inside

    def _with_devices(self, devices: DeviceMix, frame: Frame, playing: bool) -> Frame:
        """Take what has arrived of network microphones. Without a card the frame is all that they hear."""
        devices.listen(frame.complete_at_s, playing)
        if not devices.stands_for_card:
            return frame
        talks = self._current is not None and self._card_talks
        tapped = self.taps or self.raw_taps or self.record_tap is not None
        if not (tapped or talks or devices.listens_always):
            self._metered_on_air = self._current is not None
            return frame
        self._metered_on_air = False
        return Frame(devices.captured(frame.complete_at_s), frame.index, frame.complete_at_s, frame.gap)

    def _obey(self) -> None:
        while self._requests:
            self._requests.popleft()()

    def _set_uplink(self, uplink: Uplink | None) -> None:
        self._uplink = uplink
        self._uplink_position = self._stream.next_position

    def _set_insert(self, source: FrameSource | None) -> None:
        self._insert = source

    def _set_card_talks(self, talks: bool) -> None:
        self._card_talks = talks

    def _arm(self, transmission: int, at_s: float) -> None:
        self._current = _Transmission(transmission)
        self._half = None
        if self.devices is not None:
            self.devices.end()
        if self._insert is not None or not self._card_talks:
            self._pre_roll.clear()  # it holds what this channel's own card captured
        self._pre_roll.arm(at_s)

    def _open(self, transmission: int) -> None:
        if self._current is not None and self._current.number == transmission:
            self._current.open = True
            self._key_ups += 1
            self._encoder.reset()
            for encoder in self._other_encoders.values():
                encoder.reset()

    def _close(self, transmission: int) -> None:
        if self._current is not None and self._current.number == transmission:
            self._current.ending = True

    def _abort(self, transmission: int) -> None:
        if self._current is not None and self._current.number == transmission:
            self._current = None
            self._half = None
            self._pre_roll.disarm()
            if self.devices is not None:
                self.devices.end()

    def _update_vox(self, at_s: float, playing: bool) -> None:
        active = self._vox.update(self.meter.rms_dbfs, inhibited=playing)
        if active != self._vox_active:
            self._vox_active = active
            self._on_vox(active, at_s)

    def _transmit(self, frame: Frame, playing: bool) -> None:
        current = self._current
        if current is None:
            if playing:
                self._pre_roll.clear()  # what the loudspeaker said must not go out as pre-roll
            else:
                self._pre_roll.push(frame)
            return
        if self._insert is not None:
            inserted = self._insert.pull()
            samples = np.zeros_like(frame.samples) if inserted is None else inserted
            frame = Frame(samples, frame.index, frame.complete_at_s, frame.gap)
        elif self.devices is not None and current.wanted:
            *earlier, frame = self.devices.frames(frame, self._card_talks, self._sent_until)
            for one in earlier:
                self._pre_roll.push(one)
            if self._metered_on_air:
                self.meter.update(frame.samples)
        if current.open and current.wanted and not current.ending and self._pre_roll.empty:
            self._send(frame)  # most frames: nothing waits before them
            return
        if current.wanted:
            self._pre_roll.push(frame)
            current.wanted = not current.ending
        if not current.open:
            return
        for _ in range(BURST_PACKETS):
            waiting = self._pre_roll.take()
            if waiting is None:
                break
            self._send(waiting)
        if not current.wanted and self._pre_roll.empty:
            self._finish(current.number)

    def _finish(self, transmission: int) -> None:
        self._complete_half()
        self._current = None
        self._pre_roll.disarm()
        if self.devices is not None:
            self.devices.end()
        self._on_drained(transmission)

    def _send(self, frame: Frame) -> None:
        position, samples = frame.index, frame.samples
        if self._settings.frame_ms < TICK_MS:
            self._send_half(frame)
        else:
            self._send_packet(position, samples)

    def _send_half(self, frame: Frame) -> None:
        """Frames of 10 ms travel in pairs that begin on a tick, so that no two packets share one."""
        first = self._half
        if first is not None and frame.index == first.index + len(first.samples):
            self._half = None
            self._send_packet(first.index, np.concatenate((first.samples, frame.samples)))
            return
        self._complete_half()
        if frame.index % TICK_SAMPLES == 0:
            self._half = frame
        elif frame.index >= self._sent_until:  # its tick began before the key-up
            quiet = np.zeros_like(frame.samples)
            self._send_packet(frame.index - len(quiet), np.concatenate((quiet, frame.samples)))

    def _complete_half(self) -> None:
        """Half a packet is left over: silence completes it."""
        first, self._half = self._half, None
        if first is not None:
            quiet = np.zeros_like(first.samples)
            self._send_packet(first.index, np.concatenate((first.samples, quiet)))

    def _send_packet(self, position: int, samples: Samples) -> None:
        uplink = self._uplink
        if len(samples) == self._packet_samples:
            packet = self._encoder.encode(samples)
        else:  # of network microphones alone, at a rate of their own
            packet = self._encoder_of(len(samples)).encode(samples)
        self._sent_until = position + self._packet_samples
        if uplink is None or len(packet) <= DTX_BYTES:
            return
        tick = uplink.start_tick + (position - self._uplink_position) // TICK_SAMPLES
        size = uplink.send_packet(tick, packet)
        if size:
            self._packets_sent += 1
            self._bytes_sent += size
        else:
            self._send_failures += 1

    def _encoder_of(self, packet_samples: int) -> OpusEncoder:
        encoder = self._other_encoders.get(packet_samples)
        if encoder is None:
            rate_hz = packet_samples * 1000 // self._packet_ms
            encoder = OpusEncoder(self._settings.encoder, self._packet_ms, rate_hz)
            self._other_encoders[packet_samples] = encoder
        return encoder


assert TICK_SAMPLES * 1000 == RATE_HZ * TICK_MS
