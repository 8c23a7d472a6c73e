"""A steady tone out of a channel's card, with the radio keyed where that is wanted: to set its deviation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples, samples_per_frame, silence
from echostream.audio.limiter import Limiter
from echostream.audio.ports import AudioSink, CardSpec
from echostream.config.models import Channel
from echostream.errors import ConfigError, GpioError
from echostream.hardware.ptt_client import MockPttLines, PttLines, PttLineSpec
from echostream.selftest.keying import KeyedLine
from echostream.selftest.take import FRAME_MS, Cards

SHARE: Final = 0.6
"""Of the full deviation. The limiter's ceiling is then the full deviation, which speech never exceeds
(60 % with a tone of 1 kHz is also how TIA-603 and ETSI EN 300 086 state a transmitter's usual modulation)."""
_MARGIN_S: Final = 5.0
_FADE_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class DeviationTone:
    """peak_dbfs: None for that of SHARE."""

    hz: float
    duration_s: float
    peak_dbfs: float | None = None

    @property
    def level_dbfs(self) -> float:
        """Peak."""
        if self.peak_dbfs is not None:
            return self.peak_dbfs
        return float(20 * np.log10(Limiter().ceiling / FULL_SCALE * SHARE))

    def words(self) -> str:
        """What to set the radio to while it sounds."""
        share = 10 ** (self.level_dbfs / 20) * FULL_SCALE / Limiter().ceiling
        return (
            f"{self.hz:.0f} Hz at {self.level_dbfs:.1f} dBFS peak, {share * 100:.0f} % of what the limiter "
            f"lets out. Set the radio's input so that the deviation is {share * 5:.1f} kHz in a channel of "
            f"25 kHz, {share * 2.5:.1f} kHz in one of 12.5 kHz: then no voice exceeds 5 and 2.5 kHz."
        )


def tone_frames(tone: DeviationTone) -> Iterator[Samples]:
    """Frames of 20 ms, faded in and out, without a break of the phase."""
    size = samples_per_frame(FRAME_MS)
    count = max(1, round(tone.duration_s * 1000 / FRAME_MS))
    total = count * size
    peak = FULL_SCALE * 10 ** (tone.level_dbfs / 20)
    for number in range(count):
        at = np.arange(number * size, (number + 1) * size)
        fade = np.minimum(1.0, np.minimum(at, total - at) / (_FADE_S * RATE_HZ))
        wave = peak * fade * np.sin(2 * np.pi * (tone.hz * at / RATE_HZ % 1.0))
        yield np.clip(np.rint(wave), -32767, 32767).astype(np.int16)


def play_tone(
    cards: Cards, channel: Channel, tone: DeviationTone, line: KeyedLine | None, stop: threading.Event
) -> None:
    """Play it, keyed from lead_in_ms before to hang_ms after, as the gateway does. AudioError."""
    sink = cards.open_sink(CardSpec(channel.card, channel.side, FRAME_MS))
    quiet = silence(samples_per_frame(FRAME_MS))
    before, after = (channel.key.lead_in_ms, channel.key.hang_ms) if channel.key is not None else (0, 0)
    try:
        for frame in _framed(quiet, before, tone, after):
            if stop.is_set():
                return
            if line is not None:
                line.key()
            sink.write(frame)
        _drain(sink, quiet, line)
    finally:
        if line is not None:
            line.unkey()
        sink.close()


def _framed(quiet: Samples, before_ms: int, tone: DeviationTone, after_ms: int) -> Iterator[Samples]:
    yield from (quiet for _ in range(-(-before_ms // FRAME_MS)))
    yield from tone_frames(tone)
    yield from (quiet for _ in range(-(-after_ms // FRAME_MS)))


def _drain(sink: AudioSink, quiet: Samples, line: KeyedLine | None) -> None:
    """What was written last still lies in the card's ring."""
    for _ in range(5):
        if line is not None:
            line.key()
        sink.write(quiet)


@contextlib.contextmanager
def keyed_line(channel: Channel, chip: str, duration_s: float, simulated: bool) -> Iterator[KeyedLine]:
    """The channel's own line, for a while. ConfigError where it has none, GpioError."""
    if channel.key is None:
        raise ConfigError(f"channel {channel.id} keys no radio: it has no key in its configuration")
    key = channel.key
    spec = PttLineSpec(
        channel.id, key.pin, channel.card if key.cm108 else None, key.active_low, duration_s + _MARGIN_S
    )
    lines: PttLines | MockPttLines = MockPttLines([spec]) if simulated else PttLines([spec], chip)
    try:
        lines.start()
        line = lines.output(channel.id)
        if line.fault is not None:
            raise GpioError(f"{spec} cannot be keyed: {line.fault}")
        yield line
    finally:
        lines.close()
