"""`echostream tune` as it is typed: reports, the running gateway, tones, exit codes, a meter."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from echostream.audio.format import FULL_SCALE, Frame, Samples
from echostream.audio.ports import CardSpec
from echostream.cli import main
from echostream.config.load import load_config
from echostream.config.models import Channel, Key
from echostream.console.meter_view import MeterView, render_meter
from echostream.errors import ConfigError, DeviceLost, SourceClosed
from echostream.hardware.ptt_client import MockPttLines, PttLineSpec
from echostream.selftest.gateway_runs import holding
from echostream.selftest.loop_card import LoopCards
from echostream.service.health import ChannelHealth, Health, boot_id, since_boot_s, write_health
from echostream.simulator.file_cards import FileCards, FileSink, Voice
from echostream.tune.beside_gateway import GatewayGone, follow
from echostream.tune.deviation_tone import DeviationTone, keyed_line, play_tone, tone_frames
from echostream.tune.listening import listen
from echostream.tune.run import Asked, Terminal, tune

CONFIG = str(Path(__file__).parents[2] / "config.json")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_plain_report_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["tune", "fire-dispatch", "--config", CONFIG, "--simulate", "all", "--seconds", "1"])
    said = capsys.readouterr().out
    assert code in (0, 1)
    assert "P.56" in said
    assert "noise" in said


def test_machines_get_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tune", "ems", "--config", CONFIG, "--simulate", "all", "--seconds", "1", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["channel"] == "ems"
    assert document["levels"]["duration_s"] == 1.0
    assert set(document["suggestion"]) == {"mixer_db", "input_gain_db", "vox_dbfs"}


def test_a_person_is_led_through_silence_and_speech() -> None:
    """Enter, silence, Enter, speech; and then asked before anything is set."""
    voice = Voice(np.rint(2000 * np.sin(np.arange(48_000) / 20)).astype(np.int16))
    terminal = Terminal(Prompted("\n\n", [lambda: None, voice.speak]), Tty(), Tty())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echostream.tune.run.SILENCE_S", 0.6)
        patch.setattr("echostream.tune.run.SPEECH_S", 1.0)
        patch.setattr("echostream.tune.run.AudioHardware", lambda names: Closable({names[0]: voice}))
        tune(Asked("ems", Path(CONFIG)), terminal)
    err, out = (stream.getvalue() for stream in (terminal.err, terminal.out))  # type: ignore[attr-defined]
    assert err.index("Nobody speaks") < err.index("Somebody speaks")
    assert "1 s heard" in out
    assert "noise   -120" in out


class Prompted(Tty):
    """Whoever answers does something each time."""

    def __init__(self, answers: str, acts: list[Callable[[], None]]) -> None:
        super().__init__(answers)
        self._acts = acts

    def readline(self, *args: int) -> str:  # type: ignore[override]
        if self._acts:
            self._acts.pop(0)()
        return super().readline(*args)


class Closable(FileCards):
    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-channel", "--config", CONFIG], "fire-dispatch"),
        (["ems", "--config", "/nonexistent.json"], "nonexistent"),
    ],
)
def test_a_wrong_call_is_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_card_that_is_not_there_is_3_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "ems", "--config", CONFIG, "--seconds", "1"]) == 3
    said = capsys.readouterr().err
    assert "usb:1-1.3" in said
    assert "systemctl stop echostream" in said


# ---- while the gateway runs


def health(at_boot_s: float, **channel: object) -> Health:
    known = Health("0", 1, "echostream", boot_id(), 0, 0, at_boot_s, ready=True, healthy=True)
    channels = {"ems": ChannelHealth(card=True, **channel)}  # type: ignore[arg-type]
    return dataclasses.replace(known, channels=channels)


def test_the_gateways_own_meter_is_shown_and_the_commands_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("echostream.tune.beside_gateway.SECOND_S", 0.05)
    write_health(
        tmp_path / "echostream.health.json", health(since_boot_s(), level_dbfs=-31.4, peak_dbfs=-12.0)
    )
    assert main(["tune", "ems", "--config", CONFIG, "--seconds", "3"]) == 0
    said = capsys.readouterr().out
    assert "-31 dBFS" in said
    assert "-12 dBFS" in said
    assert "systemctl stop echostream" in said
    assert main(["selftest", "ems", "--config", CONFIG, "--yes"]) == 2
    assert "systemctl stop echostream" in capsys.readouterr().err
    main(["tune", "ems", "--config", CONFIG, "--seconds", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["levels_dbfs"] == [-31.4, -31.4]


def test_a_gateway_that_is_gone_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    path = tmp_path / "echostream.health.json"
    assert holding("echostream", "ems") is None
    write_health(path, health(since_boot_s()))
    assert holding("echostream", "ems") == path
    assert holding("echostream", "another") is None
    write_health(path, health(since_boot_s() - 60))
    assert holding("echostream", "ems") is None
    path.write_text("{")
    assert holding("echostream", "ems") is None


def test_a_gateway_that_stops_meanwhile_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.tune.beside_gateway.SECOND_S", 0.01)
    monkeypatch.setattr("echostream.tune.beside_gateway._PATIENCE_S", 0.05)
    path = tmp_path / "echostream.health.json"
    write_health(path, health(since_boot_s() - 60))
    with pytest.raises(GatewayGone):
        follow(path, "ems", 60, lambda _: None, threading.Event())


# ---- listening


def test_listening_shows_everything_once_and_returns_it() -> None:
    spoken = np.arange(48_000, dtype=np.int16)
    cards = FileCards({"card": Voice(spoken, loop=True)})
    shown: list[Samples] = []
    heard = listen(cards, CardSpec("card"), 0.5, shown.append, threading.Event())
    assert np.array_equal(heard, spoken[:24_000])
    assert np.array_equal(np.concatenate(shown), heard)
    assert not [thread for thread in threading.enumerate() if thread.name == "tune-capture"]


def test_a_card_that_stands_still_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.tune.listening._STALLED_S", 0.2)

    class StuckSource:
        def __init__(self) -> None:
            self._closed = threading.Event()

        def read(self) -> Frame:
            self._closed.wait(30.0)
            raise SourceClosed("closed")

        def close(self) -> None:
            self._closed.set()

    class Stuck:
        def open_source(self, spec: CardSpec) -> StuckSource:
            return StuckSource()

        def open_sink(self, spec: CardSpec) -> FileSink:
            raise NotImplementedError

    with pytest.raises(DeviceLost, match="no audio"):
        listen(Stuck(), CardSpec("card"), 1.0, lambda _: None, threading.Event())


# ---- the tone


def test_the_tone_is_60_percent_of_what_the_limiter_lets_out() -> None:
    tone = DeviationTone(1000.0, 1.0)
    assert tone.level_dbfs == pytest.approx(-1.0 + 20 * np.log10(0.6), abs=0.01)
    assert "3.0 kHz" in tone.words()
    assert "1.5 kHz" in tone.words()
    assert "5.0 kHz in a channel" in DeviationTone(1000.0, 1.0, -1.0).words()


@pytest.mark.parametrize("hz", [300.0, 1000.0, 1013.7])
def test_the_tone_is_whole_and_of_its_level(hz: float) -> None:
    wave = np.concatenate(list(tone_frames(DeviationTone(hz, 0.5, -10.0)))).astype(np.float64) / FULL_SCALE
    assert len(wave) == 24_000
    assert 20 * np.log10(np.abs(wave).max()) == pytest.approx(-10.0, abs=0.1)
    # No click: nothing moves faster than the sine itself.
    steepest = 10 ** (-10 / 20) * 2 * np.pi * hz / 48_000
    assert np.abs(np.diff(wave)).max() <= steepest * 1.02 + 2 / FULL_SCALE
    assert abs(wave[0]) < 1e-3 > abs(wave[-1])


def test_the_radio_is_keyed_before_and_unkeyed_after() -> None:
    lines = MockPttLines([PttLineSpec("ems", 19)])
    lines.start()
    channel = Channel(id="ems", card="usb0", key=Key(pin=19, lead_in_ms=100, hang_ms=100))
    began_s = time.monotonic()
    play_tone(LoopCards(), channel, DeviationTone(1000.0, 0.4), lines.output("ems"), threading.Event())
    assert [keyed for _, _, keyed in lines.log] == [True, False]
    up_s, down_s = (at_s - began_s for at_s, _, _ in lines.log)
    assert up_s < 0.1
    assert down_s - up_s >= 0.6
    lines.close()


def test_a_stop_unkeys_at_once() -> None:
    lines = MockPttLines([PttLineSpec("ems", 19)])
    lines.start()
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    channel = Channel(id="ems", card="usb0", key=Key(pin=19))
    play_tone(LoopCards(), channel, DeviationTone(1000.0, 30.0), lines.output("ems"), stop)
    timer.join()
    assert not lines.output("ems").keyed
    lines.close()


def test_nobody_transmits_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["tune", "ems", "--config", CONFIG, "--tone", "1000", "--key", "--seconds", "1"])
    assert code == 2
    assert "--yes" in capsys.readouterr().err


def test_a_channel_without_a_radio_cannot_be_keyed() -> None:
    channel = load_config(Path(CONFIG)).config.channels[0].model_copy(update={"key": None})
    with pytest.raises(ConfigError, match="keys no radio"), keyed_line(channel, "auto", 1.0, simulated=True):
        pass


# ---- the meter


def test_the_meter_is_as_wide_as_it_is_told_and_reads_right() -> None:
    low = render_meter(-60.0, -60.0, (-30.0, -20.0), 40).plain
    full = render_meter(0.0, 0.0, (-30.0, -20.0), 40).plain
    assert low.startswith("░")
    assert full.startswith("█" * 39 + "|")
    assert len(low) == len(full)
    assert "-60" in low


def test_the_meters_peak_falls_slowly() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with MeterView("ems", (-30.0, -20.0), console) as view:
        view.update(-40.0, -10.0, "speak 3 s")
        view.update(-60.0, -60.0, "speak 2 s")
        assert view._mark_dbfs == pytest.approx(-11.5)
