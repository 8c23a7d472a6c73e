"""The bounded outbox between the manager and the sender."""

from __future__ import annotations

import threading

from echostream.network.outbox import Cleared, Message, Outbox


def up(bound: int = 4) -> Outbox:
    outbox = Outbox(bound)
    outbox.link_up()
    return outbox


def test_nothing_is_taken_while_there_is_no_link() -> None:
    assert not Outbox().put("x", None)


def test_messages_come_out_in_order_with_their_link() -> None:
    outbox = up()
    assert outbox.put("a", None)
    assert outbox.put("b", None)
    assert [outbox.take(), outbox.take()] == [Message("a", None, 1), Message("b", None, 1)]


def test_overflow_clears_all_and_says_so_once_and_then_takes_again() -> None:
    outbox = up(bound=2)
    assert [outbox.put(text, None) for text in "abcd"] == [True, True, False, False]
    cleared = outbox.take()
    assert isinstance(cleared, Cleared)
    assert [message.text for message in cleared.messages] == ["a", "b"]
    assert cleared.overflowed
    assert outbox.put("e", None)
    assert outbox.take() == Message("e", None, 1)


def test_a_sender_that_is_stuck_cannot_make_it_grow() -> None:
    outbox = up(bound=8)
    for _ in range(1000):
        outbox.put("x", None)
    cleared = outbox.take()
    assert isinstance(cleared, Cleared)
    assert len(cleared.messages) == 8


def test_what_waited_for_a_lost_link_is_not_sent_on_the_next() -> None:
    outbox = up()
    outbox.put("old", None)
    outbox.link_down()
    assert not outbox.put("between", None)
    outbox.link_up()
    outbox.put("new", None)
    cleared = outbox.take()
    assert isinstance(cleared, Cleared)
    assert [message.text for message in cleared.messages] == ["old"]
    assert not cleared.overflowed
    assert outbox.take() == Message("new", None, 2)


def test_close_lets_what_waits_go_and_then_ends() -> None:
    outbox = up()
    outbox.put("last", None)
    outbox.close()
    assert not outbox.put("late", None)
    assert outbox.take() == Message("last", None, 1)
    assert outbox.take() is None


def test_close_wakes_a_sender_that_waits() -> None:
    outbox = up()
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(outbox.take()))
    thread.start()
    outbox.close()
    thread.join(1.0)
    assert taken == [None]
