"""What goes out next: in the order of its channel, never lost, over disks and brokers that come and go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echostream.errors import SpoolUnavailable
from echostream.mqtt import outbox as outboxes
from echostream.mqtt.message import Message
from echostream.mqtt.outbox import LATER_S, Outbox, Outgoing, of_item, to_item
from echostream.spool.item import Item
from echostream.spool.kept_spool import AGAIN_S, KeptSpool
from echostream.spool.spool import Spool

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Site:
    """An outbox, its clock, and a disk that refuses when it is told to."""

    def __init__(self, folder: Path, most_bytes: int = 10_000_000) -> None:
        self.now = 1000.0
        self.full = False
        self.woken = 0
        self.spool = KeptSpool(folder / "s.sqlite3", most_bytes, lambda: self.now)
        self.outbox = Outbox(self.spool, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def events(self, *names: str, lane: str = "fire") -> None:
        self.outbox.take([Message(f"t/{lane}", name.encode(), lane=lane) for name in names])

    def next(self) -> Outgoing | None:
        return self.outbox.next("event", self.now)

    def drain(self) -> list[str]:
        names = []
        while (outgoing := self.next()) is not None:
            names.append(outgoing.message.payload.decode())
            self.outbox.arrived(outgoing)
        self.outbox.flush()
        return names


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    yield one
    one.spool.close()


MESSAGES = st.builds(
    Message,
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1),
    st.binary(),
    qos=st.sampled_from([0, 1]),
    retain=st.booleans(),
    lane=st.text(st.characters(exclude_categories=["Cs"])),
    weight=st.integers(0, 2),
    at_us=st.integers(0, 2**53),
    content_type=st.sampled_from(["application/json", "text/plain; charset=utf-8", ""]),
    message_id=st.uuids().map(str),
)


@given(message=MESSAGES)
def test_event_comes_back_from_the_disk_as_it_was(message: Message) -> None:
    assert of_item(to_item(message)) == message


def test_new_connection_begins_with_the_oldest_that_has_not_arrived(site: Site) -> None:
    site.outbox.connected()
    site.events("1", "2", "3")
    sent = [site.next() for _ in range(3)]
    assert site.next() is None
    assert sent[1] is not None
    site.outbox.arrived(sent[1])
    site.outbox.disconnected()
    site.outbox.connected()
    assert site.drain() == ["1", "3"]
    assert site.spool.count == 0


def test_only_the_newest_of_a_state_is_said_and_all_of_them_after_a_connection(site: Site) -> None:
    site.outbox.connected()
    for value in (b"1", b"2"):
        site.outbox.take([Message("s/a", value, "state"), Message("s/b", value, "state")])

    def said() -> list[bytes]:
        found = []
        while (outgoing := site.outbox.next("state", site.now)) is not None:
            found.append(outgoing.message.payload)
        return found

    assert said() == [b"2", b"2"]
    assert said() == []
    site.outbox.disconnected()
    site.outbox.connected()
    assert said() == [b"2", b"2"]


def test_states_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_STATES", 3)
    site.outbox.take([Message(f"s/{at}", b"", "state") for at in range(5)])
    site.outbox.take([Message("s/0", b"new", "state")])
    assert site.outbox.refused == 2


def test_telemetry_is_for_those_who_listen_now(site: Site) -> None:
    site.outbox.take([Message("levels", b"1", "telemetry")])
    assert site.outbox.next("telemetry", site.now) is None
    site.outbox.connected()
    site.outbox.take([Message("levels", str(at).encode(), "telemetry") for at in range(1000)])
    site.outbox.disconnected()
    assert site.outbox.next("telemetry", site.now) is None
    site.outbox.connected()
    site.outbox.take([Message("levels", str(at).encode(), "telemetry") for at in range(1000)])
    first = site.outbox.next("telemetry", site.now)
    assert first is not None
    assert int(first.message.payload) >= 1000 - outboxes.MOST_TELEMETRY


def test_what_is_put_off_is_tried_less_and_less_often_and_holds_back_nothing(site: Site) -> None:
    site.outbox.connected()
    site.events("1", "2")
    first = site.next()
    assert first is not None
    waits = [site.outbox.later(first, site.now)]
    assert site.drain() == ["2"]
    for wait_s in (*LATER_S[1:], LATER_S[-1]):
        site.now += waits[-1] - 1
        assert site.next() is None
        site.now += 1
        again = site.next()
        assert again is not None
        assert again.message.payload == b"1"
        waits.append(site.outbox.later(again, site.now))
        assert waits[-1] == wait_s
    assert site.spool.count == 1


def test_what_is_put_off_and_gave_way_meanwhile_does_no_harm(tmp_path: Path) -> None:
    site = Site(tmp_path, 600)
    site.outbox.connected()
    site.events("1")
    first = site.next()
    assert first is not None
    wait_s = site.outbox.later(first, site.now)
    site.events(*(str(at) for at in range(2, 20)))
    site.now += wait_s
    assert site.drain()[0] == "1"
    assert site.spool.count == 0
    site.spool.close()


@dataclass(frozen=True)
class Take:
    lanes: list[str]


STEPS = st.lists(
    st.one_of(
        st.builds(Take, st.lists(st.sampled_from("ab"), min_size=1, max_size=4)),
        st.sampled_from(["send", "send", "send", "answer", "answer", "cut", "full", "room", "wait", "flush"]),
    ),
    max_size=60,
)


@given(steps=STEPS)
@example(steps=["full", Take(["a"]), "send", "answer", "flush", "room", "wait", Take(["a"])])
@settings(max_examples=60)
def test_every_event_goes_out_in_the_order_of_its_channel_whatever_disk_and_broker_do(
    steps: Sequence[Take | str],
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        site = Site(Path(folder))
        refuse_when_full(patch, site)
        told, heard, flying = list[str](), list[str](), list[Outgoing]()
        site.outbox.connected()
        for step in [*steps, "room", "wait"]:
            if isinstance(step, Take):
                names = [f"{lane}{len(told) + at}" for at, lane in enumerate(step.lanes)]
                told += names
                for name in names:
                    site.events(name, lane=name[0])
            elif step == "send":
                outgoing = site.next()
                if outgoing is not None:
                    heard.append(outgoing.message.payload.decode())
                    flying.append(outgoing)
            elif step == "answer" and flying:
                site.outbox.arrived(flying.pop(0))
            elif step == "cut":
                flying.clear()
                site.outbox.disconnected()
                site.outbox.connected()
            elif step == "flush":
                site.outbox.flush()
            elif step in ("full", "room"):
                site.full = step == "full"
            elif step == "wait":
                site.now += AGAIN_S + 1
        for outgoing in flying:
            site.outbox.arrived(outgoing)
        heard += site.drain()  # on the same connection: nothing may need a new one to be found
        assert site.drain() == []
        assert site.spool.count == 0
        site.spool.close()
    firsts = list(dict.fromkeys(heard))
    assert set(firsts) == set(told)
    for lane in "ab":
        assert [name for name in firsts if name[0] == lane] == [name for name in told if name[0] == lane]


def refuse_when_full(patch: pytest.MonkeyPatch, site: Site) -> None:
    put, done = Spool.put, Spool.done

    def checked_put(spool: Spool, items: Sequence[Item]) -> list[Item]:
        if site.full:
            raise SpoolUnavailable("full")
        return put(spool, items)

    def checked_done(spool: Spool, numbers: Sequence[int]) -> None:
        if site.full:
            raise SpoolUnavailable("full")
        done(spool, numbers)

    patch.setattr(Spool, "put", checked_put)
    patch.setattr(Spool, "done", checked_done)
