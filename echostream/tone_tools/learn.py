"""`echostream tones learn FILE...`: definitions for the unknown pages in recordings."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from echostream.config.listen import listen_plan
from echostream.console.progress import Bar
from echostream.errors import AudioError, LibraryMissing
from echostream.tone_tools import definitions
from echostream.tone_tools.detect import tell
from echostream.tone_tools.hearing import hear
from echostream.tone_tools.importing import document_of, write_document
from echostream.tone_tools.learning import Learner, proposals, record_learned, tell_learned
from echostream.tone_tools.sound_files import Sound
from echostream.tones.plan import ListenPlan, NewTones
from echostream.tones.tables import FIVE_TONE

NEW_TONE_S: Final = 1.0
"""Least B of a page to be learned: shorter pages are asked for, voices hold notes of half a second."""


@dataclass(frozen=True, slots=True)
class LearnOptions:
    """As `echostream tones learn --help` explains them. channel: whose pages are known."""

    known: Path | None = None
    channel: str | None = None
    new_tone_length_s: float = NEW_TONE_S
    as_json: bool = False
    output: Path | None = None


def options_of(args: argparse.Namespace) -> LearnOptions:
    """What the command line says."""
    return LearnOptions(args.known, args.channel, args.new_tone_length, args.json, args.output)


def learning_plan(options: LearnOptions, err: TextIO) -> ListenPlan:
    """Unknown pages and calls; what is defined already is only counted."""
    plan = ListenPlan()
    if options.known is not None:
        given = definitions.from_file(options.known)
        tell(given.findings, options.known, err)
        plans = [listen_plan(each) for each in given.of_channel(options.channel).values()]
        plan = ListenPlan(
            two_tone=tuple(tone for each in plans for tone in each.two_tone),
            digits=tuple(tone for each in plans for tone in each.digits),
        )
    return replace(plan, new_tones=NewTones(options.new_tone_length_s), dtmf=True, five_tone=tuple(FIVE_TONE))


def learn_from_files(files: list[Path], options: LearnOptions, out: TextIO, err: TextIO) -> int:
    """Hear all files, then propose. Exit code 0, 2 where a file could not be read; the others count."""
    plan = learning_plan(options, err)
    learner = Learner()
    code = 0
    for path in files:
        try:
            _learn_from(path, plan, learner, err)
        except LibraryMissing:
            raise
        except AudioError as error:
            err.write(f"echostream tones learn: {error}\n")
            code = 2
    finish(learner, options, out, err)
    return code


def _learn_from(path: Path, plan: ListenPlan, learner: Learner, err: TextIO) -> None:
    sound = Sound(path)
    with Bar(path.name, sound.duration_s) as bar:
        for item in hear(sound, {"": plan}, [lambda block: bar.done(sound.read_s)]):
            learner.take(item.heard)
    if sound.note:
        err.write(f"{sound.name}: {sound.note}\n")


def finish(learner: Learner, options: LearnOptions, out: TextIO, err: TextIO) -> None:
    """Say what was learned, and write it where that was asked for."""
    if options.as_json or options.output is not None:
        document = document_of(proposals(learner), options.channel)
        document["learned"] = [record_learned(group) for group in learner.learned()]
        if options.output is not None:
            del document["learned"]
        write_document(document, options.output, out)
    if not options.as_json:
        tell_learned(learner, out)
    if options.output is not None:
        err.write(f"{options.output}: written; `tones detect --definitions {options.output} FILE` tries it\n")
