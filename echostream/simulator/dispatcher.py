"""A dispatcher at the simulated microphone: speech, and in it a page that the channel listens for."""

from __future__ import annotations

from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ, Samples
from echostream.config.listen import listen_plan
from echostream.config.models import NO_CARD, Config
from echostream.config.tone_models import TonePlan
from echostream.tones.generator import Part, parts_for, render, to_int16
from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone

Page = TwoTone | OneTone | AtOnce | Digits
BEFORE_S: Final = 5.0
PERIOD_S: Final = 40.0
PERIODS: Final = (True, True, False)
"""In which the page is sent: heard, heard again, and not."""
PAUSE_S: Final = 0.5
LEVEL_DBFS: Final = -12.0
"""As a radio gives them: as loud as its speech."""
LONGEST_S: Final = 25.0
"""Of what follows a simulated page: within a minute of the start its recording is whole."""


def paged_card(config: Config) -> tuple[str, tuple[Part, ...]] | None:
    """The card of the first channel that listens for a page, and that page as it is sent."""
    for channel in config.channels:
        plan = config.tones.get(channel.id)
        heard = channel.enabled and channel.card != NO_CARD and plan is not None and plan.detect
        parts = _first_page(plan) if plan is not None and heard else ()
        if parts:
            return channel.card, parts
    return None


def dispatch(parts: tuple[Part, ...], speech: Samples) -> Samples:
    """A dispatcher's two minutes, to be repeated: speech, and in it the page and what it is about."""
    page = to_int16(render(parts, RATE_HZ, LEVEL_DBFS))
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.int16)
    before = np.resize(speech, round(BEFORE_S * RATE_HZ) - len(pause))
    whole = max(round(PERIOD_S * RATE_HZ), len(before) + len(page) + len(speech) + 2 * len(pause))
    said = np.zeros((len(PERIODS), whole), np.int16)
    for period, paged in zip(said, PERIODS, strict=True):
        spoken = np.concatenate((before, pause, page if paged else np.zeros_like(page), pause, speech))
        period[: len(spoken)] = spoken
    return said.ravel()


def short_pages(plan: TonePlan) -> TonePlan:
    """The same plan, in which nothing follows a page for longer than 25 s."""
    pages = (
        page.model_copy(update={"record_length_s": min(page.record_length_s, LONGEST_S)})
        for page in plan.alert_tones
    )
    return plan.model_copy(update={"alert_tones": tuple(pages)})


def _first_page(plan: TonePlan) -> tuple[Part, ...]:
    wanted = listen_plan(plan)
    calls = tuple(call for call in wanted.digits if "?" not in call.digits)  # that is for listening only
    pages: tuple[Page, ...] = (*wanted.two_tone, *wanted.one_tone, *wanted.at_once, *calls)
    return parts_for(pages[0]) if pages else ()
