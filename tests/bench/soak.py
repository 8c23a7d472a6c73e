"""Four channels, full duplex, through real PortAudio on four virtual cards: a minute, or ten with --long.

The gateway is a process of its own with all four buttons held; a second member talks on all four channels
all the time. What is counted is the gateway's: its cards' overruns and underruns, and its memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from echostream.channels.channel_state import Phase
from echostream.config.models import ControlServer as ServerAddress
from echostream.errors import EchoStreamError
from echostream.gateway import Secrets
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity
from echostream.simulator.microphone import Microphone
from echostream.simulator.server_loop import ControlServer
from echostream.simulator.virtual_cards import VirtualCards
from tests.bench._processes import cpu_s, rss_mb, stop, waited_s
from tests.bench._speech import speech
from tests.bench.rows import Row, skipped

CARDS = ("soak_1", "soak_2", "soak_3", "soak_4")
MINUTE_S, LONG_S = 60.0, 600.0
SETTLED_S = 20.0
"""Memory is compared with what it is after this long."""
ONLINE_S = 10.0
OPEN_S = 2.0
"""Until all cards are open and every channel talks: nothing is counted before."""
FLAT_MB = 2.0
LOOK_EVERY_S = 5.0
Counters = dict[str, object]


def run(long: bool = False) -> list[Row]:
    """Everything is started, watched and ended here."""
    duration_s = LONG_S if long else MINUTE_S
    what = f"four channels full duplex through PortAudio, {duration_s:.0f} s"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-soak-")))
        try:
            cards = VirtualCards(CARDS, folder)
        except EchoStreamError as error:
            return [skipped("soak", what, str(error))]
        stack.callback(cards.close)
        recording = speech(30.0)
        for name in CARDS:
            stack.callback(Microphone(cards[name], recording, pause_s=1.0).close)
        server = ControlServer("127.0.0.1", 0)
        server.start()
        stack.callback(server.stop)
        process = _start(server.url, {**os.environ, **cards.environment()})
        stack.callback(stop, process)
        voices = {name: Voice(recording, loop=True) for name in CARDS}
        file_cards = FileCards(voices)
        member = Member(
            ServerAddress(url=server.url), CARDS, MemberIdentity("other", "Other"), Secrets(), file_cards
        )
        member.start()
        stack.callback(member.stop)
        if not member.wait_for(lambda: all(member.online(name) for name in CARDS), ONLINE_S):
            return [skipped("soak", what, "the second member did not come online")]
        for name in CARDS:
            member.press(name)
        if not member.wait_for(lambda: all(member.phase(name) is Phase.OPEN for name in CARDS), ONLINE_S):
            return [skipped("soak", what, "the second member could not transmit")]
        return _watch(process, what, duration_s)


def _start(url: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench._soak_process", url, *CARDS],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _look(process: subprocess.Popen[str]) -> Counters:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    counters: Counters = json.loads(process.stdout.readline())
    return counters


def _watch(process: subprocess.Popen[str], what: str, duration_s: float) -> list[Row]:
    time.sleep(OPEN_S)
    began_s = time.monotonic()
    first = _look(process)
    busy_s, ready_s = cpu_s(process.pid), waited_s(process.pid)
    settled_mb = peak_mb = 0.0
    while (elapsed_s := time.monotonic() - began_s) < duration_s:
        time.sleep(min(LOOK_EVERY_S, duration_s - elapsed_s))
        now_mb = rss_mb(process.pid)
        if time.monotonic() - began_s <= SETTLED_S or not settled_mb:
            settled_mb = now_mb
        peak_mb = max(peak_mb, now_mb)
    last = _look(process)
    last_mb = rss_mb(process.pid)
    busy = (cpu_s(process.pid) - busy_s) / duration_s
    waited = (waited_s(process.pid) - ready_s) / duration_s
    return _rows(what, first, last, (settled_mb, last_mb, peak_mb), (busy, waited))


def _rows(
    what: str,
    first: Counters,
    last: Counters,
    memory_mb: tuple[float, float, float],
    share: tuple[float, float],
) -> list[Row]:
    overruns, underruns = _grown(first, last, "overruns"), _grown(first, last, "underruns")
    settled_mb, last_mb, peak_mb = memory_mb
    growth_mb = last_mb - settled_mb
    sent, received = _each(first, last, "packets_sent"), _each(first, last, "packets_received")
    captured = _each(first, last, "frames_captured")
    moved = min([*sent, *received, *captured]) > 0.95 * 50 * (_number(last, "at_s") - _number(first, "at_s"))
    trouble = {
        name: _grown(first, last, name)
        for name in ("frames_lost", "packets_lost", "concealed", "restarts", "opened")
    }
    note = (
        f"least of the channels: {min(captured)} frames captured, {min(sent)} packets sent, "
        f"{min(received)} received; " + ", ".join(f"{name} {count}" for name, count in trouble.items())
    )
    return [
        Row(
            "soak",
            f"{what}: overruns, underruns",
            f"{overruns}, {underruns}",
            "0, 0",
            overruns == 0 and underruns == 0 and moved,
            note if moved else f"NOT ALL FRAMES MOVED: {note}",
        ),
        Row(
            "soak",
            f"memory from {SETTLED_S:.0f} s on: growth",
            f"{growth_mb:+.2f} MB",
            f"<= {FLAT_MB:.0f} MB",
            growth_mb <= FLAT_MB,
            f"{settled_mb:.1f} MB then, {last_mb:.1f} MB at the end, {peak_mb:.1f} MB at most",
        ),
        Row(
            "soak",
            "CPU of the gateway with four channels both ways",
            f"{100 * share[0]:.0f} % of a core",
            note=f"its threads were ready and waited for a core {100 * share[1]:.1f} % of the time: "
            "what others on the machine took",
        ),
    ]


def _number(counters: Counters, name: str) -> float:
    value = counters[name]
    assert isinstance(value, int | float)
    return float(value)


def _grown(first: Counters, last: Counters, name: str) -> int:
    return int(_number(last, name) - _number(first, name))


def _each(first: Counters, last: Counters, name: str) -> list[int]:
    early, late = first[name], last[name]
    assert isinstance(early, list)
    assert isinstance(late, list)
    return [b - a for a, b in zip(early, late, strict=True)]
