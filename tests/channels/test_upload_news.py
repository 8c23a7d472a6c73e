"""Uploads that the control server is told of: each once, none lost while it is away, never a flood."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from echostream.channels.upload_news import AT_ONCE, MOST_WAITING, PERIOD_S, UPLOADS, UploadNews
from echostream.coordinator.deadlines import Deadlines
from echostream.events import RecordingUploaded
from echostream.wire.signalling_v1 import ClientKind, parse_client_message


def uploaded(number: int, channel_id: str = "fire") -> RecordingUploaded:
    name = f"r{number}"
    return RecordingUploaded(
        name, f"/r/{name}.flac", "fire", "channel", channel_id, (), 1.7e9, 5.0, "bucket", f"gw/{name}", 100
    )


class Server:
    """Takes what comes, or is away; `on_sent` is called when the test says so."""

    def __init__(self) -> None:
        self.there = True
        self.texts: list[str] = []
        self.told: list[str] = []
        self.pending: list[Callable[[bool], None]] = []

    def send(self, text: str, on_sent: Callable[[bool], None]) -> bool:
        if not self.there:
            return False
        message = parse_client_message(text)
        assert message.kind is ClientKind.FILE_UPLOADED
        self.texts.append(text)
        self.told.append(json.loads(text)["file_uploaded"]["file_id"])
        self.pending.append(on_sent)
        return True


class Site:
    def __init__(self) -> None:
        self.server, self.deadlines, self.now = Server(), Deadlines(), 0.0
        self.news = UploadNews(self.server.send, self.deadlines, lambda: 1.8e9)

    def run(self, periods: int) -> None:
        for _ in range(periods):
            self.now += PERIOD_S
            for key in self.deadlines.due(self.now):
                assert key == UPLOADS
                self.news.look(self.now)


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_server_is_told_at_once_with_bucket_and_key(site: Site) -> None:
    site.news.note(uploaded(1), 0.0)
    assert json.loads(site.server.texts[0]) == {
        "file_uploaded": {
            "channel_id": "fire",
            "file_id": "r1",
            "transcription": "",
            "time": 1_800_000_000,
            "bucket": "bucket",
            "key": "gw/r1",
            "start_time": 1_700_000_000,
        }
    }


def test_what_belongs_to_no_channel_is_told_to_nobody(site: Site) -> None:
    site.news.note(uploaded(1, channel_id=""), 0.0)
    assert (site.server.told, site.news.waiting) == ([], 0)


def test_what_was_uploaded_while_the_server_was_away_is_told_in_order_and_a_few_at_a_time(site: Site) -> None:
    site.server.there = False
    for number in range(100):
        site.news.note(uploaded(number), site.now)
    site.run(10)
    assert site.server.told == []
    site.server.there = True
    site.news.tell(site.now)
    assert len(site.server.told) == AT_ONCE
    for _ in range(30):
        before = len(site.server.told)
        site.run(1)
        assert len(site.server.told) - before <= AT_ONCE
    assert site.server.told == [f"r{number}" for number in range(100)]


def test_a_burst_while_the_server_is_there_leaves_room_in_its_outbox(site: Site) -> None:
    for number in range(60):
        site.news.note(uploaded(number), site.now)
    assert len(site.server.told) <= AT_ONCE
    site.run(20)
    assert site.server.told == [f"r{number}" for number in range(60)]


def test_what_did_not_get_out_is_told_again_in_order(site: Site) -> None:
    for number in range(3):
        site.news.note(uploaded(number), site.now)
    site.run(1)
    for on_sent in site.server.pending:
        on_sent(False)
    site.server.pending.clear()
    site.server.told.clear()
    site.server.there = False
    site.run(3)
    site.server.there = True
    site.news.tell(site.now)
    assert site.server.told == ["r0", "r1", "r2"]
    assert site.news.waiting == 0


def test_what_waits_is_bounded_and_the_oldest_go(site: Site) -> None:
    site.server.there = False
    for number in range(MOST_WAITING + 5):
        site.news.note(uploaded(number), site.now)
    assert (site.news.waiting, site.news.dropped) == (MOST_WAITING, 5)
    site.server.there = True
    site.news.tell(site.now)
    assert site.server.told[0] == "r5"
