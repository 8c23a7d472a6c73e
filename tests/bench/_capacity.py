"""How many channels one core carries: the gateway's capture workers, until a frame is not done in time.

Every channel has its capture worker, transmit path, encoder (with the gateway's settings: FEC on) and uplink;
all of them live in one process that is held on one core. A source hands a frame over every 20 ms of its own
clock, at a phase of its own. When the worker comes back for the next frame after that was already due, the
deadline was missed: that counts everything between, the wait for the interpreter's lock too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Frame, Samples
from echostream.channels.audio_stream import AudioStream
from echostream.channels.audio_workers import CaptureWorker
from echostream.errors import SourceClosed
from tests.bench._processes import Drain, pinned
from tests.bench._simulated import FRAME_S, gateway_encoder
from tests.bench._speech import speech
from tests.bench._transmit_process import network, new_stream, speak
from tests.bench.rows import Row, skipped

SETTLE_S = 0.7
HOLD_S = 2.5
TRIES = 2
"""A level is carried when it holds once: a miss may be the fault of something else on the core."""
MOST = 128
TIMEOUT_S = 120.0
WHAT = "channels that one core carries before the first missed deadline"


def rows() -> list[Row]:
    """In a process of its own, on the last core."""
    drain = Drain()
    command = [sys.executable, "-m", "tests.bench._capacity", str(drain.port)]
    try:
        done = subprocess.run(pinned(command), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return [skipped("cpu", WHAT, f"not done in {TIMEOUT_S:.0f} s")]
    finally:
        drain.close()
    if done.returncode:
        return [skipped("cpu", WHAT, done.stderr.strip().splitlines()[-1])]
    result = json.loads(done.stdout)
    return [
        Row(
            "cpu",
            WHAT,
            str(result["carried"]),
            note=f"transmit only, FEC on, {HOLD_S} s each; at {result['failed']} the latest frame was "
            f"{result['late_ms']:.1f} ms behind its deadline",
        )
    ]


class _Source:
    """AudioSource at an exact pace; counts the times that its reader came back too late."""

    def __init__(self, recording: Samples, first_due_s: float) -> None:
        self._frames = recording[: recording.size // TICK_SAMPLES * TICK_SAMPLES].reshape(-1, TICK_SAMPLES)
        self._first_due_s = first_due_s
        self._index = -1
        self._closed = threading.Event()
        self.missed = 0
        self.late_s = 0.0

    def read(self) -> Frame:
        due_s = self._first_due_s + (self._index + 1) * FRAME_S
        wait_s = due_s - time.monotonic()
        if wait_s < 0:
            self.missed += 1
            self.late_s = max(self.late_s, -wait_s)
        elif self._closed.wait(wait_s):
            raise SourceClosed("closed")
        if self._closed.is_set():
            raise SourceClosed("closed")
        self._index += 1
        return Frame(self._frames[self._index % len(self._frames)], self._index, time.monotonic())

    def close(self) -> None:
        self._closed.set()


class _Bank:
    """So many channels, talking."""

    def __init__(self, count: int, recording: Samples, port: int) -> None:
        start_s = time.monotonic() + 0.2
        # Phases of the golden ratio: spread evenly, whatever the count.
        self._sources = [
            _Source(recording, start_s + (number * 0.618034 % 1.0) * FRAME_S) for number in range(count)
        ]
        self._open = ExitStack()
        session, udp = self._open.enter_context(network(port))
        self._streams = [new_stream(gateway_encoder()) for _ in range(count)]
        self._workers = [
            _worker(stream, source, f"capture-{number}")
            for number, (stream, source) in enumerate(zip(self._streams, self._sources, strict=True))
        ]
        for worker, stream in zip(self._workers, self._streams, strict=True):
            speak(stream, session, udp, worker.name)
            worker.start()

    def misses(self) -> tuple[int, float]:
        """(deadlines missed, worst lateness in s) of the next HOLD_S."""
        for source in self._sources:
            source.missed, source.late_s = 0, 0.0
        time.sleep(HOLD_S)
        return sum(source.missed for source in self._sources), max(s.late_s for s in self._sources)

    def close(self) -> None:
        for worker in self._workers:
            worker.request_stop()
        for worker in self._workers:
            worker.join(2.0)
        for stream in self._streams:
            stream.transmit.close_codec()
        self._open.close()


def _worker(stream: AudioStream, source: _Source, name: str) -> CaptureWorker:
    return CaptureWorker(name, name, stream, lambda: source, lambda event: None)


def main() -> int:
    """Bisection between what held and what did not."""
    port = int(sys.argv[1])
    recording = speech(6.0)[: 6 * RATE_HZ]
    carried, failed, late_s = 0, MOST, 0.0
    while failed - carried > 1:
        count = min(16 + carried, (carried + failed) // 2) if failed == MOST else (carried + failed) // 2
        held, late = _holds(count, recording, port)
        if held:
            carried = count
        else:
            failed, late_s = count, late
    print(json.dumps({"carried": carried, "failed": failed, "late_ms": 1000 * late_s}))
    return 0


def _holds(count: int, recording: Samples, port: int) -> tuple[bool, float]:
    late_s = float("inf")
    for _ in range(TRIES):
        bank = _Bank(count, recording, port)
        try:
            time.sleep(SETTLE_S)
            gc.collect()
            missed, late = bank.misses()
        finally:
            bank.close()
        if not missed:
            return True, 0.0
        late_s = min(late_s, late)
    return False, late_s


if __name__ == "__main__":
    sys.exit(main())
