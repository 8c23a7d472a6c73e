"""The delay that two gateways add between a microphone and a loudspeaker.

Counted: from the instant at which a microphone frame is complete to the instant at which the loudspeaker took
the frame that holds its last sample. That includes encoding, sealing, two trips over real loopback UDP with
our own control server between, the jitter buffer, decoding, Opus' own 6.5 ms, and the wait for the
loudspeaker's clock. Not counted: the frame's own 20 ms before it is complete, and a card's buffers after it
took a frame.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Samples
from echostream.config.models import Channel
from echostream.events import Opener, PttChanged
from echostream.gateway import Gateway
from echostream.simulator.server_loop import ControlServer
from tests.bench._gateways import PacedCards, PacedSink, PacedSource, running
from tests.bench.rows import Row, percentile

CHANNELS = ("one", "two", "three", "four")
TAKES = 8
KEY_DOWN_S = 0.4
STEADY_AFTER_S = 1.5
TALK_S = 3.2
TAIL_S = 0.4
LONGEST_S = 0.35
MARK_HZ = (700.0, 1100.0, 1600.0, 2300.0)
"""In turn, so that marks 100 ms apart are told from each other although some are 300 ms late."""
MARK_EVERY_FRAMES = 5
MARK_LEVEL, NOISE_LEVEL = 12_000.0, 30.0
HEARD_SHARE = 0.3
P50_GOAL_MS, P99_GOAL_MS = 60.0, 90.0
GONE_WITHIN_MS = 20.0
PRE_ROLL_GOAL_S = 1.0


def run(long: bool = False) -> list[Row]:
    """Several takes with four channels each, every clock at another phase in each."""
    random = np.random.default_rng(7)
    server = ControlServer("127.0.0.1", 0)
    server.start()
    written: list[float] = []
    handed: list[float] = []
    late: list[float] = []
    missing = 0
    try:
        for _ in range(TAKES):
            for taken in _take(server.url, random):
                written += [mark.written_ms for mark in taken.steady]
                handed += [mark.handed_ms for mark in taken.steady]
                late.append(taken.pre_roll_gone_s)
                missing += taken.missing
    finally:
        server.stop()
    p50, p99 = percentile(written, 0.5), percentile(written, 0.99)
    what = "microphone frame complete to loudspeaker frame written"
    note = f"{len(written)} marks on {TAKES * len(CHANNELS)} phases; {missing} not found"
    gone_s = max(late)
    return [
        Row("delay", f"{what}: p50", f"{p50:.1f} ms", f"<= {P50_GOAL_MS:.0f} ms", p50 <= P50_GOAL_MS, note),
        Row("delay", f"{what}: p99", f"{p99:.1f} ms", f"<= {P99_GOAL_MS:.0f} ms", p99 <= P99_GOAL_MS),
        Row(
            "delay",
            "the same until the frame is handed to the loudspeaker, which takes it when it has room",
            f"p50 {percentile(handed, 0.5):.1f} ms, p99 {percentile(handed, 0.99):.1f} ms",
        ),
        Row(
            "delay",
            "key down until the 200 ms of pre-roll no longer delay",
            f"median {percentile(late, 0.5):.2f} s, worst {gone_s:.2f} s",
            f"<= {PRE_ROLL_GOAL_S:.0f} s",
            gone_s <= PRE_ROLL_GOAL_S,
            f"last sample sounds within {GONE_WITHIN_MS:.0f} ms of where that settles",
        ),
    ]


class _Mark:
    """One burst, found again."""

    def __init__(self, complete_s: float, handed_s: float, written_s: float, place: int) -> None:
        """place: of its last sample in the loudspeaker's frame."""
        self.complete_s = complete_s
        self.handed_ms = 1000.0 * (handed_s - complete_s)
        self.written_ms = 1000.0 * (written_s - complete_s)
        # Whole frames would let a change of 1 ms that crosses from one to the next look like 20 ms.
        self.sounds_ms = self.written_ms + 1000.0 * (place + 1) / RATE_HZ


class _Taken:
    """What one channel gave in one take."""

    def __init__(self, marks: list[_Mark], missing: int, key_down_s: float) -> None:
        self.missing = missing
        self.steady = [mark for mark in marks if mark.complete_s > key_down_s + STEADY_AFTER_S]
        settled_ms = percentile([mark.sounds_ms for mark in self.steady], 0.5)
        delayed = [mark.complete_s for mark in marks if mark.sounds_ms > settled_ms + GONE_WITHIN_MS]
        self.pre_roll_gone_s = max(0.0, max(delayed, default=key_down_s) - key_down_s)


def _take(url: str, random: np.random.Generator) -> list[_Taken]:
    channels = [Channel(id=name, card=name, duplex="full") for name in CHANNELS]
    noise = random.normal(0.0, NOISE_LEVEL, TICK_SAMPLES)
    phases = {name: tuple(random.uniform(0.0, 0.02, 2)) for name in CHANNELS}
    speaker = PacedCards(
        lambda number: _frame(number, noise), {n: (float(a), 0.0) for n, (a, _) in phases.items()}
    )
    hearer = PacedCards(lambda number: _quiet(), {n: (0.0, float(b)) for n, (_, b) in phases.items()})
    with running(url, "hearer", channels, hearer), running(url, "speaker", channels, speaker) as gateway:
        time.sleep(KEY_DOWN_S)
        key_down_s = time.monotonic()
        _key(gateway, True)
        time.sleep(TALK_S)
        key_up_s = time.monotonic()
        _key(gateway, False)
        time.sleep(TAIL_S)
    return [_find_marks(speaker.sources[n], hearer.sinks[n], key_down_s, key_up_s) for n in CHANNELS]


def _key(gateway: Gateway, down: bool) -> None:
    for name in CHANNELS:
        gateway.post(PttChanged(name, Opener.TALK, down, time.monotonic()))


def _quiet() -> Samples:
    return np.zeros(TICK_SAMPLES, np.int16)


def _mark_hz(number: int) -> float | None:
    if number % MARK_EVERY_FRAMES:
        return None
    return MARK_HZ[number // MARK_EVERY_FRAMES % len(MARK_HZ)]


def _frame(number: int, noise: NDArray[np.float64]) -> Samples:
    """Faint noise, and in every fifth frame a burst that fills it."""
    hz = _mark_hz(number)
    sound = np.roll(noise, 37 * number)
    if hz is not None:
        sound = sound + MARK_LEVEL * _burst(hz).imag
    return sound.astype(np.int16)


def _burst(hz: float) -> NDArray[np.complex128]:
    at = np.arange(TICK_SAMPLES)
    burst: NDArray[np.complex128] = np.hanning(TICK_SAMPLES) * np.exp(2j * np.pi * hz * at / RATE_HZ)
    return burst


def _find_marks(source: PacedSource, sink: PacedSink, key_down_s: float, key_up_s: float) -> _Taken:
    """Look for each burst in what was played, by a matched filter."""
    sound = np.concatenate([samples for _, _, samples in sink.heard]).astype(np.float64)
    envelopes = {hz: np.abs(fftconvolve(sound, _burst(hz)[::-1], mode="valid")) for hz in MARK_HZ}
    least = HEARD_SHARE * MARK_LEVEL * float((np.hanning(TICK_SAMPLES) ** 2).sum()) / 2
    written = np.array([at for _, at, _ in sink.heard])
    marks, missing = [], 0
    for number, complete_s in enumerate(source.complete_s):
        hz = _mark_hz(number)
        if hz is None or not key_down_s - 0.1 < complete_s < key_up_s - 0.05:
            continue
        first, last = np.searchsorted(written, [complete_s, complete_s + LONGEST_S])
        # No sample of it was written before `complete_s`; one frame back, for the rounding of clocks.
        low = max(0, int(first) - 1) * TICK_SAMPLES
        field = envelopes[hz][low : int(last) * TICK_SAMPLES]
        if not field.size or float(field.max()) < least:
            missing += 1
            continue
        end = low + int(field.argmax()) + TICK_SAMPLES - 1
        handed_s, written_s, _ = sink.heard[end // TICK_SAMPLES]
        marks.append(_Mark(complete_s, handed_s, written_s, end % TICK_SAMPLES))
    return _Taken(marks, missing, key_down_s)
