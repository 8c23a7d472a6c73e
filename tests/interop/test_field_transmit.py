"""What a deployed server sees of a gateway that joins, talks and leaves: order, bytes, clocks, speech."""

from __future__ import annotations

import base64
import json
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interop.field_audio import (
    SPEECH_DIR,
    Opened,
    decode,
    likeness,
    new_key,
    open_datagram,
    packet_ms,
    read_wav,
)
from tests.interop.field_diary import Happening, Manners
from tests.interop.field_server import FieldServer
from tests.interop.processes import GatewayProcess, button_keyed, voice_keyed

KEEP_ALIVE_S: Final = 1.0
FIVE_KEYS: Final = {"affiliation_id", "user_name", "agency_name", "channel_id", "time"}
PRE_ROLL_MS: Final = {"brief": 0, "usual": 200, "long": 1000}
CHANNELS: Final = ("steady", *PRE_ROLL_MS)


@dataclass(frozen=True)
class Recording:
    """One run, seen from the server: the gateway's connection is number `opening`."""

    happenings: list[Happening]
    server: FieldServer
    opening: int
    key: str
    summary: dict[str, Any]

    def opened(self, channel: str) -> list[Opened]:
        return [open_datagram(event.raw, self.key, event.at) for event in self.server.audio(channel)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """The server offers "N/A": the key is the pre-shared one. Buttons go down at 1.0, 2.5 and 4.0 s."""
    folder = tmp_path_factory.mktemp("transmit")
    key = new_key()
    key_file = folder / "key"
    key_file.write_text(key)
    key_file.chmod(0o600)
    channels = [voice_keyed("steady", high_pass_hz=0)]
    for pin, (name, pre_roll_ms) in zip((20, 21, 23), PRE_ROLL_MS.items(), strict=True):
        channels.append(button_keyed(name, pin, pre_roll_ms=pre_roll_ms, high_pass_hz=0))
    server_settings = {"keep_alive_s": KEEP_ALIVE_S, "aes_key": {"file": str(key_file)}}
    with FieldServer(Manners(aes_key="N/A")) as server:
        with GatewayProcess(folder, server.url, channels, server=server_settings) as gateway:
            server.wait_until(lambda: len(server.messages("transmit_ended")) == len(PRE_ROLL_MS), 60)
            assert gateway.end() == 0, gateway.log
        server.wait_until(lambda: len(server.of("lost")) >= 2)
        opening = server.messages("connect")[0].opening
        yield Recording(server.happenings, server, opening, key, gateway.summary)


def test_subprotocol_is_asked_for(run: Recording) -> None:
    request = next(e.body for e in run.happenings if e.kind == "open" and e.opening == run.opening)
    assert request.headers["Sec-WebSocket-Protocol"] == "audio-protocol"


def test_each_channel_connects_at_once_and_again_every_period(run: Recording) -> None:
    texts = [event for event in run.happenings if event.kind == "text"]
    assert [list(event.body) for event in texts[: len(CHANNELS)]] == [["connect"]] * len(CHANNELS)
    for channel in CHANNELS:
        times = [event.at for event in run.server.messages("connect", channel)]
        assert len(times) >= 7
        assert all(0.7 < later - earlier < 1.5 for earlier, later in pairwise(times))


def test_messages_hold_the_five_keys_and_nothing_else(run: Recording) -> None:
    for kind in ("connect", "transmit_started", "transmit_ended"):
        for event in run.server.messages(kind):
            assert set(event.body) == {kind}
            body = event.body[kind]
            assert set(body) == FIVE_KEYS
            assert body["affiliation_id"] == "interop-1"
            assert body["user_name"] == "Interop"
            assert body["agency_name"] == "Field"
            assert type(body["time"]) is int
            assert abs(body["time"] - event.at) < 2
    for event in run.server.messages("disconnect"):
        assert set(event.body["disconnect"]) == {"affiliation_id", "channel_id", "time"}


def test_heartbeat_goes_at_once_and_every_period_also_while_transmitting(run: Recording) -> None:
    opened_at = next(e.at for e in run.happenings if e.kind == "open" and e.opening == run.opening)
    beats = [event.at for event in run.server.heartbeats()]
    assert beats[0] - opened_at < 0.3
    assert len(beats) >= 7
    # Besides the regular ones each connect has one: the server may have made its port anew.
    assert all(later - earlier < 1.5 for earlier, later in pairwise(beats))
    assert len(beats) < 3 * (beats[-1] - beats[0]) + 3


def test_everything_comes_from_one_local_port(run: Recording) -> None:
    assert {event.opening for event in run.server.of("datagram")} == {run.opening}
    assert len({event.port for event in run.server.of("datagram")}) == 1
    assert len({event.sender for event in run.server.of("datagram")}) == 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_transmission_is_announced_before_its_first_packet_and_ended_after_its_last(
    run: Recording, channel: str
) -> None:
    (started,) = run.server.messages("transmit_started", channel)
    (ended,) = run.server.messages("transmit_ended", channel)
    order = run.happenings
    audio = run.server.audio(channel)
    assert order.index(started) < min(order.index(event) for event in audio)
    assert max(event.at for event in audio) <= ended.at


def test_datagram_is_one_object_of_three_keys(run: Recording) -> None:
    audio = run.server.audio()
    assert len(audio) > 900
    for event in audio:
        text = event.raw.decode("ascii")
        assert json.JSONDecoder().raw_decode(text)[1] == len(text)
        assert set(event.body) == {"channel_id", "type", "data"}
        data = event.body["data"]
        assert base64.b64encode(base64.b64decode(data, validate=True)).decode() == data
        assert len(event.raw) <= 8192


def test_packets_are_20_ms_of_mono(run: Recording) -> None:
    lengths = {packet_ms(one.packet) for channel in CHANNELS for one in run.opened(channel)}
    assert lengths == {20}


def test_iv_is_a_prefix_per_channel_and_a_tick_that_never_repeats(run: Recording) -> None:
    prefixes = {channel: {one.prefix for one in run.opened(channel)} for channel in CHANNELS}
    assert all(len(found) == 1 for found in prefixes.values())
    assert len(set.union(*prefixes.values())) == len(CHANNELS)
    for channel in CHANNELS:
        ticks = [one.tick for one in run.opened(channel)]
        assert {later - earlier for earlier, later in pairwise(ticks)} == {1}


@pytest.mark.parametrize("channel", CHANNELS)
def test_tick_is_unix_time_in_20_ms_also_after_seconds_of_silence(run: Recording, channel: str) -> None:
    assert abs(quickest_s(run.opened(channel))) < 0.5


def quickest_s(opened: list[Opened]) -> float:
    """How late the packet that was held up least came after its tick: a busy machine holds up the others."""
    return min(one.at - one.tick * 0.02 for one in opened)


@pytest.mark.parametrize("channel", PRE_ROLL_MS)
def test_pre_roll_comes_first_and_its_delay_is_gone_within_a_second(run: Recording, channel: str) -> None:
    opened = run.opened(channel)
    behind_ms = [1000 * (one.at - one.tick * 0.02) for one in opened]
    base_ms = statistics.median(behind_ms[len(behind_ms) // 2 :])
    assert -60 < behind_ms[0] - base_ms - PRE_ROLL_MS[channel] < 120
    late = [one.at - opened[0].at for one, ms in zip(opened, behind_ms, strict=True) if ms > base_ms + 60]
    assert max(late, default=0.0) < 1.0


@pytest.mark.parametrize("channel", CHANNELS)
def test_speech_arrives_as_it_was_said(run: Recording, channel: str) -> None:
    said = read_wav(SPEECH_DIR / "microphone.wav")
    alike, _ = likeness(decode([one.packet for one in run.opened(channel)]), said)
    assert alike > 0.7


def test_first_packet_holds_what_was_said_before_the_button(run: Recording) -> None:
    """All channels hear the same recording from the same instant: their places in it tell when each began."""
    said = read_wav(SPEECH_DIR / "microphone.wav")
    began_s = {}
    for channel in PRE_ROLL_MS:
        opened = run.opened(channel)
        _, lag = likeness(decode([one.packet for one in opened]), said)
        began_s[channel] = -lag / 48_000
        pressed_s = run.server.messages("transmit_started", channel)[0].at
        first_s = opened[0].tick * 0.02
        assert abs(pressed_s - first_s - PRE_ROLL_MS[channel] / 1000) < 0.15
    assert abs(began_s["usual"] - began_s["brief"] - (1.5 - 0.2)) < 0.1
    assert abs(began_s["long"] - began_s["brief"] - (3.0 - 1.0)) < 0.1


def test_stop_ends_the_transmission_leaves_every_channel_and_says_goodbye(run: Recording) -> None:
    mine = [event for event in run.happenings if event.opening == run.opening]
    left_behind = [event.body["disconnect"]["channel_id"] for event in run.server.messages("disconnect")]
    assert sorted(left_behind) == sorted(CHANNELS)
    order = run.happenings
    (ended,) = run.server.messages("transmit_ended", "steady")
    (left,) = run.server.messages("disconnect", "steady")
    assert order.index(ended) < order.index(left)
    assert mine[-1].kind == "lost"
    assert mine[-1].body == "close 1000"


def test_summary_counts_what_was_sent(run: Recording) -> None:
    for channel in CHANNELS:
        counted = run.summary["channels"][channel]
        # It is taken just before the stop: a channel that talks on may send a frame more.
        assert 0 <= len(run.server.audio(channel)) - counted["packets_sent"] <= 5
        assert counted["key_ups"] == 1
        assert counted["send_failures"] == 0


def test_frames_of_every_length_advance_the_tick_by_theirs(tmp_path: Path) -> None:
    key = new_key()
    runs: dict[int, list[Opened]] = {}

    def one(frame_ms: int) -> None:
        with FieldServer(Manners(aes_key=key)) as server:
            channels = [voice_keyed("fire", high_pass_hz=0)]
            with GatewayProcess(tmp_path / str(frame_ms), server.url, channels, audio={"frame_ms": frame_ms}):
                server.wait_until(lambda: bool(server.audio()))
                started = server.audio()[0].at
                server.wait_until(lambda: server.audio()[-1].at - started > 1.5)
            runs[frame_ms] = [open_datagram(event.raw, key, event.at) for event in server.audio()]

    threads = [threading.Thread(target=one, args=(frame_ms,)) for frame_ms in (10, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(runs) == {10, 40, 60}
    for frame_ms, opened in runs.items():
        length = max(20, frame_ms)
        assert {packet_ms(each.packet) for each in opened} == {length}
        steps = {later.tick - earlier.tick for earlier, later in pairwise(opened)}
        assert steps == {length // 20}
        assert abs(quickest_s(opened)) < 0.5
