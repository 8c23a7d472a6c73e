"""Group `software`: Python, the libraries and whether they load, the system they run on."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import ssl
import sys
from typing import Final

from echostream import __version__
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World

SUPPORTED: Final = ((3, 11), (3, 13))
"""First and last version of Python that EchoStream is tested with."""

IMPORT_S: Final = 40.0
"""A Pi 3 with a slow card takes ten."""

VERSION: Final = Kind("software.version", Level.OK, "EchoStream {version}, Python {python}, {openssl}")
PYTHON: Final = Kind(
    "software.python",
    Level.WARNING,
    "Python {python} is not among those that EchoStream is tested with ({first} to {last})",
    "install the release for this system: its environment brings the Python that it was built for",
)
SYSTEM: Final = Kind("software.system", Level.OK, "{system}, kernel {kernel}, {machine}")
OLD_KERNEL: Final = Kind(
    "software.old_kernel",
    Level.FAILURE,
    "kernel {kernel} has no GPIO character device of version 2 (Linux 5.10)",
    "sudo apt full-upgrade, then reboot",
)
LOADED: Final = Kind("software.libraries", Level.OK, "{count} libraries load: {names}")
NOT_LOADED: Final = Kind("software.library", Level.FAILURE, "{library} does not load: {why}", "{remedy}")
NOT_LOADED_EXTRA: Final = Kind("software.extra", Level.WARNING, "{library} does not load: {why}", "{remedy}")
OUT_OF_RANGE: Final = Kind(
    "software.range",
    Level.WARNING,
    "{library} is {version}, EchoStream is tested with {wanted}",
    "install the release again (it brings its own libraries), or: pip install '{library}{wanted}'",
)

_AGAIN: Final = "install EchoStream again (sudo make install, or apt install --reinstall ./echostream_*.deb)"
# What is imported, its distribution, and what helps where the system's own library is what is missing.
NEEDED: Final[dict[str, tuple[str, str]]] = {
    "numpy": ("numpy", _AGAIN),
    "pyaudio": ("PyAudio", f"sudo apt install libportaudio2; else {_AGAIN}"),
    "opuslib": ("opuslib", f"sudo apt install libopus0; else {_AGAIN}"),
    "cryptography": ("cryptography", _AGAIN),
    "pydantic": ("pydantic", _AGAIN),
    "websocket": ("websocket-client", _AGAIN),
    "lgpio": ("lgpio", _AGAIN),
}
EXTRA: Final[dict[str, tuple[str, str]]] = {
    "paho.mqtt.client": ("paho-mqtt", _AGAIN),
    "botocore": ("botocore", _AGAIN),
    "sqlalchemy": ("SQLAlchemy", _AGAIN),
    "soundfile": ("soundfile", f"sudo apt install libsndfile1; else {_AGAIN}"),
    "zeroconf": ("zeroconf", _AGAIN),
    "apprise": ("apprise", _AGAIN),
    "rich": ("rich", _AGAIN),
    "matplotlib": ("matplotlib", _AGAIN),
}
_IMPORTER: Final = """\
import importlib, json, sys
told = {}
for name in sys.argv[1:]:
    print(json.dumps({"at": name}), flush=True)
    try:
        module = importlib.import_module(name)
        told[name] = ""
    except BaseException as error:
        told[name] = f"{type(error).__name__}: {error}"
try:
    import opuslib.api.info
    opus = opuslib.api.info.get_version_string()
    opus = opus.decode() if isinstance(opus, bytes) else str(opus)
except BaseException:
    opus = ""
try:
    import pyaudio
    audio = pyaudio.get_portaudio_version_text()
except BaseException:
    audio = ""
print(json.dumps({"told": told, "opus": opus, "audio": audio}))
"""


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("software", "system", _system),
        Check("software", "libraries", _libraries, within_s=IMPORT_S + 5),
        Check("software", "ranges", _ranges),
    ]


def _system(world: World) -> list[Finding]:
    python = platform.python_version()
    findings = [VERSION.at(version=__version__, python=python, openssl=ssl.OPENSSL_VERSION.split(" (")[0])]
    first, last = SUPPORTED
    if not first <= sys.version_info[:2] <= last:
        findings.append(PYTHON.at(python=python, first=_dotted(first), last=_dotted(last)))
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', world.text("/etc/os-release"), re.M)
    kernel = world.text("/proc/sys/kernel/osrelease") or platform.release()
    machine = platform.machine()
    findings.append(
        SYSTEM.at(system=release[1] if release else platform.system(), kernel=kernel, machine=machine)
    )
    numbers = [int(number) for number in re.findall(r"\d+", kernel)[:2]]
    if len(numbers) == 2 and tuple(numbers) < (5, 10):
        findings.append(OLD_KERNEL.at(kernel=kernel))
    return findings


def _libraries(world: World) -> list[Finding]:
    """Imported in a process of their own: a broken one can end its process, and would end this one."""
    known = NEEDED if world.quick else {**NEEDED, **EXTRA}
    ran = world.run(sys.executable, "-c", _IMPORTER, *known, within_s=IMPORT_S)
    lines = ran.out.splitlines()
    told = _object(lines[-1]) if lines else {}
    results = told.get("told")
    if not isinstance(results, dict):
        last = _object(lines[-1]).get("at", "python") if lines else "python"
        why = f"the process that imports it ended ({ran.code if ran.code is not None else ran.err})"
        remedy = known.get(str(last), ("", _AGAIN))[1]
        return [NOT_LOADED.at(library=str(last), why=why, remedy=remedy)]
    findings = []
    good = []
    for name, why in results.items():
        library, remedy = known[name]
        if why:
            kind = NOT_LOADED if name in NEEDED else NOT_LOADED_EXTRA
            findings.append(kind.at(library=library, why=why, remedy=remedy))
        else:
            good.append(f"{library} {_version(library) or ''}".strip())
    native = [text for text in (told.get("opus"), str(told.get("audio", "")).partition(",")[0]) if text]
    return [LOADED.at(count=len(good), names=", ".join([*good, *map(str, native)])), *findings]


def _ranges(world: World) -> list[Finding]:
    findings = []
    for text in _requirements():
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*([^;]*)$", text.partition(";")[0].strip())
        version = _version(match[1]) if match else None
        if match is None or version is None:
            continue
        if not within(version, match[2]):
            findings.append(OUT_OF_RANGE.at(library=match[1], version=version, wanted=match[2].strip()))
    return findings


def within(version: str, wanted: str) -> bool:
    """Whether a version such as "2.1.3" is in a range such as ">=2,<3". What cannot be read counts as met."""
    have = _numbers(version)
    for part in wanted.replace(" ", "").strip("()").split(","):
        match = re.fullmatch(r"(>=|<=|==|!=|<|>|~=)([0-9.]+)(\.\*)?", part)
        if match is None:
            continue
        limit = _numbers(match[2])
        size = max(len(have), len(limit))
        left, right = (numbers + (0,) * (size - len(numbers)) for numbers in (have, limit))
        met = {
            ">=": left >= right,
            "<=": left <= right,
            "<": left < right,
            ">": left > right,
            "==": have[: len(limit)] == limit if match[3] else left == right,
            "!=": have[: len(limit)] != limit if match[3] else left != right,
            "~=": left >= right and have[: len(limit) - 1] == limit[:-1],
        }
        if not met[match[1]]:
            return False
    return True


def _requirements() -> list[str]:
    try:
        wanted = importlib.metadata.requires("echostream") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return []
    return [text for text in wanted if "extra ==" not in text]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _object(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
