"""Both directions of one channel: the transmit path, and the receive path with its keying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.audio.filters import OutputFilter
from echostream.audio.format import Samples, samples_per_frame, silence
from echostream.audio.levels import LevelMeter
from echostream.audio.limiter import Limiter
from echostream.audio.mixer import mix
from echostream.channels.keying import Keying, KeyingPhase, KeyingSettings
from echostream.channels.receive_path import ReceivePath
from echostream.channels.transmit_path import FrameSource, TransmitPath, TransmitSettings

ReceivedTap = Callable[[NDArray[np.float32], bool, float], None]

# The loudspeaker lags behind what was written by the card's buffers: for so long after the last frame the
# microphone may still hear it.
PLAYING_TAIL_S = 0.4


class PttOutput(Protocol):
    """The line that keys the radio. `key` is called every frame: a line that is not renewed drops."""

    def key(self) -> None: ...

    def unkey(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """Of one channel; units in the names."""

    frame_ms: int = 20
    jitter_min_ms: int = 20
    jitter_max_ms: int = 320
    output_gain_db: float = 0.0
    pre_emphasis: bool = False
    full_duplex: bool = False
    keying: KeyingSettings = KeyingSettings()  # noqa: RUF009 - frozen, safe to share


@dataclass(slots=True)
class _PassedThrough:
    """Another channel's frames on this loudspeaker; `on_air`: they key the radio, until they time out."""

    source: FrameSource
    on_air: bool


class AudioStream:
    """`transmit` is fed by the capture thread, `next_frame` is pulled by the playback thread."""

    def __init__(
        self,
        transmit: TransmitSettings,
        receive: ReceiveSettings,
        ptt_output: PttOutput | None,
        on_vox: Callable[[bool, float], None],
        on_drained: Callable[[int], None],
        on_playing: Callable[[bool], None],
    ) -> None:
        self._settings = receive
        self._ptt_output = ptt_output
        self._on_playing = on_playing
        self._playing = False
        self._quiet_since_s = 0.0
        self._muted = False
        self.silenced = False
        """Nothing is played and no radio keyed, until this is False again. What others say is still heard by
        `received_tap`. Any thread."""
        self._paged: FrameSource | None = None
        self._through: _PassedThrough | None = None
        self._through_at_s = -PLAYING_TAIL_S
        self._sounding = False
        self._silence = silence(samples_per_frame(receive.frame_ms))
        self.receive = ReceivePath(receive.frame_ms, receive.jitter_min_ms, receive.jitter_max_ms)
        self.keying = Keying(receive.keying, receive.frame_ms)
        self._filter = OutputFilter(receive.output_gain_db, receive.pre_emphasis)
        self._limiter = Limiter()
        self._through_filter = OutputFilter(receive.output_gain_db, receive.pre_emphasis)
        self._through_limiter = Limiter()
        self.output_meter = LevelMeter()
        self.received_tap: ReceivedTap | None = None
        """Gets what others say as it was received, whether or not the loudspeaker may play it: float32 in
        int16 units, whether anybody talks, and when. On the playback thread, so it must not block."""
        self.transmit = TransmitPath(transmit, on_vox, on_drained, is_playing=lambda: self._sounding)

    @property
    def playing(self) -> bool:
        """Network audio is on the loudspeaker, or was until just now."""
        return self._playing

    def mute(self, muted: bool) -> None:
        """Half duplex: while this channel transmits, what is received is thrown away."""
        self._muted = muted

    def pass_through(self, source: FrameSource | None, on_air: bool = False) -> None:
        """Play these frames beside whoever talks, from the next one on; None: no more. Any thread."""
        self._through = None if source is None else _PassedThrough(source, on_air)

    def page(self, source: FrameSource | None) -> None:
        """Play these frames in place of everything else, and key the radio for them; None: no more. What
        comes meanwhile is not heard later. Any thread."""
        self._paged = source

    @property
    def paging(self) -> bool:
        return self._paged is not None

    def set_output_gain(self, gain_db: float) -> None:
        """From the next frame on. ValueError for a gain that cannot be meant. Any thread."""
        pre_emphasis = self._settings.pre_emphasis
        self._filter = OutputFilter(gain_db, pre_emphasis)
        self._through_filter = OutputFilter(gain_db, pre_emphasis)

    def next_frame(self, now: float) -> Samples:
        """One frame for the card: mixed, keyed, filtered and limited. On the playback thread."""
        received, talking = self.receive.pull(now)
        received_tap = self.received_tap
        if received_tap is not None:
            received_tap(received, talking, now)
        if self._mute:
            talking = False
            if self.keying.keyed:
                self.keying.abort()
        beside: Samples | None = None
        through = self._through
        if through is not None:
            beside = self._passed_through(through, now)
            if beside is not None and through.on_air:
                received = mix((received, beside) if talking else (beside,))
                talking, beside = True, None
        paged = self._paged
        if paged is not None:
            page = paged.pull()
            beside, talking = None, page is not None and not self._mute
            if page is not None:
                received = mix((page,))
        shaped = self._limiter.process(self._filter.process(received)) if talking else self._silence
        frame = self.keying.step(shaped, talking)
        if through is not None and self.keying.phase is KeyingPhase.LATCHED:
            # Its frames never pause: while they keyed, the latch would hold until its end, and no member
            # would be heard. It goes on on the loudspeaker only.
            through.on_air = False
        self._drive_line()
        self._follow_playing(talking or self.keying.keyed, now)
        if beside is not None:
            frame = self._with(frame, beside)
        self._sounding = self._playing or now - self._through_at_s < PLAYING_TAIL_S
        self.output_meter.update(frame)
        return frame

    @property
    def _mute(self) -> bool:
        return self._muted or self.silenced

    def _passed_through(self, through: _PassedThrough, now: float) -> Samples | None:
        """The next frame of another channel. It is taken also while nobody may hear it: it does not wait."""
        frame = through.source.pull()
        if frame is None or self._mute:
            return None
        self._through_at_s = now
        return frame

    def _with(self, frame: Samples, beside: Samples) -> Samples:
        """Both on the loudspeaker; not while a talker keys the radio, which would put both on the air."""
        if self._ptt_output is not None and self.keying.keyed:
            return frame
        return self._through_limiter.process(mix((frame, self._through_filter.process(beside))))

    def sink_lost(self) -> None:
        """The card is gone: the radio must not stay keyed on a dead line."""
        self.keying.abort()
        self._drive_line()
        self.receive.flush()
        self._follow_playing(False, self._quiet_since_s + PLAYING_TAIL_S)
        self._sounding = False

    def _drive_line(self) -> None:
        if self._ptt_output is None:
            return
        if self.keying.keyed:
            self._ptt_output.key()
        else:
            self._ptt_output.unkey()

    def _follow_playing(self, sounding: bool, now: float) -> None:
        if sounding:
            self._quiet_since_s = now
        playing = sounding or (self._playing and now - self._quiet_since_s < PLAYING_TAIL_S)
        if playing != self._playing:
            self._playing = playing
            self._on_playing(playing)
