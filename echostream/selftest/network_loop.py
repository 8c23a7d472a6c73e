"""Two members of a control server in this process: one speaks, one hears; Opus, AES, UDP and all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples, silence
from echostream.config.models import ControlServer as ServerAddress
from echostream.gateway import Secrets
from echostream.selftest.items import Item, failed, judged
from echostream.selftest.locate import locate
from echostream.selftest.signal import as_samples, chirp
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity, say, silent_voice
from echostream.simulator.server_loop import ControlServer

PART: Final = "network"
MAX_DELAY_MS: Final = 250.0
"""From the microphone's sample to the loudspeaker's; ITU-T G.114 calls 150 ms good and 400 ms the end."""

_CHANNEL: Final = "selftest"
_ONLINE_S: Final = 4.0
_BEFORE_S: Final = 0.3
_CHIRPS: Final = 3
_APART_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class NetworkMeasured:
    """delays_ms: of each chirp that was heard, from being captured to being handed to be played."""

    delays_ms: tuple[float, ...]
    sent: int
    received: int
    lost: int


class _TimedVoice(Voice):
    """A voice that notes when its first sample was captured."""

    def __init__(self, recording: Samples) -> None:
        super().__init__(recording)
        self.began_s: float | None = None

    def next(self, count: int) -> Samples:
        speaking = not self.spoken.is_set() and self._at < len(self._recording)
        if speaking and self._at == 0:
            self.began_s = time.monotonic() - count / RATE_HZ
        return super().next(count)


class _TimedEar:
    """Keeps what is played, and when it was handed over; of at most half a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: list[tuple[float, Samples]] = []

    def __call__(self, _card: str, samples: Samples) -> None:
        with self._lock:
            if len(self._heard) < 3000:
                self._heard.append((time.monotonic(), samples))

    def heard(self) -> tuple[Samples, float]:
        """Everything, and the instant of its first sample."""
        with self._lock:
            if not self._heard:
                return silence(0), 0.0
            ends = np.cumsum([len(samples) for _, samples in self._heard])
            begins = [
                at_s - (end - len(samples)) / RATE_HZ
                for (at_s, samples), end in zip(self._heard, ends, strict=True)
            ]
            return np.concatenate([samples for _, samples in self._heard]), float(np.median(begins))


def measure_network() -> NetworkMeasured:
    """Takes about 3 s. Nothing leaves this machine: all of it is on 127.0.0.1."""
    voice = _TimedVoice(_spoken())
    ear = _TimedEar()
    with _members(voice, ear) as (talker, listener):
        deadline_s = time.monotonic() + _ONLINE_S
        for member in (talker, listener):
            member.wait_for(lambda who=member: who.online(_CHANNEL), deadline_s - time.monotonic())  # type: ignore[misc]
        said = say(talker, _CHANNEL, voice)
        threading.Event().wait(_APART_S)  # what is under way arrives
        sent = talker.stats(_CHANNEL).packets_sent
        received = listener.received(_CHANNEL)
    heard, first_s = ear.heard()
    delays = _delays(heard, first_s, voice.began_s) if said and voice.began_s is not None else ()
    return NetworkMeasured(delays, sent, received.packets_received, received.packets_lost)


@contextlib.contextmanager
def _members(voice: Voice, ear: _TimedEar) -> Iterator[tuple[Member, Member]]:
    server = ControlServer()
    server.start()
    try:
        address = ServerAddress(url=server.url)
        listener = Member(
            address,
            [_CHANNEL],
            MemberIdentity("selftest-listener", "Self-test"),
            Secrets(),
            FileCards({_CHANNEL: silent_voice()}, ear),
        )
        talker = Member(
            address,
            [_CHANNEL],
            MemberIdentity("selftest-talker", "Self-test"),
            Secrets(),
            FileCards({_CHANNEL: voice}),
        )
        with contextlib.ExitStack() as started:
            for member in (listener, talker):
                member.start()
                started.callback(member.stop)
            yield talker, listener
    finally:
        server.stop()


def _spoken() -> Samples:
    pause = silence(round(_APART_S * RATE_HZ))
    pieces = [silence(round(_BEFORE_S * RATE_HZ))]
    for _ in range(_CHIRPS):
        pieces += [as_samples(chirp()), pause]
    return np.concatenate(pieces)


def _delays(heard: Samples, first_s: float, began_s: float) -> tuple[float, ...]:
    wave = heard.astype(np.float64) / FULL_SCALE
    piece = chirp()
    step = len(piece) + round(_APART_S * RATE_HZ)
    found = []
    for number in range(_CHIRPS):
        spoken_s = began_s + _BEFORE_S + number * step / RATE_HZ
        due = round((spoken_s - first_s) * RATE_HZ)
        place = locate(wave, piece, due, due + round(_APART_S * RATE_HZ))
        if place is not None and place.sharpness >= 3.0:
            found.append((first_s + place.at / RATE_HZ - spoken_s) * 1000)
    return tuple(found)


def judge_network(measured: NetworkMeasured) -> list[Item]:
    """The network part of the report."""
    if not measured.delays_ms:
        shown = f"nothing was heard ({measured.sent} packets sent, {measured.received} received)"
        remedy = (
            "a firewall on this machine stops UDP on 127.0.0.1, or a library is broken: `echostream doctor`"
        )
        return [failed(PART, "Opus, AES and UDP", shown, remedy)]
    delay = float(np.median(measured.delays_ms))
    busy = "this machine is too busy to speak in time: `echostream doctor --only realtime`"
    return [
        judged(
            PART,
            "end to end",
            delay,
            "ms",
            delay <= MAX_DELAY_MS and len(measured.delays_ms) == _CHIRPS,
            f"at most {MAX_DELAY_MS:.0f} ms (ITU-T G.114)",
            busy,
            digits=0,
        ),
        judged(PART, "packets lost", float(measured.lost), "", measured.lost == 0, "none", busy, digits=0),
    ]
