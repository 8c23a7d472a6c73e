"""`echostream recordings play`: what was recorded is heard on a card, real PulseAudio included."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise
from pulse import card_bench, level_at, tone

from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.playing import PlayOptions, play
from echostream.archive_tools.selection import Selection
from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Samples
from echostream.audio.ports import AudioSink, CardSpec
from echostream.cli import main
from echostream.errors import ArchiveError, DeviceMissing


class Card:
    """A card that remembers."""

    def __init__(self) -> None:
        self.heard: list[Samples] = []
        self.closed = False

    def wait_for_room(self) -> None:
        """There is always room."""

    def write(self, samples: Samples) -> None:
        assert samples.shape == (TICK_SAMPLES,)
        assert samples.dtype == np.int16
        self.heard.append(samples)

    def close(self) -> None:
        self.closed = True

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[AudioSink]:
        """As the command line opens one."""
        yield self
        self.close()


@pytest.fixture
def house(tmp_path: Path) -> ArchiveHouse:
    return ArchiveHouse(tmp_path / "archive")


def played(house: ArchiveHouse, card: Card, what: tuple[str, ...], squeeze_us: int | None = SECOND) -> int:
    store, options = FileStore(house.directory), PlayOptions("usb0", squeeze_us)
    return play(store, Selection(what), options, NOON, card.open, io.StringIO(), io.StringIO())


def test_what_is_heard_is_what_was_recorded(house: ArchiveHouse) -> None:
    samples = noise(3 * RATE_HZ + 17)
    house.add("porch", NOON, samples, rate_hz=RATE_HZ)
    card = Card()
    assert played(house, card, ("porch",)) == 0
    heard = np.concatenate(card.heard)
    assert np.array_equal(heard[: samples.size], samples)
    assert not heard[samples.size :].any()
    assert 0.4 <= (heard.size - samples.size) / RATE_HZ < 0.45, "a card loses what it holds at its end"
    assert card.closed


@pytest.mark.parametrize(("squeeze_us", "seconds"), [(SECOND, 3.0), (None, 62.0)])
def test_pauses_are_left_out_or_kept(house: ArchiveHouse, squeeze_us: int | None, seconds: float) -> None:
    for at in (0, 61):
        house.add("porch", NOON + at * SECOND, noise(16_000), trigger="vox", ended="pause")
    card = Card()
    assert played(house, card, ("porch",), squeeze_us) == 0
    assert len(card.heard) * TICK_SAMPLES / RATE_HZ == pytest.approx(seconds + 0.4, abs=0.03)


def test_sources_of_the_same_time_are_mixed(house: ArchiveHouse) -> None:
    porch, garage = noise(RATE_HZ, 1), noise(RATE_HZ, 2)
    house.add("porch", NOON, porch, rate_hz=RATE_HZ)
    house.add("garage", NOON, garage, rate_hz=RATE_HZ)
    card = Card()
    assert played(house, card, ("*",)) == 0
    expected = np.clip(porch.astype(int) + garage, -32768, 32767)
    assert np.array_equal(np.concatenate(card.heard)[:RATE_HZ], expected)


def test_nothing_to_play_and_a_lost_file(house: ArchiveHouse) -> None:
    one = house.add("porch", NOON, noise(RATE_HZ), rate_hz=RATE_HZ)
    for wrong in ((), ("nobody",)):
        with pytest.raises(ArchiveError):
            played(house, Card(), wrong)
    (house.directory / one.path).unlink()
    assert played(house, Card(), ("porch",)) == 1


def test_a_card_that_is_not_there_is_told(
    house: ArchiveHouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add("porch", NOON, noise(1600))

    @contextlib.contextmanager
    def missing(name: str) -> Iterator[AudioSink]:
        raise DeviceMissing(f"card {name} is not plugged in")
        yield

    monkeypatch.setattr("echostream.cli._open_card", missing)
    place = ("--directory", str(house.directory))
    assert main(["recordings", "play", "porch", "--card", "usb9", *place]) == 2
    assert "card usb9 is not plugged in" in capsys.readouterr().err


@pytest.mark.real_audio
def test_it_is_heard_on_a_real_card(house: ArchiveHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("porch", NOON, tone(1000, 2.0)[::3], rate_hz=16_000, ended="pause")
    with card_bench("pulse") as bench:
        open_sink: Callable[[CardSpec], AudioSink] = bench.hardware.open_sink

        @contextlib.contextmanager
        def open_card(name: str) -> Iterator[AudioSink]:
            with contextlib.closing(open_sink(CardSpec(name))) as sink:
                yield sink

        bench.played("usb0")
        monkeypatch.setattr("echostream.cli._open_card", open_card)
        arguments = ["recordings", "play", "porch", "--card", "usb0", "--directory", str(house.directory)]
        assert main(arguments) == 0
        heard = bench.played("usb0")
    assert level_at(heard, 1000) > 10 * level_at(heard, 1400)
    assert np.count_nonzero(np.abs(heard) > 2000) > RATE_HZ
