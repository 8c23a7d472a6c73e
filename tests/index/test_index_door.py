"""Opening: a new, an old, a damaged and an unreachable database; and what it costs those who need none."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from recorded import recording, written

from echostream.errors import EchoStreamError, IndexCorrupt, IndexUnavailable
from echostream.index import migrations, schema
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import BROKEN_KEPT, FILE_NAME, move_aside, open_index
from echostream.index.engine import address, make_engine, transaction
from echostream.index.tables import metadata


def test_a_command_that_needs_no_index_does_not_load_sqlalchemy() -> None:
    modules = ("door", "query", "words", "retention_plan", "writer", "retention")
    imports = "; ".join(f"import echostream.index.{one}" for one in modules)
    code = f"import sys; {imports}; sys.exit(any(m.startswith('sqlalchemy') for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_open_does_not_load_alembic_when_nothing_changed(tmp_path: Path) -> None:
    open_index(tmp_path).close()
    code = (
        "import sys, pathlib; from echostream.index.door import open_index; "
        f"open_index(pathlib.Path({str(tmp_path)!r})).close(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_migrations_make_the_tables_that_the_code_knows(index: ArchiveIndex) -> None:
    with transaction(index.engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, parents: (
                    not str(name).startswith("recording_words") and name != "recordings_words"
                )
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    folder = Path(str(migrations.__file__)).parent
    assert ScriptDirectory(str(folder)).get_heads() == [schema.REVISION]


def test_what_was_made_can_be_taken_back(index: ArchiveIndex) -> None:
    from alembic import command
    from alembic.config import Config

    with transaction(index.engine, writes=True) as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    schema.upgrade(index.engine)
    assert index.list().recordings == ()


def test_tables_of_a_newer_version_are_left_alone(tmp_path: Path, database_url: str | None) -> None:
    with open_index(tmp_path, database_url) as index, transaction(index.engine, writes=True) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(IndexUnavailable, match="newer EchoStream"):
        open_index(tmp_path, database_url)


def test_many_that_open_at_once_make_it_once(tmp_path: Path, database_url: str | None) -> None:
    failed: list[EchoStreamError] = []
    done: list[int] = []

    def opens(number: int) -> None:
        try:
            with open_index(tmp_path, database_url) as index:
                index.changed([written(tmp_path, recording(number))])
        except EchoStreamError as error:
            failed.append(error)
        else:
            done.append(number)

    threads = [threading.Thread(target=opens, args=(n,), name=f"opens-{n}") for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (failed, len(done)) == ([], 6)
    with open_index(tmp_path, database_url) as index:
        assert len(index.list().recordings) == 6


@pytest.mark.parametrize("damage", ["not a database", "cut short", "a page of zeros", "empty"])
def test_a_damaged_file_is_moved_aside_and_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_index(tmp_path) as index:
        index.changed([written(tmp_path, recording(n)) for n in range(50)])
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(
        {
            "not a database": b"This is a text. " * 1000,
            "cut short": data[: len(data) // 2],
            "a page of zeros": data[:4096] + bytes(len(data) - 4096),
            "empty": b"",
        }[damage]
    )
    with open_index(tmp_path) as index:
        index.reconcile()
        assert len(index.list().recordings) == 50
        assert len(index.search("porch").recordings) == 50
    if damage != "empty":
        assert "made again" in caplog.text
        assert len(list(tmp_path.glob("*.broken-*"))) == 1


def test_only_the_last_damaged_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        for suffix in ("", "-wal"):
            (tmp_path / f"{FILE_NAME}{suffix}").write_bytes(b"x")
        monkeypatch.setattr("time.strftime", lambda *_, n=n: f"2025112{n}T000000Z")
        move_aside(tmp_path, "test")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 * BROKEN_KEPT
    assert "20251124" in left[-1]


def test_no_index_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable, match="no index was made"):
        open_index(tmp_path, create=False)
    assert not list(tmp_path.iterdir())
    open_index(tmp_path).close()
    open_index(tmp_path, create=False).close()


def test_only_its_owner_and_group_can_read_who_spoke_when(tmp_path: Path) -> None:
    open_index(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o7 == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:topsecret@h/d", "only postgresql:// is known"),
        ("topsecret", "does not read"),
        ("postgresql://u:topsecret@127.0.0.1:1/d", r"PostgreSQL at 127.0.0.1:1, database 'd'"),
        ("postgresql://u:topsecret@h:port/d", "does not read"),
    ],
)
def test_an_address_that_does_not_work_is_explained_without_its_password(
    tmp_path: Path, url: str, said: str
) -> None:
    with pytest.raises(IndexUnavailable, match=said) as caught:
        open_index(tmp_path, url)
    assert "topsecret" not in str(caught.value)


def test_a_wrong_password_is_explained(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(IndexUnavailable, match="password authentication failed") as caught:
        open_index(tmp_path, postgres_url.replace("only-for-tests", "topsecret"))
    assert "topsecret" not in str(caught.value)


def test_connections_that_the_server_ended_are_made_again(tmp_path: Path, postgres_url: str) -> None:
    with open_index(tmp_path, postgres_url) as index, open_index(tmp_path, postgres_url) as other:
        index.changed([written(tmp_path, recording(1))])
        with transaction(other.engine) as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        index.changed([written(tmp_path, recording(2))])
        assert len(index.list().recordings) == 2


def test_a_folder_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable, match="must be there"):
        open_index(tmp_path / "missing")


def test_damage_that_shows_only_when_it_is_read_is_known_as_such(tmp_path: Path) -> None:
    with open_index(tmp_path) as index:
        index.changed([written(tmp_path, recording(n)) for n in range(200)])
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    for at in range(30 * 4096, len(data) - 4096, 4096):
        data[at : at + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    engine = make_engine(address(path, None))
    try:
        with pytest.raises(IndexCorrupt):
            _read_everything(engine)
    finally:
        engine.dispose()


def _read_everything(engine: sa.Engine) -> None:
    with transaction(engine) as connection:
        for statement in ("SELECT * FROM recordings", "SELECT id FROM recordings ORDER BY id"):
            connection.exec_driver_sql(statement).all()


def test_many_that_find_it_damaged_move_it_aside_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database " * 5000)
    together, done = threading.Barrier(4), list[int]()

    def opens(number: int) -> None:
        together.wait(10)
        with open_index(tmp_path) as index:
            index.list()
            done.append(number)

    threads = [threading.Thread(target=opens, args=(n,), name=f"opens-{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 4
    assert caplog.text.count("moved aside") == 1
