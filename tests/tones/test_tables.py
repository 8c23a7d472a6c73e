"""The standard tables: sizes, spacings and names that everything else relies on."""

from __future__ import annotations

import itertools
import statistics

import pytest

from echostream.tones.tables import (
    CTCSS_ALL_HZ,
    CTCSS_HZ,
    DTMF,
    FIVE_TONE,
    QUICK_CALL_II,
    nearest_quick_call_pair,
    nearest_tone,
    quick_call_pairs,
    quick_call_tones,
)


def test_there_are_990_legal_pages_of_different_tones() -> None:
    pairs = quick_call_pairs()
    assert len(pairs) == 990
    assert len({(pair.a_hz, pair.b_hz) for pair in pairs}) == 990
    assert len({pair.name for pair in pairs}) == 990
    assert all(pair.a_hz != pair.b_hz for pair in pairs)


def test_nine_percent_of_the_legal_pages_are_less_than_40_hz_apart() -> None:
    close = sum(abs(pair.a_hz - pair.b_hz) < 40 for pair in quick_call_pairs())
    assert round(close / 990, 2) == 0.09


def test_a_mistyped_quick_call_tone_would_break_the_even_spacing() -> None:
    tones = [tone.hz for tone in quick_call_tones()]
    assert len(tones) == len(set(tones)) == 80
    assert (tones[0], tones[-1]) == (288.5, 2468.2)
    steps = [100 * (higher / lower - 1) for lower, higher in itertools.pairwise(tones)]
    assert round(min(steps), 2) == 2.48
    assert round(statistics.median(steps), 2) == 2.75
    assert max(steps) < 3.1


def test_each_group_has_ten_tones() -> None:
    assert {group: len(tones) for group, tones in QUICK_CALL_II.items()} == dict.fromkeys("123456AB", 10)


def test_a_tone_off_by_one_percent_is_named_as_its_own() -> None:
    for tone in quick_call_tones():
        assert nearest_tone(tone.hz * 1.01) is tone
        assert nearest_tone(tone.hz / 1.01) is tone


def test_beyond_the_table_the_outermost_tone_is_the_nearest() -> None:
    assert nearest_tone(1.0).hz == 288.5
    assert nearest_tone(9000.0).hz == 2468.2


def test_a_page_off_by_one_percent_is_named_as_its_own() -> None:
    for pair in quick_call_pairs()[::37]:
        assert nearest_quick_call_pair(pair.a_hz * 1.01, pair.b_hz / 1.01) is pair


def test_dtmf_has_sixteen_keys() -> None:
    assert len(DTMF) == 16
    assert DTMF["1"] == (697.0, 1209.0)
    assert DTMF["#"] == (941.0, 1477.0)
    assert DTMF["B"] == (770.0, 1633.0)


def test_ctcss_has_38_tones_of_the_standard_and_twelve_more() -> None:
    assert len(CTCSS_HZ) == 38
    assert len(CTCSS_ALL_HZ) == len(set(CTCSS_ALL_HZ)) == 50
    assert (CTCSS_ALL_HZ[0], CTCSS_ALL_HZ[-1]) == (67.0, 254.1)


@pytest.mark.parametrize("name", sorted(FIVE_TONE))
def test_no_two_tones_of_a_five_tone_system_are_alike(name: str) -> None:
    system = FIVE_TONE[name]
    ordered = sorted(system.tones.values())
    assert len(ordered) == 12
    assert all(higher / lower > 1.04 for lower, higher in itertools.pairwise(ordered))


def test_equal_digits_are_sent_with_the_repeat_tone() -> None:
    zvei = FIVE_TONE["zvei1"]
    assert zvei.sequence("12345") == ("1", "2", "3", "4", "5")
    assert zvei.sequence("22222") == ("2", "E", "2", "E", "2")
    assert zvei.sequence("11233") == ("1", "E", "2", "3", "E")
    with pytest.raises(ValueError, match="'x'"):
        zvei.sequence("12x45")
