"""What a transmit path costs: against GStreamer doing the same, for each frame, and how many fit a core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Frame, Samples
from echostream.errors import EchoStreamError
from echostream.simulator.microphone import Microphone
from echostream.simulator.virtual_cards import HEARS, VirtualCards
from tests.bench import _capacity
from tests.bench._processes import Drain, children, cpu_s, pinned, stop
from tests.bench._speech import speech
from tests.bench._transmit_process import PEER_SETTINGS, LibopusClock, network, new_stream, speak
from tests.bench.rows import Row, percentile, skipped

ROUNDS = 3
WARM_UP_S = 2.5
WINDOW_S = 6.0
"""As long as the recording, so that every window holds all of it."""
CARD = "bench_card"
GOAL_RATIO, AIM_RATIO = 1.5, 1.2
OWN_GOAL_US = 120.0
FRAMES = 3000
EXPECTED_PACKETS = WINDOW_S * 50
OPUSENC = (
    "opusenc bitrate=24000 bitrate-type=constrained-vbr frame-size=20 complexity=5 audio-type=voice"
    " inband-fec=false dtx=false"
)


def run(long: bool = False) -> list[Row]:
    """Ratios, a frame's own cost, channels a core."""
    with ExitStack() as stack:
        stack.enter_context(_away_from_last_core())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-bench-")))
        recording = speech(WINDOW_S)[: int(WINDOW_S * RATE_HZ)]
        drain = Drain()
        stack.callback(drain.close)
        rows = [*_card_rows(folder, recording, drain), *_file_rows(folder, recording, drain)]
        rows.append(_own_part_row(recording, drain))
    return [*rows, *_capacity.rows()]


@contextmanager
def _away_from_last_core() -> Iterator[None]:
    """What is measured gets the last core; the bench, its daemon and its drain keep off it."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


# ---- against GStreamer


@dataclass(frozen=True, slots=True)
class _Window:
    """CPU of a process over WINDOW_S, of the sound server beside it, and the packets that came."""

    cpu_s: float
    server_s: float
    packets: int
    libopus_s: float = 0.0
    frames: int = 0


def _card_rows(folder: Path, recording: Samples, drain: Drain) -> list[Row]:
    what = "transmit path from a PortAudio card over GStreamer's from the same"
    missing = _missing()
    if missing:
        return [skipped("cpu", what, missing)]
    with ExitStack() as stack:
        try:
            cards = VirtualCards([CARD], folder)
        except EchoStreamError as error:
            return [skipped("cpu", what, str(error))]
        stack.callback(cards.close)
        microphone = Microphone(cards[CARD], recording, pause_s=0.0)
        stack.callback(microphone.close)
        source = f"pulsesrc server={cards[CARD].server} device={HEARS}.monitor"
        peer = _gst_command(f"{source} ! audio/x-raw,rate=48000,channels=1", "", drain.port)
        environment = {**os.environ, **cards.environment()}
        return _compare(what, ["--card", CARD], peer, environment, cards[CARD].client_environment(), drain)


def _file_rows(folder: Path, recording: Samples, drain: Drain) -> list[Row]:
    what = "transmit path from a file over GStreamer's from the same"
    missing = _missing()
    if missing:
        return [skipped("cpu", what, missing)]
    once, often = folder / "once.wav", folder / "often.wav"
    _write_wav(once, recording)
    _write_wav(often, np.tile(recording, 4))
    peer = _gst_command(f"filesrc location={often} ! wavparse", "sync=true", drain.port)
    return _compare(what, ["--file", str(once)], peer, dict(os.environ), dict(os.environ), drain)


def _missing() -> str:
    if shutil.which("gst-launch-1.0") is None:
        return "gst-launch-1.0 is not installed: apt install gstreamer1.0-tools"
    for element, package in (("opusenc", "base"), ("rtpopuspay", "good"), ("pulsesrc", "good")):
        found = subprocess.run(["gst-inspect-1.0", "--exists", element], check=False)
        if found.returncode:
            packages = f"gstreamer1.0-plugins-{package} gstreamer1.0-pulseaudio"
            return f"GStreamer has no {element}: apt install {packages}"
    return ""


def _gst_command(source: str, sink_options: str, port: int) -> list[str]:
    pipeline = f"{source} ! audioconvert ! {OPUSENC} ! rtpopuspay ! udpsink host=127.0.0.1 port={port}"
    return ["gst-launch-1.0", "-q", *f"{pipeline} {sink_options}".split()]


def _compare(
    what: str,
    ours: list[str],
    peer: list[str],
    our_environment: dict[str, str],
    peer_environment: dict[str, str],
    drain: Drain,
) -> list[Row]:
    own: list[_Window] = []
    others: list[_Window] = []
    command = [sys.executable, "-m", "tests.bench._transmit_process", str(drain.port), *ours]
    for _ in range(ROUNDS):
        own.append(_measure(command, our_environment, drain, counts=True))
        others.append(_measure(peer, peer_environment, drain, counts=False))
    least, other = min(own, key=lambda w: w.cpu_s), min(others, key=lambda w: w.cpu_s)
    for name, window in (("ours", least), ("GStreamer", other)):
        if abs(window.packets - EXPECTED_PACKETS) > 0.1 * EXPECTED_PACKETS:
            return [skipped("cpu", what, f"{name} sent {window.packets} packets in {WINDOW_S:.0f} s")]
    ratio = least.cpu_s / other.cpu_s
    per_minute = 60.0 / WINDOW_S
    note = (
        f"CPU s per minute of audio: {least.cpu_s * per_minute:.2f} over {other.cpu_s * per_minute:.2f} "
        f"(least of {ROUNDS}; all: {_listed(own)} over {_listed(others)})"
    )
    if least.server_s or other.server_s:
        note += f"; sound server beside: {least.server_s * per_minute:.2f}, {other.server_s * per_minute:.2f}"
    own_us = 1e6 * (least.cpu_s - least.libopus_s) / max(1, least.frames)
    libopus_us = 1e6 * least.libopus_s / max(1, least.frames)
    return [
        Row("cpu", what, f"{ratio:.2f}", f"<= {GOAL_RATIO} (aim {AIM_RATIO})", ratio <= GOAL_RATIO, note),
        Row(
            "cpu",
            f"{what.split(' over')[0]}: own part of a frame, capture and threads included",
            f"{own_us:.0f} µs",
            f"<= {OWN_GOAL_US:.0f} µs",
            own_us <= OWN_GOAL_US,
            f"libopus beside: {libopus_us:.0f} µs",
        ),
    ]


def _listed(windows: list[_Window]) -> str:
    return ", ".join(f"{window.cpu_s * 60.0 / WINDOW_S:.2f}" for window in windows)


def _measure(command: list[str], environment: dict[str, str], drain: Drain, counts: bool) -> _Window:
    """Start, let it settle, look twice. A process that ends early leaves no packets, which is then said."""
    process = subprocess.Popen(
        pinned(command),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        time.sleep(WARM_UP_S)
        if process.poll() is not None:
            return _Window(float("inf"), 0.0, 0)
        before = _look(process, drain, counts)
        time.sleep(WINDOW_S)
        after = _look(process, drain, counts)
    finally:
        stop(process)
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return _Window(spent[0], spent[1], int(spent[2]), spent[3], int(spent[4]))


def _look(process: subprocess.Popen[str], drain: Drain, counts: bool) -> tuple[float, ...]:
    """(CPU s, CPU s of our sound server, datagrams, s in libopus, frames)."""
    server_s = sum(cpu_s(pid) for pid in children("pulseaudio"))
    seen = (cpu_s(process.pid), server_s, float(drain.datagrams))
    if not counts or process.stdin is None or process.stdout is None:
        return (*seen, 0.0, 0.0)
    process.stdin.write("\n")
    process.stdin.flush()
    counters = json.loads(process.stdout.readline())
    return (*seen, counters["libopus_s"], counters["frames"])


def _write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


# ---- a frame's own cost


def _own_part_row(recording: Samples, drain: Drain) -> Row:
    """`feed` of one frame, from the filter to sendto, without the time inside opus_encode."""
    frames = recording[: recording.size // TICK_SAMPLES * TICK_SAMPLES].reshape(-1, TICK_SAMPLES)
    own_us: list[float] = []
    with network(drain.port) as (session, udp):
        clock = LibopusClock()
        stream = new_stream(PEER_SETTINGS)
        speak(stream, session, udp, "bench")
        feed: Callable[[Frame], None] = stream.transmit.feed
        for index in range(FRAMES):
            frame = Frame(frames[index % len(frames)], index, time.monotonic())
            inside_ns, began_ns = clock.spent_ns, time.thread_time_ns()
            feed(frame)
            spent_ns = time.thread_time_ns() - began_ns - (clock.spent_ns - inside_ns)
            own_us.append(spent_ns / 1000.0)
        clock.close()
        stream.transmit.close_codec()
    median = percentile(own_us, 0.5)
    return Row(
        "cpu",
        "own part of a frame, from the filter to sendto, warm",
        f"{median:.0f} µs",
        f"<= {OWN_GOAL_US:.0f} µs",
        median <= OWN_GOAL_US,
        f"median of {FRAMES} frames at full speed; p99 {percentile(own_us, 0.99):.0f} µs",
    )
