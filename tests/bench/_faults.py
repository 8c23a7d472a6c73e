"""Everybody whom a gateway tells, each at its worst: it hangs, resets, is full, or is not there."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from archive_house import ArchiveHouse, voice
from scripted_broker import SILENT, Script, ScriptedBroker

from echostream.config.alert_models import AlertRule, Alerts, AlertTarget
from echostream.config.base import Secret
from echostream.config.event_models import Events
from echostream.config.models import Config
from echostream.config.mqtt_models import Mqtt
from echostream.config.recording_models import Recording
from echostream.config.s3_models import S3, S3Rule
from echostream.events import Event, Member, RemoteTransmit, WorkerFailed
from echostream.publishers import PublisherSecrets

RECORDINGS: Final = 30
"""That wait for the bucket, of 320 KB each."""
BEFORE_RESET: Final = 100_000
EVENTS_PER_S: Final = 100
SECRETS: Final = PublisherSecrets(None, ("id", "secret"), {"chief": "json://127.0.0.1:9/"})


class ResettingServer:
    """Takes the first bytes of whatever is sent, and resets the connection. resets: how many."""

    def __init__(self) -> None:
        self.resets = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="resetting-server")
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            with one, contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.settimeout(1.0)
                taken = 0
                while taken < BEFORE_RESET and (data := one.recv(65536)):
                    taken += len(data)
                    if data.endswith(b"\r\n\r\n") and b"100-continue" in data:
                        one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.resets += 1


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[tuple[Path, str]]:
    """A folder that takes nothing any more, and how: a file system of its own where that may be made, else a
    place where no folder can be."""
    place = folder / "full"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        place.rmdir()
        place.write_bytes(b"")
        yield place, "a folder that cannot be made"
        return
    try:
        with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        yield place, "a full disk"
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_archive(folder: Path) -> None:
    """Recordings that nobody has uploaded yet."""
    house = ArchiveHouse(folder)
    sound = voice(10.0)
    for number in range(RECORDINGS):
        house.add("porch", 1_760_000_000_000_000 + number * 10_000_000, sound)


def with_publishers(config: Config, archive: Path, spool: Path, broker_port: int, s3_port: int) -> Config:
    """The same gateway, that also tells everybody."""
    rule = AlertRule(name="a worker failed", on="worker_failed", targets=("chief",))
    chief = AlertTarget(name="chief", url=Secret(env="NOT_READ"))
    return config.model_copy(
        update={
            "recording": Recording(enabled=True, directory=str(archive)),
            "events": Events(directory=str(spool), report_at=None),
            "mqtt": Mqtt(enabled=True, host="127.0.0.1", port=broker_port, tls=None, levels_s=1.0),
            "s3": S3(
                enabled=True,
                bucket="county",
                region="us-east-1",
                endpoint_url=f"http://127.0.0.1:{s3_port}",
                rules=(S3Rule(what="all"),),
            ),
            "alerts": Alerts(enabled=True, targets=(chief,), rules=(rule,)),
        }
    )


def silent_broker() -> ScriptedBroker:
    """Welcomes whoever connects, and acknowledges nothing."""
    return ScriptedBroker(Script(judge=lambda published: SILENT))


@contextlib.contextmanager
def events(post: Callable[[Event], None], channels: tuple[str, ...]) -> Iterator[None]:
    """So many events a second: members who begin and end to talk."""
    ended = threading.Event()

    def tell() -> None:
        post(WorkerFailed("nobody", "so that somebody is to be told"))
        for number in itertools.count():
            if ended.wait(1 / EVENTS_PER_S):
                return
            member = Member(f"u{number // 2 % 50}", "Engine", "County")
            post(RemoteTransmit(channels[number // 2 % len(channels)], member, number % 2 == 0))

    thread = threading.Thread(target=tell, name="events")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5.0)
