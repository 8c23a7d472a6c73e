"""Kill the broker again and again while events come; see that each arrives, in order, and repeats are known.

    python tests/torture/kill_the_broker.py [--rounds 50] [--seed 1] [--json FILE]

A real Mosquitto, killed (SIGKILL) and started again; a publisher that is told of 100 events a second on four
channels, all the time; a subscriber whose session the broker keeps, so that what counts is what the gateway
does. Of every event: it arrives (what the broker acknowledged, and then lost itself, is counted apart);
those of a channel arrive in their order (a repeat, known by its message_id, aside); and what waits is on the
disk, so memory does not grow. Ends with status 1 if anything was not so.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from mosquitto import Mosquitto, Settings, binary  # noqa: E402 - after the path
from mqtt_house import House, config  # noqa: E402
from subscriber import Heard, Subscriber  # noqa: E402

from echostream.mqtt.outbox import Outgoing  # noqa: E402
from echostream.notices.notice import Notice, Weight  # noqa: E402

CANNOT = 77
CHANNELS = ("fire", "ems", "police", "water")
EVENTS_PER_S = 100
LIVES_S = (0.2, 2.0)
AWAY_S = (0.0, 1.0)
ARRIVE_S = 60.0
KEPT = """
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
"""


@dataclass
class Source(threading.Thread):
    """Tells of events, until it is stopped."""

    house: House

    def __post_init__(self) -> None:
        super().__init__(name="events")
        self.told: list[Notice] = []
        self.at_s: dict[str, float] = {}
        self.acknowledged: set[str] = set()
        self._stop_asked = threading.Event()
        self._outbox = self.house.publisher._outbox
        self._outbox.arrived = self._arrived  # type: ignore[method-assign]

    def run(self) -> None:
        next_s = time.monotonic()
        while not self._stop_asked.wait(max(0.0, next_s - time.monotonic())):
            number = len(self.told)
            channel = CHANNELS[number % len(CHANNELS)]
            weight = Weight.ALARM if number % 10 == 0 else Weight.EVENT
            notice = Notice("tone", time.time_ns() // 1000, f"{number}", channel, weight=weight)
            self.told.append(notice)
            self.at_s[notice.id] = time.monotonic()
            self.house.tell(notice)
            next_s += 1 / EVENTS_PER_S

    def _arrived(self, outgoing: Outgoing) -> None:
        """The broker's word for it."""
        self.acknowledged.add(outgoing.message.message_id)
        type(self._outbox).arrived(self._outbox, outgoing)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def __hash__(self) -> int:
        return id(self)


@dataclass
class Verdict:
    events: int = 0
    heard: int = 0
    repeats: int = 0
    lost_by_broker: int = 0
    seconds: float = 0.0
    grown_mb: float = 0.0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if binary() is None:
        say("not tried: mosquitto is not installed (scripts/setup.sh dev)")
        return CANNOT
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        verdict = torture(Path(scratch), options.rounds, random.Random(options.seed))
    tell(verdict, options.rounds)
    if options.json is not None:
        options.json.write_text(json.dumps(vars(verdict), indent=2) + "\n")
    return 1 if verdict.faults else 0


def torture(folder: Path, rounds: int, chance: random.Random) -> Verdict:
    """So many lives of a broker."""
    broker = Mosquitto(folder / "broker", Settings(extra=KEPT.format(folder=folder / "broker")))
    broker.start()
    subscriber = Subscriber(broker.port, "echostream/gw/channel/+/event/tone", session=True, again_s=0.05)
    subscriber.wait_subscribed()
    time.sleep(1.5)  # until the broker has written down who is subscribed
    configuration = config(broker.port, home_assistant=False)
    house = House(folder, configuration, None, plain=False, quick=False)
    source, began_s = Source(house), time.monotonic()
    house.start()
    source.start()
    before_mb = resident_mb()
    try:
        for number in range(1, rounds + 1):
            time.sleep(chance.uniform(*LIVES_S))
            broker.kill()
            subscriber.forget_subscribed()
            time.sleep(chance.uniform(*AWAY_S))
            broker.start()
            subscriber.wait_subscribed(20)
            if number % 10 == 0:
                say(f"  {number:3} of {rounds} kills, {len(source.told)} events")
        source.stop()
        verdict = Verdict(len(source.told), seconds=time.monotonic() - began_s)
        verdict.grown_mb = resident_mb() - before_mb
        wait_for_all(subscriber, source.told)
    finally:
        house.stop()
        subscriber.close()
        broker.stop()
    judge(verdict, source, subscriber.heard)
    return verdict


def wait_for_all(subscriber: Subscriber, told: Sequence[Notice]) -> None:
    missing = {notice.id for notice in told}
    deadline_s = time.monotonic() + ARRIVE_S
    while missing and time.monotonic() < deadline_s:
        missing -= {one.message_id for one in list(subscriber.heard)}
        time.sleep(0.2)


def judge(verdict: Verdict, source: Source, heard: Sequence[Heard]) -> None:
    """What arrived, against what was told."""
    number_of = {notice.id: number for number, notice in enumerate(source.told)}
    first: dict[str, int] = {}
    for one in heard:
        if one.message_id not in number_of:
            verdict.faults.append(f"heard what nobody told: {one.message_id}")
        elif json.loads(one.payload)["message_id"] != one.message_id:
            verdict.faults.append(f"two names for one event: {one.message_id}")
        first.setdefault(one.message_id, len(first))
    verdict.heard = len(first)
    verdict.repeats = len(heard) - len(first)
    missing = [name for name in number_of if name not in first]
    verdict.lost_by_broker = sum(name in source.acknowledged for name in missing)
    lost = [number_of[name] for name in missing if name not in source.acknowledged]
    if lost:
        verdict.faults.append(f"{len(lost)} events never arrived, as number {lost[:5]}")
    for at, channel in enumerate(CHANNELS):
        came = [number_of[name] for name in first if name in number_of]
        came = [number for number in came if number % len(CHANNELS) == at]
        wrong = sum(after < before for before, after in pairwise(came))
        if wrong:
            verdict.faults.append(f"channel {channel}: {wrong} events came before an earlier one")


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell(verdict: Verdict, rounds: int) -> None:
    rate = verdict.events / max(verdict.seconds, 1e-9)
    say(f"{rounds} kills in {verdict.seconds:.0f} s, {verdict.events} events told ({rate:.0f} a second)")
    share = verdict.repeats / max(verdict.events, 1)
    say(f"arrived: {verdict.heard}; repeats, known by their message_id: {verdict.repeats} ({share:.1%})")
    if verdict.lost_by_broker:
        say(f"acknowledged by the broker, and lost with its memory: {verdict.lost_by_broker}")
    say(f"memory of this process, subscriber included, grew by {verdict.grown_mb:.1f} MB")
    for fault in verdict.faults:
        say(f"FAULT {fault}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
