"""From the button's edge to the first datagram on the wire, and whether the pre-roll is whole."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from contextlib import ExitStack
from functools import partial
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Frame, Samples
from echostream.audio.opus_codec import EncoderSettings, OpusEncoder
from echostream.channels import transmit_path
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.channel_state import Phase
from echostream.channels.transmit_path import TransmitPath, TransmitSettings
from echostream.config.models import Audio, Channel, Ptt
from echostream.hardware.gpio_mock import MockGpioInputs
from echostream.simulator.server_loop import ControlServer
from tests.bench._gateways import FRAME_S, PacedCards, running, wait_until
from tests.bench.rows import Row, percentile, skipped

KEY_UPS = 400
GOAL_MS = 25.0
CHANNELS = {"one": 20, "two": 21, "three": 23, "four": 24}
WAIT_S = 1.0
SO_TIMESTAMPNS = 35
"""Linux: the kernel stamps each datagram as it comes in (SCM_TIMESTAMPNS has the same number)."""

PRE_ROLL_KEY_UPS = 1000


def run(long: bool = False) -> list[Row]:
    """Both."""
    return [_latency_row(), _pre_roll_row()]


# ---- edge to datagram


class _Wire:
    """Where the gateways' audio goes: a port that notes when the kernel got a channel's first datagram."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(0.2)
        self.address: tuple[str, int] = self._sock.getsockname()
        self._lock = threading.Condition()
        self._since_s: dict[str, float] = {}
        self._first_s: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-wire")
        self._thread.start()

    def expect(self, channel_id: str, since_s: float) -> None:
        """From now on the channel's next datagram is of interest."""
        with self._lock:
            self._first_s.pop(channel_id, None)
            self._since_s[channel_id] = since_s

    def first_s(self, channel_id: str) -> float | None:
        """Monotonic seconds at which it came; None when it does not come."""
        with self._lock:
            self._lock.wait_for(lambda: channel_id in self._first_s, WAIT_S)
            return self._first_s.get(channel_id)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                data, ancillary, _flags, _sender = self._sock.recvmsg(8192, 128)
            except TimeoutError:
                continue
            offset_s = time.time() - time.monotonic()
            channel_id = json.loads(data).get("channel_id")
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            arrived_s = seconds + nanoseconds / 1e9 - offset_s
            with self._lock:
                if channel_id in self._since_s and arrived_s >= self._since_s[channel_id]:
                    del self._since_s[channel_id]
                    self._first_s[channel_id] = arrived_s
                    self._lock.notify_all()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)
        self._sock.close()


def _latency_row() -> Row:
    what = "button edge to first datagram"
    random = np.random.default_rng(11)
    delays_ms: list[float] = []
    lost = 0
    with ExitStack() as stack:
        wire = _Wire()
        stack.callback(wire.close)
        server = ControlServer("127.0.0.1", 0, advertise=lambda host, port: wire.address)
        server.start()
        stack.callback(server.stop)
        inputs = MockGpioInputs()
        inputs.start()
        stack.callback(inputs.close)
        phases = {name: (float(random.uniform(0, FRAME_S)), 0.0) for name in CHANNELS}
        noise = random.normal(0, 1000, TICK_SAMPLES).astype(np.int16)
        cards = PacedCards(lambda number: noise, phases)
        channels = [Channel(id=name, card=name, ptt=Ptt(pin=pin)) for name, pin in CHANNELS.items()]
        gateway = stack.enter_context(running(server.url, "bench", channels, cards, inputs))
        runtimes = {runtime.config.id: runtime for runtime in gateway.channels}
        time.sleep(0.5)
        for number in range(KEY_UPS):
            name = list(CHANNELS)[number % len(CHANNELS)]
            if not wait_until(partial(_idle, runtimes[name]), WAIT_S):
                return skipped("key_up", what, f"channel {name} did not fall idle")
            time.sleep(float(random.uniform(0, FRAME_S)))
            edge_s = time.monotonic()
            wire.expect(name, edge_s)
            inputs.drive(CHANNELS[name], False)
            first_s = wire.first_s(name)
            inputs.drive(CHANNELS[name], None)
            if first_s is None:
                lost += 1
            else:
                delays_ms.append(1000.0 * (first_s - edge_s))
    p50, p99 = percentile(delays_ms, 0.5), percentile(delays_ms, 0.99)
    return Row(
        "key_up",
        what,
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        f"p99 <= {GOAL_MS:.0f} ms",
        p99 <= GOAL_MS and not lost,
        f"{len(delays_ms)} key-ups at random phase on {len(CHANNELS)} channels; "
        f"worst {max(delays_ms):.1f} ms; {lost} without a datagram",
    )


def _idle(runtime: ChannelRuntime) -> bool:
    return runtime.state.phase is Phase.IDLE


# ---- pre-roll


class _NotingEncoder(OpusEncoder):
    """libopus as ever, with a note of every sample that it was given."""

    given: list[Samples] = []  # noqa: RUF012 - one bench at a time

    def encode(self, samples: Samples) -> bytes:
        self.given.append(samples.copy())
        return super().encode(samples)


class _NotingUplink:
    """A session that keeps the ticks of what it was to send."""

    start_tick = 5_000_000

    def __init__(self) -> None:
        self.ticks: list[int] = []

    def send_packet(self, tick: int, opus: bytes) -> int:
        self.ticks.append(tick)
        return len(opus)


def _pre_roll_row() -> Row:
    """Key-ups one after another in one stream of numbered samples, in simulated time."""
    random = np.random.default_rng(12)
    pre_roll = Audio().pre_roll_ms * RATE_HZ // 1000
    worst = total = wrong_ticks = 0
    uplink = _NotingUplink()
    with mock.patch.object(transmit_path, "OpusEncoder", _NotingEncoder):
        path = TransmitPath(
            TransmitSettings(high_pass_hz=0.0, encoder=EncoderSettings(complexity=0)),
            on_vox=lambda active, at_s: None,
            on_drained=lambda number: None,
        )
        stream = _Stream(path, random)
        path.set_uplink(uplink)
        for number in range(1, PRE_ROLL_KEY_UPS + 1):
            missing = _key_up(stream, number, pre_roll, random)
            worst, total = max(worst, missing), total + missing
            wrong_ticks += sum(np.diff(uplink.ticks) != 1)
            uplink.ticks.clear()
        path.close_codec()
    return Row(
        "key_up",
        f"pre-roll of {Audio().pre_roll_ms} ms over {PRE_ROLL_KEY_UPS:,} key-ups: samples missing",
        f"{total}",
        "0",
        total == 0 and wrong_ticks == 0,
        f"from the edge less the pre-roll to the end; worst {worst}; {wrong_ticks} breaks in the ticks",
    )


class _Stream:
    """A microphone whose every run of samples is unmistakable: noise, in simulated time."""

    def __init__(self, path: TransmitPath, random: np.random.Generator) -> None:
        self.path = path
        self._random = random
        self._frames = 0
        self.kept: list[Samples] = []
        for _ in range(20):
            self.feed()

    @property
    def samples(self) -> int:
        """How many there have been: the last one is complete at samples / 48000 s."""
        return self._frames * TICK_SAMPLES

    def feed(self) -> None:
        frame = self._random.integers(-8000, 8000, TICK_SAMPLES).astype(np.int16)
        self.kept.append(frame)
        self.path.feed(Frame(frame, self._frames, (self._frames + 1) * FRAME_S))
        self._frames += 1

    def recent(self, first: int) -> Samples:
        """All samples from number `first` on; only the last 60 frames are kept."""
        del self.kept[:-60]
        start = self.samples - len(self.kept) * TICK_SAMPLES
        kept: Samples = np.concatenate(self.kept)[first - start :]
        return kept


def _key_up(stream: _Stream, number: int, pre_roll: int, random: np.random.Generator) -> int:
    """One transmission; how many of the samples that it should hold were never encoded."""
    path = stream.path
    _NotingEncoder.given.clear()
    edge = stream.samples + int(random.integers(1, TICK_SAMPLES))
    first = edge - pre_roll
    # The edge falls into the frame that is being captured; its news come a while later, after 0 to 2 frames,
    # and the announcement to the server takes as long again.
    for _ in range(int(random.integers(0, 3))):
        stream.feed()
    path.arm(number, edge / RATE_HZ)
    for _ in range(int(random.integers(0, 3))):
        stream.feed()
    path.open(number)
    for _ in range(int(random.integers(8, 12))):
        stream.feed()
    last = stream.samples
    path.close(number)
    for _ in range(14):
        stream.feed()
    wanted = stream.recent(first)[: last - first]
    given = np.concatenate(_NotingEncoder.given)
    return _missing(wanted, given)


def _missing(wanted: Samples, given: Samples) -> int:
    """How many of `wanted`'s samples are not in `given`, which is one unbroken run if all is well."""
    anchor = wanted[-64:]
    places: NDArray[np.intp] = np.flatnonzero(given == anchor[0])
    for at in places:
        start = int(at) + anchor.size - wanted.size
        if np.array_equal(given[at : at + anchor.size], anchor):
            overlap = given[max(0, start) : at + anchor.size]
            return int(wanted.size - np.count_nonzero(overlap == wanted[wanted.size - overlap.size :]))
    return int(wanted.size)
