"""A new version that changes the index's tables and is left: the version before has an index it knows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from deployed import Machine

from echostream.deploy import index_kept, trial
from echostream.service.health import Health

REPOSITORY = Path(__file__).parents[2]
AUDIO = "/srv/audio"


def index(machine: Machine) -> Path:
    return machine.layout.below(AUDIO) / index_kept.NAME


def act(machine: Machine, *statements: str) -> None:
    with closing(sqlite3.connect(index(machine))) as file, file:
        for statement in statements:
            file.execute(statement)


def revision(machine: Machine) -> str:
    with closing(sqlite3.connect(index(machine))) as file:
        return str(file.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.tree("2")
    config = json.loads((REPOSITORY / "config.json").read_text())
    config["recording"] = {"directory": AUDIO}
    made.layout.config_dir.mkdir(parents=True)
    made.layout.config.write_text(json.dumps(config))
    index(made).parent.mkdir(parents=True)
    act(made, "PRAGMA journal_mode = WAL", "CREATE TABLE alembic_version (version_num TEXT)")
    act(made, "INSERT INTO alembic_version VALUES ('0003')", "CREATE TABLE rows (n INTEGER)")
    act(made, "INSERT INTO rows VALUES (1)")
    return made


def try_it(machine: Machine, does: Callable[[], None], good: bool) -> str:
    def behave(health: Health) -> Health:
        does()
        return health if good else replace(health, ready=False)

    machine.services.behaviour["2"] = behave
    trial.begin(machine.layout, machine.services, "2", 0.4, 0.05)
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert sorted(path.name for path in index(machine).parent.glob("*before-upgrade*")) == []
    return ended.outcome


def migrate(machine: Machine) -> None:
    act(machine, "UPDATE alembic_version SET version_num = '0004'", "ALTER TABLE rows ADD COLUMN more TEXT")


def test_going_back_brings_the_tables_back(machine: Machine) -> None:
    assert try_it(machine, lambda: migrate(machine), good=False) == "went back"
    assert revision(machine) == "0003"
    assert "stop echostream.service" in machine.services.asked
    with closing(sqlite3.connect(index(machine))) as file:
        assert file.execute("SELECT * FROM rows").fetchall() == [(1,)]


def test_rows_that_came_meanwhile_stay_where_the_tables_did_not_change(machine: Machine) -> None:
    assert try_it(machine, lambda: act(machine, "INSERT INTO rows VALUES (2)"), good=False) == "went back"
    with closing(sqlite3.connect(index(machine))) as file:
        assert file.execute("SELECT count(*) FROM rows").fetchone() == (2,)
    assert "stop echostream.service" not in machine.services.asked


def test_what_is_kept_keeps_its_new_tables(machine: Machine) -> None:
    assert try_it(machine, lambda: migrate(machine), good=True) == "confirmed"
    assert revision(machine) == "0004"


def test_who_goes_on_after_a_kill_does_not_copy_the_new_tables(machine: Machine) -> None:
    index_kept.keep(machine.layout, lambda _: None)
    migrate(machine)
    index_kept.keep(machine.layout, lambda _: None)
    assert index_kept.changed(machine.layout) == [index(machine)]


def test_one_that_is_too_large_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_kept, "MOST_BYTES", 10)
    said: list[str] = []
    index_kept.keep(machine.layout, said.append)
    assert "is not copied" in said[0]
    assert index_kept.changed(machine.layout) == []


def test_a_damaged_one_stops_no_trial(machine: Machine) -> None:
    index(machine).write_bytes(b"rubbish" * 1000)
    assert try_it(machine, lambda: None, good=True) == "confirmed"
