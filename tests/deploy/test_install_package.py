"""What dpkg runs while the old version's files go and the new one's come, also where it is cut off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"
OLD, NEW = "1.0", "2.0"
# Kills the shell before its Nth command, in functions too.
KILLED = 'set -T; n=0; trap \'n=$((n + 1)); [ $n -lt {at} ] || kill -9 $$\' DEBUG; . "$0" "$@"'
MOST_COMMANDS = 80


class Machine:
    """A folder in which dpkg's part is played, with the scripts that build_deb.sh would write."""

    def __init__(self, root: Path) -> None:
        self.home = root / "opt" / "echostream"
        self.versions = self.home / "versions"
        self.versions.mkdir(parents=True)

    def script(self, name: str, version: str) -> Path:
        text = (PACKAGING / "deb" / name).read_text().replace("@ID@", version)
        text = text.replace("/opt/echostream", str(self.home)).replace("        ldconfig\n", "")
        lines = [line for line in text.splitlines() if "echostream.deploy.apply" not in line]
        path = self.home.parent / f"{name}-{version}"
        path.write_text("\n".join(lines) + "\n")
        return path

    def run(self, name: str, version: str, *words: str, killed_at: int | None = None) -> bool:
        """Whether it came to its end."""
        script = str(self.script(name, version))
        command = (
            ["bash", script] if killed_at is None else ["bash", "-c", KILLED.format(at=killed_at), script]
        )
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=20)
        assert killed_at is not None or done.returncode == 0, done.stderr
        return done.returncode == 0

    def unpack(self, version: str) -> None:
        """As dpkg does: each file beside, then renamed over what is there."""
        for name in ("bin/python", "release.json"):
            path = self.versions / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f"{path.name}.dpkg-new")
            beside.write_text(f"{name} of {version}")
            beside.replace(path)

    def take_away(self, version: str) -> None:
        shutil.rmtree(self.versions / version)

    def works(self) -> bool:
        """What the service would start is a whole version."""
        current = self.home / "current"
        return (current / "bin" / "python").is_file() and (current / "release.json").is_file()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return _machine(tmp_path)


def _machine(root: Path) -> Machine:
    machine = Machine(root)
    machine.unpack(OLD)
    (machine.home / "current").symlink_to(f"versions/{OLD}")
    return machine


def _upgrade(machine: Machine, old: str = OLD, new: str = NEW) -> None:
    machine.run("prerm", old, "upgrade", new)
    machine.unpack(new)
    if old != new:
        machine.take_away(old)
    assert machine.works()
    machine.run("postinst", new, "configure", old)


def test_the_version_that_runs_is_there_at_every_moment_of_an_upgrade(machine: Machine) -> None:
    machine.run("prerm", OLD, "upgrade", NEW)
    assert machine.works()
    machine.unpack(NEW)
    assert machine.works()
    machine.take_away(OLD)
    assert machine.works()
    machine.run("postinst", NEW, "configure", OLD)
    assert machine.works()


def test_after_an_upgrade_both_versions_are_in_their_places(machine: Machine) -> None:
    _upgrade(machine)
    assert (machine.home / "current").readlink() == Path(f"versions/{OLD}")  # the switch is not dpkg's
    assert sorted(path.name for path in machine.versions.iterdir()) == [OLD, NEW]
    assert (machine.versions / OLD / "release.json").read_text() == f"release.json of {OLD}"


def test_the_same_version_once_more_is_that_of_the_package(machine: Machine) -> None:
    (machine.versions / OLD / "bin" / "python").write_text("changed by hand")
    _upgrade(machine, OLD, OLD)
    assert sorted(path.name for path in machine.versions.iterdir()) == [OLD]
    assert (machine.home / "current" / "bin" / "python").read_text() == f"bin/python of {OLD}"


def test_all_links_lead_where_they_led(machine: Machine) -> None:
    for link in ("previous", "judge"):
        (machine.home / link).symlink_to(f"versions/{OLD}")
    _upgrade(machine)
    for link in ("current", "previous", "judge"):
        assert (machine.home / link).readlink() == Path(f"versions/{OLD}")


def test_a_version_that_was_gone_back_from_is_kept_too(machine: Machine) -> None:
    """The package's own is not the one that runs."""
    machine.unpack(NEW)
    (machine.home / "previous").symlink_to(f"versions/{NEW}")
    _upgrade(machine, NEW, "3.0")
    assert (machine.home / "current").readlink() == Path(f"versions/{OLD}")
    assert (machine.home / "previous").readlink() == Path(f"versions/{NEW}")
    assert (machine.home / "previous" / "release.json").is_file()


def test_an_upgrade_that_dpkg_gives_up_leaves_everything_as_it_was(machine: Machine) -> None:
    machine.run("prerm", OLD, "upgrade", NEW)
    machine.run("postinst", OLD, "abort-upgrade", NEW)
    assert (machine.home / "current").readlink() == Path(f"versions/{OLD}")
    assert [path.name for path in machine.versions.iterdir()] == [OLD]


@pytest.mark.parametrize("script", ["prerm", "postinst"])
def test_killed_before_any_of_its_commands_and_run_again(tmp_path: Path, script: str) -> None:
    """A power cut: the gateway starts, and when dpkg has gone on the end is the same."""
    for at in range(1, MOST_COMMANDS):
        machine = _machine(tmp_path / str(at))
        if script == "prerm":
            ended = machine.run("prerm", OLD, "upgrade", NEW, killed_at=at)
            assert machine.works(), f"killed before command {at}"
            _upgrade(machine)
        else:
            machine.run("prerm", OLD, "upgrade", NEW)
            machine.unpack(NEW)
            machine.take_away(OLD)
            ended = machine.run("postinst", NEW, "configure", OLD, killed_at=at)
            assert machine.works(), f"killed before command {at}"
            machine.run("postinst", NEW, "configure", OLD)
        assert machine.works()
        assert (machine.home / "current").readlink() == Path(f"versions/{OLD}")
        left = sorted(path.name for path in machine.versions.iterdir() if not path.name.startswith("."))
        assert left == [OLD, NEW]
        assert not list(machine.versions.glob(".kept-*"))
        if ended:
            assert at > 8, "it was killed nowhere"
            return
    pytest.fail("the script never came to its end")


def test_an_installation_by_hand_is_not_overwritten(machine: Machine) -> None:
    (machine.home / "install.json").write_text('{\n  "method": "source"\n}\n')
    assert not machine.run("preinst", NEW, "install", killed_at=10_000)


def test_removing_keeps_configuration_and_data_and_purging_keeps_data(tmp_path: Path) -> None:
    text = (PACKAGING / "deb" / "postrm").read_text()
    script = tmp_path / "postrm"
    kept = [tmp_path / folder for folder in ("etc/echostream", "var/lib/echostream")]
    for folder in (*kept, tmp_path / "opt/echostream"):
        folder.mkdir(parents=True)
    for place in ("/opt/", "/etc/", "/var/lib/"):
        text = text.replace(f" {place}", f" {tmp_path}{place}")
    script.write_text(text)
    subprocess.run(["sh", str(script), "remove"], check=True, timeout=20)
    assert not (tmp_path / "opt/echostream").exists()
    assert all(folder.is_dir() for folder in kept)
    done = subprocess.run(
        ["sh", str(script), "purge"], check=True, timeout=20, capture_output=True, text=True
    )
    assert [folder.is_dir() for folder in kept] == [False, True]
    assert "stay in" in done.stderr


def test_the_scripts_are_ones_that_a_shell_reads() -> None:
    for path in sorted(PACKAGING.rglob("*")):
        if path.suffix == ".sh" or (path.parent.name == "deb" and path.stat().st_mode & 0o100):
            shell = "bash" if path.suffix == ".sh" else "sh"
            subprocess.run([shell, "-n", str(path)], check=True, timeout=20)
