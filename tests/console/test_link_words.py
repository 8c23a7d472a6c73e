"""What the live view and the summary say of broker, bucket and targets."""

from __future__ import annotations

import json

import pytest

from echostream.console.link_words import links_summary, links_words
from echostream.vitals.model import LinkVitals


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (LinkVitals("mqtt", True, 5.0, sent=120), "MQTT: 120 sent"),
        (LinkVitals("mqtt", True, 5.0), "MQTT: 0 sent"),
        (LinkVitals("mqtt", False, 5.0), "MQTT: away for 5 s"),
        (
            LinkVitals("s3", False, 200.0, 4, 90_000.0, 2, 7, 1000, "no such bucket"),
            "S3: away for 3 min (no such bucket), 7 sent, 4 wait for up to 25 h, 2 gave way",
        ),
        (LinkVitals("alerts", True, 1.0, 1, 0.2), "alerts: 0 sent, 1 wait"),
        (LinkVitals("mqtt", False, 900_000.0), "MQTT: away for 10 days"),
    ],
)
def test_each_way_out_is_told_in_a_few_words(link: LinkVitals, words: str) -> None:
    assert links_words([link]) == words


def test_several_stand_in_one_line_and_none_in_none() -> None:
    both = [LinkVitals("mqtt", True, 1.0, sent=1), LinkVitals("s3", True, 1.0, sent=2)]
    assert links_words(both) == "MQTT: 1 sent; S3: 2 sent"
    assert links_words([]) == ""


def test_the_summary_says_how_it_was_at_the_end_and_what_went_out_after() -> None:
    at_end = LinkVitals("s3", False, 1.26, 4, 9.04, 2, 7, 1000, "no such bucket")
    after = LinkVitals("s3", True, 0.0, 3, 9.94, 2, 8, 800, "stopped")
    other = LinkVitals("mqtt", True, 3.0)
    told = links_summary([at_end], [after, other])
    assert list(told) == ["s3", "mqtt"]
    assert json.loads(json.dumps(told))["s3"] == {
        "up": False, "for_s": 1.3, "waiting": 3, "oldest_s": 9.9, "dropped": 2, "sent": 8,
        "bytes_waiting": 800, "detail": "no such bucket",
    }  # fmt: skip
