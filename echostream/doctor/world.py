"""What the checks look at: the machine below a root, the configuration, the running gateway.

Everything that is read of the machine is read below `root`, so that a test can hand over a broken one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from echostream.config.load import LoadedConfig
from echostream.config.models import Config
from echostream.doctor.account import Account
from echostream.errors import EchoStreamError
from echostream.hardware.gpio_chips import find_chip, list_chips
from echostream.hardware.gpio_uapi import ChipInfo, LineInfo, read_line_info
from echostream.service.health import Health

COMMAND_S: Final = 8.0
MAX_TEXT_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. code: None where it is not installed, or did not end."""

    code: int | None
    out: str = ""
    err: str = ""


def run_program(*command: str, within_s: float = COMMAND_S) -> Ran:
    """Run it, in plain English, for at most so long."""
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=within_s,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(None, "", str(error))
    return Ran(
        done.returncode,
        done.stdout[:MAX_TEXT_BYTES].decode(errors="replace"),
        done.stderr[:MAX_TEXT_BYTES].decode(errors="replace"),
    )


@dataclass(frozen=True, slots=True)
class GpioView:
    """The kernel's GPIO chips, replaced in tests. Each raises as its original does."""

    chips: Callable[[], list[ChipInfo]] = list_chips
    find: Callable[[str], ChipInfo] = find_chip
    line: Callable[[str, int], LineInfo] = read_line_info


@dataclass(frozen=True, slots=True)
class World:
    """What is looked at. loaded: None where the configuration is refused (`refused` says why) or not there.
    account: the user that the gateway runs as. health: what the gateway wrote last; None where there
    is nothing, and unread_health says why where it does not read."""

    root: Path = Path("/")
    config_path: Path | None = None
    loaded: LoadedConfig | None = None
    refused: EchoStreamError | None = None
    account: Account = field(default_factory=Account.current)
    instance: str = "echostream"
    health: Health | None = None
    unread_health: str = ""
    quick: bool = False
    udp_channel: str | None = None
    run: Callable[..., Ran] = run_program
    gpio: GpioView = field(default_factory=GpioView)
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000

    @property
    def config(self) -> Config | None:
        """What is in force."""
        return self.loaded.config if self.loaded is not None else None

    def may(self, path: Path, want: int) -> bool:
        """Whether the gateway's user may do so (account.READ, WRITE, ENTER)."""
        return self.account.may(path, want, self.root)

    def path(self, absolute: str | Path) -> Path:
        """A path of the machine, below the root."""
        return self.root / str(absolute).lstrip("/")

    def text(self, absolute: str | Path) -> str:
        """What a small file of the machine holds, stripped; "" where it cannot be read."""
        try:
            with self.path(absolute).open("rb") as file:
                data = file.read(MAX_TEXT_BYTES)
        except (OSError, ValueError):
            return ""
        return data.decode(errors="replace").strip("\0 \t\r\n")

    def number(self, absolute: str | Path) -> int | None:
        """As text(), a number; None where there is none."""
        try:
            return int(self.text(absolute), 0)
        except ValueError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Paths of the machine that match, below the root, in order."""
        return sorted(self.root.glob(pattern.lstrip("/")))
