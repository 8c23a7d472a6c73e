"""One rule and one source: values at the edge, flapping, unknown values, sleepers, acknowledgements."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.alerts.conditions import Sight
from echostream.alerts.rules import (
    FLAPS_WITHIN_S,
    QUIET,
    Moment,
    Saying,
    State,
    Watch,
    acknowledge,
    clear_of,
    idle,
    step,
    threshold_of,
)
from echostream.config.alert_conditions import LIMITS
from echostream.config.alert_models import AlertRule, Escalation

RAISED, RECOVERED = State.RAISED, State.RECOVERED
AWAKE = frozenset({"chief", "desk"})


def rule(on: str = "temperature", /, **settings: object) -> AlertRule:
    return AlertRule.model_validate({"name": "r", "on": on, "targets": ("chief",), **settings})


class Story:
    """Values at given seconds, and what was said when."""

    def __init__(self, wanted: AlertRule) -> None:
        self.rule = wanted
        self.watch: Watch = QUIET
        self.said: list[tuple[float, Saying]] = []

    def at(
        self,
        now_s: float,
        value: float | None,
        awake: frozenset[str] = AWAKE,
        watching: bool = True,
        held: bool = False,
    ) -> None:
        moment = Moment(now_s, round(now_s * 1e6), awake, watching, held)
        number = 1 + sum(1 for _, saying in self.said if saying.state is RAISED)
        self.watch, sayings = step(self.rule, self.watch, Sight("s", value), moment, number)
        self.said += [(now_s, saying) for saying in sayings]

    def every_second(self, values: Iterable[float | None], begins_s: float = 0.0) -> None:
        for second, value in enumerate(values):
            self.at(begins_s + second, value)

    def acknowledge(self, now_s: float) -> list[Saying]:
        assert self.watch.incident is not None
        moment = Moment(now_s, round(now_s * 1e6), AWAKE)
        incident, sayings = acknowledge(self.watch.incident, "anna", moment)
        self.watch = Watch(incident=incident)
        return sayings

    @property
    def states(self) -> list[tuple[float, State]]:
        return [(now_s, saying.state) for now_s, saying in self.said]

    @property
    def told(self) -> list[tuple[State, tuple[str, ...]]]:
        return [(saying.state, saying.targets) for _, saying in self.said]


def test_it_is_raised_when_it_has_held_long_enough_and_over_below_its_clear() -> None:
    story = Story(rule(threshold=80, clear=75, for_s=10))
    story.every_second([81.0] * 20 + [78.0] * 60 + [74.0] * 60)
    calm_s = LIMITS["temperature"].calm_s
    assert story.states == [(10.0, RAISED), (80.0 + calm_s, RECOVERED)]


def test_a_dip_begins_the_time_anew_and_the_threshold_itself_counts() -> None:
    story = Story(rule(threshold=80, for_s=10))
    story.every_second([80.0] * 9 + [79.9] + [80.0] * 11)
    assert story.states == [(20.0, RAISED)]


def test_less_is_worse_where_time_runs_out() -> None:
    story = Story(rule("disk", threshold=24, for_s=0))
    assert clear_of(story.rule) == 48.0
    story.every_second([math.inf, 30.0, 24.0] + [47.0] * 100 + [48.0] * 100)
    assert story.states == [(2.0, RAISED), (103.0 + LIMITS["disk"].calm_s, RECOVERED)]
    assert story.said[0][1].incident.value == 24.0


def test_it_is_told_within_a_second_where_nothing_has_to_hold() -> None:
    story = Story(rule("under_voltage"))
    story.every_second([0.0, 1.0])
    assert story.states == [(1.0, RAISED)]


def test_nobody_knows_is_neither_raised_nor_over() -> None:
    story = Story(rule(for_s=5))
    story.every_second([None] * 10 + [90.0] * 3 + [None] + [90.0] * 5)
    assert not story.said
    story.every_second([90.0], 20.0)
    story.every_second([None] * 200, 21.0)
    assert story.states == [(20.0, RAISED)]


def test_what_comes_and_goes_is_ever_fewer_messages() -> None:
    story = Story(rule("device_gone", for_s=30))
    for second in range(0, 7200, 120):
        story.every_second([1.0] * 60 + [0.0] * 60, float(second))
    raised = sum(1 for _, state in story.states if state is RAISED)
    assert 2 <= raised <= 5
    assert len(story.states) <= 10


def test_one_that_was_steady_for_long_is_told_as_before() -> None:
    story = Story(rule("device_gone", for_s=0))
    story.every_second([1.0] + [0.0] * 20)
    later = 20.0 + FLAPS_WITHIN_S + 60.0
    story.every_second([0.0], later)
    assert idle(story.watch, later)
    story.watch = QUIET  # as whoever keeps it does
    story.every_second([1.0] + [0.0] * 20, later + 1.0)
    assert [state for _, state in story.states] == [RAISED, RECOVERED] * 2


def test_what_is_well_is_not_remembered_but_for_what_has_just_ended() -> None:
    story = Story(rule(for_s=10))
    story.every_second([90.0, 70.0])
    assert idle(story.watch, 2.0)
    story.every_second([90.0] * 12, 10.0)
    assert not idle(story.watch, 21.0)
    story.every_second([70.0] * 40, 22.0)
    assert [state for _, state in story.states] == [RAISED, RECOVERED]
    assert not idle(story.watch, 62.0)
    assert idle(story.watch, 62.0 + FLAPS_WITHIN_S)


def test_clipping_is_an_average_so_that_peaks_of_speech_are_enough() -> None:
    story = Story(rule("clipping"))
    story.every_second([0.0, 0.0, 8.0, 0.0, 6.0])
    assert story.states == [(2.0, RAISED)]
    story.every_second([0.0] * 40, 5.0)
    assert [state for _, state in story.states] == [RAISED, RECOVERED]
    quiet = Story(rule("clipping"))
    quiet.every_second([0.5, 0.4, 0.9] * 50)
    assert not quiet.said


def test_escalation_repeats_and_acknowledgement() -> None:
    wanted = rule(
        "server_gone",
        for_s=0,
        repeat_min=1,
        escalate=(
            Escalation(after_min=5, targets=("desk",)),
            Escalation(after_min=2, targets=("desk", "chief")),
        ),
    )
    story = Story(wanted)
    story.every_second([1.0] * 310)
    assert story.told[0] == (RAISED, ("chief",))
    escalated = [entry for entry in story.states if entry[1] is State.ESCALATED]
    assert [now_s for now_s, _ in escalated] == [120.0, 300.0]
    repeated = [now_s for now_s, state in story.states if state is State.REPEATED]
    assert repeated == [60.0, 180.0, 240.0]
    assert [saying.targets for saying in story.acknowledge(310.0)] == [("chief", "desk")]
    assert not story.acknowledge(311.0)
    count = len(story.said)
    story.every_second([1.0] * 1000, 312.0)
    assert len(story.said) == count
    story.every_second([0.0] * 20, 1312.0)
    assert story.told[-1] == (RECOVERED, ("chief", "desk"))


def test_outside_its_schedule_a_rule_raises_nothing_and_what_is_open_ends() -> None:
    story = Story(rule("server_gone", for_s=5))
    for second in range(20):
        story.at(float(second), 1.0, watching=False)
    assert not story.said
    for second in range(20, 30):
        story.at(float(second), 1.0)
    assert story.states == [(25.0, RAISED)]
    for second in range(30, 50):
        story.at(float(second), 0.0, watching=False)
    assert [state for _, state in story.states] == [RAISED, RECOVERED]


def test_who_sleeps_is_told_when_it_is_their_time_if_it_still_holds() -> None:
    story = Story(rule("server_gone", for_s=0, targets=("chief", "desk")))
    story.at(0.0, 1.0, awake=frozenset({"desk"}))
    story.at(1.0, 1.0, awake=frozenset({"desk"}))
    story.at(2.0, 1.0)
    story.at(3.0, 1.0)
    assert story.told == [(RAISED, ("desk",)), (State.REPEATED, ("chief",))]


def test_in_maintenance_nobody_is_told_and_afterwards_of_what_still_holds() -> None:
    wanted = rule("server_gone", for_s=0, escalate=(Escalation(after_min=1, targets=("desk",)),))
    story = Story(wanted)
    for second in range(300):
        story.at(float(second), 1.0, held=True)
    assert story.told == [(RAISED, ())]
    for second in range(300, 400):
        story.at(float(second), 1.0)
    assert story.told[1:] == [(State.REPEATED, ("chief",)), (State.ESCALATED, ("desk",))]
    assert story.states[2][0] == 360.0
    over = Story(wanted)
    over.at(0.0, 1.0, held=True)
    for second in range(1, 20):
        over.at(float(second), 0.0, held=second < 5)
    assert [targets for _, targets in over.told] == [(), ()]


@pytest.mark.parametrize("on", [name for name, limits in LIMITS.items() if not limits.event])
def test_the_limits_of_each_condition_leave_room_between_them(on: str) -> None:
    wanted = rule(on)
    if LIMITS[on].below:
        assert clear_of(wanted) > threshold_of(wanted)
    else:
        assert clear_of(wanted) < threshold_of(wanted)


@given(st.floats(1e-3, 1e6), st.sampled_from(["temperature", "disk", "silence", "upload_lag"]))
def test_a_threshold_of_ones_own_keeps_a_clear_on_its_right_side(threshold: float, on: str) -> None:
    wanted = rule(on, threshold=threshold)
    assert clear_of(wanted) >= threshold if LIMITS[on].below else clear_of(wanted) <= threshold


@given(
    st.lists(st.tuples(st.sampled_from([None, 70.0, 77.0, 80.0, 95.0]), st.booleans()), max_size=300),
    st.sampled_from([{}, {"repeat_min": 1.0}, {"for_s": 0}, {"recovery": False}]),
)
def test_raised_and_recovered_take_turns_and_nobody_hears_of_an_end_without_a_beginning(
    values: list[tuple[float | None, bool]], settings: dict[str, object]
) -> None:
    story = Story(rule("temperature", **settings))
    for second, (value, asleep) in enumerate(values):
        story.at(float(second), value, awake=frozenset() if asleep else AWAKE)
    turns = [state for _, state in story.states if state in (RAISED, RECOVERED)]
    assert turns == [RAISED, RECOVERED] * (len(turns) // 2) + [RAISED] * (len(turns) % 2)
    knows: set[str] = set()
    for saying in (saying for _, saying in story.said):
        if saying.state is RECOVERED:
            assert set(saying.targets) <= knows
            knows.clear()
        else:
            knows |= set(saying.targets)
