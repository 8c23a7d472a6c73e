"""Simulated microphones and the gateway that records them, each in a process of its own, and the comparison
of what was sent with what was recorded, to the sample."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.archive.sound_library import AudioReader
from echostream.errors import BrokenFile
from tests.bench._processes import cpu_s, pss_mb, waited_s
from tests.bench._relay_process import Job

READY_S = 15.0
END_S = 30.0
RETRY_S = 0.3
Counters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """One connection of a device, as the simulator tells of it. first_at_s: monotonic."""

    name: str
    samples: int
    lost_samples: int
    sha256: str
    first_at_s: float
    true_hz: float
    latest_ms: float


@dataclass(slots=True)
class Compared:
    """samples_lost: sent and not recorded. wrong: recordings that are not what was sent, or have a gap.
    gaps: how many of which cause."""

    sent: int = 0
    recorded: int = 0
    samples_lost: int = 0
    files: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    gaps: Counter[str] = field(default_factory=Counter)


class GatewayProcess:
    """Started, asked and ended from here."""

    def __init__(self, job: Job, errors: Path) -> None:
        self._errors = errors.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._relay_process", json.dumps(asdict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid
        deadline_s = time.monotonic() + READY_S
        while not self.ask()["listens"]:
            if time.monotonic() > deadline_s:
                raise RuntimeError("the relay does not listen")
            time.sleep(0.1)

    def ask(self) -> Counters:
        """Its counters now. RuntimeError when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the gateway ended with {self._process.wait(5)}")
        counters: Counters = json.loads(line)
        return counters

    @property
    def family(self) -> list[int]:
        """Its process and its workers'."""
        found = [self.pid]
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self.family)

    def waited_s(self) -> float:
        return sum(waited_s(pid) for pid in self.family)

    def rss_mb(self) -> float:
        held = 0.0
        for pid in self.family:
            with contextlib.suppress(OSError):  # a child that just ended
                held += pss_mb(pid)
        return held

    def close(self) -> bool:
        """In order; whether that took less than END_S."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._errors.close()


@contextlib.contextmanager
def gateway(job: Job, folder: Path) -> Iterator[GatewayProcess]:
    """Ended at the end, whatever happens."""
    process = GatewayProcess(job, folder / "gateway.log")
    try:
        yield process
    finally:
        process.close()


class Fleet:
    """`echostream esp32` with --json."""

    def __init__(self, port: int, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "echostream", "esp32", *arguments),
                *("--to", f"127.0.0.1:{port}", "--hello", "--json", "--retry", str(RETRY_S)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self._process.pid

    def sent(self, timeout_s: float) -> tuple[list[Sent], float]:
        """Wait for its end: the connections, and how late the simulator itself was at most, in ms."""
        try:
            told = json.loads(self._process.communicate(timeout=timeout_s)[0])
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        unix_s = time.time() - time.monotonic()  # the simulator tells Unix times
        connections = [
            Sent(
                device["name"],
                one["samples"],
                one["lost_samples"],
                one["sha256"],
                (one["first_at_s"] or one["began_s"]) - unix_s,
                told["rate_hz"] * (1 + device["ppm"] / 1e6),
                one["latest_ms"],
            )
            for device in told["devices"]
            for one in device["connections"]
        ]
        return connections, told["latest_ms"]


def free_port() -> int:
    """A TCP port of the loopback that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def compare(directory: Path, sent: Sequence[Sent]) -> Compared:
    """Each device's recordings, in order and without the silence in gaps, against what it sent (s16le)."""
    by_source: dict[str, list[Recording]] = {}
    result = Compared()
    for meta in directory.glob("*/.meta/*.json"):
        try:
            recording = read_meta(meta)
        except BrokenFile as error:
            result.wrong.append(str(error))
            continue
        by_source.setdefault(recording.source, []).append(recording)
    by_name: dict[str, list[Sent]] = {}
    for one in sent:
        by_name.setdefault(one.name, []).append(one)
    for name, connections in by_name.items():
        pieces = sorted(by_source.get(name, []), key=lambda piece: piece.start_us)
        _compare(directory, name, connections, pieces, result)
    return result


def _compare(
    directory: Path, name: str, connections: Sequence[Sent], pieces: Sequence[Recording], result: Compared
) -> None:
    digest, count, gaps = hashlib.sha256(), 0, 0
    for piece in pieces:
        audio = directory / piece.path
        result.files += 1
        result.bytes += audio.stat().st_size
        for samples in _sound(audio, piece):
            digest.update(samples.astype("<i2").tobytes())
            count += samples.size
        told = [*piece.gaps, *([] if piece.gap_before is None else [piece.gap_before])]
        result.gaps.update(gap.cause for gap in told)
        gaps += len(told)
    sent = sum(one.samples for one in connections)
    result.sent += sent
    result.recorded += count
    result.samples_lost += max(0, sent - count)
    if len(connections) != 1:
        result.wrong.append(f"{name} connected {len(connections)} times")
    elif digest.hexdigest() != connections[0].sha256:
        result.wrong.append(f"{name}: {count} samples recorded, {sent} sent, and not the same")
    elif gaps or connections[0].lost_samples:
        result.wrong.append(f"{name}: {gaps} gaps told, {connections[0].lost_samples} samples lost by itself")


def _sound(audio: Path, piece: Recording) -> Iterator[np.ndarray[Any, np.dtype[np.int16]]]:
    """Blocks of what the device sent."""
    silent = [
        (gap.position, gap.position + round((gap.end_us - gap.start_us) * piece.rate_hz / 1e6))
        for gap in piece.gaps
        if gap.position is not None
    ]
    with AudioReader(audio) as reader:
        at = 0
        while (samples := reader.read(480_000)).size:
            keep = np.ones(samples.size, np.bool_)
            for begin, end in silent:
                keep[max(0, begin - at) : max(0, end - at)] = False
            at += samples.size
            yield samples[keep]


def job(folder: Path, **known: Any) -> Job:
    """With a directory of its own and a free port."""
    archive = folder / "recordings"
    archive.mkdir()
    return replace(Job(str(archive), free_port()), **known)


def delays_ms(notes: Mapping[str, Sequence[float]], sent: Sequence[Sent], chunk: int) -> list[float]:
    """From each chunk being complete in the device to its last sample in the recorder's hands.

    notes: of each device, end positions and monotonic seconds in turn. chunk: samples.
    """
    by_name = {one.name: one for one in sent}
    delays: list[float] = []
    for name, flat in notes.items():
        one = by_name[name]
        ends, times = np.array(flat[0::2]), np.array(flat[1::2])
        borders = np.arange(chunk, one.samples + 1, chunk)
        block = np.searchsorted(ends, borders)
        known = block < ends.size
        complete_s = one.first_at_s + borders[known] / one.true_hz
        delays += (1e3 * (times[block[known]] - complete_s)).tolist()
    return delays
