"""Cut the way to the bucket until a week of recordings waits, then kill the sender again and again while it
sends them; see what of it arrives, and how often.

    python tests/torture/cut_the_uplink.py [--rounds 20] [--seed 1] [--recordings 10000] [--json FILE]

A real S3 server (radosgw) keeps every version of every object, so that it says itself what was sent twice.
The uploader runs in a process of its own that is killed (SIGKILL) at moments of chance; what stands between
it and the server answers 500 and 503 now and then, resets connections in the middle of a part, and loses
answers to uploads that were taken. Of the memory: the most that a process with all of them waiting took,
beside one with a hundred. Ends with status 1 if a recording is missing, is there twice, is not what it was,
or was never told.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

import ceph  # noqa: E402 - after the path
import s3_proxy  # noqa: E402
from recorded import NOON_US  # noqa: E402
from upload_stand import Stand, client_of, key  # noqa: E402

from echostream.archive.recording import Recording  # noqa: E402
from echostream.events import Event, LinkChanged, RecordingUploaded  # noqa: E402
from echostream.index.door import open_index  # noqa: E402

CANNOT: Final = 77
BUCKET: Final = "week"
WEEK_US: Final = 7 * 86_400_000_000
SMALL, LARGE, LARGE_ONES = 2_000, 12_000_000, 6
PAGE_EACH: Final = 5
FEW: Final = 100
SHORTEST_S, LONGEST_S, AWAY_S = 0.1, 6.0, 10.0
"""How long it lives after its first request; how long nothing gets through."""
FAULT: Final = 0.02
"""Share of the requests that something happens to."""
STALLED_S: Final = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recordings", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, metavar=("DIRECTORY", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return upload(Path(options.child[0]), options.child[1])
    if missing := ceph.missing():
        say(f"not tried: Ceph is not installed ({', '.join(missing)}): scripts/setup.sh dev does")
        return CANNOT
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch, ceph.server() as server:
        client = client_of(server)
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        few_mb = memory_of_few(Path(scratch) / "few", server)
        torture = Torture(Path(scratch) / "week", server, client, options.seed)
        found = torture.run(options.recordings, options.rounds)
    found["memory_mb_with_100_waiting"] = few_mb
    say("")
    for name, value in found.items():
        say(f"  {name.replace('_', ' '):34} {value}")
    good = not (found["missing"] or found["twice"] or found["not_what_it_was"] or found["never_told"])
    grown = found["memory_mb"] / few_mb
    say(f"  {'memory beside that of a hundred':34} {grown:.2f}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if good and grown < 1.5 else 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# ---- the process that is killed


def upload(directory: Path, url: str) -> int:
    """Until it is killed: what was uploaded is told in a file, a line each, flushed at once."""
    told = (directory / "told").open("a", buffering=1)

    def post(event: Event) -> None:
        if isinstance(event, RecordingUploaded):
            told.write(f"{event.recording}\n")
        elif isinstance(event, LinkChanged):
            told.write(f"link {'up' if event.up else 'down'}\n")

    server = ceph.S3Server(url, *ceph.KEYS, directory)
    Stand(directory, server, BUCKET, url, post=post).uploader().start()
    threading.Event().wait()
    return 0


@dataclass
class Child:
    """One life of it."""

    process: subprocess.Popen[bytes]
    peak_mb: float = 0.0

    def look(self) -> None:
        """The most memory that it has ever had, in 10^6 bytes."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_mb = max(self.peak_mb, int(line.split()[1]) * 1024 / 1e6)

    def kill(self) -> None:
        self.look()
        self.process.kill()
        self.process.wait()


def start(directory: Path, url: str) -> Child:
    asked = [sys.executable, __file__, "--child", str(directory), url]
    return Child(subprocess.Popen(asked, stdin=subprocess.DEVNULL))


def memory_of_few(directory: Path, server: ceph.S3Server) -> float:
    """Of a process that sends a hundred."""
    directory.mkdir()
    stand = Stand(directory, server, BUCKET, server.url)
    fill(stand, FEW, random.Random(0), 2, "few")
    child = start(directory, server.url)
    try:
        wait_until(lambda: pending(directory) == 0 and (directory / "told").exists(), child)
        child.look()
    finally:
        child.kill()
    return round(child.peak_mb, 1)


def fill(stand: Stand, count: int, chance: random.Random, large: int, gateway: str) -> list[Recording]:
    """Recordings of a week, in the folder and in the index."""
    made, metas = list[Recording](), list[Path]()
    for number in range(count):
        size = LARGE if number < large else SMALL
        fields: dict[str, Any] = {"trigger": "page"} if number % PAGE_EACH == 0 else {}
        at_us = NOON_US + WEEK_US * number // count
        one = stand.put(size, indexed=False, start_us=at_us, gateway=gateway, **fields)
        made.append(one)
        metas.append(stand.meta(one))
    chance.shuffle(metas)
    with open_index(stand.directory) as index:
        for at in range(0, len(metas), 500):
            index.changed(metas[at : at + 500])
    return made


def pending(directory: Path) -> int:
    """Rows that wait; -1: nobody has searched the archive yet."""
    with open_index(directory) as index, index.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT state, count(*) FROM uploads GROUP BY state").all()
    counts = {str(state): int(count) for state, count in rows}
    return counts.get("pending", 0) if counts else -1


def wait_until(done: Any, child: Child, seconds: float = STALLED_S) -> None:
    end_s = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end_s or child.process.poll() is not None:
            raise SystemExit("the uploader has stalled, or ended by itself")
        child.look()
        time.sleep(0.2)


# ---- the torture


@dataclass
class Torture:
    """One archive, one bucket, one way between them that may be cut."""

    directory: Path
    server: ceph.S3Server
    client: Any
    seed: int
    peak_mb: float = 0.0
    kills: int = 0

    def run(self, count: int, rounds: int) -> dict[str, Any]:
        chance = random.Random(self.seed)
        self.directory.mkdir()
        stand = Stand(self.directory, self.server, BUCKET, "")
        began_s = time.monotonic()
        made = fill(stand, count, chance, LARGE_ONES, "week")
        say(f"{count} recordings of a week wait (made in {time.monotonic() - began_s:.0f} s)")
        with s3_proxy.proxy(self.server.url) as proxy:
            began_s = time.monotonic()
            self._cut(proxy, count)
            say(f"uplink cut: {self.peak_mb:.1f} MB at most while all of them wait; now {rounds} kills")
            proxy.faults = faults(chance)
            self._kill(proxy, chance, rounds)
            proxy.faults = s3_proxy.none
            self._drain(proxy)
            took_s = time.monotonic() - began_s
            requests = Counter(one.what for one in proxy.passed)
        return self._judged(made, took_s, dict(requests))

    def _cut(self, proxy: s3_proxy.Proxy, count: int) -> None:
        proxy.faults = lambda asked: s3_proxy.Fault(cut_after=0)
        child = start(self.directory, proxy.url)
        try:
            wait_until(lambda: pending(self.directory) == count, child)
            end_s = time.monotonic() + AWAY_S
            wait_until(lambda: time.monotonic() > end_s, child)
        finally:
            child.kill()
        self.peak_mb = max(self.peak_mb, child.peak_mb)

    def _kill(self, proxy: s3_proxy.Proxy, chance: random.Random, rounds: int) -> None:
        for number in range(1, rounds + 1):
            child = start(self.directory, proxy.url)
            seen = len(proxy.passed)
            wait_until(lambda seen=seen: len(proxy.passed) > seen, child)
            end_s = time.monotonic() + chance.uniform(SHORTEST_S, LONGEST_S)
            while time.monotonic() < end_s:
                child.look()
                time.sleep(0.1)
            child.kill()
            self.kills += 1
            self.peak_mb = max(self.peak_mb, child.peak_mb)
            if number % 5 == 0:
                say(f"  {number} kills, {pending(self.directory)} wait")

    def _drain(self, proxy: s3_proxy.Proxy) -> None:
        child = start(self.directory, proxy.url)
        left, since_s = pending(self.directory), time.monotonic()
        try:
            while left:
                time.sleep(1.0)
                child.look()
                now = pending(self.directory)
                since_s = time.monotonic() if now != left else since_s
                left = now
                if time.monotonic() - since_s > STALLED_S:
                    break
        finally:
            child.kill()
        self.peak_mb = max(self.peak_mb, child.peak_mb)

    def _judged(self, made: list[Recording], took_s: float, requests: dict[str, int]) -> dict[str, Any]:
        versions = Counter[str]()
        wrong = 0
        sizes = {key(one): one.bytes for one in made}
        pages = self.client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=BUCKET, Prefix="week/"):
            for one in page.get("Versions", ()):
                versions[one["Key"]] += 1
                wrong += sizes.get(one["Key"]) != one["Size"]
        for one in random.Random(self.seed).sample(made, min(200, len(made))):
            wrong += self._differs(one)
        in_parts = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        told = Counter((self.directory / "told").read_text().split("\n"))
        return {
            "recordings": len(made),
            "kills": self.kills,
            "seconds": round(took_s, 1),
            "memory_mb": round(self.peak_mb, 1),
            "missing": len(sizes.keys() - versions.keys()),
            "twice": sum(count > 1 for count in versions.values()),
            "not_what_it_was": wrong,
            "never_told": sum(not told[one.id] for one in made),
            "told_more_than_once": sum(told[one.id] > 1 for one in made),
            "uploads_in_parts_left": len(in_parts),
            "requests": requests,
        }

    def _differs(self, one: Recording) -> bool:
        try:
            found = self.client.get_object(Bucket=BUCKET, Key=key(one))
        except self.client.exceptions.NoSuchKey:
            return True
        stored = found["Body"].read()
        return bool(stored != (self.directory / one.path).read_bytes())


def faults(chance: random.Random) -> s3_proxy.Faults:
    """What happens to one request in fifty."""
    lock = threading.Lock()

    def fault(asked: s3_proxy.Asked) -> s3_proxy.Fault | None:
        with lock:
            if chance.random() > FAULT:
                return None
            return chance.choice(
                [
                    s3_proxy.answer(500, "InternalError"),
                    s3_proxy.answer(503, "SlowDown"),
                    s3_proxy.Fault(cut_after=chance.randrange(5_000_000)),
                    s3_proxy.Fault(lose=True),
                ]
            )

    return fault


if __name__ == "__main__":
    sys.exit(main())
