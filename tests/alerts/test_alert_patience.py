"""A disk that does not answer: nobody waits for it, and what it took late is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from alert_mail import Memory, Post, delivery, letter

from echostream.alerts.letters import to_item
from echostream.alerts.patience import MOST_JOBS, PatientSpool
from echostream.errors import SpoolUnavailable
from echostream.spool.item import Item

WAIT_S = 0.05


class Disk(Memory):
    """Answers while `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()
        self.closed = False
        self.bytes_waiting = 0
        self.dropped = 0

    def put(self, items: Sequence[Item]) -> list[Item]:
        self.answers.wait(30)
        return super().put(items)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.answers.set()


def until(condition: object) -> bool:
    pause = threading.Event()
    for _ in range(200):
        if callable(condition) and condition():
            return True
        pause.wait(0.02)
    return False


def test_a_disk_that_answers_is_waited_for(disk: Disk) -> None:
    spool = PatientSpool(disk, 5.0)
    (put,) = spool.put([to_item(letter())])
    assert put.number == 1
    assert [item.number for item in spool.waiting()] == [1]
    spool.done([1])
    assert spool.waiting() == []
    assert spool.epoch == 0
    assert spool.close()
    assert disk.closed


def test_one_that_does_not_is_not_and_what_it_takes_late_has_numbers_then(disk: Disk) -> None:
    spool = PatientSpool(disk, WAIT_S)
    disk.answers.clear()
    (put,) = spool.put([to_item(letter())])
    assert put.number == 0
    assert spool.stuck
    with pytest.raises(SpoolUnavailable):
        spool.waiting()
    assert not spool.close()
    disk.answers.set()
    assert until(lambda: spool.epoch == 1)
    assert until(lambda: not spool.stuck)
    assert [item.number for item in spool.waiting()] == [1]
    assert spool.close()


def test_what_waits_for_the_disk_is_bounded(disk: Disk) -> None:
    spool = PatientSpool(disk, WAIT_S)
    disk.answers.clear()
    assert [spool.put([to_item(letter())])[0].number for _ in range(2 * MOST_JOBS)] == [0] * 2 * MOST_JOBS
    assert not spool.close()
    disk.answers.set()
    assert until(lambda: len(disk.items) == MOST_JOBS + 1)
    assert spool.close()


def test_nothing_is_lost_and_nothing_told_twice_over_a_disk_that_hangs(disk: Disk) -> None:
    spool, post = PatientSpool(disk, WAIT_S), Post()
    mail = delivery(spool, post)
    disk.answers.clear()
    mail.post([letter("chief", "one")], 0.0)
    mail.post([letter("chief", "two"), letter("unread", "nobody")], 0.0)
    told = []
    for now in range(5):
        mail.work(float(now))
        told += [request.body for request in post.asked]
        post.answer(True)
    assert told == ["one", "two"]
    mail.post([letter("chief", "three")], 6.0)
    disk.answers.set()
    assert until(lambda: len(disk.items) == 3)
    assert until(lambda: not spool.stuck)
    for now in range(7, 12):
        mail.work(float(now))
        told += [request.body for request in post.asked]
        post.answer(True)
    assert told == ["one", "two", "three"]
    assert until(lambda: not disk.items)
    assert spool.close()


def test_a_disk_that_does_not_answer_at_the_start_is_read_later(disk: Disk) -> None:
    disk.put([to_item(letter("chief", "old"))])
    spool, post = PatientSpool(disk, WAIT_S), Post()
    disk.answers.clear()
    spool.put([to_item(letter("chief", "new"))])
    mail = delivery(spool, post)
    mail.load(0.0)
    mail.work(0.0)
    assert not post.asked
    disk.answers.set()
    assert until(lambda: not spool.stuck)
    assert until(lambda: mail.work(1.0) is not None and bool(post.asked))
    assert post.asked[0].body == "old"
    assert spool.close()
