"""`echostream page` and `tones learn --server`, through a real server: what goes out is heard as the page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tone_files import CONFIG_TONES

from echostream.audio.format import RATE_HZ, Samples
from echostream.cli import main
from echostream.config.models import ControlServer as ServerSettings
from echostream.gateway import Secrets
from echostream.simulator.control_server import ControlServer
from echostream.simulator.file_cards import FileCards
from echostream.simulator.member import Member, MemberIdentity, silent_voice
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection
from echostream.tones.plan import ListenPlan, TwoTone

SHORT = TwoTone("engine-7", 349.0, 433.7, a_length_s=0.3, b_length_s=0.4)


@pytest.fixture
def server() -> Iterator[ControlServer]:
    server = ControlServer(aes_key="generate")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def config(server: ControlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./config.json, as the command expects it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.json"
    document = {
        "gateway": {"id": "g", "affiliation_id": "g", "user_name": "g", "agency_name": "g"},
        "control_server": {"url": server.url},
        "channels": [{"id": "fire", "card": "a"}, {"id": "ems", "card": "b"}],
        "tones": {"fire": CONFIG_TONES},
    }
    path.write_text(json.dumps(document))
    return path


class Listener:
    """A member that keeps what it hears."""

    def __init__(self, server: ControlServer) -> None:
        self._frames: list[Samples] = []
        cards = FileCards(
            {"fire": silent_voice()}, lambda _card, samples: self._frames.append(samples.copy())
        )
        settings = ServerSettings(url=server.url, reconnect_min_s=0.2)
        self.member = Member(settings, ["fire"], MemberIdentity("listener", "listener"), Secrets(), cards)

    def __enter__(self) -> Listener:
        self.member.start()
        assert self.member.wait_for(lambda: self.member.online("fire"), 10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.member.stop()

    def heard(self) -> Samples:
        return np.concatenate(self._frames)

    def found(self, plan: ListenPlan) -> list[Detection]:
        detector = ToneDetector(plan, RATE_HZ)
        heard = [*detector.feed(self.heard()), *detector.finish()]
        return [item for item in heard if isinstance(item, Detection)]


@pytest.mark.usefixtures("config")
def test_a_page_and_a_voice_are_heard_on_the_channel(server: ControlServer, tmp_path: Path) -> None:
    t = np.arange(4000) / 8000
    voice = tmp_path / "voice.flac"
    soundfile.write(str(voice), 0.3 * np.sin(2 * np.pi * 1500 * t), 8000)
    with Listener(server) as listener:
        assert main(["page", "fire", "engine-7", "--a", "0.5", "--b", "0.7", "--voice", str(voice)]) == 0
    (page,) = listener.found(ListenPlan(two_tone=(SHORT,)))
    assert page.tones[0].hz == pytest.approx(349.0, abs=0.5)
    after = listener.heard()[page.end * 6 :].astype(float)
    spectrum = np.abs(np.fft.rfft(after))
    loudest_hz = np.argmax(spectrum) * RATE_HZ / after.size
    assert loudest_hz == pytest.approx(1500, abs=20), "the voice follows"


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("options", "kind"), [(["--dtmf", "123#"], "dtmf"), (["--five-tone", "zvei1", "12345"], "five_tone")]
)
def test_calls_of_digits(options: list[str], kind: str, server: ControlServer) -> None:
    with Listener(server) as listener:
        assert main(["page", "fire", *options]) == 0
    found = listener.found(ListenPlan(dtmf=True, five_tone=("zvei1",)))
    assert [(each.kind.value, each.digits) for each in found] == [(kind, options[-1])]


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fir", "engine-7"], 'did you mean "fire"?'),
        (["fire", "engin-7"], 'did you mean "engine-7"?'),
        (["ems", "engine-7"], "has no tones here"),
        (["fire", "engine-7", "--config", "nowhere.json"], "nowhere.json"),
        (["fire", "engine-7", "--voice", "nowhere.wav"], "nowhere.wav"),
        (["fire", "engine-7", "--voice", "config.json"], "ffmpeg"),
        (["fire", "--dtmf", "xyz"], "DTMF"),
        (["fire", "engine-7", "--server", "http://x"], "http://x"),
    ],
)
def test_what_cannot_be_paged_is_said_and_nothing_is_sent(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["page", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fire"], ["fire", "engine-7", "--dtmf", "1"]])
def test_one_thing_is_paged(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["page", *arguments])
    assert ended.value.code == 2


def test_a_server_that_is_not_there(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echostream.simulator.member_commands.ONLINE_S", 0.5)
    assert main(["page", "fire", "engine-7", "--server", "ws://127.0.0.1:1"]) == 1
    assert "not on the channel" in capsys.readouterr().err


@pytest.mark.usefixtures("config")
def test_a_running_channel_is_learned(server: ControlServer) -> None:
    options = ["--server", server.url, "--new-tone-length", "0.6", "--for", "4", "--json"]
    command = [sys.executable, "-m", "echostream", "tones", "learn", *options, "fire"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as learner:
        assert learner.stderr is not None
        while "listening" not in learner.stderr.readline():
            assert learner.poll() is None
        assert main(["page", "fire", "ladder-2", "--a", "0.5", "--b", "0.8"]) == 0
        out, _ = learner.communicate(timeout=20)
    assert learner.returncode == 0
    assert [tone["tone_id"] for tone in json.loads(out)["alert_tones"]] == ["page-600.9-788.5"]
