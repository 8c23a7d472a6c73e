"""What the field's talkers send, the gateway and `echostream listen` hear; what is wrong only counts."""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interop.field_audio import (
    SPEECH_DIR,
    Pcm,
    counted_iv,
    encode,
    likeness_by_window,
    new_key,
    odd_datagram,
    plain_datagram,
    read_wav,
    seal,
)
from tests.interop.field_client import FieldClient
from tests.interop.field_diary import Manners
from tests.interop.field_server import FieldServer
from tests.interop.processes import GatewayProcess, Process, voice_keyed

SPEECH_S: Final = 2.5
PACKETS: Final = int(SPEECH_S * 50)
LATE_S: Final = 1.3
HEARD: Final = ("40-odd", "100-plain", "both")
HAZARDS: Final = ("duplicated", "replayed", "reordered", "mis-keyed", "truncated", "oversized")


def speech(name: str) -> Pcm:
    return read_wav(SPEECH_DIR / name)[: int(SPEECH_S * 48_000)]


def counted(channel: str, packets: list[bytes], key: str) -> list[bytes]:
    """Datagrams of a sender that counts, as protocol part 1 extends the format."""
    prefix, first = os.urandom(6), int(time.time() * 50)
    return [
        plain_datagram(channel, seal(key, packet, counted_iv(prefix, first + number)))
        for number, packet in enumerate(packets)
    ]


class Heard:
    """What came of one run: the gateway's summary, and what listeners wrote."""

    def __init__(self, summary: dict[str, Any], folder: Path) -> None:
        self.summary = summary
        self._folder = folder

    def channel(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["channels"][name]
        return found

    def alike(self, name: str, said: Pcm) -> float:
        """Median likeness of half seconds."""
        return statistics.median(likeness_by_window(read_wav(self._folder / f"{name}.wav"), said))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Everything at once: one gateway, three listeners, two field clients, and a server that is not kind."""
    folder = tmp_path_factory.mktemp("receive")
    key = new_key()
    channels: list[dict[str, Any]] = [
        {"id": name, "card": f"c-{name}"} for name in (*HEARD, *HAZARDS, "copied")
    ]
    channels += [{"id": "7", "card": "c-7"}, voice_keyed("reflected", duplex="full")]
    with ExitStack() as stack:
        server = stack.enter_context(FieldServer(Manners(aes_key=key, reflects=True)))
        gateway = stack.enter_context(GatewayProcess(folder, server.url, channels))
        for name in HEARD:
            wav = str(folder / f"{name}.wav")
            stack.enter_context(Process(folder / name, "listen", server.url, name, "--wav", wav, name=name))
        one = stack.enter_context(FieldClient(server.url, [*HEARD, 7], "one"))
        two = stack.enter_context(FieldClient(server.url, ["both"], "two"))
        server.wait_until(lambda: len({event.opening for event in server.heartbeats()}) == 6)
        gateway.wait_for("session 1")
        play(server, one, two, key)
        time.sleep(0.5)
        assert gateway.end() == 0, gateway.log
    return Heard(gateway.summary, folder)


def play(server: FieldServer, one: FieldClient, two: FieldClient, key: str) -> None:
    """Two and a half seconds of speech in every form, in step with the clock."""
    chance = random.Random(5)
    said, answer = speech("microphone.wav"), speech("answer.wav")
    short, long, very_long = encode(said, 20, 24_000), encode(said, 40), encode(said, 100)
    hazard = {name: counted(name, short, key) for name in HAZARDS}
    hazard["mis-keyed"] = counted("mis-keyed", short, new_key())
    hazard["truncated"] = [whole[: chance.randrange(len(whole))] for whole in hazard["truncated"]]
    hazard["oversized"] = [plain_datagram("oversized", os.urandom(6600))] * PACKETS
    hazard["duplicated"] = [each for each in hazard["duplicated"] for _ in range(2)]
    for start in range(0, PACKETS - 2, 2):
        swapped = hazard["reordered"][start : start + 2]
        hazard["reordered"][start : start + 2] = swapped[::-1]
    replayed = hazard["replayed"]
    both_one = counted("both", short, key)
    both_two = [odd_datagram("both", seal(key, packet)) for packet in encode(answer, 40)]
    gateway = server.messages("connect", "reflected")[0].opening  # no other is on that channel
    due = time.monotonic()
    for step in range(PACKETS):
        now: list[bytes] = []
        for datagrams in hazard.values():
            per_step = len(datagrams) // PACKETS
            now += datagrams[per_step * step : per_step * (step + 1)]
        server.send_datagrams(*now, opening=gateway)
        one.send(both_one[step])
        if step % 2 == 0 and step // 2 < len(long):
            one.send(odd_datagram("40-odd", seal(key, long[step // 2])))
            one.send(plain_datagram(7, seal(key, long[step // 2])))
            two.send(both_two[step // 2])
        if step % 5 == 0:
            one.send(plain_datagram("100-plain", seal(key, very_long[step // 5])))
        due += 0.02
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(LATE_S)
    for datagram in replayed:
        # What was said on one channel comes back on it, and under the name of another.
        elsewhere = json.dumps({**json.loads(datagram), "channel_id": "copied"}).encode()
        server.send_datagrams(datagram, elsewhere, opening=gateway)


def test_40_ms_frames_at_64_kbit_in_odd_json_are_heard(heard: Heard) -> None:
    assert heard.alike("40-odd", speech("microphone.wav")) > 0.6
    assert heard.channel("40-odd")["packets_received"] == PACKETS // 2
    assert heard.channel("40-odd")["undecryptable"] == 0


def test_100_ms_frames_are_heard(heard: Heard) -> None:
    assert heard.alike("100-plain", speech("microphone.wav")) > 0.6
    assert heard.channel("100-plain")["packets_received"] == PACKETS // 5
    assert heard.channel("100-plain")["frames_played"] >= PACKETS


def test_channel_id_may_be_a_number(heard: Heard) -> None:
    assert heard.channel("7")["packets_received"] == PACKETS // 2
    assert heard.channel("7")["frames_played"] >= PACKETS - 2


def test_two_talkers_at_once_are_both_heard(heard: Heard) -> None:
    """Each is half of the mix: less alike than alone, and far more than speech that is not there."""
    assert heard.channel("both")["packets_received"] == PACKETS + PACKETS // 2
    assert heard.alike("both", speech("microphone.wav")) > 0.4
    assert heard.alike("both", speech("answer.wav")) > 0.4
    assert heard.alike("40-odd", speech("answer.wav")) < 0.3


def test_duplicates_count_as_replays_and_are_played_once(heard: Heard) -> None:
    channel = heard.channel("duplicated")
    assert channel["packets_received"] == channel["replayed"] == PACKETS
    assert PACKETS <= channel["frames_played"] < 1.2 * PACKETS


def test_replay_of_a_whole_transmission_only_counts(heard: Heard) -> None:
    channel = heard.channel("replayed")
    assert channel["packets_received"] == channel["replayed"] == PACKETS
    assert channel["frames_played"] < 1.2 * PACKETS


def test_replay_under_another_channels_name_only_counts(heard: Heard) -> None:
    channel = heard.channel("copied")
    assert channel["replayed"] == PACKETS
    assert channel["packets_received"] == channel["frames_played"] == 0


def test_packets_in_pairs_the_wrong_way_round_are_all_received(heard: Heard) -> None:
    channel = heard.channel("reordered")
    assert channel["packets_received"] == PACKETS
    assert channel["replayed"] == channel["packets_lost"] == 0
    assert channel["frames_played"] >= PACKETS


@pytest.mark.parametrize("hazard", ["mis-keyed", "truncated", "oversized"])
def test_what_cannot_be_opened_is_not_played(heard: Heard, hazard: str) -> None:
    channel = heard.channel(hazard)
    assert channel["packets_received"] == channel["frames_played"] == 0
    assert channel["undecryptable"] == (PACKETS if hazard == "mis-keyed" else 0)


def test_truncated_datagrams_are_counted_by_reason(heard: Heard) -> None:
    assert sum(heard.summary["datagrams_malformed"].values()) >= PACKETS - 1  # one may have lost nothing


def test_own_packets_that_come_back_are_not_played(heard: Heard) -> None:
    channel = heard.channel("reflected")
    assert channel["packets_sent"] > PACKETS
    assert abs(channel["replayed"] - channel["packets_sent"]) <= 5
    assert channel["packets_received"] == channel["frames_played"] == 0


def test_hazards_of_one_channel_leave_the_workers_alone(heard: Heard) -> None:
    assert {worker["restarts"] for worker in heard.summary["workers"].values()} == {0}
    assert heard.summary["sessions"] == 1
