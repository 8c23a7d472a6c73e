"""Root at the command line: what it makes must not lock the service out of its own recordings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import recording, written

from echostream.archive.meta_files import update_meta
from echostream.index.door import FILE_NAME, open_index
from echostream.index.folders import ARCHIVE_ID


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Whom root gave what it made: name -> user and group."""
    seen: dict[str, tuple[int, int]] = {}

    def chown(path: Path, user: int, group: int, **_: object) -> None:
        seen[Path(path).name] = (user, group)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    return seen


def test_root_leaves_what_it_makes_to_the_owner_of_the_folder(
    tmp_path: Path, given: dict[str, tuple[int, int]]
) -> None:
    meta = written(tmp_path, recording(1))
    with open_index(tmp_path) as index:
        index.reconcile()
        update_meta(meta, lambda one: replace(one, protected=True))
    owner = (tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    assert set(given.values()) == {owner}
    assert FILE_NAME in given
    for made in (f".{ARCHIVE_ID}-", f".{meta.name}."):  # beside, before it is put in its place
        assert any(name.startswith(made) for name in given), made


def test_anybody_else_makes_files_of_his_own(
    tmp_path: Path, given: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    written(tmp_path, recording(1))
    open_index(tmp_path).close()
    assert given == {}


def test_a_file_system_without_owners_is_left_as_it_is(
    tmp_path: Path, given: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("vfat has no owners")

    monkeypatch.setattr(os, "chown", refused)
    meta = written(tmp_path, recording(1))
    open_index(tmp_path).close()
    assert meta.exists()
