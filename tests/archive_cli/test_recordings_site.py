"""A site that gathers two gateways in one PostgreSQL: all are listed, only one's own files are touched."""

from __future__ import annotations

import json
from pathlib import Path

import postgres
import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise

from echostream.cli import main
from echostream.event_log.lines import Logged
from echostream.event_log.table_copy import as_row
from echostream.index.door import open_index
from echostream.notices.notice import Notice

pytestmark = pytest.mark.skipif(
    postgres.binaries() is None,
    reason="PostgreSQL is not installed (scripts/setup.sh dev does, where it may)",
)


def configuration(folder: Path, url: str) -> Path:
    """Of a gateway whose recordings lie in folder/archive."""
    config = json.loads((Path(__file__).parents[2] / "config.json").read_text())
    secret = folder / "database-url"
    secret.write_text(url)
    secret.chmod(0o600)
    config["recording"] |= {"directory": str(folder / "archive"), "database": {"file": str(secret)}}
    config["events"] |= {"directory": str(folder / "events")}
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def test_two_gateways_in_one_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with postgres.server() as url:
        configs, houses = [], []
        for number, name in enumerate(("north", "south")):
            folder = tmp_path / name
            folder.mkdir()
            configs.append(configuration(folder, url))
            houses.append(ArchiveHouse(folder / "archive"))
            houses[-1].add(name, NOON + number * SECOND, noise(16_000, number), gateway=name)
            houses[-1].add("ems", NOON + number * SECOND, noise(16_000), gateway=name)

        def run(which: int, *arguments: str) -> tuple[int, list[str]]:
            code = main(["recordings", *arguments, "--config", str(configs[which])])
            return code, capsys.readouterr().out.splitlines()

        for which in (0, 1):
            assert run(which, "repair")[0] == 0
        code, lines = run(0, "list", "--json")
        assert code == 0
        assert sorted((json.loads(line)["gateway"], json.loads(line)["source"]) for line in lines) == [
            ("north", "ems"),
            ("north", "north"),
            ("south", "ems"),
            ("south", "south"),
        ]
        assert run(0, "verify")[0] == 0
        assert run(0, "verify", "ems")[1] == ["1 recording whole, as recorded; 0:01.0"], "its own only"
        out = tmp_path / "out.zip"
        assert run(0, "export", "-o", str(out), "--json")[0] == 0
        assert run(0, "export", "south", "-o", str(tmp_path / "none.wav"))[0] == 2
        assert run(0, "delete", "south", "--yes")[0] == 2
        assert run(0, "delete", "ems", "--yes")[0] == 0
        assert run(0, "stats", "--json")[0] == 0
        with open_index(houses[1].directory, url) as index:
            assert sorted(one.source for one in index.all()) == ["ems", "north", "south"]
        assert (houses[1].directory / houses[1].recordings[1].path).exists()


def test_the_events_of_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with postgres.server() as url:
        for number, name in enumerate(("north", "south")):
            folder = tmp_path / name
            (folder / "archive").mkdir(parents=True)
            config = configuration(folder, url)
            notices = [Notice("page", NOON + number + 10 * n, f"{name} {n}", "fire") for n in range(600)]
            with open_index(folder / "archive", url) as index:
                rows = [as_row("2025-11-21", Logged(n + 1, name, one)) for n, one in enumerate(notices)]
                index.event_table(name).add("2025-11-21", 0, 1, rows)

        def run(*arguments: str) -> list[str]:
            assert main(["events", "--site", "--utc", "--config", str(config), *arguments]) == 0
            return capsys.readouterr().out.splitlines()

        assert [line[-9:] for line in run("--limit", "3")] == ["south 598", "north 599", "south 599"]
        everything = run("--since", "@0", "--json")
        assert [json.loads(line)["text"] for line in everything] == [
            f"{name} {n}" for n in range(600) for name in ("north", "south")
        ]
        assert len(run("--gateway", "north", "--limit", "5000")) == 600
        (line,) = run("--text", "SOUTH 179", "--kind", "page", "--limit", "1")
        assert line.endswith("12:00:00.001  south         page          south 179")
