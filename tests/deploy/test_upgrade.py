"""What `echostream upgrade` makes of an archive: whole and of this machine, or nothing at all."""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path
from typing import IO

import pytest
from deployed import Machine
from release_made import FAKE, Made

from echostream.deploy import release_archive, versions
from echostream.deploy.layout import DeployError
from echostream.deploy.release_archive import ReleaseArchive
from echostream.deploy.trial import carry_on
from echostream.deploy.upgrade import Options, upgrade

QUICK = Options(0.6, 0.05, ("selftest",))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "root")
    etc = made.layout.below("/etc")
    (etc / "echostream").mkdir(parents=True)
    (etc / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    made.layout.config.write_text("{}")
    python = made.layout.tree("1").python
    python.unlink()
    python.write_text(FAKE.replace("$VERSION_ID", "1").replace("SELFTEST", "0"))
    python.chmod(0o755)
    return made


def begin(machine: Machine, source: Path) -> list[str]:
    said: list[str] = []
    upgrade(machine.layout, machine.services, source, QUICK, said.append)
    return said


def nothing_changed(machine: Machine) -> bool:
    names = sorted(path.name for path in machine.layout.versions.iterdir())
    return (
        names == ["1"] and versions.current(machine.layout) == "1" and not machine.layout.trial_file.exists()
    )


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_from_an_archive_to_the_version_that_runs(machine: Machine, tmp_path: Path, form: str) -> None:
    made = Made("2")
    source = made.pack(tmp_path / "new.tar.gz") if form == "archive" else made.spread(tmp_path / "new")
    begin(machine, source)
    ended = carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert ended.outcome == "confirmed"
    tree = machine.layout.tree("2").path
    assert (machine.layout.current / "release.json").read_bytes() == made.files["tree/release.json"]
    assert os.access(tree / "bin" / "python3", os.X_OK)
    assert not (tree / "install.sh").exists()
    assert sorted(path.name for path in machine.layout.versions.iterdir()) == ["1", "2"]


def refused(machine: Machine, source: Path, words: str) -> None:
    with pytest.raises(DeployError, match=words):
        begin(machine, source)
    assert versions.current(machine.layout) == "1"
    assert not machine.layout.trial_file.exists()
    assert not (machine.layout.versions / versions.COMING).exists()


def test_a_bit_that_fell_over_is_found(machine: Machine, tmp_path: Path) -> None:
    made = Made("2")
    made.files["SHA256SUMS"] = made.sums()
    made.files["tree/lib/python3.11/site-packages/echostream/__init__.py"] += b"x"
    refused(machine, made.pack(tmp_path / "new.tar.gz"), "__init__.py is not what SHA256SUMS says")
    assert nothing_changed(machine)


def test_a_file_without_a_checksum_is_refused(machine: Machine, tmp_path: Path) -> None:
    made = Made("2")
    made.files["SHA256SUMS"] = made.sums()
    made.files["tree/bin/more"] = b""
    refused(machine, made.pack(tmp_path / "new.tar.gz"), "bin/more is not what")


def test_a_file_that_is_missing_is_found(machine: Machine, tmp_path: Path) -> None:
    made = Made("2")
    made.files["SHA256SUMS"] = made.sums()
    del made.files["tree/share/echostream/systemd/echostream.service"]
    refused(machine, made.pack(tmp_path / "new.tar.gz"), "echostream.service is missing")


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_half_an_archive_is_refused(machine: Machine, tmp_path: Path, kept: float) -> None:
    whole = Made("2").pack(tmp_path / "new.tar.gz").read_bytes()
    path = tmp_path / "half.tar.gz"
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(machine, path, "is no release of EchoStream")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "top/../../../x"])
def test_nothing_is_written_outside(machine: Machine, tmp_path: Path, name: str) -> None:
    def change(member: tarfile.TarInfo) -> None:
        if member.name.endswith("install.sh"):
            member.name = name

    refused(machine, Made("2").pack(tmp_path / "new.tar.gz", change), "lies outside")


@pytest.mark.parametrize(
    ("name", "target"),
    [("tree/bin/python3", "/etc/shadow"), ("tree/share/x", "/"), ("tree/lib64", "../.."), ("x", "/etc")],
)
def test_links_elsewhere_are_refused(machine: Machine, tmp_path: Path, name: str, target: str) -> None:
    made = Made("2")
    made.links = {name: target}
    refused(machine, made.pack(tmp_path / "new.tar.gz"), "is a link to")


def test_devices_and_pipes_are_refused(machine: Machine, tmp_path: Path) -> None:
    def change(member: tarfile.TarInfo) -> None:
        if member.name.endswith("install.sh"):
            member.type, member.size = tarfile.FIFOTYPE, 0

    refused(machine, Made("2").pack(tmp_path / "new.tar.gz", change), "neither file nor folder")


def test_rubbish_is_refused(machine: Machine, tmp_path: Path) -> None:
    for content in (b"", b"rubbish" * 1000, b"\x1f\x8b" + b"\0" * 100):
        path = tmp_path / "new.tar.gz"
        path.write_bytes(content)
        refused(machine, path, "is no release of EchoStream")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"arch": "armhf"}, "made for armhf"), ({"distribution": "trixie"}, "made for Debian trixie")],
)
def test_one_for_another_machine_is_refused(
    machine: Machine, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    refused(machine, Made("2", 0, **changes).pack(tmp_path / "new.tar.gz"), words)
    assert nothing_changed(machine)


def test_a_self_test_that_fails_keeps_what_runs(machine: Machine, tmp_path: Path) -> None:
    refused(machine, Made("2", selftest=1).pack(tmp_path / "new.tar.gz"), "self-test of 2 failed")


def test_a_configuration_that_only_the_new_one_refuses(machine: Machine, tmp_path: Path) -> None:
    machine.layout.config.write_text("refused by 2")
    refused(machine, Made("2").pack(tmp_path / "new.tar.gz"), "2 refuses the configuration that 1 accepts")


def test_a_configuration_that_both_refuse_is_no_reason(machine: Machine, tmp_path: Path) -> None:
    machine.layout.config.write_text("refused by 2, refused by 1")
    assert any(
        "refused, by the version that runs too" in one
        for one in begin(machine, Made("2").pack(tmp_path / "n.tar"))
    )


def test_a_package_is_for_apt(machine: Machine) -> None:
    refused(machine, Path("echostream_0.3.0_arm64.deb"), r"sudo apt install \./echostream_0\.3\.0_arm64\.deb")


def test_a_file_that_is_not_there(machine: Machine, tmp_path: Path) -> None:
    refused(machine, tmp_path / "nothing.tar.gz", "is not there")


def test_a_disk_that_is_too_full(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 50_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    refused(machine, Made("2").pack(tmp_path / "new.tar.gz"), "50 MB are free")
    assert nothing_changed(machine)


def test_a_disk_that_is_full_after_all(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(source: IO[bytes], place: Path, mode: int) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", str(place))

    monkeypatch.setattr(release_archive, "_write", write)
    refused(machine, Made("2").pack(tmp_path / "new.tar.gz"), "No space left on device")
    assert nothing_changed(machine)


def test_what_a_killed_upgrade_left_is_in_nobodys_way(machine: Machine, tmp_path: Path) -> None:
    half = machine.layout.versions / versions.COMING / "bin"
    half.mkdir(parents=True)
    (half / "python").write_text("half")
    torn = machine.layout.versions / "2"
    torn.mkdir()
    (torn / "bin").mkdir()
    begin(machine, Made("2").pack(tmp_path / "new.tar.gz"))
    assert versions.complete(machine.layout, "2") is not None


def test_one_that_was_left_comes_again_mended(machine: Machine, tmp_path: Path) -> None:
    refused(machine, Made("2", selftest=1).pack(tmp_path / "new.tar.gz"), "self-test of 2 failed")
    begin(machine, Made("2").pack(tmp_path / "mended.tar.gz"))
    assert (machine.layout.tree("2").python).read_bytes() == Made("2").files["tree/bin/python"]


def test_the_version_that_runs_is_not_installed_again(machine: Machine, tmp_path: Path) -> None:
    refused(machine, Made("1").pack(tmp_path / "new.tar.gz"), "1 is what runs already")
    assert nothing_changed(machine)


def test_the_archive_says_how_large_it_is(tmp_path: Path) -> None:
    made = Made("2")
    size = sum(map(len, made.files.values())) + len(made.sums())
    assert ReleaseArchive(made.pack(tmp_path / "new.tar.gz")).bytes == size
