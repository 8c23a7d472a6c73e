"""A machine's folder to install into, without systemd: trees that are small, a service manager and users that
behave as the real ones do where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echostream.deploy.layout import DeployError, InstallRecord, Layout, Release, Tree, record_text

SERVICE = """\
[Service]
ExecStart=/opt/echostream/current/bin/python -m echostream run
# {marker}
[Install]
WantedBy=multi-user.target
"""
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
SYSUSERS = """\
# type name id gecos home
g gpio -
u echostream - "EchoStream gateway" /var/lib/echostream
u echostream-ptt - "EchoStream PTT guard"
m echostream audio
m echostream gpio
"""
ETC_PASSWD = "root:x:0:0:root:/root:/bin/bash\n"
ETC_GROUP = "root:x:0:\naudio:x:29:\n"


@dataclass
class FakeServices:
    """systemctl of a machine whose units lie below `layout`: it refuses units that are not there."""

    layout: Layout
    record: InstallRecord
    booted: bool = False
    enabled: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Units that do not start."""
    calls: list[str] = field(default_factory=list)

    def daemon_reload(self) -> None:
        self.calls.append("daemon-reload")

    def reload_udev(self) -> None:
        self.calls.append("reload udev")

    def enable(self, units: Sequence[str]) -> None:
        self._there("enable", units)
        self.enabled |= set(units)

    def disable(self, units: Sequence[str]) -> None:
        self.enabled -= set(units)

    def is_enabled(self, unit: str) -> bool:
        return unit in self.enabled

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def start(self, units: Sequence[str]) -> None:
        self._there("start", units)
        for unit in units:
            if unit in self.broken:
                raise DeployError(f"systemctl start: Job for {unit} failed")
            self.active.add(unit)
        self.calls.append(f"start {' '.join(units)}")

    def stop(self, units: Sequence[str]) -> None:
        self.active -= set(units)
        self.calls.append(f"stop {' '.join(units)}")

    def restart(self, units: Sequence[str]) -> None:
        self.start(units)

    def restart_soon(self, units: Sequence[str]) -> None:
        self.start(units)

    def reset_failed(self, units: Sequence[str]) -> None:
        pass

    def restarts(self, unit: str) -> int:
        return 0

    def running(self, patterns: Sequence[str]) -> list[str]:
        return [unit for unit in patterns if unit in self.active]

    def _there(self, what: str, units: Sequence[str]) -> None:
        for unit in units:
            if not (self.layout.below(self.record.unit_dir) / unit).is_file():
                raise DeployError(f"systemctl {what} {unit}: Unit file {unit} does not exist.")


@dataclass
class FakeUsers:
    """systemd-sysusers of the machine below `layout`. `works`: False leaves everything as it is."""

    layout: Layout
    works: bool = True
    runs: int = 0

    def make(self, definitions: Path) -> None:
        self.runs += 1
        if not self.works:
            return
        etc = self.layout.below("/etc")
        passwd = etc.joinpath("passwd").read_text().splitlines()
        group = {
            line.split(":")[0]: line.split(":") for line in etc.joinpath("group").read_text().splitlines()
        }
        for line in definitions.read_text().splitlines():
            words = line.split()
            if words[0] in {"u", "g"}:
                group.setdefault(words[1], [words[1], "x", str(900 + len(group)), ""])
            if words[0] == "u" and not any(entry.startswith(f"{words[1]}:") for entry in passwd):
                passwd.append(f"{words[1]}:x:{900 + len(passwd)}:{group[words[1]][2]}::/:/usr/sbin/nologin")
            if words[0] == "m":
                entry = group[words[2]]
                entry[3] = ",".join(sorted({*filter(None, entry[3].split(",")), words[1]}))
        etc.joinpath("passwd").write_text("".join(f"{line}\n" for line in passwd))
        etc.joinpath("group").write_text("".join(f"{':'.join(entry)}\n" for entry in group.values()))


def make_machine(root: Path) -> Layout:
    """A Debian with nothing of EchoStream."""
    etc = root / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(ETC_PASSWD)
    (etc / "group").write_text(ETC_GROUP)
    return Layout(root)


def make_tree(layout: Layout, version: str, units: Sequence[str] = ("echostream.service",)) -> Tree:
    """A whole version in its place; its units say which it is."""
    tree = layout.tree(version)
    for folder in (tree.units, tree.udev, tree.sysusers, tree.path / "bin"):
        folder.mkdir(parents=True)
    for unit in units:
        text = SERVICE.format(marker=version) if unit.endswith(".service") else TIMER
        (tree.units / unit).write_text(text)
    (tree.udev / "60-echostream.rules").write_text(f"# {version}\n")
    (tree.sysusers / "echostream.conf").write_text(SYSUSERS)
    tree.config.write_text('{"made": "by the installation"}\n')
    release = Release(version, version.split("+")[0], "2026-11-21T12:00:00Z", "3.11", "amd64", "bookworm")
    tree.release_file.write_text(record_text(release))
    return tree


def everything(layout: Layout) -> dict[str, str]:
    """Each file and link below the machine's folder with what it holds: what changed, and what did not."""
    found = {}
    for path in sorted(layout.root.rglob("*")):
        name = path.relative_to(layout.root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode:o} {path.read_text()}"
        else:
            found[name] = f"{path.stat().st_mode:o}"
    return found
