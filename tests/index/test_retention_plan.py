"""Who loses how much: enough, never more than may go, and the same level for all who lose."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.index.retention_plan import MARGIN, TRUSTED_AFTER_S, ClockTrust, Use, shares, to_free

uses_of = st.dictionaries(
    st.integers(0, 20),
    st.integers(0, 10**13).flatmap(lambda total: st.builds(Use, st.just(total), st.integers(0, total))),
    max_size=12,
)


@settings(max_examples=50)
@given(uses_of, st.integers(1, 10**13))
def test_enough_goes_and_nothing_that_must_stay(uses: dict[int, Use], free: int) -> None:
    given_up = shares(uses, free)
    available = sum(use.may_go for use in uses.values())
    assert all(0 < share <= uses[source].may_go for source, share in given_up.items())
    assert sum(given_up.values()) >= min(free, available)
    # No more than is needed, but for one byte of each: the level is a whole number.
    assert sum(given_up.values()) <= free + len(uses)


@settings(max_examples=50)
@given(uses_of, st.integers(1, 10**13))
def test_nobody_who_has_less_gives_what_another_could(uses: dict[int, Use], free: int) -> None:
    given_up = shares(uses, free)
    left = {source: use.total - given_up.get(source, 0) for source, use in uses.items()}
    for source in given_up:
        for other, use in uses.items():
            could_give = use.may_go - given_up.get(other, 0) > 0
            assert not could_give or left[other] <= left[source] + 1


def test_a_rare_microphone_keeps_what_it_has() -> None:
    uses = {1: Use(1000, 1000), 2: Use(900, 900), 3: Use(10, 10)}
    assert shares(uses, 500) == {1: 300, 2: 200}


def test_a_protected_heap_is_made_up_for_by_the_rest() -> None:
    assert shares({1: Use(1000, 0), 2: Use(500, 500)}, 300) == {2: 300}
    assert shares({1: Use(1000, 0)}, 300) == {}
    assert shares({}, 300) == {}


def test_the_stricter_bound_counts() -> None:
    gb = 10**9
    assert to_free(50 * gb, None, 900 * gb, 1000 * gb, 5.0) == 0
    assert to_free(50 * gb, 60 * gb, 900 * gb, 1000 * gb, 5.0) == 0
    assert to_free(50 * gb, 40 * gb, 900 * gb, 1000 * gb, 5.0) == round(10 * gb + 40 * gb * MARGIN)
    assert to_free(50 * gb, 49 * gb, 10 * gb, 1000 * gb, 5.0) == round(50 * gb * (1 + MARGIN)) - 10 * gb
    assert to_free(50 * gb, None, 10 * gb, 1000 * gb, 0.0) == 0


def test_a_clock_that_was_set_wrong_judges_nobody_for_a_day() -> None:
    trust = ClockTrust()
    assert trust.may_judge(1_000.0, 0.0, synchronised=True)
    assert not trust.may_judge(1_010.0, 10.0, synchronised=False)
    assert trust.may_judge(1_000.0 + TRUSTED_AFTER_S, TRUSTED_AFTER_S, synchronised=False)
    jumped = 20 * 365 * 86_400.0
    assert not trust.may_judge(jumped + TRUSTED_AFTER_S + 10, TRUSTED_AFTER_S + 10, synchronised=False)
    assert not trust.may_judge(jumped + TRUSTED_AFTER_S * 1.9, TRUSTED_AFTER_S * 1.9, synchronised=False)
    assert trust.may_judge(jumped + TRUSTED_AFTER_S * 2 + 10, TRUSTED_AFTER_S * 2 + 10, synchronised=False)
