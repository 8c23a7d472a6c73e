"""One simulated ESP32 microphone: its clock, its ring of audio, its firmware's writes. No socket in it.

The microphone's clock runs through everything, also power cuts, so the instant at which each sample was
taken up is known to the microsecond: what a recorder says of it can be checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from echostream.simulator.esp32_plan import UDP_HEADER_BYTES, Esp32Plan, Loop

MOST_GAPS: Final = 1000
"""Gaps told of one connection; further ones are only counted."""


class Lost(NamedTuple):
    """`samples` are missing before sample `at` of what was sent."""

    at: int
    samples: int


@dataclass(slots=True)
class Sent:
    """What went out over one connection.

    samples: whole ones that the network took; sha256 is theirs, in the form as sent. first_at_s: monotonic
    seconds at which the first one was taken up by the microphone. lost_samples: those that never left.
    ended: how it ended; "" while it lasts.
    """

    number: int
    began_s: float
    source: str = ""
    first_at_s: float = 0.0
    samples: int = 0
    writes: int = 0
    lost_samples: int = 0
    gaps: list[Lost] = field(default_factory=list)
    latest_ms: float = 0.0
    received_bytes: int = 0
    ended: str = ""
    sha256: str = ""


class Esp32Device:
    """`opened` begins a connection, `next_write` gives bytes, `wrote` says how many the network took."""

    def __init__(self, plan: Esp32Plan, number: int, loop: Loop, powered_s: float) -> None:
        """`powered_s`: monotonic seconds since when it has power and listens."""
        self.name = plan.device_name(number)
        self.ppm = plan.device_ppm(number)
        self.sent: list[Sent] = []
        self._plan = plan
        self._loop = loop
        self._random = random.Random(f"{plan.seed}-{number}")
        self._offset = loop.samples * number // plan.devices
        self._powered_s = self._zero_s = powered_s
        self._true_hz = plan.rate_hz * (1 + self.ppm / 1e6) * plan.speed
        self._position = self._floor = 0
        self._sequence = 0
        self._carry = memoryview(b"")
        self._write = memoryview(b"")
        self._audio_from = 0
        self._taken = 0
        self._tick_s = 0.0
        self._caught_up = False
        self._end: int | None = plan.samples
        self._digest = hashlib.sha256()
        self._part = b""

    # ---- its clock

    def captured(self, now: float) -> int:
        """Samples that its microphone has taken up."""
        taken_up = math.floor((now - self._zero_s) * self._true_hz + 1e-6)
        return taken_up if self._end is None else min(taken_up, self._end)

    def time_of(self, position: int) -> float:
        """Monotonic seconds at which it took up a sample."""
        return self._zero_s + position / self._true_hz

    def event_after(self, mean_s: float, now: float) -> float:
        """When something next befalls it that does so every `mean_s` on average; never for 0."""
        return now + self._random.expovariate(1 / mean_s) if mean_s else math.inf

    def end(self, now: float) -> None:
        """Its microphone takes up nothing after `now`."""
        self._end = self.captured(now)

    def over(self, now: float) -> bool:
        """Its microphone has ended: what is left goes out also where it fills no chunk."""
        return self._end is not None and self.captured(now) >= self._end

    def power_up(self, now: float) -> None:
        """It had no power: nothing from before is in its ring."""
        self._floor = self.captured(now)
        self._powered_s = now
        self._sequence = 0

    # ---- a connection

    def opened(self, now: float, source: str) -> Sent:
        """A connection stands: hello first, then what was kept and not sent yet, up to the burst."""
        oldest = self.captured(now) - round(self._plan.burst_s * self._plan.rate_hz)
        self._position = max(self._floor, self._position, oldest)
        self._carry, self._part, self._taken = memoryview(b""), b"", 0
        self._digest = hashlib.sha256()
        self._write = memoryview(self._hello())
        self._audio_from = len(self._write)
        self._tick_s = now + self._plan.interval_s
        self._caught_up = False
        self.sent.append(Sent(len(self.sent) + 1, now, source))
        return self.sent[-1]

    def closed(self, how: str) -> None:
        """The connection is gone; what it did not take is lost with it."""
        if self.sent and not self.sent[-1].ended:
            self.sent[-1].ended = how
            self.sent[-1].sha256 = self._digest.hexdigest()

    @property
    def waits_for_network(self) -> bool:
        """There are bytes that the network has not taken yet."""
        return len(self._write) > 0

    @property
    def due_s(self) -> float:
        """When it next has something to write."""
        full_s = self.time_of(self._position + self._chunk_samples())
        due_s = self._tick_s if self._plan.interval_s else full_s
        return due_s if self._end is None else min(due_s, self.time_of(self._end))

    def held_up(self) -> None:
        """The network stalls: what is late from here on is not the simulator's doing."""
        self._caught_up = False

    def next_write(self, now: float) -> memoryview:
        """What to hand to the network in one go; empty while nothing is due."""
        while not self._write:
            self._run_over(now)
            take = self._takes(now)
            rest = len(self._carry) >= self._plan.chunk or (self._carry and self.over(now))
            if not take and not rest:
                self._caught_up = True
                break
            if self._caught_up:
                self.sent[-1].latest_ms = max(self.sent[-1].latest_ms, 1e3 * (now - self.due_s))
            if take and self._random.random() < self._plan.drop:
                self._sequence += 1
                self._lose(take)
            else:
                self._build(take)
        return self._write

    def _takes(self, now: float) -> int:
        """How many samples the next write takes out of the ring; 0: it is not due yet."""
        at_hand = self.captured(now) - self._position
        wanted = self._chunk_samples()
        if at_hand >= wanted and not self._plan.interval_s:
            return wanted
        if self.over(now):
            return min(at_hand, wanted)
        if not self._plan.interval_s or now < self._tick_s:
            return 0
        if not at_hand:
            missed = math.floor((now - self._tick_s) / self._plan.interval_s) + 1
            self._tick_s += missed * self._plan.interval_s
        return min(at_hand, wanted)

    def wrote(self, count: int) -> None:
        """The network took `count` bytes of it. UDP: all of it."""
        taken, self._write = self._write[:count], self._write[count:]
        if self._write:
            self._caught_up = False
        prefix = min(self._audio_from, count)
        self._audio_from -= prefix
        if len(taken) > prefix:
            self._account(taken[prefix:])

    # ---- inside

    def _hello(self) -> bytes:
        plan = self._plan
        if not plan.hello or plan.udp:
            return b""
        line: dict[str, object] = {"hello": "echostream", "device": self.name}
        if plan.token is not None:
            line["token"] = plan.token
        line |= {"rate": plan.rate_hz, "format": plan.format, "channels": plan.channels}
        return json.dumps(line).encode("ascii") + b"\n"

    def _chunk_samples(self) -> int:
        return -(-(self._plan.chunk - len(self._carry)) // self._plan.frame_bytes)

    def _run_over(self, now: float) -> None:
        """What the ring could not hold any longer is gone."""
        too_much = self.captured(now) - self._position - self._plan.kept_samples
        if too_much > 0:
            self._lose(too_much)

    def _lose(self, count: int) -> None:
        sent = self.sent[-1]
        sent.lost_samples += count
        self._position += count
        if sent.gaps and sent.gaps[-1].at == self._taken:
            sent.gaps[-1] = Lost(self._taken, sent.gaps[-1].samples + count)
        elif len(sent.gaps) < MOST_GAPS:
            sent.gaps.append(Lost(self._taken, count))

    def _build(self, take: int) -> None:
        """The next write out of `take` samples; an odd end of a sample waits for the next."""
        if not self._taken:
            self.sent[-1].first_at_s = self.time_of(self._position)
        data = self._loop.read(self._offset + self._position, take)
        if self._plan.udp:
            since_boot_ms = round(1e3 * (self.time_of(self._position) - self._powered_s))
            header = struct.pack("<IIHH", self._sequence & 0xFFFFFFFF, since_boot_ms & 0xFFFFFFFF, take, 0)
            self._write, self._audio_from = memoryview(header + data), UDP_HEADER_BYTES
            self._sequence += 1
        else:
            if self._carry:
                data = memoryview(bytes(self._carry) + data)
            self._write, self._carry = data[: self._plan.chunk], data[self._plan.chunk :]
        self._position += take
        self._taken += take
        self.sent[-1].writes += 1

    def _account(self, audio: memoryview) -> None:
        """Whole samples only: half a one at the end never became sound."""
        size, sent = self._plan.frame_bytes, self.sent[-1]
        if self._part or len(audio) % size:
            audio = memoryview(self._part + audio)
        whole = len(audio) // size
        self._digest.update(audio[: whole * size])
        self._part = bytes(audio[whole * size :])
        sent.samples += whole
