"""Processes that a benchmark starts, and the CPU time they take."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path

TAKE_S = 0.2


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process so far, in nanosecond steps where the kernel keeps them."""
    total_ns = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
    except (OSError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total_ns / 1e9


def waited_s(pid: int) -> float:
    """Seconds that the threads of a process were ready and got no core; 0 where the kernel does not say."""
    total_ns = 0
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[1])
    return total_ns / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():  # exact, unlike statm
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{pid}/smaps_rollup: no line of Rss")


def pss_mb(pid: int) -> float:
    """What a process holds, in 10^6 bytes; pages that several share are divided among them, so that a child
    which is just being made does not count its parent's memory again."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    return 1.024e-3 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def children(name: str) -> list[int]:
    """Our own children of that command name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, rest = entry.read_text().rsplit(")", 1)
        except OSError:  # it ended meanwhile
            continue
        if int(rest.split()[1]) == os.getpid() and head.split("(", 1)[1] == name:
            found.append(int(entry.parent.name))
    return found


def pinned(command: list[str]) -> list[str]:
    """The command on the last core alone, where the rest of the bench is not."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[-1]), *command]


def stop(process: subprocess.Popen[str]) -> None:
    """End a child that we started; bounded."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


class Drain:
    """A UDP port that takes whatever comes and counts it. Thread `bench-drain`."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(TAKE_S)
        self.port = int(self._sock.getsockname()[1])
        self.datagrams = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-drain")
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._sock.recv(8192)
            except TimeoutError:
                continue
            self.datagrams += 1

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5 * TAKE_S)
        self._sock.close()
