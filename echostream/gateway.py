"""One member of the network, assembled: coordinator, session, signalling, media, channels.

`main` plugs it into cards and pins; the simulator plugs the same thing into files.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from echostream.channels.audio_workers import StallWatch
from echostream.channels.channel_manager import ChannelManager
from echostream.channels.channel_runtime import ChannelRuntime, Hardware
from echostream.channels.channel_state import Phase
from echostream.channels.device_mix import DeviceMix
from echostream.channels.media_session import MediaSession
from echostream.channels.page_desk import nobody
from echostream.channels.tone_worker import ToneWorker
from echostream.config.changes import Changes
from echostream.config.models import Channel, Config
from echostream.coordinator.event_coordinator import EventCoordinator
from echostream.coordinator.worker import OnThread, Worker, ordinary
from echostream.events import CommandAsked, Event, ReloadRequested, ShutdownRequested
from echostream.microphones import STOP_S, Microphones
from echostream.network.esp32_workers import RecordJob
from echostream.network.udp_manager import UdpManager
from echostream.network.websocket_client import WebSocketClient
from echostream.realtime.wakeups import WakeupSnapshot, together
from echostream.record_room import RecordRoom
from echostream.wire.signalling_v1 import Identity

log = logging.getLogger(__name__)

SWITCH_S: Final = 0.0005
"""For so long a thread that is busy in Python may keep the others of this process waiting. By itself Python
says 5 ms, and an audio frame lets go of the interpreter several times on its way (codec, cipher, socket):
beside one busy thread 1 in 100 was 46 to 85 ms late, and is 16 to 20 ms late with this."""
JOIN_S = 1.0
FAREWELL_S = 0.3


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the configuration only refers to; never printed."""

    aes_key: bytes | None = None
    token: str | None = None
    device_tokens: Mapping[str, str] = field(default_factory=dict)
    database_url: str | None = None

    def __repr__(self) -> str:
        return "Secrets(…)"


Observer = Callable[[Event, float], None]


class _ObservedManager:
    """The coordinator's handler: the manager first, then who only watches."""

    def __init__(self, manager: ChannelManager, observers: tuple[Observer, ...]) -> None:
        self._manager = manager
        self._observers = observers

    def handle(self, event: Event, now: float) -> None:
        self._manager.handle(event, now)
        for observer in self._observers:
            observer(event, now)

    def too_late(self, event: Event, now: float) -> None:
        """It came when the manager had ended: who watches is told, who asks for something too."""
        if isinstance(event, CommandAsked):
            event.answer(False, "the gateway stops")
            return
        for observer in self._observers:
            observer(event, now)

    def handle_deadline(self, key: object, now: float) -> None:
        self._manager.handle_deadline(key, now)


class Gateway:
    """Built whole, started in order, stopped in reverse.

    on_shutdown(reason) is called on the coordinator's thread when the gateway must end (it cannot stop itself
    from there); on_reload() when SIGHUP asked for a new configuration; on_audio_thread(name) first thing on
    each thread that moves frames.
    """

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        hardware: Hardware,
        on_shutdown: Callable[[str], None],
        observers: tuple[Observer, ...] = (),
        on_audio_thread: OnThread = ordinary,
    ) -> None:
        self.config = config
        self._on_audio_thread = on_audio_thread
        self._secrets = secrets
        self._hardware = hardware
        self.coordinator = EventCoordinator(on_overflow=lambda: on_shutdown("event mailbox full"))
        self.media = MediaSession(os.urandom, time.monotonic)
        self.udp = UdpManager(self.media.on_datagram, config.control_server.keep_alive_s)
        self.manager = ChannelManager(
            _identity(config),
            secrets.aes_key,
            config.control_server.keep_alive_s,
            self.media,
            self.udp,
            self.coordinator.deadlines,
            self.coordinator.post,
            time.time,
        )
        self.manager.on_shutdown = on_shutdown
        self.tones = ToneWorker(self.coordinator.post)
        self.records = self._new_records()
        self.microphones = self._new_microphones()
        self.manager.pages.ears = self.tones
        self._tell_pages()
        self.manager.pages.set_plans(config.tones)
        self._handler = _ObservedManager(self.manager, observers)
        self.signalling = self._new_signalling()
        self.stall_watch = StallWatch(
            lambda: [worker for runtime in self.channels for worker in runtime.workers]
        )
        self._retired: list[ChannelRuntime] = []
        self._retiring: list[threading.Thread] = []

    @property
    def channels(self) -> list[ChannelRuntime]:
        """The running channels, in the order of the configuration; safe to call from any thread."""
        running = dict(self.manager.channels)
        order = {channel.id: position for position, channel in enumerate(self.config.channels)}
        return sorted(running.values(), key=lambda runtime: order.get(runtime.config.id, len(order)))

    def post(self, event: Event) -> None:
        """Hand an event to the coordinator from any thread."""
        self.coordinator.post(event)

    def start(self) -> None:
        """Media first, then signalling, then the channels: nothing is offered before it can be served."""
        sys.setswitchinterval(SWITCH_S)
        self.udp.start()
        self.tones.start()
        if self.records is not None:
            self.records.start()
        now = time.monotonic()
        for channel in self.config.channels:
            if channel.enabled:
                self._add(channel, now)
        self.coordinator.start(self._handler)
        self.stall_watch.start()
        self.signalling.start()
        if self.microphones is not None:
            self._start_microphones(self.microphones)

    def request_reload(self) -> None:
        self.post(ReloadRequested())

    def request_shutdown(self, reason: str) -> None:
        self.post(ShutdownRequested(reason))

    def apply(self, config: Config, secrets: Secrets, changes: Changes) -> None:
        """A validated new configuration, on the coordinator's thread: only what changed is touched."""
        self._reap()
        now = time.monotonic()
        before = self._secrets
        same_keys = (secrets.aes_key, secrets.token) == (before.aes_key, before.token)
        new_signalling = changes.touches_signalling or not same_keys
        self.config, self._secrets = config, secrets
        gone = set(changes.channels_removed) | set(changes.channels_changed)
        for channel_id in gone & set(self.manager.channels):
            self._retired.append(self.manager.remove_channel(channel_id, now))
            if self.microphones is not None:  # now, that no stream finds it any more
                self.microphones.channel_went(channel_id)
        self._reap(wait_s=0.3)
        self.manager.pages.set_plans(config.tones)
        self._replace_records(changes, before)
        wanted = set(changes.channels_added) | set(changes.channels_changed)
        for channel in config.channels:
            if channel.enabled and channel.id in wanted:
                self._add(channel, now)
        again = set(self.manager.channels) if "recording" in changes.global_changes else changes.tones_changed
        for channel_id in (again & set(self.manager.channels)) - wanted:
            self.manager.pages.attach(self.manager.channels[channel_id], now)
        self._replace_microphones(changes)
        if new_signalling:
            self._replace_signalling(now)

    def stop(self) -> None:
        """In reverse: say goodbye, end the workers, then the network; a second or two.

        Last the recordings: they take what a thousand files need, within bounds of their own.
        """
        began_s = time.monotonic()
        self.coordinator.stop()
        self.stall_watch.stop()
        self._retired.extend(self.manager.close(time.monotonic()))
        microphones = [] if self.microphones is None else self.microphones.workers
        for worker in (self.tones, *microphones):
            worker.request_stop()
        self.signalling.stop(FAREWELL_S)
        self.udp.stop()
        self._join([self.tones, *microphones], STOP_S if microphones else JOIN_S)
        self._reap(wait_s=JOIN_S)
        if self.records is not None:
            self.records.stop()  # last: whatever was still said is on the disk
        for thread in self._retiring:
            thread.join(STOP_S)
            if thread.is_alive():
                log.error("%s has not ended after %.1f s", thread.name, STOP_S)
        for event in self.coordinator.left_over():  # the last transmissions, the last recordings
            self._handler.too_late(event, time.monotonic())
        log.info("stopped in %.2f s", time.monotonic() - began_s)

    @property
    def workers(self) -> list[Worker]:
        """Those that serve all channels; a channel's own are the runtime's."""
        records = [] if self.records is None else self.records.workers
        microphones = [] if self.microphones is None else self.microphones.workers
        return [self.tones, *records, *microphones]

    @property
    def busy(self) -> bool:
        """Somebody talks, is heard, or is paged: what can wait should."""
        return any(
            runtime.state.phase is not Phase.IDLE or runtime.stream.playing or runtime.stream.paging
            for runtime in self.channels
        )

    @property
    def wakeups(self) -> WakeupSnapshot:
        """How late the channels' threads were woken for their cards, since each channel began."""
        return together(worker.wakeups.snapshot for runtime in self.channels for worker in runtime.workers)

    # ---- inside

    def _new_records(self) -> RecordRoom | None:
        recording = self.config.recording
        if not recording.enabled:
            plans = self.config.tones.values()
            if any(tone.record_length_s for plan in plans if plan.detect for tone in plan.alert_tones):
                log.info("pages are heard and not recorded: recording.enabled is false")
            return None
        return RecordRoom(
            recording, self.config.gateway.id, self.coordinator.post, self._secrets.database_url
        )

    def _replace_records(self, changes: Changes, before: Secrets) -> None:
        """Another folder, other rules, on, or off. What was being written is closed and whole."""
        same_place = before.database_url == self._secrets.database_url
        if "recording" not in changes.global_changes and same_place:
            return
        old, self.records = self.records, self._new_records()
        self._tell_pages()
        if self.records is not None:
            self.records.start()
        for runtime in self.manager.channels.values():
            self._record(runtime)
        if self.microphones is not None:
            self._record_microphones(self.microphones)
        if old is not None:
            self._retire("records", old.stop)

    def _retire(self, what: str, stop: Callable[[], None]) -> None:
        """On a thread of its own: on a disk that hangs it takes as long as that, and here the time-out timers
        and the buttons of all channels would wait."""
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        thread = threading.Thread(target=stop, name=f"retire-{what}")
        self._retiring.append(thread)
        thread.start()

    def _tell_pages(self) -> None:
        """Who records pages, and notes them in whatever else is being recorded of their channel."""
        pages, records = self.manager.pages, self.records
        pages.set_recorder(None if records is None else records.pages)
        pages.mark = nobody if records is None else records.recorder.mark

    def _record(self, runtime: ChannelRuntime) -> None:
        """A channel's own side and what others say there, as their policies ask."""
        if self.records is None:
            runtime.record(None, None)
            return
        recording, channel = self.config.recording, runtime.config
        own = recording.channels.get(channel.id, recording.default)
        others = recording.network.get(channel.id)
        open_channel, label = self.records.recorder.open_channel, channel.name
        runtime.record(
            open_channel(channel.id, label, own, "channel"),
            None if others is None else open_channel(channel.id, label, others, "network"),
        )

    def _new_microphones(self) -> Microphones | None:
        config = self.config
        if not config.esp32.enabled:
            return None
        return Microphones(
            config.esp32,
            config.relay,
            config.gateway.id,
            self._secrets.device_tokens,
            self._mix_of,
            self.coordinator.post,
        )

    def _mix_of(self, channel_id: str) -> DeviceMix | None:
        runtime = self.manager.channels.get(channel_id)
        return None if runtime is None else runtime.devices

    def _record_microphones(self, microphones: Microphones) -> None:
        """Here, and in the processes that serve streams."""
        records, job = self.records, None
        if records is not None:
            job = RecordJob(
                self.config.recording,
                self.config.gateway.id,
                records.index.changed,
                records.filing.told,
                records.sync.written,
            )
        microphones.record_with(None if records is None else records.recorder)
        microphones.relay.record_in_workers(job)

    def _start_microphones(self, microphones: Microphones) -> None:
        self._record_microphones(microphones)
        for worker in microphones.workers:
            worker.start()

    def _replace_microphones(self, changes: Changes) -> None:
        """Devices whose settings did not change go on as if nothing had happened."""
        config, old = self.config, self.microphones
        if old is not None and config.esp32.enabled:
            old.reconfigure(config.esp32, config.relay, self._secrets.device_tokens)
            return
        if old is not None:
            workers = old.workers
            for worker in workers:
                worker.request_stop()
            self._retire("microphones", lambda: self._join(workers, STOP_S))
        self.microphones = self._new_microphones()
        if self.microphones is not None:
            self._start_microphones(self.microphones)

    def _join(self, workers: Sequence[Worker], within_s: float) -> None:
        for worker in workers:
            if not worker.join(within_s):
                log.error("worker %s has not ended after %.1f s", worker.name, within_s)

    def _new_signalling(self) -> WebSocketClient:
        client = WebSocketClient(self.config.control_server, self._secrets.token, self.coordinator.post)
        self.manager.set_signalling(client)
        return client

    def _replace_signalling(self, now: float) -> None:
        log.info("control server settings changed: connecting anew")
        self.manager.leave_session(now)
        self.signalling.stop(FAREWELL_S)
        self.manager.set_identity(
            _identity(self.config), self._secrets.aes_key, self.config.control_server.keep_alive_s
        )
        self.signalling = self._new_signalling()
        self.signalling.start()

    def _add(self, channel: Channel, now: float) -> None:
        runtime = ChannelRuntime(
            channel, self.config.audio, self._hardware, self.coordinator.post, self._on_audio_thread
        )
        self._record(runtime)
        self.manager.add_channel(runtime, now)
        if self.microphones is not None:
            self.microphones.channel_came(channel.id)

    def _reap(self, wait_s: float = 0.0) -> None:
        deadline = time.monotonic() + wait_s
        left: list[ChannelRuntime] = []
        for runtime in self._retired:
            if not runtime.join(max(0.0, deadline - time.monotonic())):
                left.append(runtime)
        self._retired = left
        if wait_s:
            for runtime in left:
                log.error("channel %s: a worker has not ended after %.1f s", runtime.config.id, wait_s)


def _identity(config: Config) -> Identity:
    gateway = config.gateway
    return Identity(gateway.affiliation_id, gateway.user_name, gateway.agency_name)
