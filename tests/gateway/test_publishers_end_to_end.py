"""From the simulated dispatcher's page to subscribers, a bucket, a person and the event log: a whole gateway
process, a real broker with TLS and passwords, a real HTTP receiver. All of it again when none of them was
there, and the power went. And what `make run` promises.

The dispatcher pages five seconds after the start of each gateway: all of them start at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mosquitto
import pytest
from publisher_site import PAGE, Site
from subscriber import Heard

ROOT = Path(__file__).parents[2]
WITHIN_S = 90.0
TONE_DETECTION = "from/device/station-7/tone_detection"

pytestmark = pytest.mark.skipif(
    mosquitto.binary() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)


class Run:
    """`echostream run --simulate missing` with a configuration that names neither a broker nor a bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        document = {
            "gateway": {"id": "station-7", "affiliation_id": "s7"},
            "control_server": {"url": "ws://192.0.2.1:9"},
            "channels": [{"id": "dispatch", "card": "nobody-has-this"}],
            "tones": {"dispatch": {"alert_tones": [PAGE]}},
        }
        (folder / "config.json").write_text(json.dumps(document))
        command = [sys.executable, "-m", "echostream", "run", "--config", str(folder / "config.json")]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--simulate", "missing", "--no-live", "--summary", str(folder / "out.json")],
                env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline_s = time.monotonic() + WITHIN_S
        while (found := re.search(pattern, self.log())) is None:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline_s, f"{pattern}:\n{self.log()}"
            time.sleep(0.05)
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Stations:
    """connected: everybody is there from the start. alone: nobody is. simulated: nobody is configured."""

    connected: Site
    alone: Site
    simulated: Run


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stations]:
    connected, alone = (Site(tmp_path_factory.mktemp(name)) for name in ("connected", "alone"))
    connected.start()
    connected.run("run")
    alone.run("first")
    simulated = Run(tmp_path_factory.mktemp("simulated"))
    try:
        yield Stations(connected, alone, simulated)
    finally:
        for one in (connected, alone, simulated):
            one.close()


@pytest.fixture
def connected(stations: Stations) -> Iterator[Site]:
    yield stations.connected
    stations.connected.close()


@pytest.fixture
def alone(stations: Stations) -> Iterator[Site]:
    yield stations.alone
    stations.alone.close()


@pytest.fixture
def simulated(stations: Stations) -> Iterator[Run]:
    yield stations.simulated
    stations.simulated.close()


def of_kind(heard: list[Heard], kind: str) -> list[dict[str, Any]]:
    """Events of one kind, repeats left out."""
    found = {one.payload: json.loads(one.payload) for one in heard if one.topic.endswith(f"/event/{kind}")}
    return list(found.values())


def wait_until(
    condition: Callable[[], object], what: str, log: Callable[[], str], timeout_s: float = WITHIN_S
) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}:\n{log()}"
        time.sleep(0.05)


def logged(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "events" / "log").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def check_page(heard: list[Heard]) -> dict[str, Any]:
    """The topic and the keys that subscribers have relied on for years."""
    told = [json.loads(one.payload) for one in heard if one.topic == TONE_DETECTION]
    assert len({one["message_id"] for one in told}) == 1
    page: dict[str, Any] = told[0]
    assert (page["device_id"], page["event_type"]) == ("station-7", "defined_tones_detected")
    assert page["tone_details"] == {"tone_a": 349.0, "tone_b": 433.7}
    assert (page["channel_id"], page["tone_id"], page["alert"]) == ("dispatch", "engine-7", "Engine 7")
    assert isinstance(page["timestamp"], int)
    return page


def test_a_page_reaches_subscribers_the_bucket_a_person_and_the_event_log(connected: Site) -> None:
    site = connected
    listener = site.listen()
    process = site.processes["run"]
    listener.wait_for(lambda heard: any(one.topic == TONE_DETECTION for one in heard), WITHIN_S)
    page = check_page(listener.heard)
    assert abs(page["timestamp"] / 1000 - time.time()) < 60
    wait_until(lambda: site.receiver.told, "nobody was told", lambda: site.log("run"))
    assert "Engine 7" in json.dumps(site.receiver.told[0])

    listener.wait_for(lambda heard: bool(of_kind(heard, "upload")), WITHIN_S)
    (upload,) = of_kind(listener.heard, "upload")
    recordings = {one["state"]: one for one in of_kind(listener.heard, "recording")}
    assert (upload["channel_id"], upload["tone_ids"]) == ("dispatch", ["engine-7"])
    (page_event,) = of_kind(listener.heard, "page")
    assert upload["page_ids"] == recordings["filed"]["page_ids"] == [page_event["message_id"]]
    (there,) = site.uploaded()
    assert upload["key"] == there.relative_to(site.folder / "bucket" / "county").as_posix()
    assert hashlib.sha256(there.read_bytes()).hexdigest() == recordings["filed"]["sha256"]
    wait_until(
        lambda: site.control.stats().counts.get("in_file_uploaded"),
        "no file_uploaded",
        lambda: site.log("run"),
    )

    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, site.log("run")
    listener.wait_for(lambda heard: any(one.payload == b"offline" for one in heard), 10)
    said = logged(site.folder)
    assert {"gateway", "page", "recording", "upload", "alert"} <= {one["kind"] for one in said}
    summary = json.loads((site.folder / "run.json").read_text())["publishers"]
    assert summary["s3"]["sent"] == 1
    assert summary["mqtt"]["sent"] > 5
    assert (summary["mqtt"]["waiting"], summary["s3"]["waiting"]) == (0, 0)
    assert "Traceback" not in site.log("run")
    for secret in ("a word", "some-secret", site.receiver.url):
        assert secret not in site.log("run")


def test_a_page_that_nobody_could_be_told_of_is_told_after_a_power_cut(alone: Site) -> None:
    """Broker, bucket and control server are away; the gateway is killed; then all of them are back."""
    site = alone
    first = site.processes["first"]
    filed = site.folder / "recordings"
    wait_until(lambda: list(filed.rglob("*engine-7.flac")), "not filed", lambda: site.log("first"), WITHIN_S)
    wait_until(
        lambda: any(one["kind"] == "page" for one in logged(site.folder)),
        "not logged",
        lambda: site.log("first"),
    )
    first.send_signal(signal.SIGKILL)
    first.wait()
    cut_s = time.time()

    site.start()
    listener = site.listen()
    second = site.run("second")
    listener.wait_for(lambda heard: any(one.topic == TONE_DETECTION for one in heard), WITHIN_S)
    page = check_page([one for one in listener.heard if one.topic == TONE_DETECTION][:1])
    assert page["timestamp"] / 1000 < cut_s
    listener.wait_for(lambda heard: bool(of_kind(heard, "upload")), WITHIN_S)
    upload = of_kind(listener.heard, "upload")[0]
    assert upload["tone_ids"] == ["engine-7"]
    assert (site.folder / "bucket" / "county" / upload["key"]).is_file()
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0, site.log("second")
    assert "Traceback" not in site.log("first") + site.log("second")


def test_a_simulated_page_comes_out_at_a_subscriber_and_in_a_bucket(simulated: Run) -> None:
    run = simulated
    run.wait_for(r"subscriber: echostream/station-7/status online")
    run.wait_for(r"Page heard on dispatch: Engine 7")
    page = run.wait_for(r"subscriber: from/device/station-7/tone_detection (.*)")
    assert '"event_type":"defined_tones_detected"' in page[1]
    run.wait_for(r"subscriber: echostream/station-7/channel/dispatch/event/recording .*")
    run.wait_for(r"subscriber: echostream/station-7/channel/dispatch/event/upload .*")
    (bucket,) = run.folder.glob("bucket-*")
    uploaded = [path for path in (bucket / "recordings").rglob("*.flac") if path.is_file()]
    assert any(path.name.endswith("_dispatch_engine-7.flac") for path in uploaded)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(20) == 0
    assert "subscriber: echostream/station-7/status offline" in run.log()
    told = json.loads((run.folder / "out.json").read_text())["publishers"]
    assert told["s3"]["sent"] >= 1
    assert told["mqtt"]["sent"] > 3
    assert "Traceback" not in run.log()
    assert not list(bucket.glob(".keys/*"))
