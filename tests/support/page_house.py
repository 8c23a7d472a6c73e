"""Channels on quiet cards, clocked by hand: what follows a page can be looked at frame by frame."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Frame, Samples
from echostream.audio.opus_codec import OpusDecoder
from echostream.audio.ports import CardSpec
from echostream.channels.audio_stream import PttOutput
from echostream.channels.channel_manager import ChannelManager
from echostream.channels.channel_runtime import ChannelRuntime, Hardware, Line
from echostream.channels.media_session import MediaSession
from echostream.channels.page_desk import ChannelPages
from echostream.channels.tone_listener import ToneListener
from echostream.config.models import Audio, Channel, Key
from echostream.config.tone_models import AlertTone, TonePlan
from echostream.coordinator.deadlines import Deadlines
from echostream.errors import SourceClosed
from echostream.events import Event, Opener, PttChanged, SessionOffered, ToneDetected
from echostream.tones.heard import Detection, Kind, ToneSpan
from echostream.wire.crypto import Opener as Unsealer
from echostream.wire.packet_v1 import AudioDatagram, parse_datagram
from echostream.wire.signalling_v1 import Identity

FRAME = 960
KEY = bytes(range(32))
OFFER = SessionOffered("192.0.2.1", 50_000, 50_000, KEY)
UNIX = 1_700_000_000.0


class Signalling:
    """Sends at once."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, text: str, on_sent: Callable[[bool], None] | None = None) -> bool:
        self.sent += [(kind, body["channel_id"]) for kind, body in json.loads(text).items()]
        if on_sent is not None:
            on_sent(True)
        return True

    def reconnect_now(self) -> None: ...


class Udp:
    def __init__(self) -> None:
        self.datagrams: list[bytes] = []

    def set_server(self, host: str, port: int) -> None: ...

    def clear_server(self) -> None: ...

    def beat(self) -> None: ...

    def send(self, datagram: bytes) -> bool:
        self.datagrams.append(datagram)
        return True


class QuietCard:
    def __init__(self) -> None:
        self._closed = threading.Event()

    def read(self) -> Frame:
        self._closed.wait()
        raise SourceClosed("closed")

    def wait_for_room(self) -> None:
        self.read()

    def write(self, samples: Samples) -> None:
        self.read()

    def close(self) -> None:
        self._closed.set()


class KeyedLine:
    def __init__(self) -> None:
        self.keyed = False

    def key(self) -> None:
        self.keyed = True

    def unkey(self) -> None:
        self.keyed = False


class QuietHardware:
    """Quiet cards; a keyed line for each channel that has one."""

    def __init__(self) -> None:
        self.lines: dict[str, KeyedLine] = {}

    def open_source(self, spec: CardSpec) -> QuietCard:
        return QuietCard()

    open_sink = open_source

    def output(self, channel_id: str) -> PttOutput:
        return self.lines.setdefault(channel_id, KeyedLine())

    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line:
        raise LookupError(card)


class Ears:
    """Keeps who would listen."""

    def __init__(self) -> None:
        self.listeners: dict[str, ToneListener] = {}

    def set(self, listener: ToneListener) -> None:
        self.listeners[listener.channel_id] = listener

    def remove(self, channel_id: str) -> None:
        self.listeners.pop(channel_id, None)


def plan(target: str, length_s: float = 10.0, priority: int = 5, **more: object) -> TonePlan:
    tone = AlertTone(
        tone_id="engine-7",
        tone_a_hz=349.0,
        tone_b_hz=433.7,
        record_length_s=length_s,
        priority=priority,
        alert="Engine 7",
    )
    settings: dict[str, object] = {"passthrough": True, "passthrough_channel": target, **more}
    return TonePlan(alert_tones=(tone,), **settings)  # type: ignore[arg-type]


class PageHouse:
    """The channels `dispatch`, `tac` (half duplex, with a keyed line), `ems` (full duplex), in a session."""

    def __init__(self, plans: dict[str, TonePlan], tot_s: float = 60.0) -> None:
        self.events: list[Event] = []
        self.now = 100.0
        self.deadlines = Deadlines()
        self.signalling, self.udp, self.ears = Signalling(), Udp(), Ears()
        self.hardware = QuietHardware()
        media = MediaSession(random.Random(1).randbytes, lambda: self.now)
        self.manager = ChannelManager(
            Identity("gw", "Gateway", ""),
            None,
            1e6,
            media,
            self.udp,
            self.deadlines,
            self.events.append,
            lambda: UNIX,
        )
        self.manager.set_signalling(self.signalling)
        self.manager.pages.ears = self.ears
        self.manager.pages.set_plans(plans)
        self.parts = Hardware(self.hardware, None, self.hardware, self.hardware)
        self.audio = Audio()
        keyed = Key(pin=12, lead_in_ms=0, hang_ms=0)
        for channel in (
            Channel(id="dispatch", card="a", tot_s=tot_s, pre_roll_ms=100, high_pass_hz=0),
            Channel(id="tac", card="b", tot_s=tot_s, pre_roll_ms=100, high_pass_hz=0, key=keyed),
            Channel(id="ems", card="c", tot_s=tot_s, duplex="full", high_pass_hz=0),
        ):
            runtime = ChannelRuntime(channel, self.audio, self.parts, self.events.append)
            self.manager.add_channel(runtime, self.now)
        self.frame = -1
        self.settle(OFFER)
        self.signalling.sent.clear()

    def close(self) -> None:
        for runtime in self.manager.close(self.now):
            assert runtime.join(2.0)

    def settle(self, *events: Event) -> None:
        self.events += events
        while self.events:
            self.manager.handle(self.events.pop(0), self.now)

    def channel(self, channel_id: str) -> ChannelRuntime:
        return self.manager.channels[channel_id]

    def heard(self, channel_id: str) -> ChannelPages:
        return self.manager.pages.heard[channel_id]

    def page(self, channel_id: str, length_s: float = 10.0, priority: int = 5) -> None:
        """As the ear would tell."""
        tones = (ToneSpan(349.2, 0, 8000, -20.0, 24.0, 0.2), ToneSpan(433.7, 8000, 24000, -20.0, 24.0))
        found = Detection(Kind.TWO_TONE, "engine-7", 0, 24000, 24800, tones, snr_db=24.0)
        event = ToneDetected(channel_id, found, UNIX, UNIX + 3, 0, "Engine 7", "Engine 7", length_s, priority)
        self.settle(event)

    def sent(self, channel_id: str) -> NDArray[np.float64]:
        """What the members of a channel hear of this gateway, one level a packet."""
        unsealer, decoder = Unsealer(KEY), OpusDecoder()
        parts = []
        for datagram in map(parse_datagram, self.udp.datagrams):
            assert isinstance(datagram, AudioDatagram)
            if datagram.channel_id == channel_id:
                _, packet = unsealer.open(datagram.sealed)
                parts.append(np.abs(decoder.decode(packet).astype(float)).mean())
        return np.array(parts)

    def press(self, channel_id: str, active: bool = True, opener: Opener = Opener.BUTTON) -> None:
        self.settle(PttChanged(channel_id, opener, active, self.now))

    def run(self, frames: int, **levels: int) -> dict[str, NDArray[np.int16]]:
        """So many frames of 20 ms: each card hears a constant of its own; what the loudspeakers play."""
        played: dict[str, list[Samples]] = {channel_id: [] for channel_id in self.manager.channels}
        for _ in range(frames):
            self.frame += 1
            self.now += FRAME / RATE_HZ
            for key in self.deadlines.due(self.now):
                self.manager.handle_deadline(key, self.now)
            for channel_id, runtime in self.manager.channels.items():
                captured = np.full(FRAME, levels.get(channel_id, 0), np.int16)
                runtime.stream.transmit.feed(Frame(captured, self.frame, self.now))
                played[channel_id].append(runtime.stream.next_frame(self.now))
            self.settle()
        return {channel_id: np.concatenate(parts) for channel_id, parts in played.items()}
