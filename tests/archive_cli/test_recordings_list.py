"""`echostream recordings list` and how recordings are chosen: by the index and by the files alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.archive.open_marks import OpenMarks
from echostream.archive.recording import Gap, ToneMark
from echostream.cli import main
from echostream.index.door import open_index

MINUTE = 60 * SECOND
SHORT = noise(1600)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> ArchiveHouse:
    """A small archive with one of everything, and its index."""
    house = ArchiveHouse(tmp_path_factory.mktemp("house") / "archive")
    tone = ToneMark("engine-7", "Engine 7", NOON + SECOND, NOON + 4 * SECOND)
    house.add("porch", NOON, SHORT, label="Porch, Elm Straße")
    house.add("porch", NOON + MINUTE, SHORT, form="flac", gaps=[Gap(NOON, NOON + 1000, "packets lost", 0)])
    house.add("garage", NOON + 2 * MINUTE, SHORT, trigger="vox", ended="pause", channel_id="public-works")
    radio = {"channel_id": "ems", "label": "Medical"}
    house.add("ems", NOON + 3 * MINUTE, SHORT, kind="channel", trigger="page", tones=[tone], **radio)
    house.add("ems", NOON + 3 * MINUTE, SHORT, kind="network", trigger="transmission", **radio)
    house.add("esp32-192.0.2.17", NOON + 4 * MINUTE, SHORT, kind="quarantine", rate_hz=8000)
    house.add("esp32-192.0.2.18", NOON + 5 * MINUTE, SHORT, protected=True, notes="dog barks")
    with open_index(house.directory) as index:
        index.reconcile()
    return house


@pytest.fixture(params=["index", "files"])
def by(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Both ways to find out must give the same."""
    return ("--by-files",) if request.param == "files" else ()


def listed(capsys: pytest.CaptureFixture[str], house: ArchiveHouse, *arguments: str) -> list[int]:
    """Numbers of the recordings, as they were added."""
    place = ("--directory", str(house.directory), "--utc", "--json")
    assert main(["recordings", "list", *arguments, *place]) == 0
    ids = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    known = [one.id for one in house.recordings]
    return [known.index(one) for one in ids]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6]),
        ("porch", [0, 1]),
        ("porch garage", [0, 1, 2]),
        ("ems", [3]),
        ("ems.net", [4]),
        ("ems ems.net", [3, 4]),
        ("quarantine.esp32-192.0.2.17", [5]),
        ("esp32-*", [6]),
        ("*esp32*", [5, 6]),
        ("e*", [3, 4, 6]),
        ("--limit 2", [5, 6]),
        ("--kind quarantine --kind network", [4, 5]),
        ("--trigger vox", [2]),
        ("--channel ems", [3, 4]),
        ("--tone engine-7", [3]),
        ("--tone no-such-page", []),
        ("--text medical", [3, 4]),
        ("--text elm", [0]),
        ("--text strasse", [0]),
        ("--text bark*", [6]),
        ("--text barking", []),
        ("--protected", [6]),
        ("--from 2024-11-21T12:02Z --to 2024-11-21T12:04Z", [2, 3, 4]),
        ("--from 2024-11-21T12:00:00.05Z --for 1m", [0, 1]),
        ("--from 2024-11-21T12:00:00.1Z --for 1m", [1]),
        ("--to 2024-11-21T12:01Z --for 30m", [0]),
        ("--from 2024-11-22", []),
        ("--to 2024-11-20", []),
        ("--from 2024-11-21 --to 2024-11-21", [0, 1, 2, 3, 4, 5, 6]),
        ("porch --from 2024-11-21T12:00:30Z", [1]),
        ("2024-11-21_1202_00_garage.wav", [2]),
        ("2024-11-21/2024-11-21_1202_00_garage.wav porch", [0, 1, 2]),
        ("2024-11-21_1200_00_porch", [0]),
    ],
)
def test_what_is_chosen(
    house: ArchiveHouse,
    capsys: pytest.CaptureFixture[str],
    by: tuple[str, ...],
    arguments: str,
    expected: list[int],
) -> None:
    assert sorted(listed(capsys, house, *arguments.split(), *by)) == expected


def test_ids_and_paths_of_the_file_system_choose_too(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str], by: tuple[str, ...]
) -> None:
    for number, one in enumerate(house.recordings):
        assert listed(capsys, house, one.id, *by) == [number]
        assert listed(capsys, house, one.id[:8].upper(), *by) == [number]
        assert listed(capsys, house, str(house.directory / one.path), *by) == [number]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("nobody", "no source and no recording of that name"),
        ("ffffffff", "no source and no recording of that name"),
        ("--from noon", "is no time: expected"),
        ("--from 12:00 --to 11:00", "is not after"),
        ("--from 11:00 --to 12:00 --for 1h", "two of them say it all"),
    ],
)
def test_a_wrong_call_is_told(
    house: ArchiveHouse,
    capsys: pytest.CaptureFixture[str],
    by: tuple[str, ...],
    arguments: str,
    told: str,
) -> None:
    assert main(["recordings", "list", *arguments.split(), "--directory", str(house.directory), *by]) == 2
    assert told in capsys.readouterr().err


def test_hours_ago_is_a_time_and_no_option(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, house, "--from", "-2h", "--to", "now") == []
    with pytest.raises(SystemExit):
        main(["recordings", "list", "--for", "soon", "--directory", str(house.directory)])
    assert "is no length: expected" in capsys.readouterr().err


def test_no_archive_is_told_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recordings", "list", "--directory", str(tmp_path / "nowhere")]) == 2
    assert "name the place with --directory or --config" in capsys.readouterr().err
    assert main(["recordings", "list", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no recordings there\n"


def test_the_configuration_says_where(
    house: ArchiveHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Path(__file__).parents[2]
    config = json.loads((repository / "config.json").read_text())
    config["recording"]["directory"] = str(house.directory)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["recordings", "list", "--config", str(tmp_path / "config.json"), "porch"]) == 0
    assert "2 recordings" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main(["recordings", "list", "porch"]) == 0, "./config.json, as `echostream run` reads it"
    assert "2 recordings" in capsys.readouterr().out


def test_a_table_in_a_pipe_is_whole(house: ArchiveHouse) -> None:
    command = [sys.executable, "-m", "echostream", "recordings", "list", "--utc", "--directory"]
    done = subprocess.run(
        [*command, str(house.directory)],
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        *("id", "start", "length", "source", "what", "tones", "gaps", "size", "form", "label", "notes")
    ]
    assert len(lines) == 9
    assert "Porch, Elm Straße" in lines[1]
    assert "2024-11-21 12:03:00" in lines[4]
    assert "Engine 7" in lines[4] or "Engine 7" in lines[5]
    assert re.fullmatch(r"7 recordings, 0:00\.8, 2\d\.\d kB; times: UTC", lines[-1])
    assert not done.stderr


def test_more_than_asked_for_is_told(house: ArchiveHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recordings", "list", "--directory", str(house.directory), "--limit", "2"]) == 0
    assert "older ones are there, --limit 20 or --all" in capsys.readouterr().out
    assert main(["recordings", "list", "--directory", str(house.directory), "--limit", "7"]) == 0
    assert "older ones" not in capsys.readouterr().out


def test_what_is_being_written_and_what_a_crash_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = ArchiveHouse(tmp_path / "archive")
    house.add("porch", NOON, SHORT, state="open", ended="")
    house.add("garage", NOON, SHORT, state="open", ended="")
    OpenMarks(house.directory).put(Path(house.recordings[0].path).stem)
    assert main(["recordings", "list", "--directory", str(house.directory), "--utc"]) == 0
    rows = {line.split()[4]: line for line in capsys.readouterr().out.splitlines()[1:3]}
    assert "continuous, now" in rows["porch"]
    assert "continuous, half-written" in rows["garage"]


def test_a_broken_index_or_meta_file_costs_nobody_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = ArchiveHouse(tmp_path / "archive")
    for number in range(3):
        house.add("porch", NOON + number * MINUTE, SHORT)
    with open_index(house.directory) as index:
        index.reconcile()
    data = bytearray((house.directory / "index.sqlite3").read_bytes())
    data[: 1 << 14] = np.random.default_rng(1).bytes(1 << 14)
    (house.directory / "index.sqlite3").write_bytes(data)
    for extra in ("-wal", "-shm"):
        (house.directory / f"index.sqlite3{extra}").unlink(missing_ok=True)
    assert listed(capsys, house) == [0, 1, 2]
    meta = next(house.directory.glob("*/.meta/*1200*.json"))
    meta.write_text(meta.read_text()[:-20])
    assert listed(capsys, house, "--by-files") == [1, 2]
    assert main(["recordings", "list", "--by-files", "--directory", str(house.directory)]) == 0
    assert "is no JSON" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another user")
def test_recordings_of_others_are_refused_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """Not "no recordings there": they are, and who asks may not see them."""
    with tempfile.TemporaryDirectory(prefix="echostream-others-") as folder:
        os.chmod(folder, 0o755)
        house = ArchiveHouse(Path(folder) / "archive")
        house.directory.chmod(0o755)
        house.add("porch", NOON, SHORT)
        commands = (["list"], ["verify"], ["stats"], ["repair"], ["protect", "porch"])

        def codes() -> list[int]:
            return [main(["recordings", *each, "--directory", str(house.directory)]) for each in commands]

        assert codes() == [0] * 5, "root may; and every library is loaded, where others may not read them"
        capsys.readouterr()
        os.setegid(65534)
        os.seteuid(65534)
        try:
            assert codes() == [2] * 5
        finally:
            os.seteuid(0)
            os.setegid(0)
    assert capsys.readouterr().err.count("run this as the user of the service, or with sudo") >= 4
