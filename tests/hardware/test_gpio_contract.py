"""What GPIO inputs promise, kept by the mock and by the real lgpio alike."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from gpio_bench import Bench, bench

from echostream.errors import GpioError

BENCHES = ["mock", pytest.param("lgpio", marks=pytest.mark.real_gpio)]


@pytest.fixture(scope="module", params=BENCHES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(kind, tmp_path_factory.mktemp("gpio"), debounce_ms=20, reread_ms=100) as made:
        yield made


@pytest.fixture
def lines(made: Bench) -> Iterator[Bench]:
    """Nothing pressed, nothing reported yet."""
    yield made
    for pin in (20, 21, 23, 24):
        made.drive(pin, None)
    while made.change(0.01) is not None:
        pass


def test_press_and_release_of_an_active_low_button(lines: Bench) -> None:
    assert lines.watch(20)["active"] is False
    for level, active in ((False, True), (True, False)):
        before = time.monotonic()
        lines.drive(20, level)
        change = lines.change()
        assert change is not None
        assert change[:2] == (20, active)
        assert before - 0.001 <= change[2] <= time.monotonic()
        time.sleep(0.03)
    assert lines.change(0.15) is None
    lines.unwatch(20)


def test_active_high_line_with_pull_down(lines: Bench) -> None:
    assert lines.watch(21, active_low=False, pull="down")["active"] is False
    lines.drive(21, True)
    assert (lines.change() or ())[:2] == (21, True)
    lines.unwatch(21)


def test_button_held_while_starting_is_reported(lines: Bench) -> None:
    lines.drive(23, False)
    lines.watch(23)
    assert (lines.change() or ())[:2] == (23, True)
    lines.unwatch(23)


def test_bounce_is_one_change(lines: Bench) -> None:
    lines.watch(20)
    for level in (False, True, False, True, False):
        lines.drive(20, level)
        time.sleep(0.001)
    assert (lines.change() or ())[:2] == (20, True)
    assert lines.change(0.15) is None
    assert lines.look(20)["active"] is True
    lines.unwatch(20)


def test_release_inside_the_lock_out_comes_at_its_end(lines: Bench) -> None:
    lines.watch(20)
    lines.drive(20, False)
    lines.drive(20, True)
    first, second = lines.change(), lines.change()
    assert first is not None
    assert second is not None
    assert (first[1], second[1]) == (True, False)
    assert 0.018 <= second[2] - first[2] <= 0.09
    lines.unwatch(20)


def test_missed_release_edge_does_not_hold_the_channel_open(lines: Bench) -> None:
    lines.watch(24)
    lines.drive(24, False)
    assert (lines.change() or ())[:2] == (24, True)
    time.sleep(0.04)
    lines.miss_next_edge(24)
    lines.drive(24, True)
    change = lines.change(0.5)
    assert change is not None
    assert change[1] is False
    assert lines.look(24)["missed_edges"] == 1
    lines.unwatch(24)


def test_dead_events_are_claimed_again(lines: Bench) -> None:
    lines.watch(24)
    for level in (False, True, False):
        lines.miss_next_edge(24)
        lines.drive(24, level)
        assert lines.change(0.5) is not None
        time.sleep(0.04)
    lines.drive(24, True)
    assert (lines.change() or ())[:2] == (24, False)
    lines.unwatch(24)


def test_exception_of_a_subscriber_does_not_end_notifications(lines: Bench) -> None:
    lines.watch(20, fail=True)
    lines.watch(21)
    lines.drive(20, False)
    assert (lines.change() or ())[:2] == (20, True)
    time.sleep(0.03)
    lines.drive(20, True)
    assert (lines.change() or ())[:2] == (20, False)
    lines.drive(21, False)
    assert (lines.change() or ())[:2] == (21, True)
    assert lines.look(20)["callback_errors"] == 2
    lines.unwatch(20)
    lines.unwatch(21)


def test_unwatched_pin_is_silent_and_can_be_watched_again(lines: Bench) -> None:
    lines.watch(20)
    lines.unwatch(20)
    lines.drive(20, False)
    assert lines.change(0.15) is None
    lines.drive(20, True)
    lines.watch(20)
    lines.drive(20, False)
    assert (lines.change() or ())[:2] == (20, True)
    lines.unwatch(20)


def test_pin_of_two_channels_is_refused_and_the_first_goes_on(lines: Bench) -> None:
    lines.watch(20)
    with pytest.raises(GpioError, match="BCM 20 is watched already"):
        lines.watch(20)
    lines.drive(20, False)
    assert (lines.change() or ())[:2] == (20, True)
    lines.unwatch(20)


def test_pin_that_does_not_exist_is_refused(lines: Bench) -> None:
    with pytest.raises(GpioError, match=r"BCM 54.*lines 0 to 53"):
        lines.watch(54)


def test_pin_held_by_another_program_names_the_holder(lines: Bench) -> None:
    lines.occupy(27, "fan-control")
    with pytest.raises(GpioError, match=r'BCM 27.*"fan-control"'):
        lines.watch(27)
