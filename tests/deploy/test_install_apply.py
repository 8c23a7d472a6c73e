"""Installing on a machine: once, twice, over another version, and where something is in the way."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from install_stand import FakeServices, FakeUsers, everything, make_machine, make_tree

from echostream.deploy.apply import NotStarted, apply
from echostream.deploy.layout import PACKAGE, SOURCE, DeployError, InstallRecord, Layout, Tree


@dataclass
class Machine:
    layout: Layout
    services: FakeServices
    users: FakeUsers
    record: InstallRecord = SOURCE

    def apply(self, tree: Tree) -> list[str]:
        said = list[str]()
        changes = apply(self.layout, tree, self.record, self.services, self.users, said.append)
        assert said == changes
        return changes

    def unit(self, name: str) -> Path:
        return self.layout.below(self.record.unit_dir) / name

    def mode(self, path: Path) -> str:
        return stat.filemode(path.stat().st_mode)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    layout = make_machine(tmp_path / "machine")
    return Machine(layout, FakeServices(layout, SOURCE), FakeUsers(layout))


def test_a_first_installation_has_everything_in_its_place(machine: Machine) -> None:
    changes = machine.apply(make_tree(machine.layout, "1.0"))

    layout = machine.layout
    assert layout.current.readlink() == Path("versions/1.0")
    assert not layout.previous.exists()
    assert machine.mode(layout.config) == "-rw-r-----"
    assert machine.mode(layout.credentials) == "drwx------"
    assert machine.mode(layout.data) == "drwxr-x---"
    assert machine.mode(layout.below("/usr/local/bin/echostream")) == "-rwxr-xr-x"
    assert machine.unit("echostream.service").is_file()
    assert layout.below("/etc/udev/rules.d/60-echostream.rules").is_file()
    assert machine.services.enabled == {"echostream.service"}
    assert layout.install_record() == SOURCE
    assert "made user echostream" in changes
    assert "made group gpio" in changes


def test_the_second_time_nothing_changes(machine: Machine) -> None:
    tree = make_tree(machine.layout, "1.0")
    machine.apply(tree)
    before = everything(machine.layout)
    machine.services.calls.clear()

    assert machine.apply(tree) == []
    assert everything(machine.layout) == before
    assert machine.services.calls == []
    assert machine.users.runs == 1


def test_a_package_of_the_same_version_starts_what_runs_anew(machine: Machine) -> None:
    machine.record = machine.services.record = PACKAGE
    tree = make_tree(machine.layout, "1.0")
    machine.apply(tree)
    assert machine.apply(tree) == []
    machine.services.active.add("echostream.service")
    assert machine.apply(tree) == ["started echostream.service anew"]


def test_a_configuration_that_is_there_is_never_overwritten(machine: Machine) -> None:
    machine.layout.config_dir.mkdir()
    machine.layout.config.write_text("mine")
    machine.apply(make_tree(machine.layout, "1.0"))
    assert machine.layout.config.read_text() == "mine"


def test_a_configuration_that_leads_nowhere_is_left_alone(machine: Machine) -> None:
    """A link to a disk that is not mounted now is a person's."""
    machine.layout.config_dir.mkdir()
    machine.layout.config.symlink_to("/mnt/usb/config.json")
    machine.apply(make_tree(machine.layout, "1.0"))
    assert machine.layout.config.readlink() == Path("/mnt/usb/config.json")


def test_open_credentials_are_closed(machine: Machine) -> None:
    machine.layout.credentials.mkdir(parents=True, mode=0o755)
    changes = machine.apply(make_tree(machine.layout, "1.0"))
    assert machine.mode(machine.layout.credentials) == "drwx------"
    assert "closed /etc/echostream/credentials to everybody but root" in changes


def test_what_somebody_disabled_stays_disabled(machine: Machine) -> None:
    machine.apply(make_tree(machine.layout, "1.0", ["echostream.service", "echostream-report.timer"]))
    machine.services.disable(["echostream-report.timer"])
    units = ["echostream.service", "echostream-report.timer", "echostream-retention.timer"]
    machine.apply(make_tree(machine.layout, "2.0", units))
    assert machine.services.enabled == {"echostream.service", "echostream-retention.timer"}


def test_another_version_keeps_the_one_before(machine: Machine) -> None:
    machine.apply(make_tree(machine.layout, "1.0"))
    machine.apply(make_tree(machine.layout, "2.0"))
    assert machine.layout.current.readlink() == Path("versions/2.0")
    assert machine.layout.previous.readlink() == Path("versions/1.0")
    assert "# 2.0" in machine.unit("echostream.service").read_text()


def test_a_unit_that_a_version_no_longer_has_goes_with_it(machine: Machine) -> None:
    machine.apply(make_tree(machine.layout, "1.0", ["echostream.service", "echostream-old.timer"]))
    mine = machine.unit("echostream-mine.service")
    mine.write_text("a person's own")
    machine.apply(make_tree(machine.layout, "2.0"))
    assert not machine.unit("echostream-old.timer").exists()
    assert "echostream-old.timer" not in machine.services.enabled
    assert mine.read_text() == "a person's own"


def test_a_template_is_not_enabled(machine: Machine) -> None:
    machine.apply(make_tree(machine.layout, "1.0", ["echostream.service", "echostream@.service"]))
    assert machine.services.enabled == {"echostream.service"}


def test_a_tree_that_is_not_whole_is_refused(machine: Machine) -> None:
    tree = make_tree(machine.layout, "1.0")
    tree.release_file.unlink()
    before = everything(machine.layout)
    with pytest.raises(DeployError, match=r"release\.json.*install again"):
        machine.apply(tree)
    assert everything(machine.layout) == before


def test_a_tree_in_another_place_is_refused(machine: Machine) -> None:
    tree = make_tree(machine.layout, "1.0")
    elsewhere = Tree(tree.path.rename(machine.layout.root / "elsewhere"))
    with pytest.raises(DeployError, match="belongs into"):
        machine.apply(elsewhere)


@pytest.mark.parametrize(
    ("there", "comes", "remedy"),
    [(PACKAGE, SOURCE, "apt remove echostream"), (SOURCE, PACKAGE, "uninstall.sh")],
    ids=["package first", "source first"],
)
def test_two_ways_of_installing_do_not_mix(
    machine: Machine, there: InstallRecord, comes: InstallRecord, remedy: str
) -> None:
    machine.record = machine.services.record = there
    machine.apply(make_tree(machine.layout, "1.0"))
    before = everything(machine.layout)
    machine.record = comes
    tree = make_tree(machine.layout, "2.0")
    with pytest.raises(DeployError, match=remedy):
        machine.apply(tree)
    assert everything(machine.layout).items() >= before.items()


def test_users_that_cannot_be_made_stop_it(machine: Machine) -> None:
    machine.users.works = False
    with pytest.raises(DeployError, match="user echostream"):
        machine.apply(make_tree(machine.layout, "1.0"))
    assert not machine.layout.current.exists()


def test_a_group_that_the_user_is_not_in_is_mended(machine: Machine) -> None:
    tree = make_tree(machine.layout, "1.0")
    machine.apply(tree)
    group = machine.layout.below("/etc/group")
    group.write_text(group.read_text().replace("audio:x:29:echostream", "audio:x:29:"))
    assert machine.apply(tree) == ["made echostream a member of audio"]


def test_sockets_start_before_services(machine: Machine) -> None:
    machine.services.booted = True
    units = ["echostream-a.service", "echostream-z.socket", "echostream.service"]
    machine.apply(make_tree(machine.layout, "1.0", units))
    started = [call for call in machine.services.calls if call.startswith("start ")]
    assert started == ["start echostream-z.socket echostream-a.service echostream.service"]


def test_a_service_that_does_not_start_leaves_everything_in_its_place(machine: Machine) -> None:
    machine.services.booted = True
    machine.services.broken.add("echostream.service")
    with pytest.raises(NotStarted, match="journalctl"):
        machine.apply(make_tree(machine.layout, "1.0"))
    assert machine.layout.current.readlink() == Path("versions/1.0")
    assert machine.services.enabled == {"echostream.service"}


def test_a_power_cut_in_the_middle_is_made_good_by_the_next_run(machine: Machine, tmp_path: Path) -> None:
    """Whichever step was the last one done: a second run comes to the same end."""
    whole = Machine(make_machine(tmp_path / "whole"), machine.services, machine.users)
    whole.services, whole.users = FakeServices(whole.layout, SOURCE), FakeUsers(whole.layout)
    whole.apply(make_tree(whole.layout, "1.0"))

    class Cut(Exception):
        pass

    for steps in range(1, 20):
        layout = make_machine(tmp_path / f"cut-{steps}")
        services, users = FakeServices(layout, SOURCE), FakeUsers(layout)
        tree = make_tree(layout, "1.0")
        left = iter(range(steps))

        def say(text: str, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise Cut(text)

        try:
            apply(layout, tree, SOURCE, services, users, say)
        except Cut:
            apply(layout, tree, SOURCE, services, users, lambda text: None)
        assert everything(layout) == everything(whole.layout)
