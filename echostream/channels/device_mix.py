"""The network microphones of one channel: from the relay's thread into the channel's transmissions.

Each stream has a sink that the relay fills; the channel's capture thread empties them all once a frame,
listens to their valves, and takes a frame of each that is on the air. When nobody else talks, the frames are
at the highest rate that one of them needs and that Opus takes: nothing is encoded that is not there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.device_ports import DeviceAudio, GapCause, StreamInfo
from echostream.audio.device_voice import DeviceVoice, VoiceSettings
from echostream.audio.filters import InputFilter
from echostream.audio.format import RATE_HZ, Frame, Samples
from echostream.audio.limiter import Limiter
from echostream.audio.mixer import mix
from echostream.config.esp32_models import DeviceDefaults
from echostream.events import Opener

Float32 = NDArray[np.float32]

INBOX_BLOCKS: Final = 256
"""Blocks that wait for the capture thread; the oldest gives way. The ring behind bounds their audio."""
_HALF_PACKET_MS: Final = 10
_RELEASE_MS: Final = 80.0


def voice_settings(rate_hz: int, device: DeviceDefaults) -> VoiceSettings:
    """What the voice needs of the configuration; the stream's own rate comes first."""
    return VoiceSettings(
        rate_hz=rate_hz,
        always=device.transmit == "always",
        gain_db=device.gain_db,
        threshold_dbfs=device.vox.threshold_dbfs,
        attack_ms=device.vox.attack_ms,
        hang_ms=device.vox.hang_ms,
        pre_roll_ms=device.pre_roll_ms,
    )


class MixSink:
    """DeviceSink of one stream. `dropped`: blocks that nobody took in time. `barred`: not sent until it was
    quiet."""

    def __init__(self, info: StreamInfo, voice: DeviceVoice) -> None:
        self.info = info
        self.voice = voice
        self.dropped = 0
        self.gone = False
        self.barred = False
        self._inbox: deque[DeviceAudio] = deque(maxlen=INBOX_BLOCKS)

    def audio(self, block: DeviceAudio) -> None:
        """On the relay's thread."""
        if len(self._inbox) == INBOX_BLOCKS:
            self.dropped += 1
        self._inbox.append(block)

    def ended(self, cause: GapCause) -> None:
        """On the relay's thread."""
        self.gone = True

    def listen(self, now: float, inhibited: bool) -> None:
        """Take what has arrived. On the capture thread."""
        gone = self.gone  # first: what came before the end is in the inbox by then
        while self._inbox:
            self.voice.take(self._inbox.popleft(), now, inhibited)
        self.voice.look(now)
        if gone and not self.voice.ended:
            self.voice.end()


class DeviceMix:
    """`open` on any thread; all else on the capture thread.

    on_opener(opener, active, at_s): voices began or ended; only posts. on_first: called once, when there is a
    first stream to listen to. shy: the microphones may hear our loudspeaker; no voice opens while it plays.
    stands_for_card: the channel has no card; what its microphones hear is what one would capture.
    listens_always: a key or the like may send that at any time, with its pre-roll.
    """

    def __init__(
        self,
        frame_ms: int,
        high_pass_hz: float,
        on_opener: Callable[[Opener, bool, float], None],
        on_first: Callable[[DeviceMix], None] = lambda mix: None,
        shy: bool = True,
        stands_for_card: bool = False,
        listens_always: bool = False,
    ) -> None:
        self._frame_ms = frame_ms
        self._high_pass_hz = high_pass_hz
        self._on_opener = on_opener
        self._on_first = on_first
        self._shy = shy
        self.stands_for_card = stands_for_card
        self.listens_always = listens_always
        self._lock = threading.Lock()
        self._sinks: tuple[MixSink, ...] = ()
        self._opened: dict[Opener, bool] = {Opener.DEVICE: False, Opener.STREAM: False}
        self._rate_hz = 0
        self._filter = InputFilter()
        self._limiter = Limiter()
        self._on_air = False
        self._captured = False
        self._bar_wanted = False

    # ---- any thread

    def bar(self) -> None:
        """The time-out timer: those whose voice opened the valve are not sent before they were quiet. Beside
        a pump that never is, another one's voice opens it again."""
        self._bar_wanted = True

    @property
    def sinks(self) -> tuple[MixSink, ...]:
        """The streams that are there."""
        return self._sinks

    def open(self, info: StreamInfo, device: DeviceDefaults) -> MixSink:
        """A new stream. `device.transmit` is "always" or "vox"."""
        sink = MixSink(info, DeviceVoice(voice_settings(info.rate_hz, device), self._frame_ms))
        with self._lock:
            # While no card gives a clock nobody clears away: a device that comes and goes must not pile up.
            kept = tuple(one for one in self._sinks if not (one.gone and one.info.name == info.name))
            self._sinks = (*kept, sink)
        self._on_first(self)
        return sink

    # ---- the capture thread

    def listen(self, now: float, playing: bool) -> None:
        """Once a frame. playing: the channel's loudspeaker sounds."""
        if not self._sinks:
            return
        inhibited = playing and self._shy
        if self.stands_for_card and not self._captured:
            for sink in self._sinks:
                sink.voice.leave_card()  # nobody asked for the last frame: the next one begins afresh
        self._captured = False
        bar, self._bar_wanted = self._bar_wanted, False
        device = stream = ended = False
        for sink in self._sinks:
            sink.listen(now, inhibited)
            voice = sink.voice
            sink.barred = voice.active and (sink.barred or (bar and not voice.settings.always))
            if sink.barred or not voice.active:
                if voice.reading:
                    voice.leave()
                ended |= voice.ended
            elif voice.settings.always:
                stream = True
            else:
                device = True
        self._tell(Opener.DEVICE, device, now)
        self._tell(Opener.STREAM, stream, now)
        if ended:
            with self._lock:
                self._sinks = tuple(one for one in self._sinks if one.voice.active or not one.voice.ended)

    def end(self) -> None:
        """It is over: nobody is read any more."""
        self._on_air = False
        self._rate_hz = 0
        for sink in self._sinks:
            sink.voice.leave()

    def clock_lost(self) -> None:
        """No frames come any more; who still talks then is told of anew."""
        self.end()
        self._opened = dict.fromkeys(self._opened, False)

    def frames(self, frame: Frame, card_talks: bool, not_before: int) -> list[Frame]:
        """What is sent for this captured frame: mostly one frame, its own position last.

        At the start of a transmission that no card opened, those of the pre-roll come before it; none lies
        before position `not_before`.
        """
        now = frame.complete_at_s
        voices = [sink.voice for sink in self._sinks if sink.voice.active and not sink.barred]
        if card_talks and (self.stands_for_card or not voices):
            self._on_air = True  # a key at a channel without a card sends them all: nobody twice
            for sink in self._sinks:
                sink.voice.sent_as_card()
            return [frame]
        for voice in voices:
            if not voice.reading:
                voice.begin(now)
        self._set_rate(RATE_HZ if card_talks else max((voice.rate_hz for voice in voices), default=0))
        length = self._frame_ms * RATE_HZ // 1000
        early = 0
        if not self._on_air and not card_talks:
            room = max(0, (frame.index - not_before) // length)
            early = min(room, max((voice.late_frames for voice in voices), default=0))
        self._on_air = True
        frames = []
        for back in range(early, 0, -1):
            samples = self._mixed([v for v in voices if v.late_frames >= back], now, None, ahead=True)
            frames.append(Frame(samples, frame.index - back * length, now))
        own = frame.samples if card_talks else None
        frames.append(Frame(self._mixed(voices, now, own), frame.index, now, frame.gap))
        return frames

    def captured(self, now: float) -> Samples:
        """What a card would have captured: all that the microphones hear, one frame at 48 kHz."""
        self._captured = True
        count = self._frame_ms * RATE_HZ // 1000
        parts: list[Float32] = []
        for sink in self._sinks:
            part = sink.voice.pull_card(RATE_HZ, now)
            if part is not None:
                parts.append(part)
        return np.clip(np.rint(mix(parts, count)), -32768, 32767).astype(np.int16)

    # ---- inside

    def _tell(self, opener: Opener, active: bool, now: float) -> None:
        if active != self._opened[opener]:
            self._opened[opener] = active
            self._on_opener(opener, active, now)

    def _set_rate(self, wanted_hz: int) -> None:
        """Within one transmission it only grows: each change is a small step in what is heard."""
        if self._frame_ms == _HALF_PACKET_MS:
            wanted_hz = RATE_HZ  # halves of packets are put together at one rate
        rate_hz = max(self._rate_hz, wanted_hz) or RATE_HZ
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._filter = InputFilter(0.0, self._high_pass_hz, rate_hz=rate_hz)
            # The limiter counts samples: its release is told in milliseconds of 48 kHz.
            self._limiter = Limiter(release_ms=_RELEASE_MS * rate_hz / RATE_HZ)

    def _mixed(
        self, voices: list[DeviceVoice], now: float, own: Samples | None, ahead: bool = False
    ) -> Samples:
        count = self._frame_ms * self._rate_hz // 1000
        heard = [part for voice in voices if (part := voice.pull(self._rate_hz, now, ahead)) is not None]
        shaped = self._filter.process(mix(heard, count) if heard else np.zeros(count, np.float32))
        return self._limiter.process(shaped if own is None else mix((shaped, own)))
