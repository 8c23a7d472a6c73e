"""From the simulated dispatcher's page to subscribers, a bucket, a person and the event log: a whole gateway
process, a real broker with TLS and passwords, a real HTTP receiver. And all of it again when none of them was
there, and the power went."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mosquitto
import pytest
from publisher_site import Site
from subscriber import Heard

TONE_DETECTION = "from/device/station-7/tone_detection"

pytestmark = pytest.mark.skipif(
    mosquitto.binary() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def of_kind(heard: list[Heard], kind: str) -> list[dict[str, Any]]:
    """Events of one kind, repeats left out."""
    found = {one.payload: json.loads(one.payload) for one in heard if one.topic.endswith(f"/event/{kind}")}
    return list(found.values())


def wait_until(
    condition: Callable[[], object], what: str, log: Callable[[], str], timeout_s: float = 30.0
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


def test_a_page_reaches_subscribers_the_bucket_a_person_and_the_event_log(site: Site) -> None:
    site.broker.start()
    site.bucket.start()
    site.control.start()
    listener = site.listen()
    process = site.run("run")
    listener.wait_for(lambda heard: any(one.topic == TONE_DETECTION for one in heard), 30)
    paged_s = time.monotonic()
    page = check_page(listener.heard)
    assert abs(page["timestamp"] / 1000 - time.time()) < 10
    wait_until(lambda: site.receiver.told, "nobody was told", lambda: site.log("run"), 10)
    assert time.monotonic() - paged_s < 10
    assert "Engine 7" in json.dumps(site.receiver.told[0])

    listener.wait_for(lambda heard: bool(of_kind(heard, "upload")), 30)
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


def test_a_page_that_nobody_could_be_told_of_is_told_after_a_power_cut(site: Site) -> None:
    """Broker, bucket and control server are away; the gateway is killed; then all of them are back."""
    first = site.run("first")
    filed = site.folder / "recordings"
    wait_until(lambda: list(filed.rglob("*engine-7.flac")), "not filed", lambda: site.log("first"), 40)
    wait_until(
        lambda: any(one["kind"] == "page" for one in logged(site.folder)),
        "not logged",
        lambda: site.log("first"),
    )
    first.send_signal(signal.SIGKILL)
    first.wait()
    cut_s = time.time()

    site.broker.start()
    site.bucket.start()
    site.control.start()
    listener = site.listen()
    second = site.run("second")
    listener.wait_for(lambda heard: any(one.topic == TONE_DETECTION for one in heard), 20)
    page = check_page([one for one in listener.heard if one.topic == TONE_DETECTION][:1])
    assert page["timestamp"] / 1000 < cut_s
    listener.wait_for(lambda heard: bool(of_kind(heard, "upload")), 30)
    upload = of_kind(listener.heard, "upload")[0]
    assert upload["tone_ids"] == ["engine-7"]
    assert (site.folder / "bucket" / "county" / upload["key"]).is_file()
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0, site.log("second")
    assert "Traceback" not in site.log("first") + site.log("second")
