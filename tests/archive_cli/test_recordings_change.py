"""`echostream recordings protect` and `delete`: what is meant is changed, with an index and without."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.archive_tools.changing import DeleteOptions, delete
from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.selection import Selection
from echostream.cli import main
from echostream.errors import ArchiveError
from echostream.event_log.acts import ActLog
from echostream.event_log.files import LogFiles, log_directory
from echostream.event_log.reading import read
from echostream.index.door import open_index
from echostream.notices.notice import Notice

SAMPLES = noise(1600)


@pytest.fixture(params=["index", "files"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveHouse:
    house = ArchiveHouse(tmp_path / "archive")
    for number in range(3):
        house.add("porch", NOON + number * SECOND, SAMPLES)
    house.add("garage", NOON, SAMPLES, protected=True, notes="as it was")
    house.add("attic", NOON, SAMPLES, state="open", ended="")
    if request.param == "index":
        with open_index(house.directory) as index:
            index.reconcile()
    return house


def run(house: ArchiveHouse, *arguments: str) -> int:
    return main(["recordings", *arguments, "--directory", str(house.directory)])


def known(house: ArchiveHouse, number: int) -> Recording:
    return read_meta(place_of(house.directory, house.recordings[number].path).meta)


def there(house: ArchiveHouse) -> list[str]:
    """Names of all sound and meta files."""
    return sorted(path.name for path in house.directory.rglob("*_*_*") if path.is_file())


def test_protected_with_a_note_and_no_longer(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(house, "protect", house.recordings[0].id, "--note", "house fire, Elm St") == 0
    assert "1 recording protected and noted" in capsys.readouterr().out
    assert (known(house, 0).protected, known(house, 0).notes) == (True, "house fire, Elm St")
    assert not known(house, 1).protected
    assert run(house, "list", "--text", "elm", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["protected"]
    assert run(house, "protect", house.recordings[0].id, "--off") == 0
    assert (known(house, 0).protected, known(house, 0).notes) == (False, "house fire, Elm St")


def test_a_range_of_a_source_is_protected(house: ArchiveHouse) -> None:
    assert run(house, "protect", "porch", "--from", "2024-11-21T12:00:01Z", "--for", "1s") == 0
    assert [known(house, number).protected for number in range(3)] == [False, True, False]


def test_deleted_are_the_files_and_the_row(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(house, "delete", house.recordings[1].id, "--yes") == 0
    assert "deleted 1 recording: 3.24 kB are free" in capsys.readouterr().out
    assert "2024-11-21_1200_01_porch" not in " ".join(there(house))
    assert run(house, "list", "porch", "--json") == 0
    ids = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert ids == [house.recordings[0].id, house.recordings[2].id]


def test_what_is_protected_or_being_recorded_stays(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(house, "delete", "*", "--yes") == 0
    assert [name for name in there(house) if name.endswith(".wav")] == [
        "2024-11-21_1200_00_attic.wav",
        "2024-11-21_1200_00_garage.wav",
    ]
    told = capsys.readouterr()
    assert "deleted 3 recordings" in told.out
    assert "1 recording protected: kept (--force" in told.err
    assert "1 recording being written: kept" in told.err
    assert run(house, "delete", "*", "--yes", "--force") == 0
    assert [name for name in there(house) if name.endswith(".wav")] == ["2024-11-21_1200_00_attic.wav"]


def test_nothing_is_deleted_by_mistake(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    before = there(house)
    assert run(house, "delete", "--yes") == 2, "all of them is never meant"
    assert run(house, "delete", "nobody", "--yes") == 2
    assert run(house, "delete", "porch", "--from", "2030-01-01", "--yes") == 2
    assert run(house, "delete", "garage", "--yes") == 2, "protected"
    assert run(house, "protect") == 2
    assert there(house) == before
    told = capsys.readouterr().err
    for words in (
        "which recordings?",
        "no source and no recording",
        "no recordings there",
        "nothing to delete",
    ):
        assert words in told


class Person(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_person_is_asked(house: ArchiveHouse, answer: str, code: int) -> None:
    store, out, err = FileStore(house.directory), io.StringIO(), io.StringIO()
    before = there(house)
    options = DeleteOptions()
    assert delete(store, Selection(("porch",)), options, NOON, Person(answer), out, err, ActLog(None)) == code
    assert "delete 3 recordings (0:00.3, 9.73 kB)? [y/N]" in err.getvalue()
    assert (there(house) == before) == (code == 1)


def test_where_there_is_nobody_to_ask(house: ArchiveHouse) -> None:
    store = FileStore(house.directory)
    sinks = (io.StringIO(), io.StringIO(), io.StringIO())
    with pytest.raises(ArchiveError, match="--yes"):
        delete(store, Selection(("porch",)), DeleteOptions(), NOON, *sinks, ActLog(None))
    assert len(there(house)) == 10


# ---- who did what


def configured(house: ArchiveHouse, folder: Path) -> list[str]:
    """The options of a call with a configuration, whose event log is in `folder`."""
    document = {
        "gateway": {"id": "station-7", "affiliation_id": "7"},
        "control_server": {"url": "ws://127.0.0.1:1"},
        "channels": [{"id": "a", "card": "none"}],
        "recording": {"enabled": True, "directory": str(house.directory)},
        "events": {"directory": str(folder)},
    }
    config = house.directory.parent / "config.json"
    config.write_text(json.dumps(document), "utf-8")
    return ["--config", str(config)]


def acts(folder: Path) -> list[Notice]:
    return [one.notice for one in read(log_directory(folder))]


def test_who_protected_and_deleted_is_in_the_event_log(
    house: ArchiveHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echostream.event_log.acts.os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "anna")
    events = tmp_path / "events"
    events.mkdir()
    where, one = configured(house, events), house.recordings[0]
    assert main(["recordings", "protect", one.id, "--note", "Elm St", *where]) == 0
    assert main(["recordings", "delete", one.id, "--yes", "--force", *where]) == 0
    protected, deleted = acts(events)
    assert (protected.kind, protected.who, protected.subject) == ("admin", "cli:anna", one.id)
    assert protected.before == {"protected": False, "notes": ""}
    assert protected.after == {"protected": True, "notes": "Elm St"}
    assert (deleted.data["act"], deleted.who) == ("delete", "cli:anna")
    assert isinstance(deleted.before, dict)
    assert (deleted.before["path"], deleted.before["notes"]) == (one.path, "Elm St")
    assert [one.gateway for one in read(log_directory(events))] == ["station-7"] * 2


def test_what_could_not_be_done_is_not_said_to_be_done(house: ArchiveHouse, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    where = configured(house, events)
    main(["recordings", "delete", "garage", "--yes", *where])
    assert acts(events) == []


def test_many_acts_are_all_there(house: ArchiveHouse, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    assert main(["recordings", "delete", "*", "--yes", "--force", *configured(house, events)]) == 0
    assert len(acts(events)) == 4


def test_where_nobody_keeps_a_log_none_is_begun(house: ArchiveHouse, tmp_path: Path) -> None:
    where = configured(house, tmp_path / "nowhere")
    assert main(["recordings", "protect", house.recordings[0].id, *where]) == 0
    assert not (tmp_path / "nowhere").exists()


def test_a_log_that_cannot_be_written_stops_nothing(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events"
    events.mkdir()
    (events / "log").write_text("a file in its place", "utf-8")
    assert main(["recordings", "delete", "porch", "--yes", *configured(house, events)]) == 0
    assert capsys.readouterr().err.count("not in the event log") == 1


def test_a_command_and_a_gateway_write_into_the_same_log(house: ArchiveHouse, tmp_path: Path) -> None:
    files = LogFiles(log_directory(tmp_path / "events"), "station-7")
    files.append([Notice("gateway", 1, "started")])
    main(["recordings", "protect", house.recordings[0].id, *configured(house, tmp_path / "events")])
    files.append([Notice("gateway", 2, "stopped")])
    assert [one.number for one in read(log_directory(tmp_path / "events"))] == [1, 2, 3]
