"""How a running gateway is, in one small file that is written each second: for the upgrade that watches a new
version, for `echostream doctor`, and for whoever asks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from echostream.errors import EchoStreamError

SUFFIX: Final = ".health.json"
FRESH_S: Final = 5.0
"""One that is older is of a gateway that hangs or is gone."""
_SLACK_S: Final = 0.1
_MOST_BYTES: Final = 1 << 20
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_RUN: Final = Path("/run/echostream")

T = TypeVar("T")


class HealthError(EchoStreamError, RuntimeError):
    """There is no such file, or it does not read."""


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """One channel. card: it has one and that is there. Frames, overruns and underruns: since its start.
    last_frame_age_s: since the card last gave one. Levels: as the card heard in the last second."""

    online: bool = False
    card: bool = False
    capture_frames: int = 0
    playback_frames: int = 0
    overruns: int = 0
    underruns: int = 0
    last_frame_age_s: float = 0.0
    level_dbfs: float = -120.0
    peak_dbfs: float = -120.0
    phase: str = "idle"


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """One way out: server, mqtt, s3, alerts. detail: why it is down."""

    up: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GuardHealth:
    """The process that holds the keyed lines. kind: "unit", "child", or None where no line is keyed."""

    pid: int | None = None
    kind: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class RealtimeHealth:
    """scheduling: "fifo" or "other". locked: its memory is. why: what keeps it from either."""

    scheduling: str = "other"
    locked: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class WakeUps:
    """How late the audio threads were woken, since the start: counts[i] were later than edges_us[i]."""

    count: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0
    edges_us: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """All of it. started_us, at_us: Unix microseconds; at_boot_s: seconds since the machine booted, by which
    its age is told though somebody sets the clock. ready: the first channel is up, or there was time enough
    for it. healthy: ready, and nothing hangs; what is merely away (a pulled card, a server) stands in why."""

    version: str
    pid: int
    instance: str
    boot_id: str
    started_us: int
    at_us: int
    at_boot_s: float
    ready: bool
    healthy: bool
    why: tuple[str, ...] = ()
    status: str = ""
    config_sha256: str = ""
    channels: Mapping[str, ChannelHealth] = field(default_factory=dict)
    links: Mapping[str, LinkHealth] = field(default_factory=dict)
    guard: GuardHealth = GuardHealth()
    realtime: RealtimeHealth = RealtimeHealth()
    wakeups: WakeUps = WakeUps()

    def age_s(self) -> float:
        """Since it was written; infinite for one of an earlier boot, if it does not lie below /run. boot_id
        is not asked: in a container a service may see another one than the shell beside it."""
        age_s = since_boot_s() - self.at_boot_s
        return age_s if age_s >= -_SLACK_S else float("inf")

    @property
    def current(self) -> bool:
        """A gateway that lives has just written it."""
        return self.age_s() < FRESH_S and _lives(self.pid)


def _lives(pid: int) -> bool:
    """Asked by a signal that is none: /proc may be closed to us."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def since_boot_s() -> float:
    """Seconds since the machine booted, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(path: Path = _BOOT_ID) -> str:
    """Which boot this is; "" where the kernel does not say."""
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""


def health_path(directory: Path, instance: str) -> Path:
    """Where the gateway of that name writes it; directory: its runtime directory."""
    return directory / f"{instance}{SUFFIX}"


def find_health(instance: str, directory: Path | None = None, run: Path = _RUN) -> Path | None:
    """The newest file of the gateway of that name, in `directory` or where a service has it."""
    places = [run, run / instance, *([] if directory is None else [directory])]
    found = []
    for place in places:
        path = health_path(place, instance)
        try:
            found.append((path.stat().st_mtime_ns, path))
        except OSError:
            continue
    return max(found)[1] if found else None


def write_health(path: Path, health: Health) -> None:
    """Whole or not at all, readable for everybody: it holds no secret. OSError."""
    scratch = path.with_name(path.name + ".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)  # whatever umask a service has
        file.write(json.dumps(asdict(health), ensure_ascii=False).encode() + b"\n")
    scratch.replace(path)


def read_health(path: Path) -> Health:
    """What stands there. HealthError. Keys that are not known are those of a newer version: left out."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise HealthError(f"{path} is not there: the gateway does not run") from None
    except (OSError, ValueError) as error:
        raise HealthError(f"{path} does not read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _made(Health, document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise HealthError(f"{path} is no health file: {error}") from None


def _made(kind: type[T], document: Any) -> T:
    """A dataclass of a JSON object."""
    if not isinstance(document, dict):
        raise TypeError(f"{kind.__name__}: expected an object")
    hints = get_type_hints(kind)
    found = {}
    for one in fields(kind):  # type: ignore[arg-type]  # of a dataclass, always
        if one.name in document:
            found[one.name] = _value(hints[one.name], document[one.name], f"{kind.__name__}.{one.name}")
    return kind(**found)


_MAPS: Final[dict[str, type[Any]]] = {"Health.channels": ChannelHealth, "Health.links": LinkHealth}
_PLAIN: Final[dict[Any, tuple[type, ...]]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    int | None: (int, type(None)),
    str | None: (str, type(None)),
}


def _value(hint: Any, value: Any, where: str) -> Any:
    if where in _MAPS:
        if not isinstance(value, dict):
            raise TypeError(f"{where}: expected an object")
        return {str(key): _made(_MAPS[where], one) for key, one in value.items()}
    if is_dataclass(hint):
        return _made(hint, value)  # type: ignore[arg-type]
    if hint in _PLAIN:
        if not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
            raise TypeError(f"{where}: {value!r}")
        return value
    if not isinstance(value, list):
        raise TypeError(f"{where}: expected an array")
    inner = str if hint == tuple[str, ...] else float if hint == tuple[float, ...] else int
    return tuple(_value(inner, one, where) for one in value)
