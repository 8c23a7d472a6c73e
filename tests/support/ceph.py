"""A real S3 server of the tests' own: Ceph's radosgw over one OSD that keeps everything in memory. On
loopback, on free ports, gone afterwards.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "radosgw", "radosgw-admin")
KEYS: Final = ("TESTKEY", "only-for-tests")
UP_S: Final = 90.0

_CONFIG: Final = """
[global]
fsid = {fsid}
mon initial members = a
mon host = [v1:127.0.0.1:{mon_port}]
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 500
paxos propose interval = 0.05
osd crush chooseleaf type = 0
osd class update on start = false
osd objectstore = memstore
osd op num threads per shard = 1
memstore device bytes = 2147483648
run dir = {home}/run
admin socket = {home}/run/$cluster-$name.asok
log file = {home}/$name.log
mon data = {home}/mon
osd data = {home}/osd
keyring = {home}/keyring
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {home}/rgw
rgw thread pool size = 16
rgw gc max concurrent io = 1
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it is, and who may do everything there."""

    url: str
    access_key: str
    secret: str
    home: Path

    def admin(self, *arguments: str) -> str:
        """`radosgw-admin ...`."""
        return _run(self.home, "radosgw-admin", "-c", str(self.home / "ceph.conf"), *arguments)


def missing() -> list[str]:
    """Programs that are not installed."""
    return [one for one in PROGRAMS if shutil.which(one) is None]


@contextmanager
def server() -> Iterator[S3Server]:
    """An empty one, after a quarter of a minute."""
    home = Path(tempfile.mkdtemp(prefix="echostream-ceph-", dir="/tmp"))
    running: list[subprocess.Popen[bytes]] = []
    try:
        port = _begin(home, running)
        _run(
            home,
            *("radosgw-admin", "-c", str(home / "ceph.conf"), "user", "create"),
            *("--uid=test", "--display-name=test", f"--access-key={KEYS[0]}", f"--secret={KEYS[1]}"),
        )
        yield S3Server(f"http://127.0.0.1:{port}", *KEYS, home)
    finally:
        for one in reversed(running):
            one.kill()
        for one in running:
            with suppress(subprocess.TimeoutExpired):
                one.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _begin(home: Path, running: list[subprocess.Popen[bytes]]) -> int:
    for name in ("mon", "osd", "rgw", "run"):
        (home / name).mkdir()
    mon_port, port, fsid = _free_port(), _free_port(), str(uuid.uuid4())
    config = home / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=fsid, home=home, mon_port=mon_port, port=port))
    asked, keyring = ("-c", str(config)), str(home / "keyring")
    _run(
        home,
        "ceph-authtool",
        "--create-keyring",
        keyring,
        "--gen-key",
        "-n",
        "mon.",
        "--cap",
        "mon",
        "allow *",
    )
    caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    _run(home, "ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    monmap = str(home / "monmap")
    _run(home, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", monmap)
    _run(home, "ceph-mon", *asked, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    running.append(_start(home, "ceph-mon", *asked, "-i", "a", "-f"))
    _until(lambda: _works(home, "timeout", "5", "ceph", *asked, "-s"))
    osd = str(uuid.uuid4())
    _run(home, "ceph", *asked, "osd", "new", osd)
    _run(home, "ceph-osd", *asked, "-i", "0", "--mkfs", "--osd-uuid", osd)
    _begin_osd(home, running, asked)
    _works(home, "ceph", *asked, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h")
    running.append(_start(home, "radosgw", *asked, "-n", "client.rgw", "-f"))
    _until(lambda: _answers(port))
    return port


def _begin_osd(home: Path, running: list[subprocess.Popen[bytes]], asked: tuple[str, str]) -> None:
    """A monitor that was just made may turn it away once."""

    def is_up() -> bool:
        if running[-1].poll() is not None:
            running[-1] = _start(home, "ceph-osd", *asked, "-i", "0", "-f")
        return b'"num_up_osds":1' in _said(home, "ceph", *asked, "osd", "stat", "-f", "json")

    running.append(_start(home, "ceph-osd", *asked, "-i", "0", "-f"))
    _until(is_up)


def _start(home: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    with (home / f"{program}.txt").open("wb") as output:
        return subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home
        )


def _run(home: Path, program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], cwd=home, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')[-2000:]}"
    return done.stdout.decode(errors="replace")


def _said(home: Path, program: str, *arguments: str) -> bytes:
    return subprocess.run(
        [program, *arguments], cwd=home, capture_output=True, timeout=60, check=False
    ).stdout


def _works(home: Path, program: str, *arguments: str) -> bool:
    asked = [program, *arguments]
    return subprocess.run(asked, cwd=home, capture_output=True, timeout=60, check=False).returncode == 0


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _until(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + UP_S
    while not what():
        assert time.monotonic() < end_s, "Ceph does not come up"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
