"""Where things lie on a machine that EchoStream is installed on, all below `root` (`/`, or a test's folder).

/opt/echostream/versions/ID/        a tree: one version, whole, in its place; release.json is written last
/opt/echostream/current             -> versions/ID; switched by renaming a symlink over it
/opt/echostream/previous            -> versions/ID of the one before
/opt/echostream/install.json        how it came here: InstallRecord
/opt/echostream/trial.json          while a new version is on trial
/etc/echostream/config.json         0640 root:echostream, never overwritten
/etc/echostream/credentials/        0700 root; each file is a credential
/var/lib/echostream                 echostream:echostream 0750
/run/echostream                     health.json, echostream.pid
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from echostream.errors import EchoStreamError

Method = Literal["source", "package"]

RELEASE_FILE: Final = "release.json"
ID_FORM: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,99}")
"""What names a version's folder below versions/. What is being made begins with a dot, so it is none."""
MAX_RECORD_BYTES: Final = 65_536


class DeployError(EchoStreamError, RuntimeError):
    """An installation, or an upgrade of one, cannot go on. The message has the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a tree's release.json says."""

    id: str
    version: str
    built_at: str
    """UTC, ISO 8601."""
    python: str
    """The minor version that it was made for: "3.11"."""
    arch: str
    """As Debian names it: "amd64", "arm64"."""
    distribution: str
    """Debian's code name: "bookworm", "trixie"."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One version: a virtual environment, and what belongs into the system."""

    path: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def share(self) -> Path:
        return self.path / "share" / "echostream"

    @property
    def units(self) -> Path:
        return self.share / "systemd"

    @property
    def udev(self) -> Path:
        return self.share / "udev"

    @property
    def sysusers(self) -> Path:
        return self.share / "sysusers"

    @property
    def config(self) -> Path:
        """The configuration that a machine without one begins with."""
        return self.share / "config.json"

    @property
    def release_file(self) -> Path:
        return self.path / RELEASE_FILE

    def release(self) -> Release:
        """What release.json says. Raises DeployError where it is missing (not complete) or broken."""
        values = _read_json(self.release_file)
        try:
            release = Release(**{field.name: _text(values[field.name]) for field in fields(Release)})
        except (KeyError, TypeError) as error:
            raise DeployError(f"{self.release_file}: {error} is missing or no text; install again") from error
        if not ID_FORM.fullmatch(release.id):
            raise DeployError(f"{self.release_file}: {release.id!r} cannot name a version; install again")
        return release


@dataclass(frozen=True, slots=True)
class InstallRecord:
    """How EchoStream came to this machine, and where its files of the system go: paths below `root`."""

    method: Method
    unit_dir: str
    udev_dir: str
    sysusers_dir: str
    bin_dir: str


SOURCE: Final = InstallRecord(
    method="source",
    unit_dir="/etc/systemd/system",
    udev_dir="/etc/udev/rules.d",
    sysusers_dir="/etc/sysusers.d",
    bin_dir="/usr/local/bin",
)
PACKAGE: Final = InstallRecord(
    method="package",
    unit_dir="/usr/lib/systemd/system",
    udev_dir="/usr/lib/udev/rules.d",
    sysusers_dir="/usr/lib/sysusers.d",
    bin_dir="/usr/bin",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The places, below `root`."""

    root: Path = Path("/")

    def below(self, path: str) -> Path:
        """An absolute path of the machine, as it is reached from here."""
        return self.root / path.lstrip("/")

    @property
    def home(self) -> Path:
        return self.below("/opt/echostream")

    @property
    def versions(self) -> Path:
        return self.home / "versions"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def previous(self) -> Path:
        return self.home / "previous"

    @property
    def install_file(self) -> Path:
        return self.home / "install.json"

    @property
    def trial_file(self) -> Path:
        return self.home / "trial.json"

    @property
    def config_dir(self) -> Path:
        return self.below("/etc/echostream")

    @property
    def config(self) -> Path:
        return self.config_dir / "config.json"

    @property
    def credentials(self) -> Path:
        return self.config_dir / "credentials"

    @property
    def data(self) -> Path:
        return self.below("/var/lib/echostream")

    @property
    def last_good(self) -> Path:
        return self.data / "last-good"

    @property
    def runtime(self) -> Path:
        return self.below("/run/echostream")

    def tree(self, version_id: str) -> Tree:
        """The tree of a version, there or not. Raises DeployError for what cannot name one."""
        if not ID_FORM.fullmatch(version_id):
            raise DeployError(f"{version_id!r} cannot name a version: letters, digits and . + ~ _ - only")
        return Tree(self.versions / version_id)

    def install_record(self) -> InstallRecord | None:
        """How it was installed; None where it is not. Raises DeployError where the record is broken."""
        if not self.install_file.exists():
            return None
        values = _read_json(self.install_file)
        try:
            texts = {field.name: _text(values[field.name]) for field in fields(InstallRecord)}
        except (KeyError, TypeError) as error:
            raise DeployError(f"{self.install_file}: {error} is missing or no text; install again") from error
        if texts["method"] not in get_args(Method):
            raise DeployError(f"{self.install_file}: unknown method {texts['method']!r}; install again")
        return InstallRecord(**texts)  # type: ignore[arg-type]  # the method was looked at


def record_text(record: InstallRecord | Release) -> str:
    """A record as it stands in its file."""
    return json.dumps(asdict(record), indent=2) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(MAX_RECORD_BYTES))
    except (OSError, ValueError) as error:
        raise DeployError(f"{path}: {error}; install again") from error
    if not isinstance(values, dict):
        raise DeployError(f"{path}: no JSON object; install again")
    return values


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r}")
    return value
