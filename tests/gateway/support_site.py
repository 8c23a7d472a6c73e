"""A place where gateways run as processes of their own, on cards and a GPIO chip that are real to them.

`Site` holds the control server, the virtual cards and the simulated chip; a `GatewayProcess` is started on
them; a `Spy` is a member of the channels that notes what the server relays; a `TimedEar` stands before a
card's loudspeaker and notes when it heard what.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from unittest import mock

import numpy as np
import websocket
from gpio_simulator import GpioSimulator, build_forwarder
from numpy.typing import NDArray
from usb_bus import UsbBus

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import Side
from echostream.config.models import ControlServer as ServerAddress
from echostream.errors import WireError
from echostream.gateway import Secrets
from echostream.simulator.control_server import ControlServer
from echostream.simulator.file_cards import Ear, FileCards, Voice, read_wav
from echostream.simulator.member import Member, MemberIdentity
from echostream.simulator.microphone import Loudspeaker, Microphone
from echostream.simulator.virtual_cards import VirtualCard, VirtualCards
from echostream.wire.counted_iv import split_iv
from echostream.wire.packet_v1 import KEEP_ALIVE, AudioDatagram, parse_datagram

REPOSITORY: Final = Path(__file__).parents[2]
SPEECH: Final = REPOSITORY / "echostream" / "simulator" / "speech"
UP_S: Final = 15.0
"""How long a gateway may take to come up on a machine that is busy with other things."""
HEARTBEAT_S: Final = 5.0
Document = dict[str, Any]


def eventually(condition: Callable[[], object], timeout_s: float) -> bool:
    """Look every 5 ms."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def speech(duration_s: float, from_s: float = 0.0) -> Samples:
    """Recorded speech at 48 kHz; the recording goes round."""
    recording = read_wav(SPEECH / "microphone.wav")
    return np.resize(np.roll(recording, -round(from_s * RATE_HZ)), round(duration_s * RATE_HZ))


@dataclass(frozen=True, slots=True)
class Said:
    """A message about a channel, as another member gets it."""

    at_s: float
    kind: str
    channel_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet of audio, as another member gets it."""

    at_s: float
    channel_id: str
    prefix: bytes
    tick: int


class Spy:
    """A member by hand, thread `spy`: no part of the gateway is in it, only the readers of its formats."""

    def __init__(self, url: str, channel_ids: Sequence[str]) -> None:
        self.said: list[Said] = []
        self.heard: list[Heard] = []
        self._channels = channel_ids
        self._stop_in, self._stop_out = socket.socketpair()
        self._ws: Any = websocket.create_connection(url, subprotocols=["audio-protocol"], timeout=5)
        offer = json.loads(self._ws.recv())
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.connect((offer["udp_host"], offer["udp_port"]))
        self._join()
        self._thread = threading.Thread(target=self._run, name="spy")
        self._thread.start()

    def close(self) -> None:
        self._stop_out.send(b"x")
        self._thread.join(5)
        for end in (self._ws.sock, self._udp, self._stop_in, self._stop_out):
            end.close()

    def messages(self, kind: str, channel_id: str, since_s: float = 0.0) -> list[Said]:
        return [
            said
            for said in list(self.said)
            if said.kind == kind and said.channel_id == channel_id and said.at_s >= since_s
        ]

    def started(self, channel_id: str, since_s: float = 0.0) -> list[Said]:
        return self.messages("transmit_started", channel_id, since_s)

    def ended(self, channel_id: str, since_s: float = 0.0) -> list[Said]:
        return self.messages("transmit_ended", channel_id, since_s)

    def packets(self, channel_id: str, since_s: float = 0.0, by: bytes | None = None) -> list[Heard]:
        """`by`: the prefix of one sender."""
        return [
            heard
            for heard in list(self.heard)
            if heard.channel_id == channel_id and heard.at_s >= since_s and by in (None, heard.prefix)
        ]

    def streams(self, channel_id: str, since_s: float = 0.0) -> list[list[Heard]]:
        """The packets of each sender."""
        senders = {heard.prefix for heard in self.packets(channel_id)}
        return [self.packets(channel_id, since_s, sender) for sender in senders]

    def _join(self) -> None:
        for channel in self._channels:
            who = {"affiliation_id": "spy", "user_name": "Spy", "agency_name": "", "channel_id": channel}
            self._ws.send(json.dumps({"connect": {**who, "time": int(time.time())}}))
        self._udp.send(KEEP_ALIVE)

    def _run(self) -> None:
        beat_s = time.monotonic()
        while True:
            ready, _, _ = select.select([self._stop_in, self._ws.sock, self._udp], [], [], HEARTBEAT_S)
            now = time.monotonic()
            if self._stop_in in ready:
                return
            if self._ws.sock in ready:
                self._message(self._ws.recv(), now)
            if self._udp in ready:
                self._datagram(self._udp.recv(65_536), now)
            if now - beat_s > HEARTBEAT_S:
                beat_s = now
                self._join()

    def _message(self, text: str, now: float) -> None:
        message = json.loads(text or "{}")
        for kind in ("transmit_started", "transmit_ended"):
            if kind in message:
                body = message[kind]
                self.said.append(Said(now, kind, body["channel_id"], body["affiliation_id"]))

    def _datagram(self, data: bytes, now: float) -> None:
        try:
            datagram = parse_datagram(data)
        except WireError as error:
            raise AssertionError(f"a gateway sent {data!r}") from error
        if isinstance(datagram, AudioDatagram):
            self.heard.append(Heard(now, datagram.channel_id, *split_iv(datagram.sealed[:12])))


def largest_step(packets: Sequence[Heard]) -> int:
    """Ticks between neighbours of one stream: 1 where nothing is missing."""
    assert len({packet.prefix for packet in packets}) == 1, "packets of one sender in one session"
    ticks = sorted(packet.tick for packet in packets)
    return int(np.diff(ticks).max(initial=0))


class TimedEar(Loudspeaker):
    """Hears what a card plays, and when: each piece with the time at which it came."""

    def __init__(self, card: VirtualCard) -> None:
        self.pieces: list[tuple[float, int]] = []
        """(monotonic seconds, samples until then); the samples themselves are in heard()."""
        self._pcm = bytearray()
        super().__init__(card)

    def heard(self) -> Samples:
        return np.frombuffer(bytes(self._pcm[: len(self._pcm) // 2 * 2]), np.int16)

    def sounding(self, least: int = 300) -> list[float]:
        """When each piece with a sample of at least this much came."""
        samples, begin, found = self.heard(), 0, []
        for at_s, end in list(self.pieces):
            if np.abs(samples[begin:end].astype(np.int32)).max(initial=0) >= least:
                found.append(at_s)
            begin = end
        return found

    def _move(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while data := process.stdout.read(4096):
            self._pcm += data
            self.pieces.append((time.monotonic(), len(self._pcm) // 2))


class GatewayProcess:
    """`echostream run`, nothing simulated. `environment`: where it finds its cards and its chip."""

    def __init__(
        self,
        folder: Path,
        document: Document,
        environment: dict[str, str],
        *options: str,
        program: Sequence[str] = ("-m", "echostream"),
    ) -> None:
        folder.mkdir()
        self._log = folder / "log"
        self._summary = folder / "summary.json"
        config = folder / "config.json"
        config.write_text(json.dumps(document), "utf-8")
        # Whatever becomes of the tests, it does not stay behind, where a chip that is gone makes it spin.
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, *program, "run"]
        command += ["--config", str(config)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--summary", str(self._summary), "--log", "lines", *options],
                env=environment | {"RUNTIME_DIRECTORY": str(folder), "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def wait_for(self, text: str, times: int = 1, timeout_s: float = UP_S) -> float:
        """Until it has said this so often: the time at which that was seen."""
        eventually(lambda: self.log.count(text) >= times or self.process.poll() is not None, timeout_s)
        assert self.log.count(text) >= times, f"{text!r} not said {times} times:\n{self.log}"
        return time.monotonic()

    def signal(self, number: int) -> float:
        """The time just before."""
        now = time.monotonic()
        self.process.send_signal(number)
        return now

    def end(self) -> dict[str, Any]:
        """Stop it in order, within 2 s: its summary."""
        began_s = self.signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log
        assert time.monotonic() - began_s < 2.0, self.log
        summary: dict[str, Any] = json.loads(self._summary.read_text("utf-8"))
        return summary

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()


@contextmanager
def urgent() -> Iterator[None]:
    """Before everybody else on this machine, where that is permitted: what begins meanwhile inherits it.

    A real sound card asks nobody for the processor, a virtual one is a process like any other. Niceness
    would not do: it counts within a session, and each card has a session of its own (sched(7), autogroup).
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


class Site:
    """Everything gateways are plugged into. Closing it ends all that was started here, in reverse."""

    def __init__(self, channel_ids: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._stack.enter_context(urgent())
        self._names = 0
        self._program: tuple[str, ...] = ("-m", "echostream")
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))  # a socket's path is short
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.chip = self._stack.enter_context(GpioSimulator(self.folder / "gpio"))
            self._environment = os.environ | self.chip.environment(build_forwarder(self.folder))
            self.server = ControlServer(aes_key="generate")
            self.server.start()
            self._stack.callback(self.server.stop)
            self.spy = Spy(self.server.url, channel_ids)
            self._stack.callback(self.spy.close)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def cards(self, *names: str, channels: int = 1, cabled: bool = False) -> VirtualCards:
        """Plugged in; gateways that start from now on know them."""
        self._names += 1
        folder = self.folder / str(self._names)
        folder.mkdir()
        cards = VirtualCards(names, folder, channels=channels, cabled=cabled)
        self._stack.callback(cards.close)
        with mock.patch.dict(os.environ, self._environment):
            self._environment |= cards.environment()
        return cards

    def bus(self, *names: str) -> UsbBus:
        """Cards that can be plugged into any port; gateways that start from now on see only these."""
        bus = UsbBus(names)
        self._stack.callback(bus.close)
        self._environment |= bus.environment()
        launcher = REPOSITORY / "tests/support/gateway_on_a_bus.py"
        self._program = (str(launcher), str(bus.kernel.proc), str(bus.kernel.sys))
        return bus

    def speaks(self, card: VirtualCard, recording: NDArray[np.int16], pause_s: float = 0.0) -> None:
        """Somebody says this into a card's microphone, for ever."""
        self._stack.callback(Microphone(card, recording, pause_s=pause_s).close)

    def ear(self, card: VirtualCard) -> TimedEar:
        """Somebody listens at a card's loudspeaker."""
        ear = TimedEar(card)
        self._stack.callback(ear.close)
        return ear

    def ear_at(self, card: VirtualCard, side: Side) -> Loudspeaker:
        """Somebody listens at one side of a stereo card."""
        ear = Loudspeaker(card, side=side)
        self._stack.callback(ear.close)
        return ear

    def gateway(self, name: str, *channels: Document, gpio: Document | None = None) -> GatewayProcess:
        """Start one; returns at once."""
        document = {
            "gateway": {"id": name, "affiliation_id": name},
            "control_server": {"url": self.server.url, "probe_s": 0.2},
            "channels": list(channels),
            "gpio": gpio or {},
            "events": {"directory": str(self.folder / f"{name}-events")},
        }
        gateway = GatewayProcess(self.folder / name, document, dict(self._environment), program=self._program)
        self._stack.callback(gateway.close)
        return gateway

    @contextmanager
    def talking(self, name: str, voices: dict[str, Voice], ear: Ear | None = None) -> Iterator[Member]:
        """Another member, in this process, with a voice on each channel: its key is down on all of them."""
        address = ServerAddress(url=self.server.url, reconnect_min_s=0.2)
        identity, cards = MemberIdentity(name, name), FileCards(voices, ear)
        member = Member(address, list(voices), identity, Secrets(), cards)
        member.start()
        try:
            assert member.wait_for(lambda: all(member.online(channel) for channel in voices), 5.0)
            for channel in voices:
                member.press(channel)
            yield member
        finally:
            member.stop()

    def wait_members(self, channel_id: str, count: int) -> None:
        """Until so many are on a channel at the server, the spy included."""

        def there() -> bool:
            return self.server.stats().channels.get(channel_id, 0) >= count

        assert eventually(there, UP_S), f"{channel_id}: {self.server.stats().channels}"
