"""What a person types: what it prints, and the exit codes that --help promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deployed import Machine
from release_made import FAKE, Made

from echostream.cli import main
from echostream.deploy import versions
from echostream.deploy.trial_file import Trial, write_trial

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Version 1 is installed; systemd does not run below a test's folder, so nothing is watched."""
    made = Machine(tmp_path / "root", running=())
    python = made.layout.tree("1").python
    python.unlink()
    python.write_text(FAKE.replace("$VERSION_ID", "1").replace("SELFTEST", "0"))
    python.chmod(0o755)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(made.layout.credentials))  # else the command sets it
    made.layout.config_dir.mkdir(parents=True)
    made.layout.config.write_text((REPOSITORY / "config.json").read_text())
    return made


def run(machine: Machine, *words: str) -> int:
    return main([*words, "--root", str(machine.layout.root)])


def test_upgrade_versions_and_rollback(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Made("2").pack(tmp_path / "new.tar.gz")
    assert run(machine, "upgrade", str(archive)) == 0
    assert "2 runs (no gateway ran, so nothing was watched)" in capsys.readouterr().out
    assert run(machine, "rollback") == 0
    assert versions.current(machine.layout) == "1"
    capsys.readouterr()
    assert run(machine, "versions") == 0
    told = capsys.readouterr().out
    assert "1  runs" in told
    assert "2  before" in told
    assert "asked for it" in told
    assert run(machine, "versions", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["id"]: one["current"] for one in document["versions"]} == {"1": True, "2": False}
    assert [one["outcome"] for one in document["ended"]] == ["confirmed", "rolled back"]
    assert document["trial"] is None


def test_one_on_trial_is_shown(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.tree("2")
    write_trial(machine.layout, Trial("2", "1", None, 1_700_000_000_000_000, phase="watch"))
    assert run(machine, "versions") == 0
    assert "2  on trial" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rollback",), "no version before this one"),
        (("upgrade", "/nowhere.tar.gz"), "/nowhere.tar.gz is not there"),
        (("upgrade", "x.deb"), "sudo apt install ./x.deb"),
        (("restore", "/nowhere.tar.gz"), "/nowhere.tar.gz: No such file"),
        (("backup", "/nowhere/b.tar.gz"), "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    machine: Machine, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert run(machine, *words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.startswith(f"echostream {words[0]}: ")


def test_where_nothing_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["versions", "--root", str(tmp_path)]) == 1
    assert "nothing is installed" in capsys.readouterr().err


def test_backup_and_restore(machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "b.tar.gz"
    assert run(machine, "backup", str(target)) == 0
    assert "readable for you alone" in capsys.readouterr().out
    machine.layout.config.write_text("spoilt")
    assert run(machine, "restore", str(target), "--check") == 0
    assert "/etc/echostream/config.json" in capsys.readouterr().out
    assert machine.layout.config.read_text() == "spoilt"
    assert run(machine, "restore", str(target)) == 0
    assert machine.layout.config.read_text() == (REPOSITORY / "config.json").read_text()
