"""Everybody whom a gateway tells, and the gateway as a process: a broker with TLS and passwords, a bucket, a
control server, a person's webhook."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mosquitto
from authority import Authority
from subscriber import Subscriber

from echostream.simulator.bucket_server import BucketServer
from echostream.simulator.control_server import ControlServer

ALL = ("mqtt", "s3", "alerts")
ROOT = Path(__file__).parents[2]
PAGE = {
    "tone_id": "engine-7", "tone_a_hz": 349.0, "tone_b_hz": 433.7, "tone_a_length_s": 0.5,
    "tone_b_length_s": 0.8, "record_length_s": 1.0, "alert": "Engine 7",
}  # fmt: skip


@dataclass
class Receiver:
    """A person's webhook: what was posted to it."""

    told: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), name="receiver")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Site:
    """Everybody whom a gateway tells, and the gateway itself as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "authority")
        users = {"gateway": "a word", "listener": "another"}
        settings = mosquitto.Settings(users=users, pair=self.authority.server("broker"))
        self.broker = mosquitto.Mosquitto(folder / "broker", settings)
        self.bucket = BucketServer("127.0.0.1", 0, folder / "bucket", "some-id", "some-secret")
        self.bucket.store.make("county")
        self.control = ControlServer(aes_key="generate")
        self.receiver = Receiver()
        self._closers = [self.receiver.close, self.control.stop, self.bucket.stop, self.broker.stop]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Everybody is there."""
        self.broker.start()
        self.bucket.start()
        self.control.start()

    def config(self, on: Collection[str] = ALL) -> Path:
        """The gateway's, with these publishers on."""
        secrets = {
            "mqtt": "a word", "id": "some-id", "secret": "some-secret", "chief": self.receiver.url,
        }  # fmt: skip
        for name, text in secrets.items():
            path = self.folder / f"secret-{name}"
            path.touch(0o600)
            path.write_text(text)
        document: dict[str, Any] = {
            "gateway": {"id": "station-7", "affiliation_id": "s7"},
            "control_server": {"url": self.control.url, "probe_s": 0.2},
            "channels": [{"id": "dispatch", "name": "Dispatch", "card": "A"}],
            "tones": {"dispatch": {"alert_tones": [PAGE]}},
            "recording": {"enabled": True, "directory": str(self.folder / "recordings"), "keep": "flac"},
            "events": {"directory": str(self.folder / "events")},
            "mqtt": {
                "enabled": True, "host": "localhost", "port": self.broker.port, "username": "gateway",
                "password": {"file": str(self.folder / "secret-mqtt")},
                "tls": {"ca_file": str(self.authority.ca)},
            },
            "s3": {
                "enabled": True, "bucket": "county", "region": "us-east-1",
                "endpoint_url": self.bucket.url, "rules": [{"what": "pages"}],
                "access_key_id": {"file": str(self.folder / "secret-id")},
                "secret_access_key": {"file": str(self.folder / "secret-secret")},
            },
            "alerts": {
                "enabled": True,
                "targets": [{"name": "chief", "url": {"file": str(self.folder / "secret-chief")}}],
                "rules": [{"name": "Engine 7 is paged", "on": "page", "targets": ["chief"]}],
            },
        }  # fmt: skip
        for name in ALL:
            document[name]["enabled"] = name in on
        path = self.folder / "config.json"
        path.write_text(json.dumps(document))
        return path

    def listen(self) -> Subscriber:
        """To everything, from now on."""
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        listener = Subscriber(self.broker.port, username="listener", password="another", context=context)
        listener.wait_subscribed()
        self._closers.insert(0, listener.close)
        return listener

    def run(self, name: str, on: Collection[str] = ALL) -> subprocess.Popen[bytes]:
        """Its log is NAME.log, its summary NAME.json. on: publishers."""
        command = [sys.executable, "-m", "echostream", "run", "--config", str(self.config(on))]
        summary = str(self.folder / f"{name}.json")
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--simulate", "all", "--log", "lines", "--summary", summary],
                env={**os.environ, "RUNTIME_DIRECTORY": str(self.folder)},
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def uploaded(self) -> list[Path]:
        return [path for path in (self.folder / "bucket" / "county").rglob("*") if path.is_file()]

    def close(self) -> None:
        """Idempotent."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        while self._closers:
            self._closers.pop(0)()
