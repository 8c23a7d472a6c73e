"""What a backup keeps comes back, on this machine and on another one; a damaged one changes nothing."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from deployed import PlayedServices

from echostream.deploy.backup import backup
from echostream.deploy.backup_manifest import NAME, Manifest
from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.restore import Options, look_through, restore

REPOSITORY = Path(__file__).parents[2]


class Site:
    """A gateway's files, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.layout = root, Layout(root)
        self.services = PlayedServices(self.layout, ["echostream.service"])
        self.services.start = lambda units: self.services._note("start", units)  # type: ignore[method-assign]

    def fill(self) -> Site:
        config = json.loads((REPOSITORY / "config.json").read_text())
        config["gateway"]["id"] = "station-9"
        config["control_server"]["aes_key"] = {"file": "/etc/echostream/aes-key"}
        config["recording"] = {"directory": "/srv/audio"}
        self.write("/etc/echostream/config.json", json.dumps(config))
        self.write("/etc/echostream/aes-key", "the key", 0o600)
        self.write("/etc/echostream/credentials/mqtt", "a password", 0o600)
        self.write("/var/lib/echostream/log/2026-11-21.jsonl", "{}\n")
        self.write("/var/lib/echostream/log/.lock", "0000000000000000001 boot")
        self.write("/var/lib/echostream/last-good/config.json", "{}")
        self.write("/srv/audio/archive-id", "0" * 32)
        self.write("/srv/audio/2026-11-21/a.flac", "sound" * 1000)
        self.database("/srv/audio/index.sqlite3", 100)
        self.database("/var/lib/echostream/mqtt.sqlite3", 3)
        return self

    def path(self, path: str) -> Path:
        return self.layout.below(path)

    def write(self, path: str, text: str, mode: int = 0o640) -> None:
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def database(self, path: str, rows: int) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path(path))) as file, file:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("CREATE TABLE rows (n INTEGER)")
            file.executemany("INSERT INTO rows VALUES (?)", [(n,) for n in range(rows)])

    def rows(self, path: str) -> int:
        with closing(sqlite3.connect(self.path(path))) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return int(file.execute("SELECT count(*) FROM rows").fetchone()[0])

    def backup(self, target: Path, recordings: bool = False) -> Manifest:
        return backup(self.layout, target, recordings, lambda _: None)

    def restore(self, source: Path, options: Options | None = None) -> list[str]:
        said: list[str] = []
        restore(self.layout, self.services, source, options or Options(), said.append)
        return said

    def everything(self) -> dict[str, bytes]:
        paths = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "here").fill()


def test_on_another_machine_everything_is_there_again(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz")
    other = Site(tmp_path / "there")
    other.restore(tmp_path / "b.tar.gz")
    for path in (
        *("/etc/echostream/config.json", "/etc/echostream/aes-key", "/etc/echostream/credentials/mqtt"),
        *("/var/lib/echostream/log/2026-11-21.jsonl", "/srv/audio/archive-id"),
        "/var/lib/echostream/last-good/config.json",
    ):
        assert other.path(path).read_bytes() == site.path(path).read_bytes(), path
        assert other.path(path).stat().st_mode == site.path(path).stat().st_mode, path
    assert other.rows("/srv/audio/index.sqlite3") == 100
    assert other.rows("/var/lib/echostream/mqtt.sqlite3") == 3
    assert not other.path("/srv/audio/2026-11-21").exists(), "recordings were not asked for"
    assert not other.path("/var/lib/echostream/log/.lock").exists()
    assert other.path("/etc/echostream/credentials").stat().st_mode & 0o777 == 0o700


def test_recordings_where_they_are_asked_for(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz", recordings=True)
    other = Site(tmp_path / "there")
    other.restore(tmp_path / "b.tar.gz")
    assert other.path("/srv/audio/2026-11-21/a.flac").read_text() == "sound" * 1000


def test_the_file_is_for_its_owner_alone(site: Site, tmp_path: Path) -> None:
    os.umask(os.umask(0o000))
    site.backup(tmp_path / "b.tar.gz")
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600


def test_what_was_there_is_kept_beside(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz")
    kept = site.path("/etc/echostream/config.json").read_bytes()
    site.write("/etc/echostream/config.json", "changed")
    site.write("/etc/echostream/credentials/mqtt", "another", 0o600)
    site.write("/var/lib/echostream/log/2026-11-22.jsonl", "later")
    site.restore(tmp_path / "b.tar.gz")
    assert site.path("/etc/echostream/config.json").read_bytes() == kept
    assert site.path("/etc/echostream/config.json.before-restore").read_text() == "changed"
    assert site.path("/etc/echostream/credentials.before-restore/mqtt").read_text() == "another"
    assert os.listdir(site.path("/etc/echostream/credentials")) == ["mqtt"], "each file there is a credential"
    assert site.path("/var/lib/echostream/log/2026-11-22.jsonl").read_text() == "later"
    assert not site.path("/etc/echostream/aes-key.before-restore").exists(), "it was the same"


def test_gateways_are_stopped_meanwhile_and_started_again(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz")
    site.restore(tmp_path / "b.tar.gz")
    assert site.services.asked == ["stop echostream.service", "start echostream.service"]


def test_a_database_that_is_written_into_meanwhile_is_whole(site: Site, tmp_path: Path) -> None:
    path, stop = site.path("/srv/audio/index.sqlite3"), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=10)) as file:
            while not stop.is_set():
                with file:
                    file.executemany("INSERT INTO rows VALUES (?)", [(n,) for n in range(50)])

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    try:
        for number in range(5):
            site.backup(tmp_path / f"{number}.tar.gz")
    finally:
        stop.set()
        writer.join()
    other = Site(tmp_path / "there")
    other.restore(tmp_path / "4.tar.gz")
    assert other.rows("/srv/audio/index.sqlite3") % 50 == 0


def test_what_lies_beside_a_database_goes_aside_with_it(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz")
    site.write("/srv/audio/index.sqlite3-wal", "of another database")
    site.restore(tmp_path / "b.tar.gz")
    assert site.rows("/srv/audio/index.sqlite3") == 100
    assert site.path("/srv/audio/index.sqlite3-wal.before-restore").exists()


# ---- what is damaged, or of somebody else


Change = Callable[[dict[str, bytes]], None]


def changed(source: Path, target: Path, change: Change) -> Path:
    """The archive, with its files changed."""
    with tarfile.open(source) as archive:
        contents = {one.name: file.read() for one in archive if (file := archive.extractfile(one))}
    change(contents)
    with tarfile.open(target, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target


def flip(contents: dict[str, bytes]) -> None:
    contents["files/etc/echostream/aes-key"] = b"another"


def lose(contents: dict[str, bytes]) -> None:
    del contents["files/srv/audio/index.sqlite3"]


def without_manifest(contents: dict[str, bytes]) -> None:
    del contents[NAME]


def add(contents: dict[str, bytes]) -> None:
    contents["files/etc/echostream/more"] = b""


def manifest_change(key: str, value: object) -> Change:
    def change(contents: dict[str, bytes]) -> None:
        document = json.loads(contents[NAME])
        for one in document["files"]:
            if one["path"] == "/etc/echostream/aes-key":
                one[key] = value
                if key == "path":
                    contents[f"files{value}"] = contents.pop(one["name"])
                    one["name"] = f"files{value}"
        contents[NAME] = json.dumps(document).encode()

    return change


DAMAGES: dict[str, tuple[Change, str]] = {
    "a bit fell over": (flip, "aes-key is not what it was"),
    "a file is lost": (lose, "index.sqlite3 is missing"),
    "it ends early": (without_manifest, "only the beginning"),
    "a file too many": (add, "does not belong"),
    "a place outside": (manifest_change("path", "/etc/cron.d/evil"), "--also /etc/cron.d"),
    "a way up": (manifest_change("path", "/etc/echostream/../cron.d/evil"), "no place for a file"),
    "no absolute place": (manifest_change("path", "etc/passwd"), "no place for a file"),
    "another name": (manifest_change("name", "files/etc/passwd"), "is not '/etc/echostream/aes-key'"),
    "no number": (manifest_change("size", "much"), "no backup of EchoStream"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_is_damaged_changes_nothing(site: Site, tmp_path: Path, how: str) -> None:
    change, words = DAMAGES[how]
    site.backup(tmp_path / "b.tar.gz")
    source = changed(tmp_path / "b.tar.gz", tmp_path / "c.tar.gz", change)
    other = Site(tmp_path / "there")
    with pytest.raises(DeployError, match=words):
        other.restore(source)
    assert other.everything() == {}
    assert other.services.asked == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_half_of_one_changes_nothing(site: Site, tmp_path: Path, share: float) -> None:
    site.backup(tmp_path / "b.tar.gz")
    whole = (tmp_path / "b.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: int(len(whole) * share)])
    before = site.everything()
    with pytest.raises(DeployError):
        site.restore(tmp_path / "half.tar.gz")
    assert site.everything() == before


def test_a_configuration_that_does_not_hold_is_not_restored(site: Site, tmp_path: Path) -> None:
    site.write("/etc/echostream/config.json", '{"gateway": 3}')
    manifest = site.backup(tmp_path / "b.tar.gz")
    assert "config.json" in manifest.left_out[0]
    with pytest.raises(DeployError, match="nothing was restored"):
        Site(tmp_path / "there").restore(tmp_path / "b.tar.gz")


def test_a_named_place_may_be_anywhere(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.tar.gz")
    change = manifest_change("path", "/etc/keys/aes-key")
    source = changed(tmp_path / "b.tar.gz", tmp_path / "c.tar.gz", change)
    other = Site(tmp_path / "there")
    other.restore(source, Options(also=("/etc/keys",)))
    assert other.path("/etc/keys/aes-key").read_text() == "the key"


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.backup(tmp_path / "b.tar.gz")
    for path in (
        "/etc/echostream/config.json",
        "/etc/echostream/aes-key",
        "/var/lib/echostream/log/2026-11-21.jsonl",
    ):
        site.write(path, "newer")
    before, original, count = site.everything(), Path.replace, iter(range(100))

    def replace(self: Path, target: Path) -> Path:
        if next(count) == 3:
            raise OSError(28, "No space left on device", str(self))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DeployError, match="No space left"):
        site.restore(tmp_path / "b.tar.gz")
    assert site.everything() == before
    assert site.services.asked[-1] == "start echostream.service"


def test_a_full_disk_is_seen_before(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.backup(tmp_path / "b.tar.gz")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    other = Site(tmp_path / "there")
    with pytest.raises(DeployError, match="MB are free"):
        other.restore(tmp_path / "b.tar.gz")
    assert other.services.asked == []


# ---- writing one


def test_an_existing_file_is_not_written_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_text("something of somebody")
    with pytest.raises(DeployError, match="is there already"):
        site.backup(tmp_path / "b.tar.gz")


def test_not_into_what_is_kept(site: Site) -> None:
    with pytest.raises(DeployError, match="lies in what is kept"):
        site.backup(site.path("/var/lib/echostream/b.tar.gz"))


def test_what_cannot_be_kept_is_said(site: Site, tmp_path: Path) -> None:
    site.path("/etc/echostream/aes-key").unlink()
    manifest = site.backup(tmp_path / "b.tar.gz")
    assert any("/etc/echostream/aes-key" in one for one in manifest.left_out)
    look_through(tmp_path / "b.tar.gz")


def test_a_damaged_database_is_said_and_the_rest_is_kept(site: Site, tmp_path: Path) -> None:
    site.path("/var/lib/echostream/mqtt.sqlite3").write_bytes(b"rubbish" * 1000)
    manifest = site.backup(tmp_path / "b.tar.gz")
    assert any("mqtt.sqlite3" in one for one in manifest.left_out)
    assert any(one.path == "/srv/audio/index.sqlite3" for one in manifest.files)


def test_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="hold nothing"):
        Site(tmp_path / "empty").backup(tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()
    assert list(tmp_path.iterdir()) == []
