"""What is wrong with a line is measured right, and failed where it should be."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from impaired_take import Line, gain_db, high_pass, low_pass

from echostream.audio.format import RATE_HZ
from echostream.selftest.analysis import Measured, analyse
from echostream.selftest.items import Item
from echostream.selftest.judge import judge_take, round_trip_ms
from echostream.selftest.signal import KnownSignal, known_signal
from echostream.selftest.take import Take


@cache
def quick() -> KnownSignal:
    return known_signal(quick=True)


def measured(line: Line, known: KnownSignal | None = None) -> Measured:
    known = known or quick()
    found = analyse(known, line.hear(known.samples))
    assert found is not None
    return found


def items(line: Line, other_side_db: float | None = None) -> dict[str, Item]:
    heard = line.hear(quick().samples)
    taken = Take(heard, 0.0, 3.0, 20.0, 0, 0, 0)
    return {item.name: item for item in judge_take(taken, analyse(quick(), heard), other_side_db)}


def verdicts(line: Line) -> dict[str, str]:
    return {name: item.verdict for name, item in items(line).items()}


def failures(line: Line) -> set[str]:
    return {name for name, verdict in verdicts(line).items() if verdict == "fail"}


def test_a_good_cable_passes_everything() -> None:
    assert failures(Line(gain_db=-3.0, noise_dbfs=-80.0)) == set()


@pytest.mark.parametrize("delay", [0.0, 1.0, 333.25, 4801.5, 30_000.75])
def test_the_delay_is_right_to_a_twentieth_of_a_sample(delay: float) -> None:
    assert measured(Line(delay=delay, noise_dbfs=-70.0)).shift == pytest.approx(delay, abs=0.05)


@settings(max_examples=8, deadline=None)
@given(
    delay=st.floats(0.0, 20_000.0),
    gain=st.floats(-30.0, 11.0),
    ppm=st.floats(-400.0, 400.0),
    inverted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_delay_gain_clock_and_polarity_are_told_apart(
    delay: float, gain: float, ppm: float, inverted: bool, seed: int
) -> None:
    line = Line(delay=delay, gain_db=gain, ppm=ppm, inverted=inverted, noise_dbfs=-75.0, seed=seed)
    found = measured(line)
    # A clock that runs fast for the samples before the first chirp moves that, too.
    before = quick().first_chirp.start
    assert found.shift == pytest.approx(delay + before / (1 + ppm * 1e-6) - before, abs=0.1)
    assert found.slip == pytest.approx(0.0, abs=0.5)
    assert found.gain_db == pytest.approx(gain, abs=0.1)
    assert found.tone.clock_ppm == pytest.approx(ppm, abs=3.0)
    assert found.inverted == inverted


def test_a_long_take_knows_the_clock_to_a_tenth_of_a_ppm() -> None:
    found = measured(Line(ppm=37.0, noise_dbfs=-70.0), known_signal(quick=False))
    assert found.tone.clock_ppm == pytest.approx(37.0, abs=0.1)
    assert found.slip == pytest.approx(0.0, abs=0.3)


def test_clocks_that_run_apart_are_failed() -> None:
    assert verdicts(Line(ppm=-150.0))["output's clock against input's"] == "fail"
    assert verdicts(Line(ppm=60.0))["output's clock against input's"] == "pass"


@pytest.mark.parametrize("level", [-50.0, -65.0])
def test_noise_is_measured(level: float) -> None:
    found = measured(Line(noise_dbfs=level))
    assert found.quiet.noise_dbfs == pytest.approx(level, abs=0.3)
    assert found.snr_db == pytest.approx(found.tone.level_dbfs - level, abs=0.3)


def test_noise_is_failed() -> None:
    assert {"noise without hum", "signal to noise"} <= failures(Line(noise_dbfs=-50.0, gain_db=-6.0))


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_is_told_from_noise_and_its_frequency_known(mains_hz: float) -> None:
    line = Line(hum=(mains_hz, -45.0), noise_dbfs=-70.0)
    found = measured(line)
    assert found.quiet.hum_dbfs == pytest.approx(-45.0, abs=0.5)
    assert found.quiet.hum_hz == mains_hz
    assert found.quiet.noise_dbfs == pytest.approx(-70.0, abs=0.5)
    assert failures(line) == {f"hum ({mains_hz:.0f} Hz)", "signal to noise"}


def test_noise_alone_is_no_hum() -> None:
    assert measured(Line(noise_dbfs=-50.0)).quiet.hum_dbfs < -68.0


@pytest.mark.parametrize("thd_percent", [0.5, 5.0])
def test_distortion_is_measured(thd_percent: float) -> None:
    peak = 10 ** (-12 / 20)
    # x + k x²: of a tone of this peak the second harmonic is k peak / 2 of it.
    line = Line(squared=2 * thd_percent / 100 / peak)
    assert measured(line).tone.thd_percent == pytest.approx(thd_percent, rel=0.05)
    assert ("distortion" in failures(line)) == (thd_percent > 3)


def test_clipping_is_counted_and_failed() -> None:
    line = Line(gain_db=15.0)
    assert measured(line).clipped > 1000
    assert {"clipping", "gain", "distortion"} <= failures(line)


@pytest.mark.parametrize("hz", [125.0, 250.0, 500.0, 2000.0, 4000.0])
def test_the_frequency_response_is_that_of_the_filters(hz: float) -> None:
    sections = [high_pass(300.0), low_pass(3000.0)]
    expected = sum(gain_db(one, hz) - gain_db(one, 1000.0) for one in sections)
    assert measured(Line(filters=sections)).response.at(hz) == pytest.approx(expected, abs=0.6)


def test_a_narrow_line_is_failed() -> None:
    assert "speech band" in failures(Line(filters=[high_pass(600.0)]))
    assert "speech band" in failures(Line(filters=[low_pass(2500.0)]))
    assert "speech band" not in failures(Line(filters=[high_pass(150.0), low_pass(5000.0)]))


def test_without_a_cable_the_only_thing_failed_is_that() -> None:
    quiet = Line(gain_db=-200.0, noise_dbfs=-60.0)
    assert failures(quiet) == {"signal"}
    assert "cable" in items(quiet)["signal"].remedy
    assert failures(Line(gain_db=-200.0)) == {"signal"}


def test_loud_noise_is_not_taken_for_the_signal() -> None:
    for seed in range(6):
        heard = Line(gain_db=-200.0, noise_dbfs=-15.0, seed=seed).hear(quick().samples)
        assert analyse(quick(), heard) is None


def test_crosstalk_is_not_taken_for_a_cable() -> None:
    assert "crosstalk" in items(Line(gain_db=-60.0, noise_dbfs=-95.0))["signal"].shown


def test_a_cable_in_the_wrong_side_is_named() -> None:
    found = items(Line(gain_db=-200.0, noise_dbfs=-80.0), other_side_db=-15.0)["signal"]
    assert found.verdict == "fail"
    assert "other side" in found.shown


def test_an_automatic_gain_control_is_found() -> None:
    assert "steadiness" in failures(Line(fade_db=12.0))
    assert "steadiness" not in failures(Line(fade_db=1.0))


@pytest.mark.parametrize("where", ["tone", "sweep"])
def test_lost_audio_is_found_wherever_it_was_lost(where: str) -> None:
    part = getattr(quick(), where)
    line = Line(dropped=(part.start + part.length // 2, 480), noise_dbfs=-80.0)
    found = measured(line)
    assert found.slip == pytest.approx(-480.0, abs=2.0)
    assert found.tone.jumps == (1 if where == "tone" else 0)
    assert "missing" in items(line)["whole"].shown
    assert abs(found.tone.clock_ppm) < 5.0, "lost audio is no clock"


def test_an_end_that_is_not_heard_is_failed() -> None:
    heard = Line().hear(quick().samples)[: quick().last_chirp.start]
    taken = Take(heard, 0.0, 3.0, 20.0, 0, 0, 0)
    found = {item.name: item for item in judge_take(taken, analyse(quick(), heard))}
    assert found["whole"].verdict == "fail"


def test_the_round_trip_is_delay_and_offset_together() -> None:
    heard = Line(delay=4800.0).hear(quick().samples)
    taken = Take(heard, 0.025, 0.0, 10.0, 0, 0, 0)
    found = analyse(quick(), heard)
    assert found is not None
    assert round_trip_ms(taken, found) == pytest.approx(125.0, abs=0.1)


def test_the_card_is_judged_against_the_computers_clock_only_when_it_is_known() -> None:
    heard = Line().hear(quick().samples)

    def clock(ppm: float, error: float) -> Item:
        taken = Take(heard, 0.0, ppm, error, 0, 0, 0)
        return next(
            item for item in judge_take(taken, analyse(quick(), heard)) if item.name == "card's clock"
        )

    assert clock(500.0, 40.0).verdict == "fail"
    assert clock(-120.0, 40.0).verdict == "pass"
    assert clock(500.0, 400.0).verdict == "note"


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=0, max_size=4000), st.integers(0, 60))
def test_no_take_breaks_the_analysis(junk: bytes, times: int) -> None:
    heard = np.frombuffer(junk[: len(junk) // 2 * 2], np.int16)
    heard = np.tile(heard, times)[: 6 * RATE_HZ]
    found = analyse(quick(), heard)
    judge_take(Take(heard, 0.0, 0.0, 1.0, 0, 0, 0), found)
