"""A whole gateway's event log: a page, a reload, kill -9, a command beside it, and an orderly end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from echostream.event_log.files import log_directory
from echostream.event_log.lines import Logged
from echostream.event_log.reading import read
from echostream.index.door import open_index
from echostream.index.event_rows import EventQuery

PAGE = {
    "tone_id": "engine-7",
    "alert": "Engine 7",
    "tone_a_hz": 349.0,
    "tone_b_hz": 433.7,
    "record_length_s": 1,
}


class House:
    """One configuration; every gateway that lives by it writes into the same log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.document: dict[str, Any] = {
            "gateway": {"id": "station-7", "affiliation_id": "station-7"},
            "control_server": {"url": "ws://192.0.2.1:9"},
            "channels": [{"id": "fire", "card": "A"}],
            "tones": {"fire": {"alert_tones": [PAGE]}},
            "recording": {"enabled": True, "directory": str(folder / "recordings")},
            "events": {"directory": str(folder / "events")},
        }
        (folder / "recordings").mkdir()
        self.save()

    def save(self) -> None:
        self.config.write_text(json.dumps(self.document), "utf-8")

    @property
    def events(self) -> list[Logged]:
        return list(read(log_directory(self.folder / "events")))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "echostream", *arguments, "--config", str(self.config)]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(
                self.command("run", "--simulate", "all", "--no-live"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def until(self, told: Callable[[list[Logged]], object]) -> None:
        end_s = time.monotonic() + 30.0
        while not told(self.events):
            assert time.monotonic() < end_s, (self.folder / "said").read_text("utf-8")
            time.sleep(0.05)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "RUNTIME_DIRECTORY": str(self.folder)}


def kinds(events: list[Logged]) -> list[str]:
    return [one.notice.kind for one in events]


def test_what_a_gateway_lived_through(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.gateway() as first:
        house.until(lambda events: "gateway" in kinds(events))
        house.document["channels"][0]["tot_s"] = 60
        house.save()
        assert house.call("reload").returncode == 0
        house.until(lambda events: kinds(events).count("admin") == 2)
        house.until(lambda events: kinds(events).count("recording") == 2)
        first.kill()
        first.wait()
    with house.gateway() as second:
        house.until(lambda events: kinds(events).count("gateway") == 2)
        second.terminate()
        assert second.wait(15) == 0
    events = house.events
    assert [one.number for one in events] == list(range(1, len(events) + 1))
    assert {one.gateway for one in events} == {"station-7"}
    gateway = [one.notice.data["state"] for one in events if one.notice.kind == "gateway"]
    assert gateway == ["started", "started", "stopped"], "the one that was killed could not say so"
    page = next(one.notice for one in events if one.notice.kind == "page")
    assert (page.channel_id, page.data["name"], page.data["tone_a_hz"]) == ("fire", "Engine 7", 349.0)
    made = [one.notice.data for one in events if one.notice.kind == "recording"][:2]
    assert [one["state"] for one in made] == ["closed", "filed"]
    assert [one["page_ids"] for one in made] == [[page.id], [page.id]]
    asked, applied = [one.notice for one in events if one.notice.kind == "admin"]
    assert asked.who.startswith("cli:")
    assert (applied.who, applied.before, applied.after) == (
        "",
        {"channels[fire].tot_s": 180.0},
        {"channels[fire].tot_s": 60.0},
    )
    _is_in_the_index_too(house, events)


def _is_in_the_index_too(house: House, events: list[Logged]) -> None:
    with open_index(house.folder / "recordings") as index:
        found = sorted(index.events(EventQuery()), key=lambda one: one.line)
    assert [(one.line, one.id) for one in found] == [(one.number, one.notice.id) for one in events]
