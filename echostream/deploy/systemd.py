"""What deploying asks of the service manager: systemctl on a machine, nothing below a test's folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from echostream.deploy.layout import DeployError

BOOTED: Final = Path("/run/systemd/system")
"""Is there where systemd runs as init (sd_booted(3))."""
SYSTEMCTL_TIMEOUT_S: Final = 120.0


class Systemd(Protocol):
    """systemctl, as far as it is needed. Raises DeployError with what systemctl said."""

    @property
    def booted(self) -> bool:
        """False in a chroot, while an image is made, below a test's folder: units are only enabled there."""

    def daemon_reload(self) -> None: ...
    def enable(self, units: Sequence[str]) -> None: ...
    def disable(self, units: Sequence[str]) -> None: ...
    def is_enabled(self, unit: str) -> bool: ...
    def is_active(self, unit: str) -> bool: ...
    def start(self, units: Sequence[str]) -> None: ...
    def stop(self, units: Sequence[str]) -> None: ...
    def restart(self, units: Sequence[str]) -> None: ...
    def reset_failed(self, units: Sequence[str]) -> None: ...
    def reload_udev(self) -> None: ...


class Systemctl:
    """The real one; `root` other than `/`: what works without a running manager (enable, disable)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    @property
    def booted(self) -> bool:
        return self._root == Path("/") and BOOTED.is_dir()

    def daemon_reload(self) -> None:
        """Read the units again."""
        if self.booted:
            self._run("daemon-reload")

    def enable(self, units: Sequence[str]) -> None:
        """Start them at each boot."""
        self._run("enable", "--quiet", *units)

    def disable(self, units: Sequence[str]) -> None:
        """No longer start them at boot."""
        self._run("disable", "--quiet", *units)

    def is_enabled(self, unit: str) -> bool:
        """Whether it starts at boot."""
        return self._ask("is-enabled", "--quiet", unit) == 0

    def is_active(self, unit: str) -> bool:
        """Whether it runs."""
        return self.booted and self._ask("is-active", "--quiet", unit) == 0

    def start(self, units: Sequence[str]) -> None:
        """Start them; returns when they are ready."""
        self._run("start", *units)

    def stop(self, units: Sequence[str]) -> None:
        """Stop them; returns when they have ended."""
        self._run("stop", *units)

    def restart(self, units: Sequence[str]) -> None:
        """Stop and start them; returns when they are ready."""
        self._run("restart", *units)

    def reset_failed(self, units: Sequence[str]) -> None:
        """Forget that they failed, and how often."""
        if self.booted:
            self._ask("reset-failed", *units)

    def reload_udev(self) -> None:
        """Read the udev rules again, and have them applied to what is plugged in."""
        if not self.booted:
            return
        for words in (("control", "--reload"), ("trigger", "--action=change", "--subsystem-match=hidraw")):
            _output(["udevadm", *words])  # a container has no udev; then nothing is plugged in either

    def _command(self, words: Sequence[str]) -> list[str]:
        root = [] if self._root == Path("/") else [f"--root={self._root}"]
        return ["systemctl", "--no-ask-password", *root, *words]

    def _run(self, *words: str) -> None:
        done = self._call(words)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().replace("\n", "; ")
            raise DeployError(f"systemctl {' '.join(words)}: {said or f'exit code {done.returncode}'}")

    def _ask(self, *words: str) -> int:
        return self._call(words).returncode

    def _call(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return _output(self._command(words))


def _output(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SYSTEMCTL_TIMEOUT_S
        )
    except OSError as error:
        raise DeployError(f"{command[0]}: {error}; is this a system with systemd?") from error
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"{' '.join(command)}: no answer for {SYSTEMCTL_TIMEOUT_S:.0f} s") from error
