"""What is set: one value of a file and nothing else, a card's fader, and never without consent."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.config.findings import InvalidConfig
from echostream.config.load import load_config, parse_config
from echostream.config.models import Channel
from echostream.errors import ConfigError
from echostream.hardware.alsa_mixer import Control, Mixer, mixer_controls
from echostream.hardware.alsa_mixer import Fader as MixerFader
from echostream.simulator.virtual_cards import STOCK_CONFIG, VirtualCards
from echostream.tune import mixer
from echostream.tune.advice import Suggestion
from echostream.tune.config_edit import with_channel_value
from echostream.tune.mixer import CaptureMixer, capture_side, read_mixer
from echostream.tune.setting import Place, change_config, set_levels

CONFIG = Path(__file__).parents[2] / "config.json"
GAIN = ("input_gain_db",)
THRESHOLD = ("vox", "threshold_dbfs")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    shutil.copy(CONFIG, path)
    return path


# ---- the text


@pytest.mark.parametrize("channel", ["fire-dispatch", "fire-tac", "ems", "public-works"])
@pytest.mark.parametrize("path", [GAIN, THRESHOLD, ("key", "hang_ms")])
def test_one_value_changes_and_every_other_character_stays(channel: str, path: tuple[str, ...]) -> None:
    before = CONFIG.read_text()
    after = with_channel_value(before, channel, path, 250)
    old, new = json.loads(before), json.loads(after)
    place = next(one for one in new["channels"] if one["id"] == channel)
    for key in path[:-1]:
        place = place[key]
    assert place.pop(path[-1]) == 250
    was = next(one for one in old["channels"] if one["id"] == channel)
    for key in path[:-1]:
        was = was.setdefault(key, {})
    was.pop(path[-1], None)
    assert new == old
    lines = set(after.splitlines()) ^ set(before.splitlines())
    assert len(lines) <= 4, lines


@given(
    indent=st.one_of(st.none(), st.integers(0, 8)),
    channels=st.lists(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
            st.one_of(
                st.none(), st.booleans(), st.floats(-9, 9), st.text(max_size=4), st.lists(st.integers())
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    ),
    which=st.integers(0, 3),
    gain=st.integers(-60, 60),
)
def test_whatever_the_document_looks_like(
    indent: int | None, channels: list[dict[str, object]], which: int, gain: int
) -> None:
    which %= len(channels)
    for number, channel in enumerate(channels):
        channel["id"] = f"channel-{number}"
    document = {"first": [1, {"channels": []}], "channels": channels, "last": None}
    text = json.dumps(document, indent=indent)
    changed = json.loads(with_channel_value(text, f"channel-{which}", GAIN, gain))
    channels[which]["input_gain_db"] = gain
    assert changed == document


@pytest.mark.parametrize("vox", ["null", "{}", '{ "enabled": true }', '{\n "threshold_dbfs": -40 }'])
def test_an_inner_object_is_filled_or_made(vox: str) -> None:
    text = f'{{"channels": [{{"id": "a", "vox": {vox}}}]}}'
    changed = json.loads(with_channel_value(text, "a", THRESHOLD, -45.5))
    assert changed["channels"][0]["vox"]["threshold_dbfs"] == -45.5


@pytest.mark.parametrize(
    "text", ["{}", '{"channels": 1}', '{"channels": []}', '{"channels": [[], {"id": "b"}]}']
)
def test_a_channel_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig):
        with_channel_value(text, "a", GAIN, 1)


# ---- the file


def test_the_file_keeps_its_mode_and_its_meaning(config: Path) -> None:
    config.chmod(0o640)
    change_config(config, "ems", GAIN, 7)
    channel = next(one for one in load_config(config).config.channels if one.id == "ems")
    assert channel.input_gain_db == 7
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert os.listdir(config.parent) == ["config.json"]


def test_a_link_stays_one(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(config)
    change_config(link, "ems", GAIN, 7)
    assert link.is_symlink()
    assert load_config(config).config.channels[2].input_gain_db == 7


def test_a_value_that_the_configuration_refuses_changes_nothing(config: Path) -> None:
    before = config.read_bytes()
    with pytest.raises(ConfigError):
        change_config(config, "ems", GAIN, 99)
    assert config.read_bytes() == before


def test_a_file_in_the_form_of_devices_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "shadow.json"
    path.write_text(json.dumps({"state": {"desired": {"channel_one": {"channel_id": "a"}}}}))
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        change_config(path, "a", GAIN, 1)
    assert path.read_bytes() == before


# ---- consent


def place(config: Path | None, name: str | None = None) -> Place:
    return Place(Channel(id="ems", card="usb0"), name, config, "no-such-instance")


def test_nothing_is_set_without_a_yes(config: Path) -> None:
    before = config.read_bytes()
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    changed = set_levels(Suggestion(0.0, 9.0), mixer.NO_MIXER, place(config), no, lambda _words: None)
    assert changed == 0
    assert len(asked) == 1
    assert "input_gain_db of ems to 9" in asked[0]
    assert config.read_bytes() == before


def test_with_a_yes_it_is_and_the_gateway_is_told_of_or_not(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    words: list[str] = []
    assert set_levels(Suggestion(0.0, 9.0), mixer.NO_MIXER, place(config), lambda _: True, words.append) == 1
    assert parse_config(config.read_text(), "test").config.channels[2].input_gain_db == 9
    assert "in force when the gateway starts" in words[0]


# ---- mixers


def control(name: str, **more: object) -> Control:
    return Control(name, 0, **more)  # type: ignore[arg-type]


def test_the_microphone_is_found_among_a_cards_controls() -> None:
    mic = control("Mic", capture=MixerFader(0, 35, 20, 8.0, -12.0, 23.0), capture_on=True)
    found = capture_side(
        [
            control("Speaker", playback=MixerFader(0, 37, 20)),
            control("Mic Boost", capture=MixerFader(0, 3, 0, 0.0, 0.0, 30.0)),
            control("Auto Gain Control", playback_on=True),
            mic,
        ]
    )
    assert found.control == mic
    assert found.agc_on
    assert not found.muted
    assert (found.fader.up_db, found.fader.down_db) == (15.0, 20.0)


def test_a_fader_without_decibels_is_not_moved_by_guess() -> None:
    assert capture_side([control("Mic", capture=MixerFader(0, 35, 20))]).fader.name == ""
    silent = MixerFader(0, 35, 0, float("-inf"), float("-inf"), 23.0)
    assert capture_side([control("Mic", capture=silent)]).fader.name == ""
    assert CaptureMixer(None, None).fader.name == ""


@pytest.fixture(scope="module")
def pulse() -> Iterator[VirtualCards]:
    folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))  # a socket's path is short
    cards = VirtualCards(["desk"], folder)
    yield cards
    cards.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def name(pulse: VirtualCards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A mixer of real libasound, with PulseAudio behind it."""
    conf = tmp_path / "asound.conf"
    conf.write_text(f'ctl.desk {{ type pulse server "{pulse["desk"].server}" }}\n')
    monkeypatch.setenv("ALSA_CONFIG_PATH", f"{STOCK_CONFIG}:{conf}")
    return "desk"


def test_a_real_mixer_is_unmuted_by_consent_only(name: str) -> None:
    found = read_mixer(name)
    assert found.control is not None
    assert found.control.name == "Capture"
    with Mixer(name) as opened:
        opened.set_switch(found.control, False, capture=True)
    muted = read_mixer(name)
    assert muted.muted
    assert set_levels(Suggestion(), muted, place(None, name), lambda _: False, lambda _: None) == 0
    assert read_mixer(name).muted
    assert set_levels(Suggestion(), muted, place(None, name), lambda _: True, lambda _: None) == 1
    assert not read_mixer(name).muted


def test_what_is_no_mixer_is_none(name: str) -> None:
    assert read_mixer("hw:CARD=nothing") == mixer.NO_MIXER
    assert read_mixer(None) == mixer.NO_MIXER
    assert mixer.mixer_name("usb:9-9.9") is None
    assert mixer_controls(name)
