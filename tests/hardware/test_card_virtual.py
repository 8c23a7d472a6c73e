"""Virtual cards and PortAudio itself: nothing stays behind, nothing is missing without a word."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pulse import level_at, tone

from echostream.audio.format import Frame
from echostream.audio.ports import CardSpec
from echostream.errors import AudioError, DeviceLost, LibraryMissing, SourceClosed, StateError
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.audio_hardware import AudioHardware
from echostream.simulator.microphone import Microphone
from echostream.simulator.virtual_cards import VirtualCards, render_card

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, threading
from pathlib import Path
from echostream.simulator.virtual_cards import VirtualCards
cards = VirtualCards(["usb0"], Path(sys.argv[1]))
print(cards["usb0"].group, flush=True)
threading.Event().wait()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            states.append(fields[0])
    return any(state != "Z" for state in states)


@pytest.mark.real_audio
def test_kill_9_of_the_owner_leaves_no_daemon(folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert owner.stdout is not None
    with owner.stdout:
        group = int(owner.stdout.readline())
    assert group_lives(group)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    deadline_s = time.monotonic() + 5
    while group_lives(group):
        assert time.monotonic() < deadline_s, "the daemon outlived its owner"
        time.sleep(0.02)


@pytest.mark.real_audio
def test_recording_of_any_rate_is_spoken_again_after_a_replug(folder: Path) -> None:
    recording = folder / "speech.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(tone(400, 1.0)[::6].tobytes())
    cards = VirtualCards(["usb0"], folder, cabled=False)
    speaker = Microphone(cards["usb0"], recording, pause_s=0)
    try:
        for _ in range(2):
            heard = subprocess.run(
                [
                    "timeout",
                    "0.8",
                    *cards["usb0"].client("parec", "--device=in.monitor", "--latency-msec=20"),
                ],
                env=cards["usb0"].client_environment(),
                capture_output=True,
                check=False,
            ).stdout
            samples = np.frombuffer(heard[: len(heard) // 2 * 2], np.int16)
            assert level_at(samples[-9600:], 400) == pytest.approx(8000, rel=0.1)
            cards.pull("usb0")
            assert not cards["usb0"].plugged
            cards.plug("usb0")
    finally:
        speaker.close()
        cards.close()


@pytest.mark.parametrize(
    ("program", "package"), [("pulseaudio", "pulseaudio"), ("pacat", "pulseaudio-utils")]
)
def test_missing_program_names_its_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, package: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else f"/usr/bin/{name}")
    with pytest.raises(LibraryMissing, match=f"{program} is not installed.*apt install {package}$"):
        VirtualCards(["usb0"], folder)


def test_missing_portaudio_names_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    before = os.environ.get("ALSA_CONFIG_PATH")
    with pytest.raises(LibraryMissing, match=r"apt install libportaudio2 .*portaudio19-dev"):
        AudioHardware(["usb0"])
    assert os.environ.get("ALSA_CONFIG_PATH") == before


@pytest.mark.parametrize("name", ["", "1a", 'a" }', "a b", "../x"])
def test_name_that_would_break_the_configuration_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(AudioError, match="expected letters"):
        VirtualCards([name], folder)


def test_cabled_card_hears_what_it_plays() -> None:
    assert 'device "in.monitor"' in render_card("a", "unix:/s")
    assert 'device "out.monitor"' in render_card("a", "unix:/s", "out")


@pytest.mark.real_audio
def test_start_of_portaudio_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    hardware = AudioHardware(["Device"])
    hardware.close()
    hardware.close()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(StateError, match="closed"):
        hardware.open_source(CardSpec("hw:CARD=x"))


@pytest.mark.real_audio
def test_cards_are_set_up_also_where_alsa_was_asked_before() -> None:
    """As for mixer levels: ALSA has then read its files, and PortAudio takes what was read for current."""
    alsa = AlsaLibrary()
    try:
        alsa.open_error("null", capture=False)
        AudioHardware(["Device"]).close()
    finally:
        alsa.close()


@pytest.mark.real_audio
def test_forty_closes_under_a_reader_and_a_writer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = VirtualCards(["usb0"], folder, cabled=True)
    for name, value in cards.environment().items():
        monkeypatch.setenv(name, value)
    hardware = AudioHardware(["usb0"])
    ended: list[type] = []
    try:
        for _ in range(40):
            source, sink = hardware.open_source(CardSpec("usb0")), hardware.open_sink(CardSpec("usb0"))

            def run(call: object) -> None:
                try:
                    while True:
                        call()  # type: ignore[operator]
                except (SourceClosed, DeviceLost) as error:
                    ended.append(type(error))

            frame = np.zeros(960, np.int16)
            threads = [
                threading.Thread(target=run, args=(source.read,)),
                threading.Thread(target=run, args=(lambda sink=sink, frame=frame: sink.write(frame),)),
            ]
            for thread in threads:
                thread.start()
            source.close()
            sink.close()
            for thread in threads:
                thread.join(5)
                assert not thread.is_alive()
    finally:
        hardware.close()
        cards.close()
    assert ended == [SourceClosed] * 80


@pytest.mark.real_audio
def test_audio_goes_round_unchanged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through PortAudio into a card and out of it again: the very samples, and soon."""
    cards = VirtualCards(["usb0"], folder, cabled=True)
    for name, value in cards.environment().items():
        monkeypatch.setenv(name, value)
    hardware = AudioHardware(["usb0"])
    noise = np.random.default_rng(3).integers(-9000, 9000, 50 * 960).astype(np.int16)
    try:
        source, sink = hardware.open_source(CardSpec("usb0")), hardware.open_sink(CardSpec("usb0"))
        heard: list[Frame] = []
        reader = threading.Thread(target=lambda: heard.extend(source.read() for _ in range(70)))
        reader.start()
        began_s = time.monotonic()
        for at in range(0, len(noise), 960):
            sink.write(noise[at : at + 960])
        reader.join(10)
        assert not reader.is_alive()
        source.close()
        sink.close()
    finally:
        hardware.close()
        cards.close()
    samples = np.concatenate([frame.samples for frame in heard])
    first = int(np.flatnonzero(samples)[0])
    # What was written last may still lie in the card when the reader has its frames.
    assert np.array_equal(samples[first : first + 40 * 960], noise[: 40 * 960])
    delay_s = heard[first // 960].complete_at_s - began_s
    assert delay_s < 0.25
