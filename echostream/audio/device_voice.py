"""One microphone with its own clock on its way to a channel: blocks in, frames at the channel's pace out.

The blocks wait in a ring. While the voice is on the air they are read along the line of their arrivals, as
late as the device's own blocks ask for and 32 ms more. What came before the voice that opened the valve is
read first, in one go where the channel is free for that; else the voice stays behind by so much until its
valve shuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echostream.audio.device_gate import DeviceGate
from echostream.audio.device_ports import DeviceAudio
from echostream.audio.device_reader import DeviceReader
from echostream.audio.device_stream import DeviceStream
from echostream.audio.opus_codec import RATES_HZ

Float32 = NDArray[np.float32]


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


class DeviceVoice:
    """Owned by the channel's capture thread."""

    def __init__(self, settings: VoiceSettings, frame_ms: int) -> None:
        self.settings = settings
        self.rate_hz = opus_rate(settings.rate_hz)
        """At which it is encoded when it is alone."""
        self._gain: Any = np.float32(10 ** (settings.gain_db / 20)) if settings.gain_db else None
        self._stream = DeviceStream(settings.rate_hz, frame_ms, settings.pre_roll_ms)
        self.air = DeviceReader(self._stream, frame_ms)
        """What is sent."""
        self.card = DeviceReader(self._stream, frame_ms)
        """What stands for the card of a channel without one: all that the microphone hears."""
        self._sent_until = 0
        self._gate = DeviceGate(
            settings.rate_hz, settings.threshold_dbfs, settings.attack_ms, settings.hang_ms, settings.gain_db
        )

    # ---- what arrives

    def take(self, block: DeviceAudio, now: float, inhibited: bool = False) -> None:
        """The next block. inhibited: a voice in it opens nothing."""
        if not block.samples.size:
            return
        end = self._stream.ring.end
        position = self._stream.take(block, now)
        if not self.settings.always:
            self._gate.hear(position, block.samples, inhibited)
        self.air.arrived(position, end, now)
        self.card.arrived(position, end, now)

    def look(self, now: float) -> None:
        """Once a frame, after what has arrived was taken."""
        self._stream.look(now)
        if self._stream.silent and self._gate.is_open:
            self._gate.close()

    def end(self) -> None:
        """No more will arrive: what is there is still read."""
        self._gate.close()
        self._stream.ended = True

    @property
    def ended(self) -> bool:
        return self._stream.ended

    # ---- what goes on the air

    @property
    def active(self) -> bool:
        """It has something to say: its valve is open, or what it let through is not read yet."""
        position = self.air.position
        if position is not None and position < self._stop_at:
            return True
        return self._open and not self._stream.ended

    @property
    def _open(self) -> bool:
        return self._gate.is_open or (self.settings.always and not self._stream.silent)

    @property
    def _stop_at(self) -> int:
        """Position at which reading ends, as far as is known."""
        if self.settings.always:
            return self._stream.ring.end
        return self._stream.ring.end + 1 if self._gate.is_open else self._gate.closed_at

    @property
    def reading(self) -> bool:
        return self.air.position is not None

    @property
    def late_frames(self) -> int:
        """Whole frames by which it is behind because its pre-roll came first."""
        return int(self.air.late / self._stream.frame)

    def begin(self, now: float) -> None:
        """It goes on the air now."""
        start = max(self._gate.opened_at - self._stream.spare, self._sent_until)
        self.air.begin(now, None if self.settings.always else start)

    def leave(self) -> None:
        """Off the air; the valve stays as it is."""
        self.air.leave()

    def sent_as_card(self) -> None:
        """What the microphone hears goes out as what a card captured: as a voice it goes on behind that."""
        self.air.leave()
        if self.card.position is not None:
            self._sent_until = self.card.position

    def pull(self, rate_hz: int, now: float, ahead: bool = False) -> Float32 | None:
        """The next frame for the air; see DeviceReader.pull."""
        return self._louder(self.air.pull(rate_hz, now, ahead))

    def pull_card(self, rate_hz: int, now: float) -> Float32 | None:
        """The next frame of all that the microphone hears."""
        if self.card.position is None:
            if not self._stream.begun:
                return None
            self.card.begin(now)
        return self._louder(self.card.pull(rate_hz, now))

    def leave_card(self) -> None:
        """Nobody asks for what the microphone hears."""
        if self.card.position is not None:
            self.card.leave()

    def _louder(self, samples: Float32 | None) -> Float32 | None:
        return samples if samples is None or self._gain is None else samples * self._gain
