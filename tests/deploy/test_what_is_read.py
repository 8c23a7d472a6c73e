"""Whatever stands in a file that was damaged, or made by somebody else: DeployError, or nothing is wrong."""

from __future__ import annotations

import json
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostream.deploy.backup import backup
from echostream.deploy.backup_manifest import FORMAT, read_manifest
from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.release_archive import ReleaseArchive
from echostream.deploy.restore import look_through
from echostream.deploy.trial_file import Before, Trial, history, read_trial, write_trial

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
ON_DISK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
UNIT = "echostream.service"
TRIAL = asdict(Trial("2", "1", None, 7, units=(UNIT,), before={UNIT: Before()}))
MANIFEST: dict[str, Any] = {
    "format": FORMAT,
    "version": "1",
    "made_at": "",
    "host": "",
    "gateways": [],
    "recordings": False,
    "files": [
        {
            "name": "files/etc/echostream/a",
            "path": "/etc/echostream/a",
            "size": 1,
            "sha256": "0",
            "mode": 416,
            "user": "root",
            "group": "root",
        }
    ],
    "databases": {},
    "sums": {},
    "left_out": [],
}


def spoilt(document: dict[str, Any], keys: list[str], value: object) -> dict[str, Any]:
    """The document with one value, somewhere in it, replaced."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place: Any = copy
    for key in keys[:-1]:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[keys[-1]] = value
    return copy


PLACES_OF_TRIAL = [[key] for key in TRIAL] + [
    ["before", UNIT],
    *(["before", UNIT, key] for key in asdict(Before())),
]
PLACES_OF_MANIFEST = [[key] for key in MANIFEST] + [["files", "0", key] for key in MANIFEST["files"][0]]


@ON_DISK
@given(place=st.sampled_from(PLACES_OF_TRIAL), value=JSON)
def test_a_trial(tmp_path: Path, place: list[str], value: object) -> None:
    layout = Layout(tmp_path)
    layout.home.mkdir(parents=True, exist_ok=True)
    layout.trial_file.write_text(json.dumps(spoilt(TRIAL, place, value)))
    try:
        trial = read_trial(layout)
    except DeployError:
        return
    assert trial is not None
    for version_id in (trial.new, trial.old):
        assert layout.tree(version_id).path.parent == layout.versions
    write_trial(layout, trial)
    assert read_trial(layout) == trial


@ON_DISK
@given(value=JSON)
def test_the_history(tmp_path: Path, value: object) -> None:
    layout = Layout(tmp_path)
    layout.home.mkdir(parents=True, exist_ok=True)
    (layout.home / "trials.json").write_text(json.dumps(value))
    history(layout)


@given(place=st.sampled_from(PLACES_OF_MANIFEST), value=JSON)
def test_a_manifest(place: list[str], value: object) -> None:
    try:
        manifest = read_manifest(json.dumps(spoilt(MANIFEST, place, value)).encode(), "backup")
    except DeployError:
        return
    for one in manifest.files:
        assert one.path.startswith("/")
        assert ".." not in one.path.split("/")


@given(data=st.binary(max_size=200))
def test_no_manifest(data: bytes) -> None:
    with pytest.raises(DeployError):
        read_manifest(data, "backup")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("site")
    layout = Layout(root)
    layout.config_dir.mkdir(parents=True)
    for name in ("a.txt", "b.txt"):
        (layout.config_dir / name).write_text(name * 50)
    backup(layout, root / "b.tar.gz", False, lambda _: None)
    with tarfile.open(root / "b.tar.gz") as archive, tarfile.open(root / "b.tar", "w") as plain:
        for one in archive:
            plain.addfile(one, archive.extractfile(one))
    return (root / "b.tar").read_bytes()


@ON_DISK
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_backup_with_a_bit_that_fell_over(tmp_path: Path, whole: bytes, at: int, bit: int) -> None:
    damaged = bytearray(whole)
    damaged[at % len(whole)] ^= 1 << bit
    (tmp_path / "b.tar").write_bytes(damaged)
    try:
        manifest, _ = look_through(tmp_path / "b.tar")
    except DeployError:
        return
    assert [one.path for one in manifest.files] == ["/etc/echostream/a.txt", "/etc/echostream/b.txt"]


@ON_DISK
@given(data=st.binary(max_size=600))
def test_no_archive_at_all(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "some.tar.gz"
    path.write_bytes(data)
    with pytest.raises(DeployError):
        look_through(path)
    with pytest.raises(DeployError):
        ReleaseArchive(path)


@ON_DISK
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_release_with_a_bit_that_fell_over(tmp_path: Path, whole: bytes, at: int, bit: int) -> None:
    """Of what is read of it before anything is unpacked."""
    damaged = bytearray(whole)
    damaged[at % len(whole)] ^= 1 << bit
    (tmp_path / "b.tar").write_bytes(damaged)
    with pytest.raises(DeployError):
        ReleaseArchive(tmp_path / "b.tar")
