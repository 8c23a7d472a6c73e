"""The audio of a gateway whose publishers meet the worst, beside the same gateway without publishers.

Two gateways talk to each other on four channels, both ways at once; one of them has publishers. Its broker
takes everything and acknowledges nothing, its bucket resets every upload in the middle, the disk of its event
log and spools is full, whom it alerts is not there, and a hundred events come each second. Runs with and
without take turns, so that both see the same machine.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from echostream.audio.format import TICK_SAMPLES
from echostream.channels.channel_runtime import Hardware
from echostream.config.models import Audio, Channel, Config, ControlServer
from echostream.config.models import Gateway as Identity
from echostream.config.recording_models import Recording
from echostream.events import Event, Opener, PttChanged
from echostream.gateway import Gateway, Secrets
from echostream.gateway_vitals import GatewayVitals
from echostream.publishers import Publishers
from echostream.simulator.server_loop import ControlServer as Server
from tests.bench import delay
from tests.bench._gateways import WAIT_S, NoCosReaders, NoOutputs, PacedCards, running, wait_until
from tests.bench._processes import cpu_s
from tests.bench.rows import Row, percentile

BENCH: Final = "publishers"
ROUNDS: Final = 4
LONG_ROUNDS: Final = 20
BEFORE_S: Final = 4.0
"""Until libraries are loaded, and everything has been tried and has failed."""
TALK_S: Final = 6.0
TAIL_S: Final = 0.4
MOST_RATIO: Final = 1.1
MOST_LOST: Final = 0
CHANNELS: Final = delay.CHANNELS


@dataclass(slots=True)
class _Arm:
    """With, or without. sent_ms, heard_ms: of each mark, from the microphone of the gateway that is measured
    to the other one's loudspeaker, and back. cpu: share of a core, of each take."""

    sent_ms: list[float] = field(default_factory=list)
    heard_ms: list[float] = field(default_factory=list)
    missing: int = 0
    lost: int = 0
    cpu: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(long: bool = False) -> list[Row]:
    """Takes in turn; the ratio of what is under fault to what is without."""
    random = np.random.default_rng(11)
    server = Server("127.0.0.1", 0)
    server.start()
    without, under = _Arm(), _Arm()
    try:
        for number in range(LONG_ROUNDS if long else ROUNDS):
            for arm in (without, under) if number % 2 else (under, without):
                with tempfile.TemporaryDirectory(prefix="es-bench-", ignore_cleanup_errors=True) as folder:
                    _take(server.url, Path(folder), arm, arm is under, random)
    finally:
        server.stop()
    return [
        *_rows("transmit: microphone to the other gateway's loudspeaker", without.sent_ms, under.sent_ms),
        *_rows("receive: the other gateway's microphone to loudspeaker", without.heard_ms, under.heard_ms),
        _losses(without, under),
        Row(
            BENCH,
            "CPU of both gateways and the server, four channels both ways",
            f"{_share(under)} of a core under fault, {_share(without)} without",
            note="; ".join(dict.fromkeys(under.notes)),
        ),
    ]


def _rows(what: str, without: list[float], under: list[float]) -> list[Row]:
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        plain, faulty = percentile(without, share), percentile(under, share)
        ratio = faulty / plain
        figure = f"{faulty:.1f} ms, without {plain:.1f} ms: ratio {ratio:.2f}"
        note = f"{len(under)} and {len(without)} marks" if name == "p50" else ""
        rows.append(Row(BENCH, f"{what}: {name}", figure, f"<= {MOST_RATIO}", ratio <= MOST_RATIO, note))
    return rows


def _losses(without: _Arm, under: _Arm) -> Row:
    figure = f"{under.lost} frames, {under.missing} marks; without {without.lost}, {without.missing}"
    met = under.lost <= max(MOST_LOST, without.lost) and under.missing <= max(MOST_LOST, without.missing)
    return Row(BENCH, "frames lost at a card or on the way, marks not heard", figure, "none more", met)


def _share(arm: _Arm) -> str:
    return f"{100 * percentile(arm.cpu, 0.5):.0f} %"


def _take(url: str, folder: Path, arm: _Arm, faulty: bool, random: np.random.Generator) -> None:
    channels = [Channel(id=name, card=name, duplex="full") for name in CHANNELS]
    measured, other = _cards(random), _cards(random)
    with (
        running(url, "other", channels, other) as peer,
        _gateway(url, folder, channels, measured, arm, faulty) as gateway,
    ):
        time.sleep(BEFORE_S)
        key_down_s, cpu_before_s = time.monotonic(), cpu_s(os.getpid())
        for one in (gateway, peer):
            _key(one, True)
        time.sleep(TALK_S)
        key_up_s = time.monotonic()
        arm.cpu.append((cpu_s(os.getpid()) - cpu_before_s) / (key_up_s - key_down_s))
        for one in (gateway, peer):
            _key(one, False)
        time.sleep(TAIL_S)
        for runtime in gateway.channels:
            stats, heard = runtime.stream.transmit.stats, runtime.stream.receive.stats
            arm.lost += stats.frames_lost + stats.send_failures + heard.packets_lost + heard.packets_late
    for name in CHANNELS:
        sent = delay._find_marks(measured.sources[name], other.sinks[name], key_down_s, key_up_s)
        back = delay._find_marks(other.sources[name], measured.sinks[name], key_down_s, key_up_s)
        arm.sent_ms += [mark.written_ms for mark in sent.steady]
        arm.heard_ms += [mark.written_ms for mark in back.steady]
        arm.missing += sent.missing + back.missing


def _cards(random: np.random.Generator) -> PacedCards:
    noise = random.normal(0.0, delay.NOISE_LEVEL, TICK_SAMPLES)
    phases = {}
    for name in CHANNELS:
        heard_s, played_s = random.uniform(0.0, 0.02, 2)
        phases[name] = (float(heard_s), float(played_s))
    return PacedCards(lambda number: delay._frame(number, noise), phases)


def _key(gateway: Gateway, down: bool) -> None:
    for name in CHANNELS:
        gateway.post(PttChanged(name, Opener.TALK, down, time.monotonic()))


@contextlib.contextmanager
def _gateway(
    url: str, folder: Path, channels: list[Channel], cards: PacedCards, arm: _Arm, faulty: bool
) -> Iterator[Gateway]:
    """The one that is measured, online; with publishers under fault or without any."""
    from tests.bench import _faults as faults

    config = Config(
        gateway=Identity(id="measured", affiliation_id="measured"),
        control_server=ControlServer(url=url),
        channels=tuple(channels),
        audio=Audio(),
        recording=Recording(enabled=True, directory=str(folder / "recordings")),
    )
    faults.fill_archive(folder / "recordings")
    with contextlib.ExitStack() as stack:
        publishers: Publishers | None = None

        def note(event: Event, now: float) -> None:
            if publishers is not None:
                publishers.note(event, now)

        if faulty:
            broker, bucket = faults.silent_broker(), faults.ResettingServer()
            stack.callback(broker.close)
            stack.callback(bucket.close)
            spool, how = stack.enter_context(faults.full_disk(folder))
            config = faults.with_publishers(config, folder / "recordings", spool, broker.port, bucket.port)
        hardware = Hardware(cards, None, NoOutputs(), NoCosReaders())
        gateway = Gateway(config, Secrets(), hardware, lambda reason: None, observers=(note,))
        if faulty:
            publishers = Publishers(config, faults.SECRETS, gateway.post, GatewayVitals(gateway).look)
            publishers.start()
            stack.callback(publishers.stop)
        gateway.start()
        try:
            if not wait_until(lambda: all(runtime.state.online for runtime in gateway.channels), WAIT_S):
                raise RuntimeError("the gateway that is measured did not come online")
            with faults.events(gateway.post, CHANNELS):
                yield gateway
        finally:
            gateway.stop()
        if faulty:
            links = {} if publishers is None else {link.name: link for link in publishers.links()}
            waiting = links["mqtt"].waiting if "mqtt" in links else 0
            arm.notes.append(f"{how}; {waiting} messages waiting, {bucket.resets} uploads reset")
