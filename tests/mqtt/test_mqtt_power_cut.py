"""The power goes between what happened and its publication: published after the start."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_house import house
from scripted_broker import SILENT, ScriptedBroker

REPOSITORY = Path(__file__).parents[2]
GATEWAY = """
import sys, time
from pathlib import Path
from mqtt_house import House, config, event
house = House(Path(sys.argv[1]), config(int(sys.argv[2])), None, plain=True)
house.start()
for number in range(1_000_000):
    house.tell(event(str(number)))
    sys.stdout.write(f"{number} {time.monotonic()}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
"""
ON_THE_DISK_S = 0.5
"""Far more than it takes: this machine may be busy with other things."""


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    one = ScriptedBroker()
    yield one
    one.close()


@pytest.mark.parametrize("away", ["nobody there", "never answers the connect", "never answers a publication"])
def test_all_of_half_a_second_before_is_published_after_the_start(
    tmp_path: Path, broker: ScriptedBroker, away: str
) -> None:
    broker.script.connack = SILENT if "connect" in away else 0
    broker.script.judge = lambda one: SILENT
    port, told, chance = 1 if away == "nobody there" else broker.port, list[str](), random.Random(away)
    with subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(tmp_path), str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
    ) as gateway:
        assert gateway.stdout is not None
        told += [gateway.stdout.readline() for _ in range(20)]
        time.sleep(ON_THE_DISK_S + chance.uniform(0.1, 0.3))
        gateway.kill()
        cut_s = time.monotonic()
        told += gateway.stdout.read().splitlines()
    due = [int(line.split()[0]) for line in told[:-1] if float(line.split()[1]) < cut_s - ON_THE_DISK_S]
    assert len(due) >= 20
    broker.script.connack, broker.script.judge = 0, lambda one: 0
    before = broker.connections
    with house(tmp_path, broker.port) as running:
        running.wait(lambda: running.publisher.link().up)  # type: ignore[union-attr]
        running.wait_empty()
    came = [int(one.payload) for one in broker.published if one.connection > before and one.topic != "status"]
    assert came == list(range(len(came))), "in order, and once in this life"
    assert due[-1] <= came[-1]
