"""Our own server under clients of the field, our command line under a server of the field, and TLS."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.field_audio import (
    SPEECH_DIR,
    Pcm,
    decode,
    encode,
    likeness,
    new_key,
    open_datagram,
    plain_datagram,
    read_wav,
    seal,
    write_wav,
)
from tests.interop.field_client import FieldClient
from tests.interop.field_diary import Manners
from tests.interop.field_server import FieldServer
from tests.interop.field_tls import Identity, make_identity
from tests.interop.processes import GatewayProcess, Process, voice_keyed

MEMBER_KEYS = {"affiliation_id", "user_name", "agency_name", "time"}


def serve(folder: Path, *arguments: str) -> tuple[Process, str]:
    """`echostream server` on a port of its own, and its address."""
    process = Process(folder, "server", "--port", "0", *arguments, name="server")
    process.wait_for("listens on")
    found = re.search(r"wss?://\S+", process.log)
    assert found is not None
    return process, found[0]


@pytest.fixture(params=["flat", "nested"])
def form(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def url(form: str, tmp_path: Path) -> Iterator[str]:
    process, url = serve(tmp_path, "--channels", "fire", "ems", "--users-form", form)
    with process:
        yield url


def names(body: dict[str, Any], form: str) -> list[str]:
    """The user names of a users_connected of that form, its shape checked."""
    users = body["users_connected"]
    if form == "nested":
        assert users["total"] == len(users["connected"])
        users = users["connected"]
    else:
        assert body["channel_id"] == "fire"
    assert all(set(user) == MEMBER_KEYS and type(user["time"]) is int for user in users)
    return [user["user_name"] for user in users]


def test_own_server_is_a_server_of_the_field(url: str, form: str) -> None:
    with FieldClient(url, ["fire"], "one") as one:
        assert one.ws.subprotocol == "audio-protocol"
        assert set(one.offer) == {"udp_port", "udp_host", "websocket_id", "aes_key"}
        assert one.offer["websocket_id"] == one.offer["udp_port"]
        assert len(base64.b64decode(one.offer["aes_key"], validate=True)) == 32
        with FieldClient(url, ["fire"], "two") as two:
            assert one.offer["aes_key"] == two.offer["aes_key"]
            assert one.offer["udp_port"] != two.offer["udp_port"]
            one.wait_until(lambda: names_of(one, form)[-1:] == [["one", "two"]])
            two.wait_until(lambda: names_of(two, form)[-1:] == [["one", "two"]])
            relays_push_to_talk_unchanged(one, two)
            relays_datagrams_with_unknown_keys(one, two)
            refuses_an_unknown_channel(one, two)
            two.disconnect("fire")
            one.wait_until(lambda: names_of(one, form)[-1] == ["one"])
            two.connect("fire")
            one.wait_until(lambda: names_of(one, form)[-1] == ["one", "two"])
        one.wait_until(lambda: names_of(one, form)[-1] == ["one"])
        assert names_of(one, form)[:2] == [["one"], ["one", "two"]]


def names_of(client: FieldClient, form: str) -> list[list[str]]:
    return [names(body, form) for body in client.bodies("users_connected")]


def relays_push_to_talk_unchanged(one: FieldClient, two: FieldClient) -> None:
    odd = '"time":1.5,"file_id":"F","x":{"z":[1,null]},"user_name":"\\u00e9", "channel_id":"fire"'
    text = f'{{ "transmit_started" :{{{odd}}}}}'
    one.ws.send(text)
    ended = one.ended("fire", start_time=17, more=[True])
    two.wait_until(lambda: [said for _, said in two.messages if "transmit_" in said] == [text, ended])
    assert not [said for _, said in one.messages if "transmit_" in said]


def relays_datagrams_with_unknown_keys(one: FieldClient, two: FieldClient) -> None:
    body = {
        "data": "QUJD\nRA",
        "z": {"a": [1, 2.5, "ü"]},
        "type": "audio",
        "channel_id": "fire",
        "seq": 2**40,
    }
    deadline = time.monotonic() + 3
    while not two.datagrams and time.monotonic() < deadline:  # until the server knows where `two` is
        one.send(json.dumps(body).encode())
        time.sleep(0.05)
    assert json.loads(two.datagrams[0][1]) == body
    time.sleep(0.1)
    assert not one.datagrams, "sent back to its sender"


def refuses_an_unknown_channel(one: FieldClient, two: FieldClient) -> None:
    one.connect("nowhere")
    one.wait_until(lambda: bool(one.bodies("error")))
    (refusal,) = one.bodies("error")
    assert set(refusal) == {"error", "message", "code"}
    assert refusal["error"] is True
    assert refusal["code"] == "CHANNEL_NOT_FOUND"
    heard = len(two.datagrams)
    for channel in ("nowhere", "ems"):  # one that is not, and one it has not joined
        one.send(plain_datagram(channel, b"x" * 40))
    time.sleep(0.2)
    assert len(two.datagrams) == heard


def spoken(folder: Path) -> tuple[Pcm, Path]:
    """1.5 s of speech, also as a WAV file."""
    said = read_wav(SPEECH_DIR / "answer.wav")[:72_000]
    write_wav(folder / "said.wav", said)
    return said, folder / "said.wav"


def test_talk_is_heard_by_an_old_client_through_an_old_server(tmp_path: Path) -> None:
    said, wav = spoken(tmp_path)
    key = new_key()
    key_file = tmp_path / "key"
    key_file.write_text(key)
    with FieldServer(Manners(aes_key="N/A")) as server, FieldClient(server.url, ["fire"], "old") as old:
        with Process(tmp_path, "talk", server.url, "fire", str(wav), "--key-file", str(key_file)) as talk:
            assert talk.process.wait(30) == 0, talk.log
        old.wait_until(lambda: bool(old.bodies("transmit_ended")))
        assert len(old.bodies("transmit_started")) == len(old.bodies("transmit_ended")) == 1
        packets = [open_datagram(event.raw, key).packet for event in server.audio()]
        assert 75 <= len(packets) <= 80
        assert len([data for _, data in old.datagrams if b"audio" in data]) == len(packets)
        alike, late = likeness(decode(packets), said)
        assert alike > 0.75
        assert 0 <= late < 4800


def test_answer_answers_an_old_client(tmp_path: Path) -> None:
    said, wav = spoken(tmp_path)
    key = new_key()
    with (
        FieldServer(Manners(aes_key=key)) as server,
        FieldClient(server.url, ["fire"], "old") as old,
        Process(tmp_path, "answer", server.url, "fire", "--file", str(wav)),
    ):
        server.wait_until(lambda: len({event.opening for event in server.heartbeats()}) == 2)
        old.started("fire")
        old.stream([plain_datagram("fire", seal(key, packet)) for packet in encode(said[:9600], 40)], 0.04)
        old.ended("fire")
        old.wait_until(lambda: bool(old.bodies("transmit_ended")))
        packets = [open_datagram(event.raw, key).packet for event in server.audio(opening=2)]
        assert likeness(decode(packets), said)[0] > 0.75


def test_token_goes_where_the_deployment_wants_it(tmp_path: Path) -> None:
    _, wav = spoken(tmp_path)
    token = tmp_path / "token"
    token.write_text("s3cret&x=1\n")
    with FieldServer(Manners(aes_key=new_key())) as server:
        common = ("fire", str(wav), "--token-file", str(token))
        with (
            Process(
                tmp_path, "talk", server.url, *common, "--token-header", "Authorization", name="one"
            ) as one,
            Process(
                tmp_path, "talk", f"{server.url}?a=b", *common, "--token-query", "token", name="two"
            ) as two,
        ):
            server.wait_until(lambda: len(server.of("open")) == 2)
            requests = [event.body for event in server.of("open")]
            assert {request.headers.get("Authorization") for request in requests} == {None, "s3cret&x=1"}
            assert {request.path for request in requests} == {"/ws", "/ws?a=b&token=s3cret%26x%3D1"}
        assert "s3cret" not in one.log + two.log


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("tls")
    return {
        "ours": make_identity(folder, "ours"),
        "other": make_identity(folder, "other"),
        "expired": make_identity(folder, "expired", days=-1),
        "named": make_identity(folder, "host.example", address=None),
    }


TLS_CASES = {  # server's certificate, authority trusted, certificate pinned, joins
    "own authority": ("ours", "ours", None, True),
    "pinned alone": ("ours", None, "ours", True),
    "nothing configured": ("ours", None, None, False),
    "wrong authority": ("ours", "other", None, False),
    "wrong pin": ("ours", "ours", "other", False),
    "wrong authority and right pin": ("ours", "other", "ours", False),
    "wrong name": ("named", "named", None, False),
    "expired": ("expired", "expired", None, False),
}


def test_tls_joins_whom_it_can_verify_and_tells_others_nothing(
    identities: dict[str, Identity], tmp_path: Path
) -> None:
    """All at once: each has a server, a gateway and a verdict of its own."""
    wrong: list[str] = []

    def attempt(case: str) -> None:
        certificate, authority, pinned, joins = TLS_CASES[case]
        tls = {
            "ca_file": authority and str(identities[authority].ca_file),
            "fingerprint_sha256": pinned and identities[pinned].fingerprint,
        }
        with FieldServer(Manners(aes_key=new_key()), identities[certificate].context) as server:
            folder = tmp_path / case.replace(" ", "-")
            with GatewayProcess(folder, server.url, [voice_keyed("fire")], server={"tls": tls}) as gateway:
                if joins:
                    server.wait_until(lambda: bool(server.audio()))
                else:
                    gateway.wait_for("control server wss://")
                    gateway.wait_for("next attempt")
            refused = "certificate" in gateway.log
            if joins == refused or bool(server.of("open")) != joins:
                wrong.append(f"{case}:\n{gateway.log}")

    for group in (list(TLS_CASES)[:4], list(TLS_CASES)[4:]):
        threads = [threading.Thread(target=attempt, args=(case,)) for case in group]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong, "\n".join(wrong)


def test_own_server_and_members_talk_over_tls(identities: dict[str, Identity], tmp_path: Path) -> None:
    said, wav = spoken(tmp_path)
    process, url = serve(tmp_path, "--tls-cert", str(identities["ours"].pem))
    ca_file = str(identities["ours"].ca_file)
    context = ssl.create_default_context(cafile=ca_file)
    with process, FieldClient(url, ["fire"], "old", tls=context) as old:
        with Process(tmp_path, "talk", url, "fire", str(wav), "--ca-file", ca_file) as talk:
            assert talk.process.wait(30) == 0, talk.log
        old.wait_until(lambda: bool(old.bodies("transmit_ended")))
        bodies = [json.loads(data) for _, data in old.datagrams]
        packets = [open_datagram(json.dumps(body).encode(), old.offer["aes_key"]).packet for body in bodies]
        assert likeness(decode(packets), said)[0] > 0.75
