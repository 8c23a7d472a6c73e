"""`echostream tones detect`: what is heard in files. Exit codes: 0 all were heard through, 2 one was not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from echostream.config.findings import Finding, Severity
from echostream.config.listen import listen_plan
from echostream.console.progress import Bar
from echostream.errors import AudioError, ConfigError, LibraryMissing
from echostream.tone_tools import definitions, reports
from echostream.tone_tools.hearing import HeardOn, Tap, everything, hear, is_empty, with_everything
from echostream.tone_tools.sound_files import Sound
from echostream.tone_tools.spectrogram import Spectrogram
from echostream.tones.plan import ListenPlan

EXIT_OK: Final = 0
EXIT_WRONG: Final = 2
MOST_DRAWN: Final = 5000
"""Findings in one picture: a pipe may never end."""


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """As `echostream tones detect --help` explains them."""

    files: tuple[Path, ...]
    definitions: Path | None = None
    config: Path | None = None
    channel: str | None = None
    channel_number: int | None = None
    everything: bool = False
    as_json: bool = False
    explain: bool = False
    plot: Path | None = None
    threshold: float | None = None
    level_db: float | None = None
    new_tone_length_s: float = 2.0


def detect(options: DetectOptions, out: TextIO, err: TextIO) -> int:
    """Hear each file; what goes wrong with one costs that one. EchoStreamError where nothing can begin."""
    plans = plans_of(options, err)
    if options.plot is not None:
        from echostream.tone_tools import plot  # says that it cannot draw before an hour of sound was heard

        plot.check(options.plot)
    code = EXIT_OK
    for at, path in enumerate(options.files):
        picture = _picture(options.plot, path, at, len(options.files))
        try:
            _detect_in(path, plans, options, picture, out, err)
        except LibraryMissing:
            raise
        except AudioError as error:
            out.flush()
            err.write(f"echostream tones detect: {error}\n")
            code = EXIT_WRONG
    return code


def plans_of(options: DetectOptions, err: TextIO) -> dict[str, ListenPlan]:
    """What to listen for, by channel. ConfigError where nothing can be made of what was given."""
    origin = options.definitions or options.config
    if origin is None:
        return {definitions.ANY_CHANNEL: _adjusted(everything(options.new_tone_length_s), options)}
    given = definitions.given(options.definitions, options.config)
    tell(given.findings, origin, err)
    chosen = given.of_channel(options.channel)
    plans = {channel: listen_plan(plan) for channel, plan in chosen.items()}
    if options.everything:
        plans = {channel: with_everything(plan, options.new_tone_length_s) for channel, plan in plans.items()}
    plans = {channel: plan for channel, plan in plans.items() if not is_empty(plan)}
    if not plans:
        raise ConfigError(f"{origin}: nothing to listen for in it; --all hears what needs no definition")
    return {channel: _adjusted(plan, options) for channel, plan in plans.items()}


def tell(findings: tuple[Finding, ...], origin: Path | None, err: TextIO) -> None:
    """What of a file was left out, and why."""
    for finding in findings:
        done = "look at" if finding.severity is Severity.WARNING else "left out"
        err.write(f"{origin}: {done}: {finding}\n")


def _adjusted(plan: ListenPlan, options: DetectOptions) -> ListenPlan:
    return replace(
        plan,
        threshold=plan.threshold if options.threshold is None else options.threshold,
        level_dbfs=plan.level_dbfs if options.level_db is None else options.level_db,
        explain=options.explain,
    )


def _picture(plot: Path | None, path: Path, at: int, count: int) -> Path | None:
    """Where a file's picture goes: as asked; with a number and the file's name where there are several."""
    if plot is None or count == 1:
        return plot
    return plot.with_name(f"{plot.stem}-{at + 1}-{path.stem}{plot.suffix}")


def _detect_in(
    path: Path,
    plans: dict[str, ListenPlan],
    options: DetectOptions,
    picture: Path | None,
    out: TextIO,
    err: TextIO,
) -> None:
    sound = Sound(path, options.channel_number)
    drawing = Spectrogram(sound.rate_hz) if picture is not None else None
    kept: list[HeardOn] = []
    count = 0
    if not options.as_json:
        out.write(f"{sound.name}: {_form(sound)}\n")
    with Bar(path.name, sound.duration_s) as bar:
        taps: list[Tap] = [lambda block: bar.done(sound.read_s)]
        if drawing is not None:
            taps.append(drawing.add)
        for item in hear(sound, plans, taps):
            count += 1
            with bar.aside():
                _say(sound.name, item, options.as_json, len(plans) > 1, out)
            if drawing is not None and len(kept) < MOST_DRAWN:
                kept.append(item if len(plans) > 1 else replace(item, channel=""))
    if not options.as_json and not count:
        out.write("  nothing heard\n")
    out.flush()
    if sound.note:
        err.write(f"{sound.name}: {sound.note}\n")
    if picture is not None and drawing is not None:
        from echostream.tone_tools.plot import draw

        draw(picture, sound.name, drawing.result(), kept)
        err.write(f"{picture}: drawn\n")


def _say(name: str, item: HeardOn, as_json: bool, with_channel: bool, out: TextIO) -> None:
    """At once, also into a pipe: who reads it may wait for a page."""
    if as_json:
        text = json.dumps(reports.record(name, item.channel, item.heard))
    else:
        text = reports.line(item.channel if with_channel else "", item.heard)
    out.write(text + "\n")
    out.flush()


def _form(sound: Sound) -> str:
    channels = {1: "mono", 2: "stereo"}.get(sound.channels, f"{sound.channels} channels")
    length = f"{reports.clock(sound.duration_s)}, " if sound.duration_s else ""
    return f"{length}{sound.file_rate_hz} Hz, {channels}"
