"""Who may be heard: each way of playing old packets back, by name."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from echostream.errors import StateError
from echostream.wire import replay_guard
from echostream.wire.counted_iv import MAX_TICK, make_iv
from echostream.wire.replay_guard import MAX_CHANNELS, MAX_LIVE, MAX_PREFIXES, ReplayGuard, Verdict

FIRST, FRESH, REPLAYED, STALE = Verdict.FRESH_FIRST, Verdict.FRESH, Verdict.REPLAYED, Verdict.STALE
TALKER = b"talker"
START = 85_000_000_000


def iv(tick: int, prefix: bytes = TALKER) -> bytes:
    return make_iv(prefix, START + tick)


def speak(guard: ReplayGuard, channel_id: str, ticks: range, now: float = 0.0) -> float:
    """A talker in step with time; the time of its last packet."""
    for tick in ticks:
        now += 0.02
        assert guard.check(channel_id, iv(tick), now) in (FIRST, FRESH)
    return now


def test_first_then_fresh() -> None:
    guard = ReplayGuard()
    assert [guard.check("a", iv(n), n * 0.02) for n in range(4)] == [FIRST, FRESH, FRESH, FRESH]


def test_duplicate() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(10))
    assert [guard.check("a", iv(n), now) for n in range(10)] == [REPLAYED] * 10
    assert guard.check("a", iv(10), now) is FRESH


def test_reordered_and_late_within_a_second() -> None:
    guard = ReplayGuard()
    assert guard.check("a", iv(9), 0.0) is FIRST
    ticks = [3, 12, 4, 11, 10, 0]
    assert [guard.check("a", iv(n), 0.5) for n in ticks] == [FRESH] * 6
    assert [guard.check("a", iv(n), 0.6) for n in ticks] == [REPLAYED] * 6


def test_overtaken_more_than_a_second_ago() -> None:
    guard = ReplayGuard()
    guard.check("a", iv(0), 0.0)
    guard.check("a", iv(5), 0.1)
    guard.check("a", iv(10), 0.9)
    assert guard.check("a", iv(4), 1.1) is FRESH
    assert guard.check("a", iv(3), 1.11) is REPLAYED
    assert guard.check("a", iv(6), 1.11) is FRESH


def test_below_the_window() -> None:
    guard = ReplayGuard()
    guard.check("a", iv(0), 0.0)
    assert guard.check("a", iv(5000), 0.1) is FRESH
    assert guard.check("a", iv(5000 - 1024), 0.1) is STALE
    assert guard.check("a", iv(5000 - 1023), 0.1) is FRESH
    assert guard.check("a", iv(5000 - 1023), 0.1) is REPLAYED


def test_window_of_another_size() -> None:
    guard = ReplayGuard(window=4)
    guard.check("a", iv(10), 0.0)
    assert [guard.check("a", iv(n), 0.0) for n in (6, 7, 7)] == [STALE, FRESH, REPLAYED]


def test_jump_far_ahead_forgets_no_duplicate() -> None:
    guard = ReplayGuard()
    for tick in (0, 1, 1023, 1024, 3000):
        guard.check("a", iv(tick), 0.0)
    assert guard.check("a", iv(3000), 0.0) is REPLAYED
    assert guard.check("a", iv(1977), 0.0) is FRESH
    assert guard.check("a", iv(1024), 0.0) is STALE


def test_exact_repeat_of_a_random_iv_at_once_and_after_an_hour() -> None:
    guard = ReplayGuard()
    rng = random.Random(1)
    ivs = [rng.randbytes(12) for _ in range(2000)]
    assert {guard.check("a", one, n * 0.04) for n, one in enumerate(ivs)} == {FIRST}
    assert {guard.check("a", one, 81.0) for one in ivs[-10:]} == {REPLAYED}
    assert {guard.check("a", one, 3600.0) for one in ivs} == {REPLAYED}
    assert {guard.check("b", one, 3600.0) for one in ivs} == {REPLAYED}


def test_patched_channels_hear_the_copy_at_once() -> None:
    guard = ReplayGuard()
    guard.check("a", iv(0), 0.0)
    assert guard.check("b", iv(0), 0.01) is FIRST
    for tick in range(1, 100):
        assert guard.check("a", iv(tick), tick * 0.02) is FRESH
        assert guard.check("b", iv(tick), tick * 0.02 + 0.01) is FRESH
        assert guard.check("b", iv(tick), tick * 0.02 + 0.01) is REPLAYED


def test_copy_of_a_random_iv_still_counts_as_first() -> None:
    guard = ReplayGuard()
    assert guard.check("a", b"random-iv-12", 0.0) is FIRST
    assert guard.check("b", b"random-iv-12", 0.5) is FIRST
    assert guard.check("b", b"random-iv-12", 0.5) is REPLAYED
    assert guard.check("c", b"random-iv-12", 1.5) is REPLAYED


def test_recording_moved_to_another_channel() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(200))
    for later in (1.02, 5.0, 60.0, 86_400.0):
        assert {guard.check("b", iv(n), now + later) for n in range(200)} == {REPLAYED}
    assert guard.check("b", iv(200), now + 86_401.0) is FRESH


def test_recording_moved_while_the_talker_goes_on() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(200))
    assert {guard.check("b", iv(n), now) for n in range(149)} == {REPLAYED}
    assert guard.check("b", iv(199), now) is FRESH


def test_recording_moved_to_a_channel_the_talker_was_patched_to_before() -> None:
    guard = ReplayGuard()
    speak(guard, "b", range(10))
    now = speak(guard, "a", range(10, 500), 0.2)
    assert {guard.check("b", iv(n), now) for n in range(400)} == {REPLAYED}


def test_our_own_packets_reflected() -> None:
    guard = ReplayGuard(own_prefixes=[b"mine-1"])
    guard.add_own(b"mine-2")
    guard.add_own(b"mine-2")
    for prefix in (b"mine-1", b"mine-2"):
        for now in (0.0, 1e6):
            assert guard.check("a", iv(int(now), prefix), now) is REPLAYED
    assert guard.check("a", iv(1), 1e6) is FIRST


def test_own_prefixes_are_never_forgotten() -> None:
    guard = ReplayGuard()
    rng = random.Random(2)
    own = [rng.randbytes(6) for _ in range(5000)]
    for prefix in own:
        guard.add_own(prefix)
    flood(guard, MAX_PREFIXES + MAX_LIVE, 0.0)
    assert {guard.check("a", iv(1, prefix), 1e6) for prefix in own} == {REPLAYED}


def flood(guard: ReplayGuard, count: int, now: float) -> float:
    """An old client: every IV random."""
    rng = random.Random(3)
    for _ in range(count):
        now += 0.001
        guard.check("a", rng.randbytes(12), now)
    return now


def test_a_flood_of_random_ivs_forgets_no_sender_that_counts() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(5))
    now = flood(guard, 2 * MAX_PREFIXES, now)
    assert {guard.check(channel, iv(n), now) for n in range(5) for channel in "ab"} == {REPLAYED}
    assert guard.check("a", iv(5), now) is FRESH


def test_memory_is_bounded() -> None:
    guard = ReplayGuard()
    now = flood(guard, MAX_PREFIXES + 2 * MAX_LIVE, 0.0)
    tracemalloc.start()
    flood(guard, MAX_PREFIXES, now)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All entries were exchanged while tracing, so this is the whole table and not what was added to it.
    assert grown < 10e6


def test_a_second_full_of_new_prefixes_keeps_refusing_what_came_to_rest_early() -> None:
    guard = ReplayGuard()
    rng = random.Random(4)
    ivs = [rng.randbytes(12) for _ in range(MAX_LIVE + 100)]
    assert {guard.check("a", one, 0.0) for one in ivs} == {FIRST}
    assert {guard.check("a", one, 0.0) for one in ivs} == {REPLAYED}


def test_one_live_packet_under_countless_channel_ids() -> None:
    guard = ReplayGuard()
    verdicts = [guard.check(f"channel {n}", iv(0), 0.0) for n in range(MAX_CHANNELS + 1000)]
    assert verdicts == [FIRST] * MAX_CHANNELS + [REPLAYED] * 1000
    assert guard.check("channel 0", iv(1), 0.1) is FRESH


def test_a_sender_faster_than_time_is_bounded_too() -> None:
    guard = ReplayGuard()
    for tick in range(replay_guard.MAX_HISTORY * 4):
        assert guard.check("a", iv(tick), 0.0) in (FIRST, FRESH)
    assert guard.check("b", iv(10), 0.0) is REPLAYED


def test_what_is_refused_changes_nothing() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(10))
    for _ in range(100):
        guard.check("b", iv(0), now + 2.0)
    assert guard.check("a", iv(10), now + 2.0) is FRESH
    assert guard.check("b", iv(10), now + 2.0) is FRESH


def test_long_silence_then_on() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(10))
    assert guard.check("a", iv(180_000), now + 3600.0) is FRESH
    assert guard.check("a", iv(9), now + 3600.0) is REPLAYED


@pytest.mark.parametrize("tick", [0, 1, MAX_TICK])
def test_ends_of_the_48_bits(tick: int) -> None:
    guard = ReplayGuard()
    assert guard.check("a", make_iv(TALKER, tick), 0.0) is FIRST
    assert guard.check("a", make_iv(TALKER, tick), 0.0) is REPLAYED
    assert guard.check("a", make_iv(TALKER, tick), 10.0) is REPLAYED


def test_a_clock_that_steps_back_lets_nothing_through() -> None:
    guard = ReplayGuard()
    now = speak(guard, "a", range(200), 1000.0)
    assert guard.check("b", iv(0), 0.0) is REPLAYED
    assert guard.check("a", iv(200), now - 500.0) is FRESH


def test_iv_of_another_length_is_our_own_bug() -> None:
    with pytest.raises(StateError, match="IV"):
        ReplayGuard().check("a", b"short", 0.0)
