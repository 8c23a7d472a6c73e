"""One tuning from beginning to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples
from echostream.audio.levels import FLOOR_DBFS, rms_dbfs
from echostream.audio.ports import CardSpec
from echostream.config.models import NO_CARD, Channel, Config
from echostream.console.meter_view import MeterView
from echostream.errors import AudioError, ConfigError, GpioError, LibraryMissing
from echostream.hardware.audio_hardware import AudioHardware
from echostream.selftest.gateway_runs import holding
from echostream.selftest.parts import card_there
from echostream.selftest.setup import channel_of, config_path, read_config
from echostream.selftest.take import FRAME_MS, Cards
from echostream.selftest.tone_part import power_dbfs
from echostream.service.health import ChannelHealth
from echostream.tune.advice import GOOD_DBFS, advise, suggest
from echostream.tune.beside_gateway import follow, write_beside
from echostream.tune.deviation_tone import DeviationTone, keyed_line, play_tone
from echostream.tune.levels import measure_input
from echostream.tune.listening import listen
from echostream.tune.mixer import advise_mixer, mixer_name, read_mixer
from echostream.tune.report import write_json, write_report
from echostream.tune.setting import Place, set_levels

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
    health = None if asked.simulate == "all" else holding(asked.instance, channel.id)
    try:
        if health is not None and asked.tone_hz is None:
            return _beside(health, asked, terminal)
        if asked.tone_hz is not None:
            return _tone(asked, asked.tone_hz, config, channel, terminal)
        return _listened(asked, channel, terminal)
    except LibraryMissing:
        raise
    except (AudioError, GpioError) as error:
        terminal.err.write(
            f"echostream tune: {error}\n"
            "`echostream devices` lists the cards. Where the gateway holds it:\n"
            f"  sudo systemctl stop echostream\n  sudo echostream tune {channel.id}\n"
        )
        return 3


def _simulated(channel: Channel, asked: Asked) -> bool:
    return asked.simulate == "all" or (asked.simulate == "missing" and not card_there(channel.card))


@contextmanager
def _cards(channel: Channel, simulated: bool) -> Iterator[Cards]:
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


def _beside(health: Path, asked: Asked, terminal: Terminal) -> int:
    """The gateway runs: what it hears."""
    duration_s = asked.seconds or _PLAIN_S
    shown = terminal.err.isatty() and not asked.as_json
    with MeterView(asked.channel, GOOD_DBFS) if shown else nullcontext() as view:

        def show(heard: ChannelHealth) -> None:
            if view is not None:
                view.update(heard.level_dbfs, heard.peak_dbfs, f"gateway: {heard.phase}")

        heard = follow(health, asked.channel, duration_s, show, threading.Event())
    write_beside(asked.channel, heard, asked.as_json, terminal.out)
    return 0


def _tone(asked: Asked, hz: float, config: Config, channel: Channel, terminal: Terminal) -> int:
    tone = DeviationTone(hz, asked.seconds or _PLAIN_S, asked.tone_dbfs)
    simulated = _simulated(channel, asked)
    if asked.key and not simulated and not asked.consent:
        agreed = terminal.ask(
            f"This keys the radio of {channel.id} and transmits for {tone.duration_s:.0f} s. Do it?"
        )
        if not agreed:
            terminal.err.write("echostream tune: nothing was sent; --yes says that it may transmit\n")
            return 2
    terminal.out.write(tone.words() + "\n")
    terminal.out.flush()
    with ExitStack() as closing:
        cards = closing.enter_context(_cards(channel, simulated))
        line = None
        if asked.key:
            line = closing.enter_context(keyed_line(channel, config.gpio.chip, tone.duration_s, simulated))
        play_tone(cards, channel, tone, line, threading.Event())
    return 0


def _listened(asked: Asked, channel: Channel, terminal: Terminal) -> int:
    simulated = _simulated(channel, asked)
    with _cards(channel, simulated) as cards:
        quiet, heard = _takes(asked, channel, cards, terminal, simulated)
    levels = measure_input(heard, quiet)
    name = None if simulated else mixer_name(channel.card)
    found = read_mixer(name)
    suggestion = suggest(levels, channel.input_gain_db, found.fader)
    advice = [*advise(levels, channel, suggestion), *advise_mixer(found)]
    if asked.as_json:
        write_json(channel.id, levels, advice, suggestion, terminal.out)
    else:
        write_report(channel.id, levels, advice, terminal.out)
    config = None if simulated and asked.config is None else config_path(asked.config)
    place = Place(channel, name, config, asked.instance)
    if asked.change or (terminal.attended and asked.seconds is None and not asked.as_json):
        agree = (lambda _question: True) if asked.change else terminal.ask
        changed = set_levels(suggestion, found, place, agree, lambda words: _say(terminal, words))
        if changed:
            _say(terminal, "measure again to see what became of it")
    return 1 if any(one.sort == "change" for one in advice) else 0


def _say(terminal: Terminal, words: str) -> None:
    terminal.err.write(words + "\n")


def _takes(
    asked: Asked, channel: Channel, cards: Cards, terminal: Terminal, simulated: bool
) -> tuple[Samples | None, Samples]:
    """What was heard while nobody spoke (None: nobody was asked not to), and while somebody did."""
    spec = CardSpec(channel.card, channel.side, FRAME_MS)
    if asked.seconds is not None or asked.as_json or not terminal.attended:
        return None, _take(cards, spec, asked.seconds or _PLAIN_S, channel.id, "", terminal)
    if simulated:
        _say(terminal, "The simulated card hears recorded speech all the time: no silence to measure.")
        return None, _take(cards, spec, SPEECH_S, channel.id, "recorded speech", terminal)
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
