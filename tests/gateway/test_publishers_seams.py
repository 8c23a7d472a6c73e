"""Between the gateway and its publishers: nobody waits, and who fails fails alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_documents import Document, small

from echostream.channels.channel_runtime import Hardware
from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.events import ChannelOnline, Event, WorkerFailed
from echostream.gateway import SWITCH_S, Gateway, Secrets
from echostream.notices.notice import Notice
from echostream.publishers import NAMES, STOP_S, Publishers, PublisherSecrets
from echostream.simulator.file_cards import FileCards
from echostream.simulator.member import _NoCosReaders, _NoOutputs
from echostream.vitals.model import BoardVitals, LinkVitals, Vitals

SECRETS = PublisherSecrets("password", ("id", "secret"), {"chief": "json://127.0.0.1:9/"})
BOARD = BoardVitals(None, None, None, None, None, None, 0, 0, None, 0.0, 0.0, 0.0, 0.0)
VITALS = Vitals(0, 0.0, "g", "1", (), (), BOARD, ())


def everything(directory: Path, **more: object) -> Document:
    """A configuration in which each publisher runs, and finds nobody."""
    rule = {"name": "broker", "on": "broker_gone", "targets": ["chief"]}
    alerts = {"enabled": True, "targets": [{"name": "chief", "url": {"env": "URL"}}], "rules": [rule]}
    document = small(
        events={"directory": str(directory / "events"), "report_at": "06:00"},
        recording={"enabled": True, "directory": str(directory / "recordings")},
        mqtt={"enabled": True, "host": "127.0.0.1", "port": 9, "tls": None},
        s3={"enabled": True, "bucket": "b", "endpoint_url": "http://127.0.0.1:9"},
        alerts=alerts,
    )
    return document | more


def config_of(document: Document) -> Config:
    return parse_config(document, "test").config


class Asleep(Worker):
    """A publisher that keeps what it is told; `stuck` does not end when it is asked to."""

    def __init__(self, stuck: bool = False) -> None:
        super().__init__("asleep", lambda event: None)
        self.taken: list[Notice] = []
        self.looked = 0
        self.let_go = threading.Event()
        self.stuck = stuck
        self.running_with: list[str] = []

    @property
    def workers(self) -> list[Worker]:
        return [self]

    def take(self, notice: Notice) -> None:
        self.taken.append(notice)

    def look(self, vitals: Vitals) -> None:
        self.looked += 1

    def link(self) -> LinkVitals | None:
        return None

    def _work(self) -> None:
        self._stopping.wait()
        if self.stuck:
            self.let_go.wait(30.0)


class Broken(Asleep):
    def take(self, notice: Notice) -> None:
        raise KeyError("a bug")

    def look(self, vitals: Vitals) -> None:
        raise KeyError("a bug")


class Bench(Publishers):
    """Publishers that are put in their places by the test."""

    def __init__(self, config: Config, stand_ins: dict[str, list[Asleep]]) -> None:
        self.stand_ins = stand_ins
        self.posted: list[Event] = []
        super().__init__(config, SECRETS, self.posted.append, lambda links: VITALS)

    def _made(self, name: str) -> Asleep | None:
        waiting = self.stand_ins.get(name)
        return waiting.pop(0) if waiting else None


@pytest.fixture
def ended() -> Iterator[list[Publishers]]:
    built: list[Publishers] = []
    yield built
    for one in built:
        one.stop()


def test_one_that_trips_over_a_bug_keeps_nobody_from_being_told(
    tmp_path: Path, ended: list[Publishers]
) -> None:
    well = Asleep()
    bench = Bench(config_of(everything(tmp_path)), {"events": [Broken()], "mqtt": [well]})
    ended.append(bench)
    bench.start()
    for _ in range(3):
        bench.note(ChannelOnline("a", True), 0.0)
        bench._looked(VITALS)
    assert [notice.kind for notice in well.taken] == ["gateway", *["channel"] * 3]
    assert well.looked >= 3
    failures = [event for event in bench.posted if isinstance(event, WorkerFailed)]
    assert [failure.name for failure in failures] == ["events"]


def test_a_new_publisher_is_told_at_once_and_works_when_the_old_one_has_ended(
    tmp_path: Path, ended: list[Publishers]
) -> None:
    old, new = Asleep(stuck=True), Asleep()
    bench = Bench(config_of(everything(tmp_path)), {"mqtt": [old, new]})
    ended.append(bench)
    bench.start()
    began_s = time.monotonic()
    bench.apply(config_of(everything(tmp_path, mqtt={"enabled": True, "host": "other"})), SECRETS)
    assert time.monotonic() - began_s < 1.0
    bench.note(ChannelOnline("a", True), 0.0)
    assert [notice.kind for notice in new.taken] == ["channel"]
    assert new._thread is None  # the old one is still at work
    old.let_go.set()
    until_s = time.monotonic() + 5.0
    while new._thread is None:
        assert time.monotonic() < until_s
        time.sleep(0.005)
    assert old._thread is None


def test_one_that_hangs_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    stuck = {name: [Asleep(stuck=True)] for name in NAMES}
    all_of_them = [one for waiting in stuck.values() for one in waiting]
    bench = Bench(config_of(everything(tmp_path)), stuck)
    bench.start()
    began_s = time.monotonic()
    bench.stop()
    assert time.monotonic() - began_s < STOP_S + 1.0
    for one in all_of_them:
        one.let_go.set()
        assert one.join(5.0)


@pytest.mark.parametrize(
    ("more", "made_anew"),
    [
        ({}, set()),
        ({"audio": {"bitrate_bps": 16000}}, set()),
        ({"tones": {"a": {"alert_tones": []}}}, set()),
        ({"mqtt": {"enabled": True, "host": "h2"}}, {"mqtt"}),
        ({"s3": {"enabled": True, "bucket": "c"}}, {"s3"}),
        ({"s3": {"enabled": False}}, {"s3", "mqtt"}),
        ({"alerts": {"enabled": True}}, {"alerts"}),
        ({"esp32": {"enabled": True, "devices": [{"name": "porch"}]}}, {"mqtt", "report"}),
    ],
)
def test_a_reload_touches_only_whoever_reads_what_changed(
    tmp_path: Path, more: dict[str, object], made_anew: set[str], ended: list[Publishers]
) -> None:
    bench = Bench(config_of(everything(tmp_path)), {name: [Asleep(), Asleep()] for name in NAMES})
    ended.append(bench)
    before = dict(bench._running)
    bench.apply(config_of(everything(tmp_path, **more)), SECRETS)
    assert {name for name in NAMES if bench._running.get(name) is not before[name]} == made_anew


def test_pages_that_may_be_ordered_are_part_of_what_mqtt_is_made_of(
    tmp_path: Path, ended: list[Publishers]
) -> None:
    mqtt = {"enabled": True, "host": "h", "commands": {"page_out": True}}
    bench = Bench(config_of(everything(tmp_path, mqtt=mqtt)), {"mqtt": [Asleep(), Asleep()]})
    ended.append(bench)
    before = bench._running["mqtt"]
    tone = {"tone_id": "e7", "tone_a_hz": 349.0, "tone_b_hz": 433.7}
    bench.apply(config_of(everything(tmp_path, mqtt=mqtt, tones={"a": {"alert_tones": [tone]}})), SECRETS)
    assert bench._running["mqtt"] is not before


def test_a_secret_that_changed_or_is_missing_is_a_change(tmp_path: Path, ended: list[Publishers]) -> None:
    config = config_of(everything(tmp_path))
    bench = Bench(config, {name: [Asleep(), Asleep(), Asleep()] for name in NAMES})
    ended.append(bench)
    before = dict(bench._running)
    bench.apply(config, PublisherSecrets("another", ("id", "secret"), dict(SECRETS.alert_urls)))
    assert {name for name in NAMES if bench._running[name] is not before[name]} == {"mqtt"}


AUDITED = """
import sys, threading
from pathlib import Path
import echostream.main  # what a running gateway has in memory
from echostream.config.load import parse_config
from echostream.publishers import Publishers, PublisherSecrets
from test_publishers_seams import SECRETS, VITALS, everything, small

here, touched, watching = threading.get_ident(), [], False
DISK = ("open", "import", "os.", "shutil.", "glob.", "sqlite3.", "socket.", "subprocess.", "tempfile.")

def hook(event, args):
    if watching and threading.get_ident() == here and event.startswith(DISK):
        touched.append(f"{event} {args!r:.150}")

sys.addaudithook(hook)
folder = Path(sys.argv[1])
nothing = parse_config(small(events={"directory": str(folder / "e"), "report_at": None}), "t").config
all_of_it = parse_config(everything(folder), "t").config
posted = []
watching = True
publishers = Publishers(nothing, PublisherSecrets(), posted.append, lambda links: VITALS)
publishers.apply(all_of_it, SECRETS)
publishers.links()
publishers.apply(nothing, PublisherSecrets())
watching = False
publishers.stop()
print("\\n".join(touched))
"""


def test_nothing_that_is_built_for_a_reload_touches_disk_or_network(tmp_path: Path) -> None:
    """It is built on the coordinator's thread, where buttons and time-out timers wait. Modules that only a
    publisher needs are read from the disk too: on its own thread."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{AUDITED}", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_busy_thread_holds_a_frame_up_for_no_longer_than_half_a_millisecond() -> None:
    """By default for 5 ms each time that a frame lets go of the interpreter."""
    before = sys.getswitchinterval()
    hardware = Hardware(FileCards({}), None, _NoOutputs(), _NoCosReaders())
    gateway = Gateway(config_of(small()), Secrets(), hardware, lambda reason: None)
    try:
        sys.setswitchinterval(0.005)
        gateway.start()
        assert sys.getswitchinterval() <= SWITCH_S
    finally:
        gateway.stop()
        sys.setswitchinterval(before)
