"""What the service's user may not do, found by whoever runs the doctor."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from doctor_machine import SERVICE, Machine, channel, document, findings

from echostream.doctor import permissions
from echostream.doctor.account import READ, WRITE, Account, read_account
from echostream.doctor.model import Level

look = partial(findings, permissions.checks)
PASSWD = "root:x:0:0::/root:/bin/sh\nechostream:x:990:990::/var/lib/echostream:/usr/sbin/nologin\n"
GROUP = "root:x:0:\naudio:x:29:echostream,pi\ngpio:x:997:\nechostream:x:990:\n"


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.write("/etc/passwd", PASSWD)
    machine.write("/etc/group", GROUP)
    machine.configure(document())
    return machine


def open_to(path: Path, uid: int, gid: int, mode: int) -> None:
    """As another user's file; where the tests may not do that, the mode alone is set."""
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, uid, gid)


def test_a_user_is_read_with_all_its_groups(installed: Machine) -> None:
    account = read_account(installed.root, "echostream", gids=(997,))
    assert account == Account("echostream", 990, {29: "audio", 990: "echostream", 997: "gpio"})
    assert not read_account(installed.root, "nobody-here").exists


def test_a_user_that_is_missing_is_a_failure(machine: Machine) -> None:
    found = look(machine.world(account=read_account(machine.root, "echostream")))
    assert found["permissions.no_user"][0].level is Level.FAILURE


def test_a_group_that_is_missing_comes_with_the_command(installed: Machine) -> None:
    installed.configure(document(channels=[channel(ptt={"pin": 20})]))
    found = look(installed.world())
    assert [one.remedy for one in found["permissions.group"]] == [
        "sudo usermod -aG gpio echostream, then restart the service or log in again"
    ]
    installed.configure(document())  # no pin, no need for the group
    assert "permissions.group" not in look(installed.world())


def test_root_is_told_that_it_sees_more_than_the_service(installed: Machine) -> None:
    found = look(installed.world(account=Account("root", 0, {0: "root"})))
    assert found["permissions.root"][0].level is Level.NOTE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_a_device_of_another_group_is_named_with_that_group(installed: Machine) -> None:
    good = installed.write("/dev/snd/pcmC0D0c")
    bad = installed.write("/dev/snd/pcmC1D0c")
    open_to(good, 0, 29, 0o660)
    open_to(bad, 0, 997, 0o660)
    found = look(installed.world())
    assert [one.found for one in found["permissions.devices"]] == ["user echostream may open 1 sound devices"]
    [refused] = found["permissions.device"]
    assert refused.place == "/dev/snd/pcmC1D0c"
    assert refused.remedy.startswith("sudo usermod -aG gpio echostream")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_a_folder_above_that_may_not_be_entered_refuses_what_is_below(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    (shut / "data").mkdir(parents=True)
    open_to(shut, 0, 0, 0o700)
    open_to(shut / "data", 990, 990, 0o750)
    tmp_path.chmod(0o755)
    assert not SERVICE.may(shut / "data", READ | WRITE, tmp_path)
    shut.chmod(0o711)
    assert SERVICE.may(shut / "data", READ | WRITE, tmp_path)


def test_a_folder_that_may_not_be_written_comes_with_the_command(installed: Machine) -> None:
    installed.write("/var/lib/echostream/x")
    installed.root.joinpath("var/lib/echostream").chmod(0o500)
    stranger = Account("echostream", 12345, {12345: "echostream"})
    found = look(installed.world(account=stranger))
    [folder] = found["permissions.folder"]
    assert folder.place == "events.directory"
    assert folder.remedy == "sudo install -d -o echostream -g echostream -m 750 /var/lib/echostream"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_files_that_somebody_else_made_where_the_gateway_writes(installed: Machine) -> None:
    day = installed.write("/var/lib/echostream/log/2026-11-21.jsonl", "{}")
    top = installed.root / "var/lib/echostream"
    for path in (top, day.parent, day):
        open_to(path, 990, 990, 0o750)
    assert "permissions.foreign" not in look(installed.world())
    open_to(day, 0, 0, 0o644)
    [found] = look(installed.world())["permissions.foreign"]
    assert "such as log/2026-11-21.jsonl" in found.found
    assert found.remedy.startswith("sudo chown -R echostream: /var/lib/echostream")


def test_a_configuration_that_the_service_may_not_read(installed: Machine) -> None:
    path = installed.configure(document())
    path.chmod(0o600)
    stranger = replace(SERVICE, uid=12345)
    assert "permissions.config" in look(installed.world(account=stranger))
    path.chmod(0o646)
    assert "permissions.config_open" in look(installed.world(account=stranger))


def test_credentials_that_others_may_read(installed: Machine) -> None:
    secret = installed.write("/etc/echostream/credentials/echostream-mqtt", "secret")
    folder = secret.parent
    folder.chmod(0o700)
    secret.chmod(0o600)
    assert set(look(installed.world())) >= {"permissions.credentials"}
    folder.chmod(0o755)
    secret.chmod(0o644)
    found = look(installed.world())["permissions.credentials_open"]
    assert [one.remedy for one in found] == [
        "sudo chmod 700 /etc/echostream/credentials",
        "sudo chmod 600 /etc/echostream/credentials/echostream-mqtt",
    ]


def test_cm108_lines_want_their_udev_rule(installed: Machine) -> None:
    installed.configure(document(channels=[channel(card="usb:1-1.2", key={"cm108": True})]))
    assert "permissions.no_rule" in look(installed.world())
    installed.write("/usr/lib/udev/rules.d/60-echostream.rules", "# rules")
    assert "permissions.no_rule" not in look(installed.world())
