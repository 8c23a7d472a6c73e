"""The microphones over the network, assembled: the relay that takes their streams, who gets each stream, and
the announcement by which they find the gateway."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from echostream.archive.recorder import Recorder
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.channels.device_mix import DeviceMix
from echostream.config.esp32_models import DeviceDefaults, Esp32, Relay
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.network.announcement import Announcement
from echostream.network.esp32_relay import Esp32Relay

log = logging.getLogger(__name__)

JOIN_S = 1.0


class StreamSink:
    """Who takes one stream: the recorder, a channel, both or nobody. Either may be replaced at a reload."""

    def __init__(
        self, info: StreamInfo, settings: DeviceDefaults, on_end: Callable[[StreamSink], None]
    ) -> None:
        self.info = info
        self.settings = settings
        self.recorded: DeviceSink | None = None
        self.heard: DeviceSink | None = None
        self._on_end = on_end

    def audio(self, block: DeviceAudio) -> None:
        """On the relay's thread."""
        recorded, heard = self.recorded, self.heard
        if recorded is not None:
            recorded.audio(block)
        if heard is not None:
            heard.audio(block)

    def ended(self, cause: GapCause) -> None:
        """On the relay's thread."""
        self._on_end(self)
        recorded, heard = self.recorded, self.heard
        self.recorded = self.heard = None
        for sink in (recorded, heard):
            if sink is not None:
                sink.ended(cause)


class Microphones:
    """Built when esp32.enabled.

    mix_of(channel id): where a channel's devices are mixed; None while that channel does not run.
    """

    def __init__(
        self,
        esp32: Esp32,
        relay: Relay,
        gateway_id: str,
        tokens: Mapping[str, str],
        mix_of: Callable[[str], DeviceMix | None],
        post: Post,
    ) -> None:
        self._gateway_id = gateway_id
        self._post = post
        self._mix_of = mix_of
        self._recorder: Recorder | None = None
        self._sinks: set[StreamSink] = set()
        self._lock = threading.Lock()
        self.relay = Esp32Relay(esp32, relay, tokens, self._open, post)
        self._announced = _announced(esp32)
        self.announcement = self._new_announcement()

    @property
    def workers(self) -> list[Worker]:
        return [self.relay] if self.announcement is None else [self.relay, self.announcement]

    def _new_announcement(self) -> Announcement | None:
        if self._announced is None:
            return None
        return Announcement(self._gateway_id, *self._announced, self._post)

    # ---- from the coordinator's thread

    def reconfigure(self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str]) -> None:
        """Devices whose settings did not change go on as if nothing had happened."""
        self.relay.reconfigure(esp32, relay, tokens)
        if _announced(esp32) == self._announced:
            return
        self._announced = _announced(esp32)
        old, self.announcement = self.announcement, self._new_announcement()
        if old is not None:
            old.request_stop()
            if not old.join(JOIN_S):
                log.error("worker %s has not ended after %.1f s", old.name, JOIN_S)
        if self.announcement is not None:
            self.announcement.start()

    def record_with(self, recorder: Recorder | None) -> None:
        """Who records from now on. What the one before has written of the streams that go on is closed."""
        with self._lock:
            self._recorder = recorder
            for sink in self._sinks:
                old, sink.recorded = sink.recorded, None
                if old is not None:
                    old.ended("stopped")
                self._record(sink)

    def channel_came(self, channel_id: str) -> None:
        """A channel runs, perhaps anew: those that talk on it are heard there."""
        with self._lock:
            for sink in self._sinks:
                if sink.settings.channel == channel_id:
                    self._let_talk(sink)

    def channel_went(self, channel_id: str) -> None:
        """Those that talk on it are not heard until it is back; their recordings go on."""
        with self._lock:
            for sink in self._sinks:
                if sink.settings.channel == channel_id:
                    old, sink.heard = sink.heard, None
                    if old is not None:
                        old.ended("stopped")

    # ---- on the relay's thread

    def _open(self, info: StreamInfo, settings: DeviceDefaults) -> list[DeviceSink]:
        sink = StreamSink(info, settings, self._ended)
        with self._lock:
            self._sinks.add(sink)
            self._record(sink)
            self._let_talk(sink)
        return [sink]

    def _ended(self, sink: StreamSink) -> None:
        with self._lock:
            self._sinks.discard(sink)

    def _record(self, sink: StreamSink) -> None:
        settings = sink.settings
        if self._recorder is not None:
            channel_id = "" if sink.info.quarantined else settings.channel or ""
            sink.recorded = self._recorder.open_device(sink.info, settings.record, channel_id)

    def _let_talk(self, sink: StreamSink) -> None:
        settings = sink.settings
        if sink.info.quarantined or settings.transmit == "never" or settings.channel is None:
            return
        mix = self._mix_of(settings.channel)
        sink.heard = None if mix is None else mix.open(sink.info, settings)


def _announced(esp32: Esp32) -> tuple[str, int, int | None] | None:
    """What the announcement says: address, TCP and UDP port; None: nothing is announced."""
    return (esp32.bind, esp32.tcp_port, esp32.udp_port) if esp32.announce else None
