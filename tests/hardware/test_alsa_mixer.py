"""A card's mixer through real libasound: PulseAudio's own mixer stands in for a sound card's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from echostream.errors import AudioError
from echostream.hardware.alsa_mixer import Control, Mixer, mixer_controls
from echostream.simulator.virtual_cards import STOCK_CONFIG, VirtualCards

CARD = "desk"


@pytest.fixture(scope="module")
def virtual_cards() -> Iterator[VirtualCards]:
    folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))  # a socket's path is short
    cards = VirtualCards([CARD], folder)
    yield cards
    cards.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mixer(virtual_cards: VirtualCards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mixer]:
    """Of the virtual card: control "Master" is what it plays, "Capture" what it hears."""
    conf = tmp_path / "asound.conf"
    conf.write_text(f'ctl.{CARD} {{ type pulse server "{virtual_cards[CARD].server}" }}\n')
    monkeypatch.setenv("ALSA_CONFIG_PATH", f"{STOCK_CONFIG}:{conf}")
    with Mixer(CARD) as opened:
        yield opened


def control(mixer: Mixer, name: str) -> Control:
    return next(one for one in mixer.controls() if one.name == name)


def test_each_control_tells_its_fader_and_its_switch(mixer: Mixer) -> None:
    master, capture = control(mixer, "Master"), control(mixer, "Capture")
    assert master.playback is not None
    assert master.playback.least == 0 < master.playback.most
    assert master.playback.share == pytest.approx(1.0)
    assert (master.playback_on, master.capture, master.capture_on) == (True, None, None)
    assert capture.capture is not None
    assert (capture.capture_on, capture.playback, capture.playback_on) == (True, None, None)


def test_what_is_muted_is_told_as_muted(mixer: Mixer) -> None:
    mixer.set_switch(control(mixer, "Master"), False, capture=False)
    assert control(mixer, "Master").playback_on is False
    assert control(mixer, "Capture").capture_on is True
    mixer.set_switch(control(mixer, "Master"), True, capture=False)
    assert control(mixer, "Master").playback_on is True


def test_a_fader_that_is_moved_is_where_it_was_moved_to(mixer: Mixer) -> None:
    before = control(mixer, "Capture").capture
    assert before is not None
    mixer.set_step(control(mixer, "Capture"), before.most // 4, capture=True)
    after = control(mixer, "Capture").capture
    assert after is not None
    assert after.share == pytest.approx(0.25, abs=0.01)
    mixer.set_step(control(mixer, "Capture"), before.now, capture=True)


def test_setting_what_is_not_there_names_the_control(mixer: Mixer) -> None:
    with pytest.raises(AudioError, match="no control 'Line'"):
        mixer.set_switch(Control("Line", 0), True, capture=True)


def test_a_card_that_is_not_there_is_an_error_with_its_name() -> None:
    with pytest.raises(AudioError, match="card hw:CARD=Nobody"):
        mixer_controls("hw:CARD=Nobody")


def test_closing_twice_does_no_harm(mixer: Mixer) -> None:
    mixer.close()
    mixer.close()
