"""A channel's ear: bounded, on the right clock, and a bug of one channel is no other's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Frame, Samples
from echostream.channels.page_words import heard_in_words, missed_in_words
from echostream.channels.tone_listener import QUEUE_MS, ToneListener
from echostream.channels.tone_worker import ToneWorker
from echostream.config.tone_models import AlertTone, TonePlan
from echostream.events import Event, ToneDetected, ToneMissed, WorkerFailed
from echostream.tones.generator import render, to_int16, two_tone
from echostream.tones.heard import Detection, Heard, Kind, NearMiss, ToneSpan
from echostream.tones.plan import ListenPlan, TwoTone

FRAME = 960
PAGE = AlertTone(
    tone_id="engine-7",
    tone_a_hz=349.0,
    tone_b_hz=433.7,
    tone_a_range_hz=5,
    tone_b_range_hz=5,
    record_length_s=60,
    priority=7,
    alert="Engine 7",
)
PLAN = TonePlan(alert_tones=(PAGE,))
OFFSET_S = 1_700_000_000.0


class FakeDetector:
    """Keeps what it was given; says what it is told to."""

    def __init__(self, plan: ListenPlan) -> None:
        self.plan = plan
        self.fed: list[NDArray[Any]] = []
        self.gaps: list[int] = []
        self.says: list[Heard] = []
        self.fault: Exception | None = None

    def feed(self, samples: NDArray[Any]) -> list[Heard]:
        if self.fault is not None:
            raise self.fault
        self.fed.append(samples)
        said, self.says = self.says, []
        return said

    def gap(self, lost_samples: int) -> list[Heard]:
        self.gaps.append(lost_samples)
        return []


def listener(gain_db: float = 0.0, channel_id: str = "fire") -> tuple[ToneListener, list[FakeDetector]]:
    made: list[FakeDetector] = []

    def make(plan: ListenPlan) -> FakeDetector:
        made.append(FakeDetector(plan))
        return made[-1]

    return ToneListener(channel_id, PLAN, gain_db, 20, lambda: OFFSET_S, make), made


def frame(position: int, gap: bool = False, at_s: float | None = None, level: int = 100) -> Frame:
    complete_s = (position + FRAME) / RATE_HZ if at_s is None else at_s
    return Frame(np.full(FRAME, level, np.int16), position, complete_s, gap)


def test_nobody_listening_costs_half_a_second_of_frames_and_no_more() -> None:
    ear, (fake,) = listener()
    ear.tap(frame(0))
    ear.listen()
    for number in range(1, 200):
        ear.tap(frame(number * FRAME))
    ear.listen()
    kept = QUEUE_MS // 20
    assert ear.tap.dropped == 199 - kept
    assert ear.frames_lost == 199 - kept
    assert fake.gaps == [(199 - kept) * FRAME]
    assert sum(len(part) for part in fake.fed) == (1 + kept) * FRAME


def test_a_card_that_lost_much_is_a_gap_and_one_that_lost_little_is_a_hole() -> None:
    ear, (fake,) = listener()
    for position in (0, FRAME, 5 * FRAME, 20 * FRAME):
        ear.tap(frame(position, gap=position > FRAME))
    ear.listen()
    assert fake.gaps == [14 * FRAME]
    assert [len(part) for part in fake.fed] == [6 * FRAME, FRAME]
    assert not fake.fed[0][2 * FRAME : 5 * FRAME].any()
    assert ear.frames_lost == 17
    ear.tap(frame(21 * FRAME, gap=True))  # less than a frame was lost
    ear.listen()
    assert fake.gaps == [14 * FRAME]


@pytest.mark.parametrize("lost", [(75,), (150,), (150, 151, 152), (75, 130, 160, 190)])
def test_a_page_is_heard_over_an_overrun_of_the_card(lost: tuple[int, ...]) -> None:
    """One frame of 20 ms that nobody read in time must not cost a page."""
    tones = render(two_tone(TwoTone("x", 349.0, 433.7), a_s=1.0, b_s=3.0), RATE_HZ, -12.0)
    quiet = np.zeros(RATE_HZ, np.int16)
    said = np.concatenate((quiet, to_int16(tones), quiet))
    ear = ToneListener("fire", PLAN, 0.0, 20, lambda: OFFSET_S)
    heard: list[Event] = []
    for number in range(len(said) // FRAME):
        if number not in lost:
            part = said[number * FRAME : (number + 1) * FRAME]
            ear.tap(Frame(part, number * FRAME, (number + 1) * 0.02, gap=number - 1 in lost))
        heard += ear.listen()
    (page,) = heard
    assert isinstance(page, ToneDetected)
    assert page.started_at_s == pytest.approx(OFFSET_S + 1.0, abs=0.05)


def test_level_counts_after_the_channels_gain() -> None:
    ear, (fake,) = listener(gain_db=20.0)
    ear.tap(frame(0, level=1638))
    ear.listen()
    assert fake.fed[0].dtype == np.float32
    assert fake.fed[0][0] == pytest.approx(0.5, rel=0.001)
    plain, (untouched,) = listener()
    plain.tap(frame(0))
    plain.listen()
    assert untouched.fed[0].dtype == np.int16


def test_positions_and_times_are_the_channels_own() -> None:
    """The ear was put in place in the middle of a stream, and a gap came before the page."""
    ear, (fake,) = listener()
    first = 1_000 * FRAME
    ear.tap(frame(first, at_s=50.0))
    ear.listen()
    start = (3 * FRAME) // 6  # three frames after the first one began, in samples of 8 kHz
    span = ToneSpan(349.0, start, start + 8000, -20.0, 20.0)
    fake.says = [Detection(Kind.TWO_TONE, "engine-7", start, start + 8000, start + 8000, (span,))]
    ear.tap(frame(first + 100 * FRAME, at_s=52.0))
    (event,) = ear.listen()
    assert isinstance(event, ToneDetected)
    assert event.position == first + 3 * FRAME
    # The newest frame ends 101 frames after `first` and was complete at 52.0.
    assert event.started_at_s == pytest.approx(OFFSET_S + 52.0 - 98 * 0.02)
    assert event.ended_at_s == pytest.approx(event.started_at_s + 1.0)
    assert (event.name, event.record_length_s, event.priority) == ("Engine 7", 60, 7)


def test_what_has_no_definition_has_a_name_all_the_same() -> None:
    ear, (fake,) = listener()
    fake.says = [
        Detection(Kind.NEW_TONES, "", 0, 100, 100),
        Detection(Kind.DTMF, "", 0, 100, 100, digits="12", system="dtmf"),
        NearMiss(Kind.TWO_TONE, "engine-7", 0, 100, "b_too_short", "B lasted 1.2 s and 2 s are wanted"),
    ]
    ear.tap(frame(0))
    new, digits, miss = ear.listen()
    assert isinstance(new, ToneDetected)
    assert isinstance(digits, ToneDetected)
    assert isinstance(miss, ToneMissed)
    assert (new.name, new.record_length_s) == ("unknown tones", 0.0)
    assert heard_in_words(digits) == "Heard on fire: DTMF 12 (SNR 0 dB)"
    assert "(b_too_short): B lasted 1.2 s" in missed_in_words(miss)


def test_a_flood_of_near_misses_is_cut_and_no_page_with_it() -> None:
    """A thousand definitions, all of them nearly heard: more than the coordinator's mailbox holds."""
    ear, (fake,) = listener()
    misses = [NearMiss(Kind.TWO_TONE, f"p{n}", 0, 1, "b_too_short", "") for n in range(1000)]
    fake.says = [*misses, Detection(Kind.TWO_TONE, "engine-7", 0, 1, 1)]
    ear.tap(frame(0))
    events = ear.listen()
    assert len(events) == 9
    assert isinstance(events[-1], ToneDetected)


def span(hz: float, length_s: float) -> ToneSpan:
    return ToneSpan(hz, 0, round(length_s * 8000), -20.0, 20.0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Detection(
                Kind.AT_ONCE, "q", 0, 1, 1, (span(349, 1), span(433.7, 1), span(600.9, 0.8), span(788.5, 0.8))
            ),
            "Page heard on fire: q (349.0 + 433.7, then 600.9 + 788.5 Hz, 1.0 + 0.8 s, SNR 0 dB)",
        ),
        (
            Detection(Kind.LONG_TONE, "all", 0, 1, 1, (span(1000, 5),), snr_db=31.4),
            "Page heard on fire: all (1000.0 Hz, 5.0 s, SNR 31 dB)",
        ),
        (
            Detection(Kind.FIVE_TONE, "z", 0, 1, 1, (span(1060, 0.07),), "12345", "zvei1"),
            "Page heard on fire: z (ZVEI1 12345, SNR 0 dB)",
        ),
        (
            Detection(Kind.FIVE_TONE, "", 0, 1, 1, (), "12345", "ccir"),
            "Heard on fire: CCIR 12345 (SNR 0 dB)",
        ),
        (
            Detection(Kind.CTCSS_ON, "", 0, 1, 1, (span(100, 0.3),), "100.0"),
            "Heard on fire: CTCSS 100.0 Hz on (SNR 0 dB)",
        ),
        (Detection(Kind.MDC1200, "", 0, 1, 1, (), "12AB"), "Heard on fire: MDC1200 unit 12AB (SNR 0 dB)"),
        (
            Detection(Kind.HI_LO, "", 0, 1, 1, (span(1500, 0.2), span(1200, 0.2))),
            "Heard on fire: hi-lo alert (1500.0 / 1200.0 Hz, 0.2 + 0.2 s, SNR 0 dB)",
        ),
    ],
)
def test_each_kind_is_told_in_words_of_its_own(found: Detection, words: str) -> None:
    ear, (fake,) = listener()
    fake.says = [found]
    ear.tap(frame(0))
    (event,) = ear.listen()
    assert isinstance(event, ToneDetected)
    assert heard_in_words(event) == words


def page(level_dbfs: float = -20.0) -> Samples:
    tones = to_int16(render(two_tone(TwoTone("x", 349.0, 433.7)), RATE_HZ, level_dbfs))
    rng = np.random.default_rng(5)
    whole = rng.normal(0, 30, 6 * RATE_HZ).astype(np.int16)
    whole[RATE_HZ : RATE_HZ + len(tones)] += tones
    return whole


@pytest.mark.parametrize("gain_db", [0.0, 12.0])
def test_a_page_is_heard_through_it_at_its_time(gain_db: float) -> None:
    ear = ToneListener("fire", PLAN, gain_db, 20, lambda: OFFSET_S)
    sound = page()
    events: list[Event] = []
    for at in range(0, len(sound), FRAME):
        ear.tap(Frame(sound[at : at + FRAME], at, 7.0 + (at + FRAME) / RATE_HZ))
        if at // FRAME % 4 == 3:
            events += ear.listen()
    (event,) = events
    assert isinstance(event, ToneDetected)
    assert event.detection.tone_id == "engine-7"
    assert event.position / RATE_HZ == pytest.approx(1.0, abs=0.05)
    assert event.started_at_s - OFFSET_S == pytest.approx(8.0, abs=0.05)
    assert event.detection.level_dbfs == pytest.approx(-20 - 3.01 + gain_db, abs=0.5)


class Posted:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def until(self, condition: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline_s
            time.sleep(0.005)


def test_a_bug_in_one_channels_ear_costs_that_channel_a_pause_and_no_other() -> None:
    posted = Posted()
    worker = ToneWorker(posted.events.append)
    bad, made_bad = listener(channel_id="bad")
    good, (well,) = listener(channel_id="good")
    made_bad[0].fault = RuntimeError("a bug")
    worker.set(bad)
    worker.set(good)
    worker.start()
    try:
        bad.tap(frame(0))
        posted.until(lambda: posted.events)
        (failed,) = posted.events
        assert isinstance(failed, WorkerFailed)
        assert failed.name == "tones-bad"
        assert worker.restarts == 1
        assert len(made_bad) == 2  # it starts afresh
        good.tap(frame(0))
        posted.until(lambda: well.fed)
        for number in range(1, 60):  # and hears again after its rest
            bad.tap(frame(number * FRAME))
        posted.until(lambda: made_bad[1].fed)
    finally:
        worker.request_stop()
        assert worker.join(2.0)


def test_another_plan_takes_over_while_it_listens_and_removal_ends_it() -> None:
    posted = Posted()
    worker = ToneWorker(posted.events.append)
    first, (one,) = listener()
    second, (two,) = listener()
    worker.set(first)
    worker.start()
    try:
        first.tap(frame(0))
        posted.until(lambda: one.fed)
        worker.set(second)
        second.tap(frame(FRAME))
        posted.until(lambda: two.fed)
        assert worker.listener("fire") is second
        worker.remove("fire")
        second.tap(frame(2 * FRAME))
        threading.Event().wait(0.25)
        assert len(two.fed) == 1
    finally:
        worker.request_stop()
        assert worker.join(2.0)


def failing(worker: ToneWorker, ear: ToneListener, made: list[FakeDetector]) -> None:
    made[-1].fault = RuntimeError("a bug")
    ear.tap(frame(0))
    worker._listen(ear)


def test_the_rest_after_a_bug_grows_only_while_it_comes_again_and_a_reload_ends_it() -> None:
    """A bug a week for half a year must not make the channel deaf for half a minute at the end."""
    events: list[Event] = []
    now = [1000.0]
    worker = ToneWorker(events.append, lambda: now[0])
    ear, made = listener()
    pauses = []
    for wait_s in (0.6, 1.1, 604_800.0, 0.0):
        failing(worker, ear, made)
        failed = events[-1]
        assert isinstance(failed, WorkerFailed)
        pauses.append(failed.error.rpartition("afresh in ")[2])
        now[0] += wait_s
    assert pauses == ["0.5 s", "1.0 s", "2.0 s", "0.5 s"]
    fresh, (fake,) = listener()
    fresh.tap(frame(0))
    worker._listen(fresh)  # another plan for the same channel, while the old ear still rests
    assert fake.fed


def test_an_ear_that_falls_behind_says_so_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [1000.0]
    worker = ToneWorker(lambda event: None, lambda: now[0])
    ear, _ = listener()
    for number in range(400):
        ear.tap(frame(number * FRAME))
        if number % 100 == 99:
            worker._listen(ear)
            now[0] += 25.0
    dropped = 100 - QUEUE_MS // 20
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith(f"the ear of fire did not get {dropped} frames")
    assert f"{3 * dropped} frames" in said[1]
