"""A whole gateway, four channels, as the service runs it: memory, and CPU while nobody talks or all do.

It captures, plays, hears tones, meters, records and writes the event log; in turns with it GStreamer moves
the same cards and does no more than meter them (and, talking, encode and send).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from echostream.errors import EchoStreamError
from echostream.simulator.virtual_cards import HEARS, PLAYS
from tests.bench._processes import Drain, pss_mb, stop
from tests.bench._site import CARDS, Site, document
from tests.bench.rows import Row, skipped

BENCH: Final = "idle"
WARM_UP_S: Final = 8.0
WINDOW_S: Final = 10.0
LONG_WINDOW_S: Final = 60.0
PEER_WARM_UP_S: Final = 3.0
FIRST_START_S: Final = 5.0
PAGE_S: Final = 60.0
MOST_MB: Final = 120.0
IDLE_PERCENT: Final = 6.0
TALK_PERCENT: Final = 10.0
PACKETS_S: Final = 50 * len(CARDS)
LIBRARY_THREADS: Final = ("threaded-ml", "alsa-pulse")
"""Of PulseAudio's client library, which a real card does not need."""


def run(long: bool = False) -> list[Row]:
    """Everything is started, watched and ended here."""
    window_s = LONG_WINDOW_S if long else WINDOW_S
    what = f"gateway, {len(CARDS)} channels"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-idle-")))
        try:
            site = Site(folder, stack)
        except EchoStreamError as error:
            return [skipped(BENCH, what, str(error))]
        site.quiet()
        peers = _peers(site, window_s)
        site.quiet()
        library_mb = _library_mb(site)
        settings = document(site.server.url, folder)
        _first_start(site, settings)
        process = site.gateway(settings, folder / "gateway.log")
        stack.callback(stop, process)
        idle = _window(process.pid, WARM_UP_S, window_s)
        memory_mb, family = _family_mb(process.pid)
        sent = _datagrams(site)
        site.talk()
        talking = _window(process.pid, 3.0, window_s)
        sent_s = (_datagrams(site) - sent) / (window_s + 3.0)
        rows = [_memory_row(what, memory_mb, family, library_mb)]
        rows.append(_cpu_row(f"{what}: CPU a channel, nobody talks", idle, peers[0], IDLE_PERCENT, ""))
        note = f"{sent_s:.0f} datagrams a second, {PACKETS_S} expected"
        row = _cpu_row(f"{what}: CPU a channel, all talk", talking, peers[1], TALK_PERCENT, note)
        if sent_s < 0.7 * PACKETS_S:
            row = skipped(BENCH, row.what, f"not all talked: {note}")
        stop(process)
        return [*rows, row, _published(site, f"{what} with MQTT, S3 and alerts, after a page", library_mb)]


def _first_start(site: Site, settings: dict[str, Any]) -> None:
    """The index is made: it takes 11 MB of libraries that no later start needs."""
    process = site.gateway(settings, site.folder / "gateway.log")
    try:
        threading.Event().wait(FIRST_START_S)
    finally:
        stop(process)


def _library_mb(site: Site) -> float:
    """What a process takes that opens the same cards through PortAudio and does nothing else."""
    streams = "open(48000, 1, pyaudio.paInt16, frames_per_buffer=960, input_device_index=i, {}=True)"
    program = (
        "import sys, pyaudio\n"
        "pss = lambda: next(int(l.split()[1]) for l in open('/proc/self/smaps_rollup') if l[:4] == 'Pss:')\n"
        "before, p = pss(), pyaudio.PyAudio()\n"
        "named = lambda i: p.get_device_info_by_index(i)['name'] in sys.argv\n"
        "cards = [i for i in range(p.get_device_count()) if named(i)]\n"
        f"kept = [p.{streams.format('input')} for i in cards]\n"
        f"kept += [p.{streams.format('output').replace('input_device', 'output_device')} for i in cards]\n"
        "for one in kept[:len(cards)]: one.read(9600, exception_on_overflow=False)\n"
        "for one in kept[len(cards):]: one.write(bytes(9600))\n"
        "print(len(cards), pss() - before)\n"
    )
    environment = {**os.environ, **site.cards.environment(), "JACK_NO_START_SERVER": "1"}
    command = [sys.executable, "-c", program, *CARDS]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    opened, taken_kb = output.split()[-2:]
    assert int(opened) == len(CARDS), output
    return int(taken_kb) * 1.024e-3


def _published(site: Site, what: str, library_mb: float) -> Row:
    """Everything is on and was used once: the broker, the bucket and a person were told of a page."""
    import mosquitto
    import publisher_site

    if mosquitto.binary() is None:
        return skipped(BENCH, what, "mosquitto is not installed")
    told = publisher_site.Site(site.folder / "told")
    try:
        told.start()
        theirs = json.loads(told.config(publisher_site.ALL).read_text("utf-8"))
        settings = document(site.server.url, site.folder)
        settings |= {name: theirs[name] for name in publisher_site.ALL}
        settings["alerts"]["rules"] = [{"name": "paged", "on": "page", "targets": ["chief"]}]
        site.page()
        process = site.gateway(settings, site.folder / "gateway.log")
        try:
            pause, until_s = threading.Event(), time.monotonic() + PAGE_S
            while time.monotonic() < until_s and not (told.uploaded() and told.receiver.told):
                pause.wait(0.2)
            pause.wait(2.0)
            memory_mb, family_mb = pss_mb(process.pid), _family_mb(process.pid)[0]
            if not (told.uploaded() and told.receiver.told):
                return skipped(BENCH, what, "nobody was told of the page")
        finally:
            stop(process)
    finally:
        told.close()
    row = _memory_row(what, memory_mb, 1, library_mb)
    sender = f"; for a minute after an alert {family_mb - memory_mb:.0f} MB more, of the process that sends"
    return replace(row, note=row.note + sender)


def _cpu_row(what: str, share: dict[str, float], peer: float | None, goal: float, note: str) -> Row:
    percent = 100 * sum(share.values()) / len(CARDS)
    library = 100 * sum(share.get(name, 0.0) for name in LIBRARY_THREADS) / len(CARDS)
    beside = (
        ""
        if peer is None
        else f", GStreamer {100 * peer / len(CARDS):.1f} %: ratio {percent / 100 / peer * len(CARDS):.2f}"
    )
    words = f"{library:.1f} % of it the sound server's library, which a real card does not have"
    return Row(
        BENCH,
        what,
        f"{percent:.1f} % of a core{beside}",
        f"<= {goal:.0f} %",
        percent <= goal,
        "; ".join(part for part in (words, note) if part),
    )


def _memory_row(what: str, memory_mb: float, family: int, library_mb: float) -> Row:
    """Judged without what a real card does not need; both are told."""
    own_mb = memory_mb - library_mb
    return Row(
        BENCH,
        f"{what}: memory (PSS)",
        f"{memory_mb:.1f} MB, {own_mb:.1f} MB without the sound server's libraries",
        f"<= {MOST_MB:.0f} MB",
        own_mb <= MOST_MB,
        f"{family} process{'es' if family > 1 else ''}; the libraries: what PortAudio takes in one with "
        "the same cards open that does nothing else",
    )


def _window(pid: int, warm_up_s: float, window_s: float) -> dict[str, float]:
    """Cores taken by the threads of each name, over the window."""
    pause = threading.Event()
    pause.wait(warm_up_s)
    before = _threads(pid)
    pause.wait(window_s)
    after = _threads(pid)
    shares: dict[str, float] = {}
    for task, (name, busy_s) in after.items():
        spent_s = busy_s - before.get(task, (name, 0.0))[1]
        shares[name] = shares.get(name, 0.0) + spent_s / window_s
    return shares


def _threads(pid: int) -> dict[str, tuple[str, float]]:
    """CPU seconds of each thread: {id: (name, seconds)}."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            found[task.name] = (name, int((task / "schedstat").read_text().split()[0]) / 1e9)
        except OSError:  # it ended meanwhile
            continue
    return found


def _family_mb(pid: int) -> tuple[float, int]:
    """PSS of a process and its children, and how many they are."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").iterdir():
            pids += [int(child) for child in (task / "children").read_text().split()]
    return sum(pss_mb(one) for one in pids), len(pids)


def _datagrams(site: Site) -> int:
    counts = site.server.stats().counts
    return counts.get("datagrams_in", 0) - counts.get("heartbeats", 0)


def _peers(site: Site, window_s: float) -> tuple[float | None, float | None]:
    """Cores that GStreamer takes: metering only, and encoding and sending."""
    try:
        drain = Drain()
        try:
            return tuple(_peer(site, window_s, make, drain.port) for make in (_meter, _encoder))  # type: ignore[return-value]
        finally:
            drain.close()
    except FileNotFoundError:
        return None, None


def _peer(site: Site, window_s: float, make: Callable[[str, int], str], port: int) -> float | None:
    pipelines = " ".join(make(site.cards[name].server, port) for name in CARDS)
    process = subprocess.Popen(
        ["gst-launch-1.0", "-q", *pipelines.split()],
        env={**os.environ, **site.cards.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        share = sum(_window(process.pid, PEER_WARM_UP_S, window_s).values())
        return share if process.poll() is None else None
    finally:
        stop(process)


def _source(server: str) -> str:
    caps = "audio/x-raw,rate=48000,channels=1,format=S16LE"
    return (
        f"audiotestsrc is-live=true wave=silence samplesperbuffer=960 ! {caps} ! "
        f"pulsesink server={server} device={PLAYS} buffer-time=100000 latency-time=20000 "
        f"pulsesrc server={server} device={HEARS}.monitor buffer-time=100000 latency-time=20000 ! {caps} ! "
        "level interval=20000000"
    )


def _meter(server: str, port: int) -> str:
    return f"{_source(server)} ! fakesink"


def _encoder(server: str, port: int) -> str:
    opus = "opusenc bitrate=24000 frame-size=20 complexity=5 audio-type=voice inband-fec=true"
    return f"{_source(server)} ! audioconvert ! {opus} ! rtpopuspay ! udpsink host=127.0.0.1 port={port}"
