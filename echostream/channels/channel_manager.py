"""Wires the channels to signalling, media and lines. Everything here runs on the coordinator's thread.

A channel's own behaviour is in `channel_state.step`; this file turns events into its inputs and its commands
into messages and valve movements.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Protocol

from echostream.channels import channel_state as cs
from echostream.channels import presence
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.device_log import DeviceLog
from echostream.channels.media_session import MediaSession
from echostream.channels.orders import Orders
from echostream.channels.page_desk import PageDesk
from echostream.channels.page_orders import ORDER
from echostream.channels.transmissions import Transmissions
from echostream.channels.upload_news import UPLOADS, UploadNews
from echostream.coordinator.deadlines import Deadlines
from echostream.events import (
    CommandAsked,
    DevicesChanged,
    Event,
    Opener,
    OutboxOverflowed,
    PeersChanged,
    PlaybackChanged,
    Post,
    PttChanged,
    RecordingUploaded,
    ReloadEnded,
    ReloadRequested,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SessionOffered,
    ShutdownRequested,
    SignallingLost,
    SignallingUp,
    SourceChanged,
    ToneDetected,
    ToneMissed,
    TransmitAnnounced,
    TransmitDrained,
    WorkerFailed,
)
from echostream.wire import signalling_v1 as signalling

log = logging.getLogger(__name__)

KEEP_ALIVE = ("keep-alive",)  # no channel ids: those are strings
BEAT = ("beat",)
BEAT_AFTER_S = 0.3
"""After the connects: by then the server has handled them."""


class Signalling(Protocol):
    """The way to the control server."""

    def send(self, text: str, on_sent: Callable[[bool], None] | None = None) -> bool: ...

    def reconnect_now(self) -> None: ...


class Udp(Protocol):
    """The way of the datagrams."""

    def set_server(self, host: str, port: int) -> None: ...

    def clear_server(self) -> None: ...

    def beat(self) -> None: ...

    def send(self, datagram: bytes) -> bool: ...


class ChannelManager:
    """Owns the running channels and the session with the control server."""

    def __init__(
        self,
        identity: signalling.Identity,
        pre_shared_key: bytes | None,
        keep_alive_s: float,
        media: MediaSession,
        udp: Udp,
        deadlines: Deadlines,
        post: Post,
        unix_clock: Callable[[], float],
    ) -> None:
        self._identity = identity
        self._pre_shared_key = pre_shared_key
        self._keep_alive_s = keep_alive_s
        self._media = media
        self._udp = udp
        self._deadlines = deadlines
        self._post = post
        self._unix_clock = unix_clock
        self._signalling: Signalling | None = None
        self._offer: SessionOffered | None = None
        self._draining = False
        self.channels: dict[str, ChannelRuntime] = {}
        self.pages = PageDesk(
            self.channels, self._step, deadlines, post, lambda: unix_clock() - time.monotonic()
        )
        self.transmissions = Transmissions(post)
        self.orders = Orders(self.channels, self._step, self.pages, deadlines, post, unix_clock)
        self.uploads = UploadNews(self._offered, deadlines, unix_clock)
        self.on_reload: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[str], None] = lambda reason: None
        self.sessions = 0
        self._device_log = DeviceLog()
        self._last_refusal = ("", "")

    # ---- composition

    def set_signalling(self, client: Signalling | None) -> None:
        """Another client takes over (at start, and when the server's settings change)."""
        self._signalling = client

    def set_identity(
        self, identity: signalling.Identity, pre_shared_key: bytes | None, keep_alive_s: float
    ) -> None:
        """From the next session on."""
        self._identity = identity
        self._pre_shared_key = pre_shared_key
        self._keep_alive_s = keep_alive_s

    def add_channel(self, runtime: ChannelRuntime, now: float) -> None:
        """Start a channel; it joins the session that is there."""
        channel_id = runtime.config.id
        self.channels[channel_id] = runtime
        self._publish_listeners()
        self.pages.attach(runtime, now)
        self.orders.attach(runtime, now)
        runtime.start()
        if self._offer is not None:
            self._send(signalling.connect(self._identity, channel_id, self._unix_clock()))
            self._bring_online(runtime, now)

    def remove_channel(self, channel_id: str, now: float) -> ChannelRuntime:
        """End a channel's transmission, leave it on the server and ask its workers to stop."""
        runtime = self.channels[channel_id]
        self.orders.detach(channel_id, now)
        self.pages.detach(channel_id, now)
        self.transmissions.removed(channel_id, runtime.state, now)
        self._end_transmission(runtime)
        self._send(signalling.disconnect(self._identity, channel_id, self._unix_clock()))
        runtime.request_stop()
        self._deadlines.cancel(channel_id)
        del self.channels[channel_id]
        self._publish_listeners()
        return runtime

    def leave_session(self, now: float) -> None:
        """End every transmission and leave the server: another one follows."""
        for channel_id, runtime in self.channels.items():
            self.transmissions.ended(channel_id, now, "offline")
            self._end_transmission(runtime)
            self._send(signalling.disconnect(self._identity, runtime.config.id, self._unix_clock()))
        self._signalling_lost("left", now)

    def close(self, now: float) -> list[ChannelRuntime]:
        """Leave every channel in order; the workers still have to be joined."""
        self._deadlines.cancel(KEEP_ALIVE)
        self._deadlines.cancel(BEAT)
        return [self.remove_channel(channel_id, now) for channel_id in list(self.channels)]

    # ---- the coordinator's handler

    def handle(self, event: Event, now: float) -> None:
        """One event, in order."""
        match event:
            case PttChanged(channel_id, opener, active, at_s):
                self._step(channel_id, cs.OpenerChanged(opener, active, at_s), now)
                self._explain_mute(channel_id, opener if active else None)
            case TransmitAnnounced(channel_id, transmission, sent):
                self._step(channel_id, cs.Announced(transmission, sent), now)
            case TransmitDrained(channel_id, transmission):
                self._step(channel_id, cs.Drained(transmission), now)
            case PlaybackChanged(channel_id, playing):
                self._step(channel_id, cs.PlayingChanged(playing), now)
            case SessionOffered():
                self._session_offered(event, now)
            case SignallingUp():
                log.info("control server reached; waiting for its offer")
            case SignallingLost(reason):
                self._signalling_lost(reason, now)
            case PeersChanged(channel_id, members):
                presence.peers_changed(self.channels, channel_id, members)
                self._udp.beat()  # it answers our connect too: the port is as new as it will get
            case RemoteTransmit():
                presence.remote_transmit(self.channels, event)
            case OutboxOverflowed():
                self._send_whole_state()
            case SourceChanged():
                self._source_changed(event, now)
            case ToneDetected() | ToneMissed():
                self.pages.handle(event, now)
            case ServerRefused(code, message):
                self._server_refused(code, message)
            case ServerDraining(terminated):
                self._server_draining(terminated)
            case RecordingUploaded():
                self.uploads.note(event, now)
            case CommandAsked():
                self.orders.handle(event, now)
            case ReloadEnded(ok, text):
                self.orders.reload_ended(ok, text)
            case DevicesChanged(changes):
                self._device_log.note(changes, now)
            case WorkerFailed(name, error):
                log.error("worker %s failed: %s", name, error)
            case ReloadRequested():
                self.on_reload()
            case ShutdownRequested(reason):
                self.on_shutdown(reason)

    def handle_deadline(self, key: Hashable, now: float) -> None:
        """A channel's deadline (the key is its id), the keep-alive, or what follows a page or an order."""
        if key == KEEP_ALIVE:
            self._keep_alive(now)
        elif key == BEAT:
            self._udp.beat()
        elif key == UPLOADS:
            self.uploads.look(now)
        elif isinstance(key, str):
            self._step(key, cs.Tick(), now)
        elif isinstance(key, tuple):
            (self.orders if key[0] == ORDER else self.pages).handle_deadline(key, now)

    # ---- one channel

    def _step(self, channel_id: str, event: cs.Input, now: float) -> None:
        runtime = self.channels.get(channel_id)
        if runtime is None:
            return  # it was removed while the event waited
        before = runtime.state
        runtime.state, commands = cs.step(before, event, now)
        self.transmissions.follow(channel_id, before, runtime.state, event, commands, now)
        self.pages.follow(runtime)  # first: what is sent begins with the right frames
        runtime.follow_talkers()
        runtime.follow_recording(event.at_s if isinstance(event, cs.OpenerChanged) else now)
        for command in commands:
            self._obey(runtime, command)
        due_at_s = runtime.state.due_at_s
        if due_at_s is None:
            self._deadlines.cancel(channel_id)
        else:
            self._deadlines.set(channel_id, due_at_s)
        if self._draining and commands:
            self._leave_draining_server_when_quiet()

    def _explain_mute(self, channel_id: str, pressed: Opener | None) -> None:
        """Whoever presses a button that does nothing finds the reason in the log."""
        runtime = self.channels.get(channel_id)
        if runtime is not None and pressed in (Opener.BUTTON, Opener.TALK) and runtime.microphone_muted:
            log.warning("channel %s: its microphone is muted, so %s opens nothing", channel_id, pressed)

    def _obey(self, runtime: ChannelRuntime, command: cs.Command) -> None:
        transmit = runtime.stream.transmit
        match command:
            case cs.Arm(transmission, at_s):
                transmit.arm(transmission, at_s)
                runtime.stream.mute(runtime.deaf)
            case cs.Announce(transmission):
                self._announce(runtime, transmission)
            case cs.OpenValve(transmission):
                transmit.open(transmission)
                log.info("channel %s: transmitting (%s)", runtime.config.id, _names(runtime.state.active))
            case cs.CloseValve(transmission):
                transmit.close(transmission)
            case cs.AbortValve(transmission):
                transmit.abort(transmission)
                runtime.stream.mute(False)
            case cs.AnnounceEnd():
                runtime.stream.mute(False)
                self._send(signalling.transmit_ended(self._identity, runtime.config.id, self._unix_clock()))
                log.info("channel %s: transmission ended", runtime.config.id)
            case cs.TimedOut():
                self._timed_out(runtime)

    def _timed_out(self, runtime: ChannelRuntime) -> None:
        what = "the passthrough goes on on the loudspeaker only"
        if runtime.state.latched:
            what = f"latched until {_names(runtime.state.active)} is released"
        elif runtime.state.barred:
            what = "the microphones that held it open are not sent before they were quiet"
            runtime.devices.bar()
        timer = "channel %s: time-out timer (%.0f s): transmission ended, %s"
        log.warning(timer, runtime.config.id, runtime.config.tot_s, what)

    def _announce(self, runtime: ChannelRuntime, transmission: int) -> None:
        channel_id = runtime.config.id
        text = signalling.transmit_started(self._identity, channel_id, self._unix_clock())

        def sent(ok: bool) -> None:
            self._post(TransmitAnnounced(channel_id, transmission, ok))

        if self._signalling is None or not self._signalling.send(text, sent):
            sent(False)

    def _end_transmission(self, runtime: ChannelRuntime) -> None:
        if runtime.state.phase in (cs.Phase.OPEN, cs.Phase.DRAINING):
            runtime.stream.transmit.abort(runtime.state.transmission)
            self._send(signalling.transmit_ended(self._identity, runtime.config.id, self._unix_clock()))

    def _source_changed(self, event: SourceChanged, now: float) -> None:
        name = f"channel {event.channel_id}: {event.direction}"
        if event.present:
            log.info("%s: card is there", name)
            if event.direction == "capture":
                self._step(event.channel_id, cs.SourceBack(), now)
            return
        log.warning("%s: card is away: %s", name, event.detail)
        if event.direction == "capture":
            self._step(event.channel_id, cs.SourceLost(), now)

    # ---- the session

    def _session_offered(self, offer: SessionOffered, now: float) -> None:
        if offer == self._offer:
            self._udp.beat()  # one older server repeats its offer after each connect, with a port made anew
            return
        first = self._offer is None
        self._offer = offer
        self.sessions += 1
        self._media.end()
        self._take_key(offer.key or self._pre_shared_key)
        self._udp.set_server(offer.udp_host, offer.udp_port)
        log.info("session %d: audio goes to UDP port %d", self.sessions, offer.udp_port)
        if first:
            # Only then: a server that answers each connect with an offer would have us ask for ever.
            self._draining = False
            self._connect_all(now)
            self._deadlines.set(KEEP_ALIVE, now + self._keep_alive_s)
            self.uploads.tell(now)
        for runtime in self.channels.values():
            if self._media.has_key:
                self._bring_online(runtime, now)
            else:
                self._take_offline(runtime, now)

    def _take_key(self, key: bytes | None) -> None:
        if key is not None:
            self._media.start(key)
            return
        log.error(
            "the server offers no key and control_server.aes_key gives none: "
            "channels listen to signalling only and do not transmit"
        )

    def _connect_all(self, now: float) -> None:
        """The server may make its UDP port anew at each connect, and then no longer knows where we are."""
        for channel_id in self.channels:
            self._send(signalling.connect(self._identity, channel_id, self._unix_clock()))
        self._deadlines.set(BEAT, now + BEAT_AFTER_S)

    def _bring_online(self, runtime: ChannelRuntime, now: float) -> None:
        """A channel that is on the air goes on: only its way out is another one."""
        if not self._media.has_key:
            return
        unix_ms = int(self._unix_clock() * 1000)
        runtime.stream.transmit.set_uplink(self._media.uplink(runtime.config.id, unix_ms, self._udp.send))
        self._step(runtime.config.id, cs.OnlineChanged(True), now)

    def _take_offline(self, runtime: ChannelRuntime, now: float) -> None:
        self._step(runtime.config.id, cs.OnlineChanged(False), now)
        runtime.stream.transmit.set_uplink(None)

    def _signalling_lost(self, reason: str, now: float) -> None:
        if self._offer is not None:
            log.warning("control server lost: %s", reason)
        self._offer = None
        self._draining = False
        self._last_refusal = ("", "")
        self._deadlines.cancel(KEEP_ALIVE)
        self._deadlines.cancel(BEAT)
        self._udp.clear_server()
        self._media.end()
        for runtime in self.channels.values():
            runtime.members = ()
            runtime.talkers.clear()
            self._take_offline(runtime, now)

    def _keep_alive(self, now: float) -> None:
        self._connect_all(now)
        self._deadlines.set(KEEP_ALIVE, now + self._keep_alive_s)

    def _send_whole_state(self) -> None:
        for channel_id, runtime in self.channels.items():
            self._send(signalling.connect(self._identity, channel_id, self._unix_clock()))
            if runtime.state.phase is cs.Phase.OPEN:
                self._send(signalling.transmit_started(self._identity, channel_id, self._unix_clock()))

    def _server_draining(self, terminated: bool) -> None:
        log.warning("control server shuts down%s", " now" if terminated else ": moving when nobody talks")
        self._draining = True
        if terminated:
            self._leave()
        else:
            self._leave_draining_server_when_quiet()

    def _leave_draining_server_when_quiet(self) -> None:
        states = [runtime.state for runtime in self.channels.values()]
        if all(state.phase is cs.Phase.IDLE or state.endless for state in states):
            self._leave()

    def _leave(self) -> None:
        self._draining = False
        if self._signalling is not None:
            self._signalling.reconnect_now()

    # ---- inside

    def _server_refused(self, code: str, message: str) -> None:
        # It comes again with every keep-alive.
        level = logging.DEBUG if (code, message) == self._last_refusal else logging.ERROR
        self._last_refusal = (code, message)
        log.log(level, "control server refused: %s (%s)", message, code)

    def _publish_listeners(self) -> None:
        listeners = {channel: runtime.stream.receive for channel, runtime in self.channels.items()}
        self._media.set_listeners(listeners)

    def _send(self, text: str) -> None:
        if self._signalling is not None:
            self._signalling.send(text)

    def _offered(self, text: str, on_sent: Callable[[bool], None]) -> bool:
        """For what can wait: only while a session is there."""
        return (
            self._offer is not None and self._signalling is not None and self._signalling.send(text, on_sent)
        )


def _names(openers: frozenset[Opener]) -> str:
    return ", ".join(sorted(openers)) or "released"
