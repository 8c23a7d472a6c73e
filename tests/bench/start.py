"""Start of the service with four channels: from exec to READY=1, and to on the air; files warm and cold.

"On the air" is the first datagram with audio: the cards hum all the time, a voice-operated valve opens with
the first frame. Beside it the start of an interpreter that imports numpy and no more; and where time goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

import echostream
from echostream.audio.format import RATE_HZ
from echostream.errors import EchoStreamError
from echostream.simulator.microphone import Microphone
from tests.bench._processes import stop
from tests.bench._site import CARDS, ROOT, Site, document
from tests.bench.rows import Row, percentile, skipped

BENCH: Final = "start"
STARTS: Final = 5
LONG_STARTS: Final = 20
WAIT_S: Final = 15.0
GOAL_S: Final = 5.0
POLL_S: Final = 0.005
MOST_ROOMS: Final = 8
REFERENCE: Final = "import numpy"


def run(long: bool = False) -> list[Row]:
    """Each figure of several starts; the server and the cards stay up between them."""
    starts = LONG_STARTS if long else STARTS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-start-")))
        try:
            site = Site(folder, stack)
        except EchoStreamError as error:
            return [skipped(BENCH, "start of a whole gateway", str(error))]
        hum = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)
        for name in CARDS:
            stack.callback(Microphone(site.cards[name], hum, pause_s=0.0).close)
        _start(site)  # folders and index are made once in a gateway's life
        rows = []
        for what, cold in (("files in memory", False), ("files read from the disk", True)):
            taken = [_start(site, cold) for _ in range(starts)]
            reference_s = percentile([_reference_s(cold) for _ in range(starts)], 0.5)
            rows += _rows(what, taken, reference_s)
    return [*rows, _imports()]


def _rows(what: str, taken: list[tuple[float, float]], reference_s: float) -> list[Row]:
    rows = []
    for number, name in enumerate(("READY=1", "on the air")):
        times = [one[number] for one in taken]
        median, worst = percentile(times, 0.5), max(times)
        rows.append(
            Row(
                BENCH,
                f"process start to {name}, {what}",
                f"median {median:.2f} s, worst of {len(times)} {worst:.2f} s",
                f"<= {GOAL_S:.0f} s",
                worst <= GOAL_S,
                f"an interpreter with numpy alone: {reference_s:.2f} s, ratio {median / reference_s:.1f}",
            )
        )
    return rows


def _start(site: Site, cold: bool = False) -> tuple[float, float]:
    """(seconds to READY=1, seconds to the first audio); WAIT_S for what did not come."""
    if cold:
        _forget_files()
    with _notify_socket(site.folder / "notify") as notified:
        before = _audio(site)
        began_s = time.monotonic()
        settings = document(site.server.url, site.folder)
        os.environ["NOTIFY_SOCKET"] = str(site.folder / "notify")
        try:
            process = site.gateway(settings, site.folder / "gateway.log")
        finally:
            del os.environ["NOTIFY_SOCKET"]
        try:
            ready_s = air_s = WAIT_S
            pause = threading.Event()
            while (elapsed_s := time.monotonic() - began_s) < WAIT_S:
                if ready_s == WAIT_S and _said_ready(notified):
                    ready_s = elapsed_s
                if air_s == WAIT_S and _audio(site) > before:
                    air_s = elapsed_s
                if max(ready_s, air_s) < WAIT_S:
                    break
                pause.wait(POLL_S)
            return ready_s, air_s
        finally:
            stop(process)


def _audio(site: Site) -> int:
    """Datagrams with audio that the server got."""
    counts = site.server.stats().counts
    return counts.get("datagrams_in", 0) - counts.get("heartbeats", 0)


@contextlib.contextmanager
def _notify_socket(path: Path) -> Iterator[socket.socket]:
    """What systemd gives a service to say that it is ready."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(path))
        yield notified


def _said_ready(notified: socket.socket) -> bool:
    while select.select([notified], [], [], 0)[0]:
        if "READY=1" in notified.recv(4096).decode(errors="replace").splitlines():
            return True
    return False


def _reference_s(cold: bool) -> float:
    if cold:
        _forget_files()
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", REFERENCE], check=True)
    return time.monotonic() - began_s


def _forget_files() -> None:
    """The kernel keeps nothing of the libraries and of ourselves that no other process has mapped."""
    os.sync()
    places = [Path(echostream.__file__).parent, *(Path(p) for p in sys.path if p.endswith("packages"))]
    for place in places:
        for path in place.rglob("*"):
            if path.suffix in {".pyc", ".so"} or ".so." in path.name:
                with contextlib.suppress(OSError), path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _imports() -> Row:
    """Where the time of `import echostream.main` goes: by package, without what each imports in turn."""
    times: dict[str, list[float]] = {}
    for _ in range(3):
        output = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import echostream.main"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
        spent: dict[str, float] = {}
        for own_us, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", output):
            package = name.split(".")[0]
            if package not in {"echostream", "numpy", "pydantic", "sqlalchemy", "cryptography"}:
                package = "asyncio" if package == "asyncio" else "the rest"
            spent[package] = spent.get(package, 0.0) + int(own_us) / 1000
        for package, own_ms in spent.items():
            times.setdefault(package, []).append(own_ms)
    least = sorted(((min(own), package) for package, own in times.items()), reverse=True)
    note = ", ".join(f"{package} {own_ms:.0f} ms" for own_ms, package in least[:MOST_ROOMS])
    return Row(BENCH, "import echostream.main", f"{sum(own for own, _ in least):.0f} ms", note=note)
