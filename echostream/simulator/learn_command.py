"""`echostream tones learn --server URL CHANNEL`: definitions for the unknown pages of a running channel."""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import threading
from typing import Final

from echostream.audio.format import RATE_HZ, Samples
from echostream.simulator.member_commands import guarded, listen_with
from echostream.tone_tools.learn import finish, learning_plan, options_of
from echostream.tone_tools.learning import Learner
from echostream.tone_tools.reports import line
from echostream.tones.detector import ToneDetector

_QUEUE_FRAMES: Final = 500
"""Ten seconds: an ear that is busy for a moment loses nothing."""


class LearningEar:
    """Hears what is played, on thread `learning-ear`, so that measuring a tone never holds the channel up."""

    def __init__(self, detector: ToneDetector, learner: Learner) -> None:
        self._detector = detector
        self._learner = learner
        self._frames: queue.Queue[Samples | None] = queue.Queue(_QUEUE_FRAMES)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="learning-ear")

    def __enter__(self) -> LearningEar:
        self._thread.start()
        return self

    def hear(self, samples: Samples) -> None:
        """One frame of 48 kHz."""
        try:
            self._frames.put_nowait(samples)
        except queue.Full:
            self._lost += samples.size

    def _run(self) -> None:
        while (samples := self._frames.get()) is not None:
            lost, self._lost = self._lost, 0
            heard = [*(self._detector.gap(lost) if lost else ()), *self._detector.feed(samples)]
            for item in heard:
                self._learner.take(item)
                sys.stderr.write(line("", item) + "\n")
        for item in self._detector.finish():
            self._learner.take(item)

    def __exit__(self, *_: object) -> None:
        try:
            self._frames.put(None, timeout=1.0)
        except queue.Full:  # far behind, or dead: what waits is given up
            with contextlib.suppress(queue.Empty):
                while True:
                    self._frames.get_nowait()
            self._frames.put_nowait(None)
        self._thread.join(5.0)


def learn_from_channel(args: argparse.Namespace) -> int:
    """Listen until the time is over or Ctrl-C, then propose."""
    return guarded("tones learn", args, _learn)


def _learn(args: argparse.Namespace) -> int:
    options = options_of(args)
    if len(args.sources) != 1:
        sys.stderr.write(
            f"echostream tones learn: {len(args.sources)} channels; with --server one is listened to\n"
        )
        return 2
    args.channel = args.sources[0]
    learner = Learner()
    ear = LearningEar(ToneDetector(learning_plan(options, sys.stderr), RATE_HZ), learner)
    with ear:
        code = listen_with(args, ear.hear)
    finish(learner, options, sys.stdout, sys.stderr)
    return code
