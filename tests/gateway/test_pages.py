"""The whole line: a page on one card is heard, recorded, and on another channel's loudspeaker and network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.resampler import RationalResampler
from echostream.channels.channel_runtime import Hardware
from echostream.config.changes import compare
from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.config.models import ControlServer as ServerSettings
from echostream.console.snapshot import channel_snapshot, summary
from echostream.errors import GpioError
from echostream.events import Event, PassthroughChanged, RecordingClosed, ToneDetected
from echostream.gateway import Gateway, Secrets
from echostream.simulator.control_server import ControlServer
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity, silent_voice
from echostream.tones.generator import render, to_int16, two_tone
from echostream.tones.plan import TwoTone

PAGE = {
    "tone_id": "engine-7",
    "tone_a_hz": 349.0,
    "tone_b_hz": 433.7,
    "tone_a_length_s": 0.5,
    "tone_b_length_s": 0.8,
    "record_length_s": 3.0,
    "alert": "Engine 7",
}
PLAN = {"passthrough": True, "passthrough_channel": "tac", "alert_tones": [PAGE]}
LEAD_S = 0.4


class NoLines:
    def output(self, channel_id: str) -> Any:
        raise LookupError(channel_id)

    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Any:
        raise GpioError(card)


class Ears:
    """What each card and the other member's loudspeaker played."""

    def __init__(self) -> None:
        self.played: dict[str, list[Samples]] = {}

    def __call__(self, card: str, samples: Samples) -> None:
        self.played.setdefault(card, []).append(samples.copy())

    def heard(self, card: str) -> Samples:
        return np.concatenate(self.played[card])


def melody(seconds: float) -> Samples:
    """Tones that wander: found again by correlation, and nobody's page."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(900 + 450 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    return np.asarray(6000 * (0.6 + 0.4 * np.sin(2 * np.pi * 2.3 * t)) * np.sin(phase)).astype(np.int16)


def dispatch(said: Samples) -> Samples:
    tones = to_int16(render(two_tone(TwoTone("x", 349.0, 433.7), a_s=0.7, b_s=1.2), RATE_HZ, -12.0))
    lead, pause = (np.zeros(round(s * RATE_HZ), np.int16) for s in (LEAD_S, 0.3))
    return np.concatenate((lead, tones, pause, said))


def similarity(heard: Samples, said: Samples) -> float:
    """Best normalised correlation of what was said within what was heard; both decimated."""
    x, y = heard[::6].astype(np.float64), said[::6].astype(np.float64)
    size = 1 << (len(x) + len(y)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(x, size) * np.conj(np.fft.rfft(y, size)), size)
    at = int(np.argmax(correlation[: len(x)]))
    part = x[at : at + len(y)]
    return float(np.dot(part, y[: len(part)]) / (np.linalg.norm(part) * np.linalg.norm(y[: len(part)])))


class Station:
    """A gateway with `dispatch` and `tac` on file cards, and another member on `tac`."""

    def __init__(self, folder: Path, said: Samples) -> None:
        self.server = ControlServer(aes_key="generate")
        self.server.start()
        self.voice = Voice(dispatch(said))
        self.ears, self.member_ears = Ears(), Ears()
        self.events: list[Event] = []
        self._seen = threading.Condition()
        self.document: dict[str, Any] = {
            "gateway": {"id": "s", "affiliation_id": "s"},
            "control_server": {"url": self.server.url, "reconnect_min_s": 0.2},
            "channels": [{"id": "dispatch", "card": "A"}, {"id": "tac", "card": "B"}],
            "tones": {"dispatch": PLAN},
            "recording": {"enabled": True, "directory": str(folder / "recordings"), "keep": "wav"},
        }
        cards = FileCards({"A": self.voice, "B": silent_voice()}, self.ears)
        nothing = NoLines()
        hardware = Hardware(cards, None, nothing, nothing)
        self.gateway = Gateway(self.config(), Secrets(), hardware, self._failed, (self._observe,))
        settings = ServerSettings(url=self.server.url, reconnect_min_s=0.2)
        self.member = Member(
            settings,
            ["tac"],
            MemberIdentity("m", "m"),
            Secrets(),
            FileCards({"tac": silent_voice()}, self.member_ears),
        )
        self.gateway.start()
        self.member.start()
        assert self.member.wait_for(lambda: self.member.online("tac"), 5.0)
        deadline_s = time.monotonic() + 5
        while not all(runtime.state.online for runtime in self.gateway.channels):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    def config(self) -> Config:
        loaded = parse_config(self.document, "test")
        assert loaded.dropped == ()
        return loaded.config

    def _failed(self, reason: str) -> None:
        raise AssertionError(reason)

    def _observe(self, event: Event, now: float) -> None:
        with self._seen:
            self.events.append(event)
            self._seen.notify_all()

    def wait(self, kind: Any, condition: Callable[[Any], bool], timeout_s: float = 8.0) -> Any:
        """The first event of a kind for which the condition holds."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [one for one in self.events if isinstance(one, kind) and condition(one)]
            return bool(found)

        with self._seen:
            self._seen.wait_for(look, timeout_s)
        return found[0] if found else None

    def reload(self) -> None:
        config = self.config()
        changes = compare(self.gateway.config, config)
        done = threading.Event()

        def apply() -> None:
            self.gateway.apply(config, Secrets(), changes)
            done.set()

        self.gateway.manager.on_reload = apply
        self.gateway.request_reload()
        assert done.wait(5)

    def stop(self) -> None:
        self.member.stop()
        self.gateway.stop()
        self.server.stop()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    station = Station(tmp_path, melody(2.5))
    yield station
    station.stop()


def read(path: str) -> Samples:
    """A recording at 48 kHz."""
    with wave.open(path) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16_000, 2, 1)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    return np.asarray(RationalResampler(16_000, RATE_HZ).process(samples), np.int16)


def test_a_page_is_heard_recorded_and_passed_through_to_loudspeaker_and_members(station: Station) -> None:
    spoken_at_s = time.time()
    station.voice.speak()
    page = station.wait(ToneDetected, lambda event: event.name == "Engine 7")
    assert page is not None
    assert (page.channel_id, page.detection.tone_id) == ("dispatch", "engine-7")
    assert page.started_at_s == pytest.approx(spoken_at_s + LEAD_S, abs=0.25)
    during = channel_snapshot(station.gateway, station.gateway.manager.channels["dispatch"]).pages
    assert (during.passed_to, during.recording or during.heard == 1) == ("tac", True)
    assert 2.0 < during.passed_s <= 3.0
    ended = station.wait(PassthroughChanged, lambda event: event.remaining_s == 0)
    assert ended is not None
    recorded = station.wait(RecordingClosed, lambda event: True)
    assert recorded is not None
    station.member.wait_for(lambda: False, 0.6)
    said = melody(1.6)
    assert similarity(station.ears.heard("B"), said) > 0.95
    assert similarity(station.member_ears.heard("tac"), said) > 0.8
    whole = read(recorded.path)
    assert similarity(whole, said) > 0.95
    tone_a = whole[: RATE_HZ // 2].astype(float)  # the page itself is in front
    spectrum = np.abs(np.fft.rfft(tone_a * np.hanning(len(tone_a))))
    assert np.argmax(spectrum) * 2 == pytest.approx(349.0, abs=3)
    assert recorded.duration_s == pytest.approx(3.0 + 1.6, abs=0.4)
    result: Any = summary(station.gateway, time.monotonic() - 10)
    assert result["channels"]["dispatch"]["pages"] == 1
    assert result["channels"]["dispatch"]["passthrough_s"] == pytest.approx(3.0, abs=0.1)
    assert result["channels"]["tac"]["pages"] == 0
    assert result["workers"]["tones"] == {"restarts": 0}
    assert result["workers"]["recorder"] == {"restarts": 0}
    told = {key: result["recorder"][key] for key in ("recordings", "failed", "lost_s")}
    assert told == {"recordings": 1, "failed": 0, "lost_s": 0.0}


def test_a_reload_changes_what_is_listened_for_and_touches_no_audio(station: Station) -> None:
    before = dict(station.gateway.manager.channels)
    station.document["tones"]["dispatch"] = PLAN | {
        "alert_tones": [PAGE | {"tone_id": "ladder-2", "alert": "Ladder 2", "record_length_s": 0}]
    }
    station.reload()
    station.voice.speak()
    page = station.wait(ToneDetected, lambda event: True)
    assert page is not None
    assert page.name == "Ladder 2"
    assert station.gateway.manager.channels == before
    assert not station.wait(PassthroughChanged, lambda event: True, 0.3)  # it has no length any more
    station.document["recording"]["enabled"] = False
    del station.document["tones"]
    station.reload()
    assert station.gateway.records is None
    assert station.gateway.manager.channels == before
    assert [worker.name for worker in station.gateway.workers] == ["tones"]
    captured = before["dispatch"].capture.frames
    station.member.wait_for(lambda: False, 0.2)
    assert before["dispatch"].capture.frames > captured


def test_a_gateway_that_is_killed_leaves_a_recording_that_plays(tmp_path: Path) -> None:
    """The simulated dispatcher pages 5 s after the start; what was said up to two seconds before is there."""
    config = tmp_path / "config.json"
    document = {
        "gateway": {"id": "s", "affiliation_id": "s"},
        "control_server": {"url": "ws://192.0.2.1:9"},
        "channels": [{"id": "dispatch", "card": "A"}],
        "tones": {"dispatch": {"alert_tones": [PAGE | {"record_length_s": 60}]}},
        "recording": {"enabled": True, "directory": str(tmp_path)},
    }
    config.write_text(json.dumps(document), "utf-8")
    command = [sys.executable, "-m", "echostream", "run", "--config", str(config), "--simulate", "all"]
    process = subprocess.Popen(
        [*command, "--log", "lines"],
        env={"RUNTIME_DIRECTORY": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline_s = time.monotonic() + 20
        while not list(tmp_path.rglob("*engine-7.wav")):
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        began_s = time.monotonic()
        time.sleep(2.6)
        process.send_signal(signal.SIGKILL)
        lasted_s = time.monotonic() - began_s
    finally:
        process.kill()
        process.wait()
    (path,) = tmp_path.rglob("*engine-7.wav")
    with wave.open(str(path)) as file:
        length_s = file.getnframes() / file.getframerate()
    page_s = 0.5 + 0.8  # was over when the file was made
    assert length_s >= page_s + lasted_s - 2.0
