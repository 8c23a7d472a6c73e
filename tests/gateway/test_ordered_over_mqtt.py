"""Commands over a real broker to a whole gateway process: each is carried out and answered, once."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import mosquitto
import pytest
from publisher_site import ALL, Site
from subscriber import Subscriber

WITHIN_S = 60.0
ROOT = "echostream/station-7"
CHANNEL = f"{ROOT}/channel/dispatch"
SWITCHES = dict.fromkeys(("page_out", "volume", "mute", "record", "reload"), True)

pytestmark = pytest.mark.skipif(
    mosquitto.binary() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)


class Ordered(Site):
    """Takes every command. more: what a reload finds changed."""

    more: dict[str, Any]

    def config(self, on: Collection[str] = ALL) -> Path:
        path = super().config(on)
        document = json.loads(path.read_text())
        document["mqtt"] |= {"commands": SWITCHES, **self.more}
        document["channels"][0]["duplex"] = "full"
        path.write_text(json.dumps(document))
        return path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Ordered]:
    built = Ordered(tmp_path)
    built.more = {}
    try:
        built.broker.start()
        built.bucket.start()
        built.control.start()
        yield built
    finally:
        built.close()


def ask(listener: Subscriber, topic: str, **values: object) -> dict[str, Any]:
    """The answer to a command."""
    before = len(listener.of(f"{topic}/answer"))
    listener.publish(topic, json.dumps(values).encode())
    listener.wait_for(lambda heard: len(listener.of(f"{topic}/answer")) > before, WITHIN_S)
    answer: dict[str, Any] = json.loads(listener.of(f"{topic}/answer")[-1].payload)
    return answer


def test_each_command_is_carried_out_and_answered(site: Ordered) -> None:
    listener = site.listen()
    process = site.run("run", ("mqtt",))
    listener.wait_for(lambda heard: any(one.topic == f"{CHANNEL}/state" for one in heard), WITHIN_S)

    recorded = ask(listener, f"{CHANNEL}/command/record", seconds=1, request_id="r1")
    assert (recorded["ok"], recorded["request_id"]) == (True, "r1"), site.log("run")
    paged = ask(listener, f"{CHANNEL}/command/page_out", tone_id="engine-7", wait_s=30)
    assert (paged["ok"], "sent" in paged["text"]) == (True, True), site.log("run")
    louder = ask(listener, f"{CHANNEL}/command/volume", gain_db=-6)
    assert louder["ok"]
    muted = ask(listener, f"{CHANNEL}/command/mute", what="microphone", muted=True)
    assert muted["ok"]
    wrong = ask(listener, f"{CHANNEL}/command/page_out", tone_id="engine-8")
    assert not wrong["ok"]

    site.more = {"keep_alive_s": 60}  # whoever carries the answer away is replaced by this reload
    site.config(("mqtt",))
    reloaded = ask(listener, f"{ROOT}/command/reload", who="anna")
    assert (reloaded["ok"], reloaded["text"]) == (True, "mqtt changed")

    process.terminate()
    assert process.wait(WITHIN_S) == 0
    log = "".join(path.read_text() for path in (site.folder / "events" / "log").glob("*.jsonl"))
    told = [json.loads(line) for line in log.splitlines()]
    commands = [one for one in told if one["kind"] == "command"]
    assert [one["subject"] for one in commands] == ["record", "page_out", "volume", "mute", "reload"]
    assert commands[-1]["who"] == "mqtt:anna"
    metas = [json.loads(path.read_text()) for path in (site.folder / "recordings").glob("*/.meta/*.json")]
    assert {meta["trigger"] for meta in metas} <= {"command", "page"}  # the dispatcher pages meanwhile
    assert metas
