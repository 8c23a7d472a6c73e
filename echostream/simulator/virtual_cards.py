"""Sound cards without hardware: a private PulseAudio daemon each, reached through real ALSA and PortAudio.

PulseAudio was chosen because it needs no kernel module and no session. Each daemon holds two null sinks: what
is played into `in` is what the card's microphone hears, and `out` takes what the card plays. Killing a daemon
is pulling that card's plug; the other cards know nothing of it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from echostream.errors import AudioError, LibraryMissing, StateError

log = logging.getLogger(__name__)

HEARS: Final = "in"
"""Sink whose monitor is the card's microphone."""
PLAYS: Final = "out"
"""Sink that takes what the card plays."""

_PACKAGES: Final = {"pulseaudio": "pulseaudio", "pacat": "pulseaudio-utils", "parec": "pulseaudio-utils"}
STOCK_CONFIG: Final = "/usr/share/alsa/alsa.conf"
_START_S: Final = 5.0
_STOP_S: Final = 2.0
_STEP_S: Final = 0.01
_AWAKE_MS: Final = 10
"""An idle null sink sleeps for 2 s at a time; one listener that wants this latency keeps it awake. (And with
`norewinds` it does not begin with such a sleep.)"""
_LONGEST_SOCKET: Final = 100

# A shell waits on a pipe that only we hold. However we die, the pipe closes and the shell kills its group, so
# no daemon stays behind. PR_SET_PDEATHSIG would act when the thread ends that happened to start the daemon.
_GUARDED: Final = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec "$@" 3<&- </dev/null'


def require(program: str) -> str:
    """Path of a program. LibraryMissing names the Debian package."""
    path = shutil.which(program)
    if path is None:
        package = _PACKAGES.get(program, program)
        raise LibraryMissing(
            f"{program} is not installed, virtual sound cards need it: apt install {package}"
        )
    return path


class VirtualCard:
    """One daemon. Created unplugged."""

    def __init__(self, name: str, folder: Path, channels: int) -> None:
        self.name = name
        self._folder = folder
        self._channels = channels
        self._socket = folder / "socket"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._listeners: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        if len(str(self._socket)) > _LONGEST_SOCKET:
            raise AudioError(f"{folder}: too long a path for a socket; use a shorter runtime directory")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def server(self) -> str:
        """The daemon's address, as PulseAudio's clients take it."""
        return f"unix:{self._socket}"

    @property
    def group(self) -> int:
        """Process group of the daemon. StateError while it is unplugged."""
        if self._daemon is None:
            raise StateError(f"virtual card {self.name} is unplugged")
        return self._daemon.pid

    @property
    def plugged(self) -> bool:
        """Whether the daemon answers."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            return True

    def plug(self) -> None:
        """Start the daemon and wait until it can be used. AudioError when it does not start."""
        with self._lock:
            if self._daemon is not None and self._daemon.poll() is None:
                return
            self._reap()
            self._stopped.clear()
            self._daemon = self._start_daemon()
            deadline_s = time.monotonic() + _START_S
            while not self.plugged:
                if self._daemon.poll() is not None or time.monotonic() > deadline_s:
                    self._reap()
                    raise AudioError(f"virtual card {self.name}: PulseAudio did not start in {self._folder}")
                self._stopped.wait(_STEP_S)
            self._listeners = [self._start_listener(sink) for sink in (HEARS, PLAYS)]

    def pull(self) -> None:
        """Kill the daemon at once: the card is gone."""
        with self._lock:
            self._stopped.set()
            self._reap()

    def client(self, program: str, *options: str, channels: int = 1) -> list[str]:
        """Command line of `pacat` or `parec` for this card: 16-bit samples at 48 kHz, raw."""
        return [
            require(program),
            f"--server={self.server}",
            "--raw",
            "--format=s16le",
            "--rate=48000",
            f"--channels={channels}",
            *options,
        ]

    def client_environment(self) -> dict[str, str]:
        """What the daemon and its clients run in: nothing of theirs is written outside the card's folder."""
        folder = str(self._folder)
        return {
            **os.environ,
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_RUNTIME_PATH": folder,
            "PULSE_STATE_PATH": folder,
            "PULSE_COOKIE": f"{folder}/cookie",
        }

    def _start_daemon(self) -> subprocess.Popen[bytes]:
        sinks = [
            f"module-null-sink sink_name={name} rate=48000 channels={self._channels} format=s16le norewinds=1"
            for name in (HEARS, PLAYS)
        ]
        # The socket comes last: a daemon that answers is complete.
        modules = [*sinks, f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"]
        command = [require("pulseaudio"), "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        command += ["--realtime=no", "--high-priority=no", "--disable-shm=yes"]
        command += [part for module in modules for part in ("-L", module)]
        self._socket.unlink(missing_ok=True)
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.client_environment(),
            start_new_session=True,
        )

    def _start_listener(self, sink: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.client("parec", f"--device={sink}.monitor", f"--latency-msec={_AWAKE_MS}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.client_environment(),
        )

    def _reap(self) -> None:
        """Kill what runs and wait for it. Listeners end with their daemon, but not always soon."""
        if self._daemon is not None:
            if self._daemon.poll() is None:
                os.killpg(self._daemon.pid, signal.SIGKILL)
            end(self._daemon)
        for listener in self._listeners:
            end(listener)
        self._daemon, self._listeners = None, []


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child and take its remains; bounded."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        log.error("process %d does not end", process.pid)


class VirtualCards:
    """Virtual cards by name, all plugged in. Use environment() before PortAudio is initialised."""

    def __init__(
        self, names: Sequence[str], runtime_dir: Path, *, channels: int = 1, cabled: bool = False
    ) -> None:
        """`runtime_dir`: a folder of our own, with a short path. `channels`: 2 for stereo cards.

        `cabled`: each card's output is wired to its own input, and it hears nothing else.
        LibraryMissing names the packages; AudioError when a daemon does not start.
        """
        require_everything()
        for name in names:
            if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
                raise AudioError(f"virtual card {name!r}: expected letters, digits, '_', '-' and '.'")
        self._config = runtime_dir / "alsa.conf"
        self._cookie = runtime_dir / "cookie"
        self._cards = {
            name: VirtualCard(name, runtime_dir / f"card{number}", channels)
            for number, name in enumerate(names)
        }
        heard = PLAYS if cabled else HEARS
        self._config.write_text(
            "".join(render_card(card.name, card.server, heard) for card in self._cards.values()),
            encoding="utf-8",
        )
        try:
            for card in self._cards.values():
                card.plug()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> VirtualCard:
        """KeyError for a card that is not one of these."""
        return self._cards[name]

    def environment(self) -> dict[str, str]:
        """Variables under which ALSA knows the cards by their names."""
        previous = os.environ.get("ALSA_CONFIG_PATH") or STOCK_CONFIG
        variables = {"ALSA_CONFIG_PATH": f"{previous}:{self._config}", "PULSE_COOKIE": str(self._cookie)}
        if "XDG_RUNTIME_DIR" not in os.environ:
            variables["PULSE_RUNTIME_PATH"] = str(self._config.parent)  # else it makes one in the home folder
        return variables

    def pull(self, name: str) -> None:
        """Unplug a card."""
        self._cards[name].pull()

    def plug(self, name: str) -> None:
        """Plug a card in again."""
        self._cards[name].plug()

    def close(self) -> None:
        """Stop every daemon. Idempotent."""
        for card in self._cards.values():
            card.pull()


def require_everything() -> None:
    """LibraryMissing when a program or ALSA's PulseAudio plugin is not installed."""
    for program in _PACKAGES:
        require(program)
    folders = [Path("/usr/lib/alsa-lib"), *Path("/usr/lib").glob("*/alsa-lib")]
    if not any((folder / "libasound_module_pcm_pulse.so").exists() for folder in folders):
        raise LibraryMissing(
            "ALSA's PulseAudio plugin is not installed, virtual sound cards need it: "
            "apt install libasound2-plugins"
        )


def render_card(name: str, server: str, heard: str = HEARS) -> str:
    """ALSA configuration of one card. `heard`: the sink whose monitor is its microphone."""
    return (
        f"pcm.{name} {{ type asym hint {{ show on description {name} }}\n"
        f'  capture.pcm {{ type pulse server "{server}" device "{heard}.monitor" }}\n'
        f'  playback.pcm {{ type pulse server "{server}" device "{PLAYS}" }}\n'
        "}\n"
    )
