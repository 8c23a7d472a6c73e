"""The simulated dispatcher pages what the plan listens for, and the ear hears it."""

from __future__ import annotations

import numpy as np
import pytest
from config_documents import example

from echostream.audio.format import RATE_HZ
from echostream.config.listen import listen_plan
from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.simulator.dispatcher import dispatch, paged_card
from echostream.simulator.file_cards import read_wav
from echostream.simulator.stage import SPEECH
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection


def config(**tones: object) -> Config:
    document = example()
    if tones:
        document["tones"] = tones
    return parse_config(document, "test").config


def test_the_example_pages_engine_7_twice_and_nothing_else_is_heard() -> None:
    whole = config()
    paged = paged_card(whole)
    assert paged is not None
    card, parts = paged
    assert card == whole.channels[0].card
    said = dispatch(parts, read_wav(SPEECH / "microphone.wav"))
    assert len(said) == 120 * RATE_HZ
    detector = ToneDetector(listen_plan(whole.tones["fire-dispatch"]), RATE_HZ)
    heard = [*detector.feed(said), *detector.finish()]
    pages = [one for one in heard if isinstance(one, Detection)]
    assert [page.tone_id for page in pages] == ["engine-7", "engine-7"]
    assert [page.start / 8000 for page in pages] == pytest.approx([5.0, 45.0], abs=0.05)


@pytest.mark.parametrize(
    "page",
    [
        {"kind": "long", "tone_a_hz": 1000.0},
        {"kind": "at_once", "tone_a_hz": 349.0, "tone_b_hz": 433.7},
        {"kind": "dtmf", "digits": "123"},
        {"kind": "five_tone", "digits": "12345", "system": "zvei1"},
    ],
)
def test_any_kind_of_page_can_be_the_first(page: dict[str, object]) -> None:
    paged = paged_card(config(ems={"alert_tones": [{"tone_id": "p"} | page]}))
    assert paged is not None
    assert paged[0] == "usb:1-1.3"
    assert np.abs(dispatch(paged[1], np.zeros(RATE_HZ, np.int16))).max() > 5000


def test_without_a_page_to_send_nobody_pages() -> None:
    assert paged_card(config(ems={"detect_new_tones": True})) is None
    wild = [{"tone_id": "p", "kind": "dtmf", "digits": "1?3"}]
    assert paged_card(config(ems={"alert_tones": wild})) is None
