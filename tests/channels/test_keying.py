"""Lead-in, hang time, courtesy tone and time-out of the keyed line."""

from __future__ import annotations

import numpy as np

from echostream.audio.format import Samples, silence
from echostream.channels.keying import UNLATCH_QUIET_MS, Keying, KeyingPhase, KeyingSettings

FRAME = 960
QUIET = silence(FRAME)


def voice(level: int) -> Samples:
    return np.full(FRAME, level, np.int16)


def test_the_line_is_up_for_the_lead_in_before_the_first_sample() -> None:
    keying = Keying(KeyingSettings(lead_in_ms=60), 20)
    played = [keying.step(voice(n), True) for n in range(1, 6)]
    assert keying.keyed
    assert [int(frame[0]) for frame in played] == [0, 0, 0, 1, 2]


def test_the_last_syllable_leaves_the_delay_line_before_the_hang_time() -> None:
    keying = Keying(KeyingSettings(lead_in_ms=40, hang_ms=60), 20)
    played = [int(keying.step(voice(n), True)[0]) for n in (1, 2, 3)]
    keyed_frames = 0
    while keying.keyed:
        keyed_frames += 1
        played.append(int(keying.step(QUIET, False)[0]))
        assert keyed_frames < 50
    assert [n for n in played if n] == [1, 2, 3]
    assert keyed_frames >= 2 + 3


def test_a_talker_who_comes_back_in_the_hang_time_is_not_cut() -> None:
    keying = Keying(KeyingSettings(lead_in_ms=40, hang_ms=200), 20)
    for n in (1, 2):
        keying.step(voice(n), True)
    for _ in range(5):
        keying.step(QUIET, False)
    assert keying.phase is KeyingPhase.HANG
    assert int(keying.step(voice(9), True)[0]) == 9
    assert keying.overs == 1


def test_courtesy_tone_plays_whole_while_keyed() -> None:
    tone = np.full(FRAME * 2 + 100, 77, np.int16)
    keying = Keying(KeyingSettings(hang_ms=20, courtesy=tone), 20)
    keying.step(voice(5), True)
    sounded = 0
    for _ in range(20):
        frame = keying.step(QUIET, False)
        sounded += int(np.count_nonzero(frame == 77))
        if not keying.keyed:
            break
    assert sounded == len(tone)


def test_time_out_drops_the_line_and_a_hole_does_not_unlatch_it() -> None:
    keying = Keying(KeyingSettings(tot_s=0.1), 20)
    for _ in range(6):
        keying.step(voice(1), True)
    assert keying.phase is KeyingPhase.LATCHED
    keying.step(QUIET, False)
    keying.step(voice(1), True)
    assert not keying.keyed
    for _ in range(UNLATCH_QUIET_MS // 20):
        keying.step(QUIET, False)
    keying.step(voice(1), True)
    assert keying.keyed


def test_abort_drops_the_line_at_once() -> None:
    keying = Keying(KeyingSettings(lead_in_ms=100, hang_ms=500), 20)
    keying.step(voice(1), True)
    keying.abort()
    assert not keying.keyed
    assert not keying.step(QUIET, False).any()


def test_loudspeaker_without_a_line_never_times_out() -> None:
    keying = Keying(KeyingSettings(tot_s=float("inf")), 20)
    for _ in range(20_000):
        assert keying.step(voice(3), True)[0] == 3
