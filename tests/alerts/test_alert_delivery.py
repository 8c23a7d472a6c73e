"""Messages that do not arrive: targets that are dead, slow or wrong, a process that ends, a restart."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from alert_mail import Memory, Post, delivery, letter
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.alerts.delivery import (
    ANSWER_S,
    AT_ONCE,
    FAILED_AFTER,
    GIVE_UP_S,
    LONGEST_PAUSE_S,
    MOST_WAITING,
    URGENT,
    URGENT_PAUSE_S,
)
from echostream.alerts.letters import from_item, to_item
from echostream.alerts.sending_process import Answer
from echostream.spool.item import Item
from echostream.spool.kept_spool import KeptSpool

MEGABYTE = 1_000_000


def test_a_message_is_on_the_disk_before_it_is_sent_and_gone_when_it_has_arrived() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter()], 0.0)
    assert len(spool.items) == 1
    assert not post.asked
    mail.work(0.0)
    assert [request.url for request in post.asked] == ["json://chief"]
    assert len(spool.items) == 1
    post.answer(True)
    mail.work(0.1)
    assert not spool.items
    assert mail.sent == 1


@pytest.mark.parametrize("weight", [0, 1, URGENT])
def test_a_dead_target_is_tried_ever_more_rarely_and_holds_up_nobody(weight: int) -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter("chief", weight=weight), letter("desk", weight=weight)], 0.0)
    tries: list[float] = []
    failures = []
    now = 0.0
    while now < 4000.0:
        failures += mail.work(now)
        for request in post.asked:
            if request.url == "json://chief":
                tries.append(now)
            post.waiting.append(Answer(request.number, request.url == "json://desk", "it hung up"))
        post.asked = []
        now += 1.0
    assert mail.sent == 1
    assert [item.lane for item in spool.items.values()] == ["chief"]
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses[0] <= 7.0
    assert all(later >= earlier - 2.0 for earlier, later in itertools.pairwise(pauses))
    assert max(pauses) <= LONGEST_PAUSE_S + 2.0
    assert [(failure.target, failure.given_up) for failure in failures] == [("chief", False)]
    assert len(tries) > FAILED_AFTER


def test_something_urgent_does_not_wait_for_the_end_of_a_long_pause() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter()], 0.0)
    now = 0.0
    while now < 2000.0:
        mail.work(now)
        post.answer(False)
        now += 1.0
    mail.work(now)
    mail.post([letter(weight=URGENT)], now)
    until = now + URGENT_PAUSE_S + 1.0
    while now <= until and not post.asked:
        mail.work(now)
        now += 0.5
    assert post.asked


def test_many_that_wait_for_one_target_go_in_one_message() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter(text=f"gone {number}") for number in range(12)], 0.0)
    mail.work(0.0)
    (request,) = post.asked
    assert request.title == "station-7: 12 messages"
    assert all(f"gone {number}" in request.body for number in range(12))
    post.answer(True)
    mail.work(0.1)
    assert not spool.items
    assert mail.sent == 12


def test_one_that_never_answers_is_asked_again_and_others_are_told_meanwhile() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter("chief")], 0.0)
    mail.work(0.0)
    (hanging,) = post.asked
    post.asked = []
    mail.post([letter("desk")], 1.0)
    mail.work(1.0)
    post.answer(True)
    mail.work(2.0)
    assert mail.sent == 1
    mail.work(ANSWER_S - 1.0)
    assert post.ends == 0
    mail.work(ANSWER_S + 3.0)
    assert post.ends == 1
    post.waiting.append(Answer(hanging.number, False, "too late"))
    mail.work(ANSWER_S + 20.0)
    post.answer(True)
    mail.work(ANSWER_S + 21.0)
    assert mail.sent == 2
    assert not spool.items


def test_a_process_that_ends_loses_nothing() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter("chief"), letter("desk")], 0.0)
    mail.work(0.0)
    assert len(post.asked) == 2
    post.asked = []
    post.waiting.append(Answer(0, False, "the process that sends has ended"))
    mail.work(1.0)
    mail.work(10.0)
    post.answer(True)
    mail.work(11.0)
    assert not spool.items


def test_what_an_earlier_run_left_is_sent_and_what_is_for_nobody_is_not_kept(tmp_path: Path) -> None:
    spool = KeptSpool(tmp_path / "alerts.sqlite3", MEGABYTE)
    delivery(spool, Post(), ("chief", "gone")).post([letter("chief"), letter("gone")], 0.0)
    spool.close()
    again, post = KeptSpool(tmp_path / "alerts.sqlite3", MEGABYTE), Post()
    mail = delivery(again, post)
    mail.load(0.0)
    mail.work(0.0)
    assert [request.url for request in post.asked] == ["json://chief"]
    post.answer(True)
    mail.work(0.1)
    assert again.waiting() == []
    again.close()


def test_a_target_whose_address_cannot_be_read_keeps_its_messages() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post, ("unread", "chief"))
    mail.post([letter("unread"), letter("chief")], 0.0)
    mail.work(0.0)
    assert [request.url for request in post.asked] == ["json://chief"]
    assert len(spool.items) == 2
    post.answer(True)
    mail.work(1.0)
    assert mail.next_s(1.0) == 1.0  # nobody looks twenty times a second


def test_what_cannot_be_told_for_a_day_is_given_up_and_said() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post, ("unread",))
    mail.post([letter("unread", "old")], 5.0)
    assert not mail.work(GIVE_UP_S + 4.0)
    mail.post([letter("unread", "new")], GIVE_UP_S)
    (failure,) = mail.work(GIVE_UP_S + 6.0)
    assert failure.given_up
    assert [lost.body for lost in failure.letters] == ["old"]
    assert [b"new" in item.body for item in spool.items.values()] == [True]
    assert mail.dropped == 1


def test_one_cause_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter()], 0.0)
    causes = ["it hung up"] * 5 + ["no answer in time"] * 5
    for number, cause in enumerate(causes):
        mail.work(1000.0 * number)
        post.answer(False, cause)
        mail.work(1000.0 * number + 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "alerts: chief was not told: it hung up; it is tried again",
        "alerts: chief was not told: no answer in time; it is tried again",
    ]


def test_what_waits_is_bounded_and_the_least_important_goes_first() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post, ("unread",))
    mail.post([letter("unread", weight=URGENT)], 0.0)
    mail.post([letter("unread") for _ in range(MOST_WAITING + 10)], 0.0)
    assert len(spool.items) == MOST_WAITING
    assert mail.dropped == 11
    assert [item.weight for item in spool.items.values()].count(URGENT) == 1


def test_no_more_targets_at_a_time_than_a_small_machine_can_bear() -> None:
    spool, post = Memory(), Post()
    names = [f"t{number}" for number in range(3 * AT_ONCE)]
    mail = delivery(spool, post, names)
    mail.post([letter(name) for name in names], 0.0)
    told = 0
    for round_ in range(3):
        assert mail.busy(float(round_))
        mail.work(float(round_))
        assert len(post.asked) == AT_ONCE
        assert mail.busy(float(round_))
        assert mail.next_s(float(round_)) == 1.0
        told += len(post.asked)
        post.answer(True)
    mail.work(4.0)
    assert not mail.busy(4.0)
    assert told == len(names)
    assert not spool.items


def test_a_process_that_cannot_be_started_loses_nothing() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    post.broken = True
    mail.post([letter()], 0.0)
    mail.work(0.0)
    post.broken = False
    mail.work(20.0)
    post.answer(True)
    mail.work(21.0)
    assert not spool.items


def test_nothing_is_told_twice_when_the_spool_gives_other_numbers() -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    mail.post([letter("chief"), letter("desk", "one"), letter("desk", "two")], 0.0)
    mail.work(0.0)
    spool.renumber()
    mail.work(0.1)
    told = [request.body for request in post.asked]
    post.answer(True)
    mail.work(0.2)
    told += [request.body for request in post.asked]
    post.answer(True)
    mail.work(0.3)
    assert sorted(told) == ["gone", "one", "two"]
    assert not spool.items


def test_a_letter_comes_back_from_the_spool_as_it_was() -> None:
    one = replace(letter(), rule="porch", incident=17, put_s=5.0)
    assert from_item(to_item(one), 5.0) == one
    assert from_item(Item(0, 0, "chief", "x", b"{}"), 0.0) is None
    assert from_item(Item(0, 0, "chief", "x", b"\xff"), 0.0) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("post"), st.sampled_from(["chief", "desk"])),
            st.tuples(st.just("answer"), st.booleans()),
            st.tuples(st.just("wait"), st.floats(0.1, 700.0)),
            st.tuples(st.just("renumber"), st.none()),
            st.tuples(st.just("ended"), st.none()),
        ),
        max_size=40,
    )
)
def test_whatever_happens_every_message_arrives_in_the_end(acts: list[tuple[str, object]]) -> None:
    spool, post = Memory(), Post()
    mail = delivery(spool, post)
    now, posted, told = 0.0, 0, ""

    def answered(ok: bool) -> str:
        bodies = "\n".join(request.body for request in post.asked) if ok else ""
        post.answer(ok)
        return bodies

    for act, value in acts:
        if act == "post":
            posted += 1
            mail.post([letter(str(value), f"<{posted}>")], now)
        elif act == "answer":
            told += answered(bool(value))
        elif act == "wait":
            assert isinstance(value, float)
            now += value
        elif act == "renumber":
            spool.renumber()
        else:
            post.asked = []
            post.waiting.append(Answer(0, False, "ended"))
        mail.work(now)
    for _ in range(60):
        now += ANSWER_S + LONGEST_PAUSE_S
        mail.work(now)
        told += answered(True)
    mail.work(now)
    assert not spool.items
    assert all(f"<{number}>" in told for number in range(1, posted + 1))
