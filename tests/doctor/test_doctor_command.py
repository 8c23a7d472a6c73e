"""`echostream doctor` as it is typed: which configuration, whose gateway, which exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from doctor_health import health
from doctor_machine import Machine, document

from echostream.cli import main
from echostream.config.secrets import CREDENTIALS_DIRECTORY
from echostream.doctor.seeing import account_of, see
from echostream.doctor.units import supplementary_groups
from echostream.service.health import write_health


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with a runtime directory of its own, and no credentials."""
    (tmp_path / "here").mkdir()
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def write(path: Path, **sections: Any) -> Path:
    path.write_text(json.dumps(document(**sections)))
    return path


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_json_of_some_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path / "good.json")
    code = main(["doctor", "--config", str(config), "--only", "configuration", "--only", "s3", "--json"])
    found = told(capsys)
    assert code == found["exit_code"] == 0
    assert {one["group"] for one in found["findings"]} == {"configuration", "s3"}
    assert found["config"] == str(config)


def test_a_refused_configuration_is_a_finding_and_the_rest_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bad.json"
    config.write_text("{ no json")
    assert main(["doctor", "--config", str(config), "--only", "configuration", "--only", "board"]) == 1
    page = capsys.readouterr().out
    assert "FAILURE" in page
    assert "Board: heat and power" in page


def test_a_file_that_is_not_there_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--config", str(tmp_path / "away.json")]) == 2
    assert "away.json" in capsys.readouterr().err


def test_a_group_that_is_none_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--only", "nonsense"])
    assert ended.value.code == 2
    assert "permissions" in capsys.readouterr().err


def test_the_whole_page_quickly_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever machine this is: each group is there, and nothing broke or came late."""
    config = write(tmp_path / "good.json")
    main(["doctor", "--config", str(config), "--quick", "--json"])
    found = told(capsys)
    assert len({check["group"] for check in found["checks"]}) == 15
    broken = [one for one in found["findings"] if one["code"].startswith("doctor.")]
    assert not broken


# ---- which configuration, which user, which gateway


def test_the_configuration_that_is_meant_without_a_word(machine: Machine, tmp_path: Path) -> None:
    assert see(None, root=machine.root).config_path is None
    installed = machine.configure(document())
    assert see(None, root=machine.root).config_path == installed
    here = write(tmp_path / "here" / "config.json")
    assert see(None, root=machine.root).config_path == Path(here.name)
    north = machine.write("/etc/echostream/north.json", json.dumps(document()))
    assert see(None, "north", root=machine.root).config_path == north


def test_an_installed_configuration_is_seen_with_the_services_eyes(machine: Machine, tmp_path: Path) -> None:
    machine.write("/etc/passwd", "echostream:x:990:990::/:/bin/false\n")
    machine.write("/etc/group", "echostream:x:990:\naudio:x:29:\ngpio:x:997:\n")
    unit = "[Service]\nUser=echostream\nSupplementaryGroups=audio\nSupplementaryGroups=gpio nosuch\n"
    machine.write("/usr/lib/systemd/system/echostream.service", unit)
    assert supplementary_groups(machine.root) == (29, 997)
    account = account_of(machine.configure(document()), machine.root)
    assert (account.name, set(account.groups.values())) == ("echostream", {"echostream", "audio", "gpio"})


def test_ones_own_configuration_is_seen_with_ones_own_eyes(machine: Machine, tmp_path: Path) -> None:
    assert account_of(write(tmp_path / "mine.json"), machine.root).uid == os.geteuid()


def test_the_health_of_the_gateway_of_that_name(machine: Machine, tmp_path: Path) -> None:
    assert see(None, root=machine.root).health is None
    write_health(tmp_path / "run/echostream.health.json", health(status="mine"))
    found = see(None, root=machine.root).health
    assert found is not None
    assert found.status == "mine"
    assert see(None, "north", root=machine.root).health is None
    (tmp_path / "run/north.health.json").write_text("[]")
    broken = see(None, "north", root=machine.root)
    assert broken.health is None
    assert "no health file" in broken.unread_health


def test_root_finds_the_credentials_where_systemd_does(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.write("/etc/echostream/credentials/echostream-key", "x").parent
    see(None, root=machine.root)
    assert os.environ[CREDENTIALS_DIRECTORY] == str(folder)
    monkeypatch.setenv(CREDENTIALS_DIRECTORY, "/run/credentials/mine")
    see(None, root=machine.root)
    assert os.environ[CREDENTIALS_DIRECTORY] == "/run/credentials/mine"
