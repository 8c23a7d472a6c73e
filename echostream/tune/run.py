"""One tuning from beginning to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples
from echostream.audio.levels import FLOOR_DBFS, rms_dbfs
from echostream.audio.ports import CardSpec
from echostream.config.models import NO_CARD, Channel, Config
from echostream.console.meter_view import MeterView
from echostream.errors import AudioError, ConfigError, LibraryMissing
from echostream.hardware.audio_hardware import AudioHardware
from echostream.selftest.parts import card_there
from echostream.selftest.setup import channel_of, read_config
from echostream.selftest.take import FRAME_MS, Cards
from echostream.selftest.tone_part import power_dbfs
from echostream.tune.advice import GOOD_DBFS, Fader, advise, suggest
from echostream.tune.levels import measure_input
from echostream.tune.listening import listen
from echostream.tune.report import write_json, write_report

SILENCE_S: Final = 4.0
SPEECH_S: Final = 12.0
_PLAIN_S: Final = 10.0
_SPEECH: Final = Path(__file__).parents[1] / "simulator" / "speech" / "microphone.wav"


@dataclass(frozen=True, slots=True)
class Asked:
    """The call, as typed."""

    channel: str
    config: Path | None = None
    instance: str = "echostream"
    seconds: float | None = None
    as_json: bool = False
    change: bool = False
    simulate: Literal["missing", "all"] | None = None
    tone_hz: float | None = None
    tone_dbfs: float | None = None
    key: bool = False
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where answers come from, and where words go: out for the report, err for what is said meanwhile."""

    answers: TextIO
    out: TextIO
    err: TextIO

    @property
    def attended(self) -> bool:
        """Somebody is there to speak, to read and to answer."""
        return self.answers.isatty() and self.err.isatty() and self.out.isatty()

    def ask(self, question: str) -> bool:
        """Yes or no; no where nobody is there."""
        if not self.attended:
            return False
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return self.answers.readline().strip().lower() in ("y", "yes")

    def wait(self, words: str) -> None:
        """Until the person presses Enter."""
        self.err.write(f"{words} Press Enter. ")
        self.err.flush()
        self.answers.readline()


def tune(asked: Asked, terminal: Terminal) -> int:
    """Exit code: 0 nothing to change, 1 something to change, 3 no card. ConfigError, LibraryMissing."""
    config = read_config(asked.config)
    channel = channel_of(config, asked.channel)
    if channel.card == NO_CARD:
        raise ConfigError(f"channel {channel.id} has no card: there is nothing to tune")
    try:
        with ExitStack() as closing:
            cards = closing.enter_context(_cards(channel, asked))
            return _listened(asked, config, channel, cards, terminal)
    except LibraryMissing:
        raise
    except AudioError as error:
        terminal.err.write(
            f"echostream tune: {error}\n"
            "`echostream devices` lists the cards. Where the gateway holds it:\n"
            f"  sudo systemctl stop echostream\n  sudo echostream tune {channel.id}\n"
        )
        return 3


@contextmanager
def _cards(channel: Channel, asked: Asked) -> Iterator[Cards]:
    simulated = asked.simulate == "all" or (asked.simulate == "missing" and not card_there(channel.card))
    if simulated:
        # Here, because no real card needs it.
        from echostream.simulator.file_cards import FileCards, Voice, read_wav

        yield FileCards({channel.card: Voice(read_wav(_SPEECH), loop=True)})
        return
    hardware = AudioHardware([channel.card])
    try:
        yield hardware
    finally:
        hardware.close()


def _listened(asked: Asked, config: Config, channel: Channel, cards: Cards, terminal: Terminal) -> int:
    quiet, heard = _takes(asked, channel, cards, terminal)
    levels = measure_input(heard, quiet)
    suggestion = suggest(levels, channel.input_gain_db, Fader())
    advice = advise(levels, channel.input_gain_db, suggestion)
    if asked.as_json:
        write_json(channel.id, levels, advice, suggestion, terminal.out)
    else:
        write_report(channel.id, levels, advice, terminal.out)
    return 1 if any(one.sort == "change" for one in advice) else 0


def _takes(
    asked: Asked, channel: Channel, cards: Cards, terminal: Terminal
) -> tuple[Samples | None, Samples]:
    """What was heard while nobody spoke (None: nobody was asked not to), and while somebody did."""
    spec = CardSpec(channel.card, channel.side, FRAME_MS)
    if asked.seconds is not None or asked.as_json or not terminal.attended:
        return None, _take(cards, spec, asked.seconds or _PLAIN_S, channel.id, "", terminal)
    terminal.wait("1. Nobody speaks, and the radio's squelch is closed.")
    quiet = _take(cards, spec, SILENCE_S, channel.id, "silence, please", terminal)
    terminal.wait("2. Somebody speaks on the radio, as usual.")
    return quiet, _take(cards, spec, SPEECH_S, channel.id, "speak", terminal)


def _take(
    cards: Cards, spec: CardSpec, duration_s: float, name: str, words: str, terminal: Terminal
) -> Samples:
    stop = threading.Event()
    if not terminal.err.isatty():
        return listen(cards, spec, duration_s, lambda _heard: None, stop)
    end_s = time.monotonic() + duration_s
    with MeterView(name, GOOD_DBFS) as view:

        def show(heard: Samples) -> None:
            left_s = max(0.0, end_s - time.monotonic())
            view.update(rms_dbfs(heard), _peak_dbfs(heard), f"{words} {left_s:.0f} s")

        return listen(cards, spec, duration_s, show, stop)


def _peak_dbfs(heard: Samples) -> float:
    if not len(heard):
        return FLOOR_DBFS
    return power_dbfs((float(np.abs(heard.astype(np.int32)).max()) / FULL_SCALE) ** 2)
