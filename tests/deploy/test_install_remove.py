"""Removing: what it takes away, and what it never touches."""

from __future__ import annotations

from pathlib import Path

import pytest
from install_stand import FakeServices, FakeUsers, everything, make_machine, make_tree

from echostream.deploy.apply import apply
from echostream.deploy.layout import PACKAGE, SOURCE, InstallRecord, Layout
from echostream.deploy.remove import remove

UNITS = (
    "echostream.service",
    "echostream@.service",
    "echostream-ptt-guard.service",
    "echostream-ptt-guard.socket",
    "echostream-report.timer",
)


def installed(root: Path, record: InstallRecord = SOURCE) -> tuple[Layout, FakeServices]:
    layout = make_machine(root / "machine")
    services = FakeServices(layout, record, booted=True)
    apply(layout, make_tree(layout, "1.0", UNITS), record, services, FakeUsers(layout), lambda text: None)
    (layout.data / "recordings").mkdir()
    (layout.data / "recordings" / "one.wav").write_text("sound")
    (layout.credentials / "aes-key").write_text("secret")
    services.calls.clear()
    return layout, services


def test_configuration_and_data_stay(tmp_path: Path) -> None:
    layout, services = installed(tmp_path)
    kept = {
        name: text for name, text in everything(layout).items() if "var/lib" in name or "etc/echo" in name
    }
    remove(layout, services, lambda text: None)
    left = everything(layout)
    assert left.items() >= kept.items()
    for name in left:
        assert "opt/echostream" not in name
        assert "systemd/system/" not in name
        assert "rules.d/" not in name
        assert "bin/" not in name


def test_the_guard_stops_last(tmp_path: Path) -> None:
    """It drives the lines inactive when the gateway is gone."""
    layout, services = installed(tmp_path)
    remove(layout, services, lambda text: None)
    stopped = [call.removeprefix("stop ") for call in services.calls if call.startswith("stop ")]
    assert stopped[0] == "echostream@*.service"
    assert stopped[-3:] == [
        "echostream.service",
        "echostream-ptt-guard.socket",
        "echostream-ptt-guard.service",
    ]
    assert services.enabled == set()


def test_what_is_made_anew_when_it_is_missing_goes_too(tmp_path: Path) -> None:
    layout, services = installed(tmp_path)
    for folder in ("/var/cache/echostream", "/var/lib/echostream-ptt"):
        layout.below(folder).mkdir(parents=True)
    remove(layout, services, lambda text: None)
    assert not layout.below("/var/cache/echostream").exists()
    assert not layout.below("/var/lib/echostream-ptt").exists()


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    layout, services = installed(tmp_path)
    remove(layout, services, lambda text: None)
    assert remove(layout, services, lambda text: None) == []


@pytest.mark.parametrize("other", ["echostream-mine.service", "echostream.service.d/override.conf"])
def test_what_a_person_made_stays(tmp_path: Path, other: str) -> None:
    layout, services = installed(tmp_path)
    path = layout.below(SOURCE.unit_dir) / other
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    remove(layout, services, lambda text: None)
    assert path.read_text() == "mine"


def test_a_package_s_own_files_are_left_to_dpkg(tmp_path: Path) -> None:
    layout, services = installed(tmp_path, PACKAGE)
    remove(layout, services, lambda text: None, keep_tree=True)
    assert layout.tree("1.0").release_file.is_file()
    assert layout.below("/usr/bin/echostream").is_file()
    assert not layout.current.is_symlink()
    assert not (layout.below(PACKAGE.unit_dir) / "echostream.service").exists()


def test_versions_that_are_not_in_force_lose_their_units_too(tmp_path: Path) -> None:
    layout, services = installed(tmp_path)
    make_tree(layout, "0.9", ["echostream-old.timer"])
    (layout.below(SOURCE.unit_dir) / "echostream-old.timer").write_text("left behind")
    remove(layout, services, lambda text: None)
    assert not (layout.below(SOURCE.unit_dir) / "echostream-old.timer").exists()
