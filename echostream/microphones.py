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
STOP_S = 30.0
"""For the relay: its processes close what they record, and tell of it."""


class Outlet:
    """One of those who take a stream, who may be replaced at a reload. On the relay's thread, but `to`."""

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        self.to: DeviceSink | None = None
        self._on_end = on_end

    def audio(self, block: DeviceAudio) -> None:
        taker = self.to
        if taker is not None:
            taker.audio(block)

    def ended(self, cause: GapCause) -> None:
        self._on_end()
        self.replace(None, cause)

    def replace(self, taker: DeviceSink | None, cause: GapCause = "stopped") -> None:
        """Who takes it from here on; for the one before it is over."""
        old, self.to = self.to, taker
        if old is not None:
            old.ended(cause)


class _Stream:
    """One stream that lives: its recording, and its channel."""

    def __init__(self, info: StreamInfo, settings: DeviceDefaults, on_end: Callable[[_Stream], None]) -> None:
        self.info = info
        self.settings = settings
        self.recorded = Outlet(lambda: on_end(self))
        self.heard = Outlet()


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
        self._streams: set[_Stream] = set()
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
            for stream in self._streams:
                stream.recorded.replace(self._recording_of(stream))

    def channel_came(self, channel_id: str) -> None:
        """A channel runs, perhaps anew: those that talk on it are heard there."""
        with self._lock:
            for stream in self._streams:
                if stream.settings.channel == channel_id:
                    stream.heard.replace(self._voice_of(stream))

    def channel_went(self, channel_id: str) -> None:
        """Those that talk on it are not heard until it is back; their recordings go on."""
        with self._lock:
            for stream in self._streams:
                if stream.settings.channel == channel_id:
                    stream.heard.replace(None)

    # ---- on the relay's thread

    def _open(self, info: StreamInfo, settings: DeviceDefaults) -> list[DeviceSink]:
        """Two takers: should one fail, the other goes on."""
        stream = _Stream(info, settings, self._ended)
        with self._lock:
            self._streams.add(stream)
            stream.recorded.replace(self._recording_of(stream))
            stream.heard.replace(self._voice_of(stream))
        return [stream.recorded, stream.heard]

    def _ended(self, stream: _Stream) -> None:
        with self._lock:
            self._streams.discard(stream)

    def _recording_of(self, stream: _Stream) -> DeviceSink | None:
        if self._recorder is None:
            return None
        channel_id = "" if stream.info.quarantined else stream.settings.channel or ""
        return self._recorder.open_device(stream.info, stream.settings.record, channel_id)

    def _voice_of(self, stream: _Stream) -> DeviceSink | None:
        settings = stream.settings
        if stream.info.quarantined or settings.transmit == "never" or settings.channel is None:
            return None
        mix = self._mix_of(settings.channel)
        return None if mix is None else mix.open(stream.info, settings)


def _announced(esp32: Esp32) -> tuple[str, int, int | None] | None:
    """What the announcement says: address, TCP and UDP port; None: nothing is announced."""
    return (esp32.bind, esp32.tcp_port, esp32.udp_port) if esp32.announce else None
