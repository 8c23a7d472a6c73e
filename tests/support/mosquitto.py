"""A Mosquitto broker of the tests' own, on loopback: plain, with TLS, with certificates of clients."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from authority import Authority, Pair
from esp32_bench import free_port

START_S = 10.0
SBIN = "/usr/sbin/mosquitto"


def binary() -> str | None:
    """Debian keeps it off the PATH of users."""
    return shutil.which("mosquitto") or (SBIN if Path(SBIN).exists() else None)


@dataclass(slots=True)
class Settings:
    """users: name -> password; empty: everybody. acl: lines of an ACL file; "": everything is allowed.
    pair: TLS with this certificate; client_ca: and clients need one of this authority, whose name is their
    user. extra: more lines of mosquitto.conf."""

    users: dict[str, str] = field(default_factory=dict)
    acl: str = ""
    pair: Pair | None = None
    client_ca: Path | None = None
    extra: str = ""


class Mosquitto:
    """One broker, on the same port in each of its lives."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._settings = settings or Settings()
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(self._settings)

    def configure(self, settings: Settings) -> None:
        """In force with the next start."""
        self._settings = settings
        lines = ["user root", "persistence false", "log_type all", "set_tcp_nodelay true"]
        lines += [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(not settings.users).lower()}"]
        if settings.users:
            lines.append(f"password_file {self._passwords(settings.users)}")
        if settings.acl:
            acl = self._folder / "acl"
            acl.write_text(settings.acl + "\n")
            lines.append(f"acl_file {acl}")
        if settings.pair is not None:
            lines += [f"certfile {settings.pair.cert}", f"keyfile {settings.pair.key}"]
        if settings.client_ca is not None:
            lines += [f"cafile {settings.client_ca}", "require_certificate true"]
            lines += ["use_identity_as_username true"]
        (self._folder / "mosquitto.conf").write_text("\n".join([*lines, settings.extra]) + "\n")

    def _passwords(self, users: dict[str, str]) -> Path:
        path = self._folder / "passwords"
        path.write_text("".join(f"{name}:{word}\n" for name, word in users.items()))
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, timeout=10)
        return path

    def start(self) -> None:
        """Until it takes connections."""
        program = binary()
        assert program is not None, "mosquitto is missing: scripts/setup.sh dev installs it"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline_s, self.log()
                time.sleep(0.01)

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """In order, or hanging: it is gone afterwards."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            self._wait()

    def hang(self) -> None:
        """It holds its sockets and answers nothing, until resume()."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def with_tls(folder: Path, authority: Authority) -> Mosquitto:
    """A broker with a good certificate for localhost."""
    return Mosquitto(folder, Settings(pair=authority.server("broker")))
