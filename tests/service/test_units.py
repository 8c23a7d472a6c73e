"""The units as they are shipped: systemd takes every word of them, and each is hardened.

`systemd-analyze verify` exits with 0 on a key that it does not know, so what counts is what it says.
"""

from __future__ import annotations

import configparser
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from echostream.cli import build_parser
from echostream.realtime.scheduling import AUDIO_PRIORITY

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
ALL = sorted(
    path.name for path in UNITS.iterdir() if path.suffix in {".service", ".timer", ".socket", ".path"}
)
PYTHON = "/opt/echostream/current/bin/python"
AS_ROOT = {"echostream-trial.service"}
"""Switches versions; what it may is judged by its score."""
ASKS_THE_CLOCK = [
    *("echostream.service", "echostream@.service"),
    *("echostream-retention.service", "echostream-report.service"),
]
MOST_EXPOSED = 2.0
INSTANCE = "north"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def text_of(name: str) -> str:
    return (UNITS / name).read_text("utf-8")


def settings(name: str, section: str) -> dict[str, str]:
    """The last word on each key; several of a key stand in lines."""

    class Several(dict[str, str]):
        def __setitem__(self, key: str, value: str) -> None:
            if key in self and isinstance(value, list):
                value = [*self[key], *value]
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), dict_type=Several)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text_of(name))
    return dict(parser[section])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them side by side, with a program in the place of ours, which is not installed here."""
    folder = tmp_path_factory.mktemp("units")
    for name in ALL:
        whole = text_of(name)
        (folder / name).write_text(re.sub(r"/opt/echostream/\w+/bin/python", "/bin/true", whole))
    return folder


def analyze(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@needs_systemd
def test_systemd_understands_every_word(installed: Path) -> None:
    names = [f"./{name.replace('@.', f'@{INSTANCE}.')}" for name in ALL]
    for name in ALL:
        if "@." in name:
            shutil.copy(installed / name, installed / name.replace("@.", f"@{INSTANCE}."))
    done = analyze("verify", *names, cwd=installed)
    ours = [line for line in done.stderr.splitlines() if "echostream" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_verify_would_say_it(tmp_path: Path) -> None:
    """The test above can fail: a slip of a key is told on stderr alone."""
    (tmp_path / "echostream.service").write_text("[Service]\nExecStart=/bin/true\nProtektSystem=strict\n")
    done = analyze("verify", "./echostream.service", cwd=tmp_path)
    assert "ProtektSystem" in done.stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_it_is_hardened(installed: Path, name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"./{name}", cwd=installed)
    found = re.search(r"Overall exposure level for .*?: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    exposed = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert float(found[1]) <= MOST_EXPOSED, "\n".join(exposed)


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_starts_is_a_command_of_ours(name: str) -> None:
    service = settings(name, "Service")
    for key in ("ExecStart", "ExecReload", "ExecStopPost"):
        line = service.get(key, "")
        words = line.replace("%i", INSTANCE).split()
        if not words:
            continue
        assert re.fullmatch(r"/opt/echostream/\w+/bin/python", words[0])
        assert words[1] == "-m"
        assert importlib.util.find_spec(words[2]) is not None
        if words[2] == "echostream":
            build_parser().parse_args(words[3:])  # exits where it is none


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in AS_ROOT])
def test_no_service_has_a_capability_or_more_than_it_was_given(name: str) -> None:
    service = settings(name, "Service")
    assert service["CapabilityBoundingSet"] == ""
    assert service["AmbientCapabilities"] == ""
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["User"].startswith("echostream")


@pytest.mark.parametrize(
    "name", ["echostream.service", "echostream@.service", "echostream-retention.service"]
)
def test_what_writes_flac_may_make_callbacks_at_run_time(name: str) -> None:
    """soundfile gives libsndfile functions of Python (cffi): without them no recording is filed."""
    assert settings(name, "Service")["MemoryDenyWriteExecute"] == "no"


@pytest.mark.parametrize("name", ASKS_THE_CLOCK)
def test_the_clock_may_be_asked_whether_it_is_right(name: str) -> None:
    """adjtimex(2) reads and sets: forbidden, every recording has a clock of unknown quality, and none is ever
    old enough to go. Which of its two calls a C library uses is its own affair."""
    service = settings(name, "Service")
    assert service["ProtectClock"] == "no"
    filters = service["SystemCallFilter"].split("\n")
    assert filters[-1] == "adjtimex clock_adjtime", "after what is taken away"


@pytest.mark.parametrize("name", ["echostream.service", "echostream@.service"])
def test_the_gateway_is_watched_and_never_given_up(name: str) -> None:
    service = settings(name, "Service")
    assert settings(name, "Unit")["StartLimitIntervalSec"] == "0"
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert int(service["WatchdogSec"]) <= 10
    assert int(service["TimeoutAbortSec"]) <= 3
    assert int(service["LimitRTPRIO"]) >= AUDIO_PRIORITY
    assert (service["LimitMEMLOCK"], service["RestrictRealtime"]) == ("infinity", "no")
    assert service["DevicePolicy"] == "closed"
    for device in ("char-alsa rw", "char-gpiochip rw", "char-hidraw rw"):
        assert f"DeviceAllow={device}\n" in text_of(name)


@pytest.mark.parametrize("name", ["echostream.service", "echostream@.service"])
def test_everything_that_is_written_has_a_place_of_its_own(name: str) -> None:
    """On a read-only root nothing else can be written to."""
    whole = text_of(name)
    for variable, folder in {
        "HOME": "/var/cache/echostream",
        "TMPDIR": "/tmp",
        "LG_WD": "/run/echostream",
        "MPLCONFIGDIR": "/var/cache/echostream",
        "PYTHONDONTWRITEBYTECODE": "1",
    }.items():
        assert re.search(rf"^Environment=.*\b{variable}={folder}", whole, re.MULTILINE), variable


def test_an_instance_is_the_gateway_with_folders_of_its_own() -> None:
    """Nobody forgets one of the two: what differs is named here."""
    main = text_of("echostream.service")
    expected = {
        "Description=EchoStream voice gateway": "Description=EchoStream voice gateway %i",
        "/etc/echostream/config.json": "/etc/echostream/%i.json --instance %i",
        "/var/lib/echostream/last-good": "/var/lib/echostream/%i/last-good",
        "WorkingDirectory=/var/lib/echostream": "WorkingDirectory=/var/lib/echostream/%i",
        "StateDirectory=echostream": "StateDirectory=echostream/%i",
        "RuntimeDirectory=echostream": "RuntimeDirectory=echostream/%i",
        "CacheDirectory=echostream": "CacheDirectory=echostream/%i",
        "RuntimeDirectoryPreserve=yes": "RuntimeDirectoryPreserve=restart",
        "HOME=/var/cache/echostream": "HOME=/var/cache/echostream/%i",
        "LG_WD=/run/echostream": "LG_WD=/run/echostream/%i",
        "MPLCONFIGDIR=/var/cache/echostream/matplotlib": "MPLCONFIGDIR=/var/cache/echostream/%i/matplotlib",
    }
    made = main
    for before, after in expected.items():
        made, count = re.subn(re.escape(before) + r"(?=\s)", after, made)
        assert count, before
    assert words(made) == words(text_of("echostream@.service"))


def words(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_users_and_groups_are_made_for_who_runs() -> None:
    users = text_of("echostream.sysusers")
    for name in SERVICES:
        user = settings(name, "Service").get("User", "root")
        assert user == "root" or re.search(rf"^u {re.escape(user)} ", users, re.MULTILINE), name
    for group in ("audio", "gpio", "plugdev", "video"):
        assert f"m echostream {group}\n" in users
