"""What a person sees of microphones and recorder, with one of them and with a thousand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from echostream.console.live_view import render
from echostream.console.site_snapshot import AirSnapshot, DeviceSnapshot, RecorderSnapshot
from echostream.console.site_words import devices_words, recorder_words

RECORDER = RecorderSnapshot("/data", 3, 8, 1, 0, 0.0, 12, 0, 0)


def device(name: str, **changes: object) -> DeviceSnapshot:
    fields: dict[str, object] = {
        "label": "",
        "connected": True,
        "quarantined": False,
        "channel": "works",
        "transmit": "vox",
        "talking": False,
        "recorded": True,
        "rate_hz": 16_000,
        "for_s": 12.0,
        "samples": 192_000,
        "missing_s": 0.0,
        "gaps": 0,
        "ppm": -123.4,
        "error_ms": 4.0,
        "peak_dbfs": -17.6,
        "connections": 1,
        "late_blocks": 0,
        "detail": "",
        "air": AirSnapshot(41.7, 62.0, 40.0, 0),
        **changes,
    }
    return DeviceSnapshot(name, **fields)  # type: ignore[arg-type]


def shown(devices: list[DeviceSnapshot], columns: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=columns)
    console.print(render("EchoStream", [], ["a log line"], columns, devices, RECORDER))
    return out.getvalue()


@pytest.mark.parametrize("columns", [80, 118, 200])
def test_everything_fits_on_any_terminal(columns: int) -> None:
    text = shown([device("porch", label="Porch, facing the road", talking=True)], columns)
    for word in ("Porch", "TALKS", "-18", "works", "yes", "recording 3 of 8 sources", "a log line"):
        assert word in text
    assert ("-123 ppm" in text) == ("42 ms" in text) == (columns >= 100)
    assert max(len(line) for line in text.splitlines()) <= columns


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "there"),
        ({"talking": True}, "TALKS"),
        ({"quarantined": True}, "quarantined"),
        ({"connected": False}, "not there"),
        ({"connected": False, "for_s": None}, "never seen"),
        ({"ppm": None, "peak_dbfs": None}, "-"),
        ({"missing_s": 2.34}, "2.3 s"),
    ],
)
def test_each_state_has_its_word(changes: dict[str, object], word: str) -> None:
    assert word in shown([device("porch", **changes)], 118)


def test_a_thousand_are_counted_and_who_talks_is_on_top() -> None:
    crowd = [device(f"mic-{number}", connected=number % 2 == 0) for number in range(1000)]
    crowd[998] = device("mic-998", talking=True)
    text = shown(crowd, 118)
    assert "mic-998" in text
    assert "and 992 more" in text
    assert len(text.splitlines()) < 22
    words = devices_words(crowd)
    assert words == ("500 of 1000 microphones, mic-998 talks; not there: mic-1, mic-3, mic-5 and 497 more")


def test_status_words() -> None:
    assert devices_words([]) == ""
    assert recorder_words(None) == ""
    assert (
        devices_words([device("a", talking=True), device("b", talking=True)])
        == "2 of 2 microphones, a, b talk"
    )
    assert devices_words([device("a", quarantined=True)]) == "1 of 1 microphones, 1 quarantined"
    assert recorder_words(RECORDER) == "recording 3 of 8 sources, 12 filed"
    trouble = RecorderSnapshot("/data", 3, 8, 1, 0, 1.25, 12, 2, 5)
    assert recorder_words(trouble) == (
        "recording 3 of 8 sources, 12 filed, 2 to be filed, 5 deleted, 1.2 s lost"
    )
