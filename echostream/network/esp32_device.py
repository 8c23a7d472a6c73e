"""One stream of one device: its bytes become blocks of samples with their time, for whoever takes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import log10
from typing import Final

from echostream.audio.device_clock import DeviceClock, Missing
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import FULL_SCALE, Samples, silence
from echostream.audio.sample_forms import SAMPLE_BYTES
from echostream.network.esp32_admission import Admitted
from echostream.network.esp32_limits import Progress, RateDoubt, SpeedLimit
from echostream.network.esp32_status import DeviceGlance, DeviceStatus, RelayCounters
from echostream.wire.esp32_stream import SampleAssembler

NOTE_EVERY_S: Final = 1.0
"""Between two looks at how well the clock is known; others only read what was noted."""

log = logging.getLogger(__name__)


class DeviceStream:
    """From the admission to the end of a connection. All of it on the relay's thread, but `status`."""

    def __init__(
        self,
        admitted: Admitted,
        info: StreamInfo,
        limit: SpeedLimit,
        counters: RelayCounters,
        now: float,
        over: str,
    ) -> None:
        self.admitted = admitted
        self.info = info
        self.limit = limit
        self.began_s = now
        self.over = over
        self.bytes_per_s = bytes_per_s(admitted)
        self.progress = Progress(now)
        self._doubt = RateDoubt(self.bytes_per_s, now)
        self._counters = counters
        self._sinks: list[DeviceSink] = []
        self._assembler = SampleAssembler(admitted.sample_format, admitted.channels)
        self._clock = DeviceClock(admitted.rate_hz)
        self._samples = 0
        self._bytes = 0
        self._lost = 0
        self._pending = 0
        self._gaps = 0
        self._noted_s = now
        self._error_ms = self._clock.error_ms
        self._last: Samples | None = None
        self._heard_s: float | None = None

    @property
    def least_bytes(self) -> int:
        """A device that sends too fast is read in steps of this: 100 ms."""
        return self.bytes_per_s // 10

    @property
    def began(self) -> bool:
        """Audio has come."""
        return self._samples > 0

    @property
    def heard_s(self) -> float:
        """Monotonic seconds at which audio last came in earnest."""
        return self.progress.at_s

    @property
    def sample_bytes(self) -> int:
        """Of one sample of all its channels."""
        return self.bytes_per_s // self.admitted.rate_hz

    @property
    def talks(self) -> bool:
        """Its audio may go on the air: it is read often."""
        return self.admitted.talks

    def set_sinks(self, sinks: Sequence[DeviceSink]) -> None:
        self._sinks = list(sinks)

    def feed(self, data: bytes | memoryview, now: float) -> None:
        """Bytes as they came; `now`: when they were read."""
        self._bytes += len(data)
        self._counters.bytes += len(data)
        self.limit.take(len(data))
        self.progress.came(len(data), self.bytes_per_s, now)
        samples = self._assembler.feed(data)
        if samples.size:
            self._hand_on(samples, now)

    def check(self, now: float) -> None:
        """Now and then: say once when its rate cannot be right."""
        speed = self._doubt.look(self._bytes + self._lost * self.sample_bytes, now)
        if speed is not None:
            least = "at least " if speed > 1 else ""  # what is held back is not counted
            words = "device %s sends %s%.2f times as fast as its %d Hz: is rate_hz right?"
            log.warning(words, self.info.name, least, speed, self.admitted.rate_hz)

    def lost(self, samples: int) -> None:
        """Datagrams did not come: so many samples are missing before the next ones."""
        self._lost += samples
        self._pending += samples

    def end(self, cause: GapCause) -> None:
        """The stream is over: what it lost just before is known now."""
        try:
            self._tell_missing()
        except Exception:
            # A bug in the one clock; without an end its recording would stay open.
            log.exception("device %s: what it lost last is not known", self.info.name)
        self.end_sinks(cause)

    def _tell_missing(self) -> None:
        missing = self._clock.finish() if self.began else []
        clock, later = self._clock, sum(one.samples for one in missing)
        for one in missing:  # each with its own place, and none so long that it would end the recording
            later -= one.samples
            position = self._samples + self._lost + clock.missing - later
            nothing = DeviceAudio(silence(0), position, clock.time_of(position), ppm=clock.ppm)
            self._mark_gap(nothing, [one])
            self._hand_to_sinks(nothing)

    def end_sinks(self, cause: GapCause) -> None:
        """No more of this stream, for all who take it now."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            self._tell_ended(sink, cause)

    def status(self, now: float, connections: int) -> DeviceStatus:
        """Any thread."""
        admitted, last = self.admitted, self._last
        rate_hz = admitted.rate_hz
        return DeviceStatus(
            name=self.info.name,
            label=self.info.label,
            connected=True,
            known=admitted.known,
            quarantined=admitted.quarantined,
            address=self.info.address,
            over=self.over,
            rate_hz=rate_hz,
            sample_format=admitted.sample_format,
            channel=None if admitted.quarantined else admitted.settings.channel,
            transmit="never" if admitted.quarantined else admitted.settings.transmit,
            stream=self.info.stream,
            since_s=self.began_s,
            heard_s=self._heard_s,
            samples=self._samples,
            bytes=self._bytes,
            missing_s=(self._lost + self._clock.missing) / rate_hz,
            gaps=self._gaps,
            speed=round(self.limit.speed(now), 3),
            ppm=self._clock.ppm,
            error_ms=self._error_ms,
            peak_dbfs=None if last is None else _peak_dbfs(last),
            connections=connections,
        )

    def glance(self) -> DeviceGlance:
        """Any thread: a third of the price of `status`."""
        admitted, info, last = self.admitted, self.info, self._last
        return DeviceGlance(
            info.name,
            info.label,
            None if admitted.quarantined else admitted.settings.channel,
            admitted.known,
            True,
            admitted.quarantined,
            self.began_s,
            None if last is None else _peak_dbfs(last),
            self._clock.ppm,
        )

    def _hand_on(self, samples: Samples, now: float) -> None:
        clock = self._clock
        came = self._samples + self._lost
        self._samples += samples.size
        self._last, self._heard_s = samples, now
        if now - self._noted_s >= NOTE_EVERY_S:
            self._noted_s, self._error_ms = now, clock.error_ms
        missing = clock.arrived(came + samples.size, now)
        position = came + clock.missing
        ends_at_s = clock.time_of(position + samples.size)
        block = DeviceAudio(samples, position, ends_at_s, ppm=clock.ppm, error_ms=self._error_ms)
        if missing or self._pending:
            self._mark_gap(block, missing)
        self._hand_to_sinks(block)

    def _hand_to_sinks(self, block: DeviceAudio) -> None:
        failed: list[DeviceSink] = []
        for sink in self._sinks:
            try:
                sink.audio(block)
            except Exception:
                # One taker's bug must cost neither the other takers nor the other devices.
                log.exception("device %s: %s failed and is left out", self.info.name, type(sink).__name__)
                self._counters.sink_errors += 1
                failed.append(sink)
        for sink in failed:
            self._sinks.remove(sink)
            self._tell_ended(sink, "overload")  # else what it has open stays open

    def _tell_ended(self, sink: DeviceSink, cause: GapCause) -> None:
        try:
            sink.ended(cause)
        except Exception:
            self._counters.sink_errors += 1
            log.exception("device %s: %s failed at the end", self.info.name, type(sink).__name__)

    def _mark_gap(self, block: DeviceAudio, missing: Sequence[Missing]) -> None:
        samples = self._pending + sum(one.samples for one in missing)
        self._gaps += 1
        block.gap_s = samples / self.admitted.rate_hz
        block.cause = "device lost audio" if missing else "packets lost"
        if missing and missing[0].at < block.position - samples:
            block.gap_at = missing[0].at
        self._pending = 0


def bytes_per_s(admitted: Admitted) -> int:
    """What it sends in a second by its own rate and form."""
    return admitted.rate_hz * admitted.channels * SAMPLE_BYTES[admitted.sample_format]


def _peak_dbfs(samples: Samples) -> float:
    # argmax and argmin are plain C, at a third of the price of max and min: a thousand of these are a look.
    peak = max(samples.item(samples.argmax()), -samples.item(samples.argmin()), 1)
    return round(20 * log10(peak / FULL_SCALE), 1)
