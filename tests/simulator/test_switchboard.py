"""Who hears what, without sockets."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from echostream.simulator.switchboard import MAX_CHANNELS_PER_CLIENT, Switchboard
from echostream.wire.packet_v1 import KEEP_ALIVE
from echostream.wire.signalling_v1 import Identity, connect, disconnect, transmit_ended, transmit_started

PORCH = Identity("a1", "Porch", "Fire")
TOWER = Identity("b2", "Tower", "Police")


def audio(channel: str, **extra: object) -> bytes:
    return json.dumps({"channel_id": channel, "type": "audio", "data": "AAAA", **extra}).encode()


def joined(board: Switchboard, *clients: int, channel: str = "C1") -> Switchboard:
    for client in clients:
        board.message(client, connect(PORCH, channel, client))
    return board


def told(sends: list[tuple[int, str]]) -> dict[int, Any]:
    return {client: json.loads(text) for client, text in sends}


def test_everyone_on_the_channel_is_told_of_a_join_and_a_leave_and_nobody_of_a_keep_alive() -> None:
    board = joined(Switchboard(), 1)
    both = told(board.message(2, connect(TOWER, "C1", 1_700_000_000)).sends)
    assert set(both) == {1, 2}
    assert both[1]["channel_id"] == "C1"
    assert both[1]["users_connected"][1] == {
        "affiliation_id": "b2",
        "user_name": "Tower",
        "agency_name": "Police",
        "time": 1_700_000_000,
    }
    again = board.message(2, connect(TOWER, "C1", 1_700_000_010))
    assert again.sends == []
    assert again.renew_port
    left = told(board.message(2, disconnect(TOWER, "C1", 1_700_000_020)).sends)
    assert set(left) == {1}
    assert [user["user_name"] for user in left[1]["users_connected"]] == ["Porch"]


def test_the_nested_form_counts_and_names_no_channel() -> None:
    reaction = Switchboard(users_form="nested").message(1, connect(PORCH, "C1", 1))
    message = told(reaction.sends)[1]
    assert set(message) == {"users_connected"}
    assert message["users_connected"]["total"] == 1
    assert message["users_connected"]["connected"][0]["user_name"] == "Porch"


def test_push_to_talk_is_relayed_to_the_others_as_the_same_text() -> None:
    board = joined(Switchboard(), 1, 2, 3)
    joined(board, 4, channel="C2")
    for build in (transmit_started, transmit_ended):
        text = build(PORCH, "C1", 5, {"file_id": "f", "start_time": 3.5, "extra": {"deep": [1]}}) + "  "
        assert board.message(1, text).sends == [(2, text), (3, text)]


def test_who_is_not_on_the_channel_is_not_relayed() -> None:
    board = joined(Switchboard(), 1)
    assert board.message(9, transmit_started(TOWER, "C1", 5)).sends == []
    assert board.audio(9, audio("C1")) == []
    assert board.counts["not_member"] == 2


def test_a_channel_that_does_not_exist_is_refused() -> None:
    board = Switchboard(channels=["C1"])
    reaction = board.message(1, connect(PORCH, "nowhere", 1))
    message = told(reaction.sends)[1]
    assert message["error"] is True
    assert message["code"] == "CHANNEL_NOT_FOUND"
    assert not reaction.renew_port
    assert board.members() == {}


def test_a_client_that_joins_without_end_is_bounded() -> None:
    board = Switchboard()
    for number in range(MAX_CHANNELS_PER_CLIENT + 10):
        board.message(1, connect(PORCH, f"C{number}", 1))
    assert len(board.members()) == MAX_CHANNELS_PER_CLIENT


def test_a_client_that_goes_leaves_every_channel() -> None:
    board = joined(Switchboard(), 1, 2)
    joined(board, 1, channel="C2")
    assert {client for client, _ in board.leave(1)} == {2}
    assert board.members() == {"C1": 1}
    assert board.leave(1) == []


def test_audio_keeps_unknown_keys_and_goes_to_the_others_only() -> None:
    board = joined(Switchboard(), 1, 2, 3)
    hops = board.audio(1, audio("C1", future={"a": [1, 2]}, text="ü"))
    assert [client for client, _ in hops] == [2, 3]
    assert json.loads(hops[0][1]) == json.loads(audio("C1", future={"a": [1, 2]}, text="ü"))


def test_patched_channels_hear_each_other_under_their_own_name() -> None:
    board = joined(Switchboard(patches=[["C1", "C2"]]), 1, 2)
    joined(board, 3, 2, channel="C2")
    hops = [(client, json.loads(data)["channel_id"]) for client, data in board.audio(1, audio("C1"))]
    assert hops == [(2, "C1"), (3, "C2"), (2, "C2")]


def test_a_heartbeat_goes_nowhere() -> None:
    board = joined(Switchboard(), 1, 2)
    assert board.audio(1, KEEP_ALIVE) == []
    assert board.counts["heartbeats"] == 1


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_rubbish_datagrams_go_nowhere(data: bytes) -> None:
    board = joined(Switchboard(), 1, 2)
    assert board.audio(1, data) == []


@given(st.text(max_size=200))
def test_rubbish_messages_have_no_effect(text: str) -> None:
    board = joined(Switchboard(), 1, 2)
    assert board.message(1, text).sends == []
    assert board.members() == {"C1": 2}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["connect", "disconnect", "gone", "audio"]),
            st.integers(1, 4),
            st.sampled_from(["C1", "C2", "C3"]),
        ),
        max_size=60,
    )
)
def test_nobody_ever_hears_himself_or_a_channel_he_is_not_on(steps: list[tuple[str, int, str]]) -> None:
    board = Switchboard(patches=[["C1", "C2"]])
    on: dict[int, set[str]] = {client: set() for client in range(1, 5)}
    for what, client, channel in steps:
        if what == "connect":
            board.message(client, connect(PORCH, channel, 1))
            on[client].add(channel)
        elif what == "disconnect":
            board.message(client, disconnect(PORCH, channel, 1))
            on[client].discard(channel)
        elif what == "gone":
            board.leave(client)
            on[client].clear()
        else:
            for other, data in board.audio(client, audio(channel)):
                assert other != client
                assert json.loads(data)["channel_id"] in on[other]
    expected = {channel: sum(channel in joined for joined in on.values()) for channel in ("C1", "C2", "C3")}
    assert board.members() == {channel: count for channel, count in expected.items() if count}
