"""What simulated ESP32 microphones are like: their form, their firmware, and what befalls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import Samples

SampleFormat = Literal["s16le", "u8", "f32le"]
SAMPLE_BYTES: Final[dict[SampleFormat, int]] = {"s16le": 2, "u8": 1, "f32le": 4}
UDP_HEADER_BYTES: Final = 12
MOST_UDP_BYTES: Final = 1440
"""Payload that fits one frame of Ethernet or Wi-Fi."""


@dataclass(frozen=True, slots=True)
class Esp32Plan:
    """N devices that are alike. Times in seconds; rates in Hz; chunk in bytes.

    interval_s: how often the firmware wakes and writes what is there; 0: whenever a chunk is full.
    ppm: clock errors, spread evenly over the devices between the two. speed: how much faster than its rate
    a device sends: one that floods. ring_s: audio that a device keeps while it cannot send; burst_s: how much
    of that it sends at once after connecting. drop: share of chunks lost in the device, of UDP on the way.
    reconnect_s, power_cut_s, stall_s: mean time between orderly disconnections, power cuts (the connection
    stays half-open), and stalls of the network; 0: never. away_s, stalled_s: how long each lasts.
    retry_s: time to the next try after a refused or lost connection, doubling to retry_most_s.
    samples: what each microphone takes up in all, from its first moment on; None: without end.
    sources: first local address; each device takes the next one. None: whatever the system takes.
    """

    host: str
    port: int
    devices: int = 1
    name: str = "esp32"
    hello: bool = False
    token: str | None = None
    udp: bool = False
    rate_hz: int = 16_000
    format: SampleFormat = "s16le"
    channels: int = 1
    chunk: int = 8192
    interval_s: float = 0.0
    ppm: tuple[float, float] = (0.0, 0.0)
    speed: float = 1.0
    ring_s: float = 3.0
    burst_s: float = 0.0
    drop: float = 0.0
    reconnect_s: float = 0.0
    power_cut_s: float = 0.0
    away_s: float = 2.0
    stall_s: float = 0.0
    stalled_s: float = 1.5
    retry_s: float = 5.0
    retry_most_s: float = 60.0
    spread_s: float = 1.0
    sources: str | None = None
    seed: int = 0
    samples: int | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return SAMPLE_BYTES[self.format] * self.channels

    @property
    def kept_samples(self) -> int:
        """What a device's ring holds: never less than two chunks or its burst."""
        least = 2 * -(-self.chunk // self.frame_bytes)
        return max(least, round(max(self.ring_s, self.burst_s) * self.rate_hz))

    def device_name(self, number: int) -> str:
        """ "porch" for the only one, "porch-3" for the third of several; "a,b" names two."""
        given = self.name.split(",")
        if number < len(given) and (len(given) > 1 or self.devices == 1):
            return given[number]
        return f"{given[-1]}-{number + 1}"

    def device_ppm(self, number: int) -> float:
        """Clock error of one of them."""
        low, high = self.ppm
        return low + (high - low) * number / max(1, self.devices - 1)


class Loop:
    """A recording in a device's own form, again and again without end."""

    def __init__(self, samples: Samples, plan: Esp32Plan) -> None:
        """`samples`: shape (n,), int16, mono, at the devices' rate; n > 0."""
        self.samples = len(samples)
        self._frame_bytes = plan.frame_bytes
        self._data = memoryview(encoded(np.repeat(samples, plan.channels), plan.format))

    def read(self, at: int, count: int) -> memoryview:
        """`count` samples from sample `at` on."""
        begin = at % self.samples
        if begin + count <= self.samples:
            return self._data[begin * self._frame_bytes : (begin + count) * self._frame_bytes]
        parts = []
        while count:
            part = min(count, self.samples - begin)
            parts.append(self._data[begin * self._frame_bytes : (begin + part) * self._frame_bytes])
            count, begin = count - part, 0
        return memoryview(b"".join(parts))


def encoded(samples: NDArray[np.int16], form: SampleFormat) -> bytes:
    """16-bit samples in the form that a device sends."""
    if form == "u8":
        return ((samples.astype(np.int32) + 32_768) >> 8).astype(np.uint8).tobytes()
    if form == "f32le":
        return (samples.astype("<f4") / 32_768).tobytes()
    return samples.astype("<i2").tobytes()
