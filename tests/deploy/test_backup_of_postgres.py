"""An index in a real PostgreSQL comes back with the rest; without its tools that is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import postgres
import psycopg
import pytest
from deployed import PlayedServices

from echostream.deploy import postgres_dump
from echostream.deploy.backup import backup
from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.restore import Options, restore

REPOSITORY = Path(__file__).parents[2]
CONFIG = "/etc/echostream/config.json"


def site(root: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Layout:
    layout = Layout(root)
    config = json.loads((REPOSITORY / "config.json").read_text())
    config["recording"] = {"directory": "/srv/audio", "database": {"credential": "index-database"}}
    layout.credentials.mkdir(parents=True)
    layout.config.write_text(json.dumps(config))
    (layout.credentials / "index-database").write_text(url + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(layout.credentials))
    return layout


def act(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def rows(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT n FROM recordings ORDER BY n").fetchall()]


def test_it_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.server() as url:
        layout = site(tmp_path / "here", url, monkeypatch)
        act(url, "CREATE TABLE recordings (n INTEGER)", "INSERT INTO recordings VALUES (1), (2), (3)")
        manifest = backup(layout, tmp_path / "b.tar.gz", False, lambda _: None)
        assert manifest.databases == {"databases/1.dump": CONFIG}
        act(url, "DELETE FROM recordings WHERE n < 3", "INSERT INTO recordings VALUES (9)")
        (tmp_path / "rubbish").write_bytes(b"rubbish" * 100)
        with pytest.raises(DeployError, match="pg_restore"):
            postgres_dump.restore(url, tmp_path / "rubbish")
        assert rows(url) == [3, 9], "a dump that is none changes nothing"
        said: list[str] = []
        restore(layout, PlayedServices(layout), tmp_path / "b.tar.gz", Options(), said.append)
        assert rows(url) == [1, 2, 3]
        assert any("PostgreSQL is what it was" in one for one in said)


def test_without_its_tools_the_rest_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = site(tmp_path / "here", "postgresql://echostream@127.0.0.1:9/none", monkeypatch)
    monkeypatch.setattr(postgres_dump, "PG_DUMP", "pg_dump-that-is-not-there")
    manifest = backup(layout, tmp_path / "b.tar.gz", False, lambda _: None)
    assert "apt install postgresql-client" in manifest.left_out[0]
    assert {one.path for one in manifest.files} >= {CONFIG, "/etc/echostream/credentials/index-database"}


def test_a_server_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("pg_dump"), "scripts/setup.sh dev installs it"
    layout = site(tmp_path / "here", "postgresql://echostream:secret@127.0.0.1:9/none", monkeypatch)
    manifest = backup(layout, tmp_path / "b.tar.gz", False, lambda _: None)
    assert "pg_dump" in manifest.left_out[0]
    assert "secret" not in manifest.left_out[0]


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        (
            "postgresql://me:p%40ss@host:5433/db?sslmode=require",
            "postgresql://me@host:5433/db?sslmode=require",
            "p@ss",
        ),
        ("postgresql+psycopg://me:p@host/db", "postgresql://me@host/db", "p"),
        ("postgresql://host/db", "postgresql://host/db", ""),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql", ""),
    ],
)
def test_no_password_stands_on_a_command_line(url: str, address: str, password: str) -> None:
    assert postgres_dump.without_password(url) == (address, password)
