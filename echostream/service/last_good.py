"""The configuration that worked: kept when the gateway was healthy with it, taken when a new one fails.

    DIRECTORY/config.json    the bytes of the last one with which a gateway was healthy for two minutes
    DIRECTORY/starts.json    how many starts in a row, of this boot, came to nothing, and with which one

Whoever writes a configuration is not always there when the gateway starts with it. One that is refused, or
with which three starts in a row ended before they were healthy, gives way for this start to the one before,
and that is said on every way there is: log, status line, health, event log. The file that was asked for is
never changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from echostream.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")

GOOD_AFTER_S: Final = 120.0
"""Healthy for so long without a break: this configuration is worth keeping."""
STARTS: Final = 3
"""So many in a row that ended before they were healthy are no accident."""
CONFIG: Final = "config.json"
COUNT: Final = "starts.json"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_MOST_BYTES: Final = 4_096
_MOST_WORDS: Final = 400
"""Of the reason; the command `echostream config check` has all of it."""


@dataclass(frozen=True, slots=True)
class Start(Generic[T]):
    """What a start takes. why: "" for the configuration that was asked for, else why it is not that one."""

    loaded: T
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Count:
    """Starts in a row, with one configuration in one boot, that did not become healthy."""

    sha256: str = ""
    boot_id: str = ""
    starts: int = 0


class LastGood:
    """One run of the gateway, from its first look at the configuration to its end. Of one thread.

    A disk that refuses is told in the log and stops nothing. `why` as in Start; "" again after a reload.
    """

    def __init__(self, directory: Path | None, boot_id: str | None = None) -> None:
        """directory: of the service alone; None: nothing is kept and nothing is taken."""
        self._directory = directory
        self._boot_id = boot_id if boot_id is not None else _boot()
        self._content = b""
        self._healthy_since_s: float | None = None
        self._was_healthy = False
        self._kept = False
        self.why = ""

    @property
    def config_sha256(self) -> str:
        """Of the configuration in force."""
        return _sha256(self._content)

    def begin(self, path: Path, read: Callable[[Path], bytes], parse: Callable[[bytes, str], T]) -> Start[T]:
        """The configuration for this start: of `path`, else the one that worked.

        Raises the ConfigError of read or parse where there is none that worked.
        """
        try:
            content = read(path)
            loaded = parse(content, str(path))
        except ConfigError as error:
            found = self._fall_back(f"{path} was refused: {error}", read, parse)
            if found is None:
                raise
            return found
        count = self._count_of(content)
        if count >= STARTS and (kept := self._read_kept()) is not None and kept != content:
            words = f"{STARTS} starts in a row with {path} ended before the gateway was healthy"
            if (found := self._fall_back(words, read, parse)) is not None:
                return found
        self._content = content
        self._write_count(_Count(_sha256(content), self._boot_id, count + 1))
        return Start(loaded)

    def look(self, healthy: bool, now: float) -> None:
        """Once a second or so. now: monotonic seconds."""
        if not healthy:
            self._healthy_since_s = None
            return
        if self._healthy_since_s is None:
            self._healthy_since_s = now
        if not self._was_healthy:
            self._was_healthy = True
            if not self.why:
                self._write_count(_Count())
        if not self._kept and now - self._healthy_since_s >= GOOD_AFTER_S:
            self._kept = True
            self._keep()

    def reloaded(self, content: bytes) -> None:
        """A configuration read anew is in force: whatever was wrong with the one before is over."""
        self._content = content
        self._healthy_since_s = None
        self._kept = False
        self.why = ""
        self._write_count(_Count(_sha256(content), self._boot_id, 0))

    def ended_in_order(self) -> None:
        """Somebody wanted it stopped: that says nothing of the configuration."""
        if not self._was_healthy and not self.why:
            self._write_count(
                _Count(_sha256(self._content), self._boot_id, self._count_of(self._content) - 1)
            )

    # ---- the files

    def _fall_back(
        self, why: str, read: Callable[[Path], bytes], parse: Callable[[bytes, str], T]
    ) -> Start[T] | None:
        """The one that worked; None where there is none, or where it does not hold either."""
        if self._directory is None or not (path := self._directory / CONFIG).exists():
            return None
        try:
            content = read(path)
            loaded = parse(content, str(path))
            kept_s = path.stat().st_mtime
        except (ConfigError, OSError) as error:
            log.error("the configuration that worked last is of no use either: %s", error)
            return None
        self._content = content
        # Kept already, and its date is worth more than a new one.
        self._kept = True
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept_s))
        words = " ".join(why.split())[:_MOST_WORDS]
        self.why = f"not the configuration asked for, but the last that worked ({path}, {day}): {words}"
        log.error("%s", self.why)
        return Start(loaded, self.why)

    def _keep(self) -> None:
        if self._directory is None or self._read_kept() == self._content:
            return
        try:
            _write(self._directory / CONFIG, self._content)
            log.info("healthy for %.0f s: this configuration is kept as the last that worked", GOOD_AFTER_S)
        except OSError as error:
            log.error("%s: the configuration that works cannot be kept: %s", self._directory, error)

    def _read_kept(self) -> bytes | None:
        if self._directory is None:
            return None
        try:
            return (self._directory / CONFIG).read_bytes()
        except OSError:
            return None

    def _count_of(self, content: bytes) -> int:
        """Starts of this boot, with this configuration, that came to nothing."""
        if self._directory is None:
            return 0
        try:
            with (self._directory / COUNT).open("rb") as file:
                value = json.loads(file.read(_MOST_BYTES))
            count = _Count(str(value["sha256"]), str(value["boot_id"]), int(value["starts"]))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: not read, and counted anew: %s", self._directory / COUNT, error)
            return 0
        same = count.sha256 == _sha256(content) and count.boot_id == self._boot_id
        return max(0, count.starts) if same else 0

    def _write_count(self, count: _Count) -> None:
        if self._directory is None:
            return
        text = json.dumps({"sha256": count.sha256, "boot_id": count.boot_id, "starts": max(0, count.starts)})
        try:
            _write(self._directory / COUNT, text.encode() + b"\n")
        except OSError as error:
            log.error("%s: starts cannot be counted: %s", self._directory, error)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _boot() -> str:
    """Which boot this is; power cuts of a flaky supply are no fault of a configuration."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also at a power cut."""
    path.parent.mkdir(0o750, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
