"""A new version is kept when it is as good as the one before, else left, whatever dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from deployed import Machine

from echostream.deploy import trial, versions
from echostream.deploy.layout import DeployError
from echostream.deploy.trial_file import GO_BACK, JUDGE, history, read_trial, write_trial
from echostream.service.health import ChannelHealth, Health, LinkHealth

QUICK = (0.6, 0.05)
"""within_s, hold_s"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.tree("2")
    return made


def try_it(machine: Machine, new: str = "2") -> str:
    began = trial.begin(machine.layout, machine.services, new, *QUICK)
    assert began is not None
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert read_trial(machine.layout) is None
    assert history(machine.layout)[-1] == ended
    return ended.outcome


def test_as_good_as_before_is_kept(machine: Machine) -> None:
    assert try_it(machine) == "confirmed"
    assert (versions.current(machine.layout), versions.previous(machine.layout)) == ("2", "1")
    assert machine.unit_text() == "# of 2\n"
    assert "restart echostream.service" in machine.services.asked


Spoil = Callable[[Health], Health | None]
SPOILED: dict[str, Spoil] = {
    "says nothing": lambda _: None,
    "is not ready": lambda one: replace(one, ready=False),
    "is not healthy": lambda one: replace(one, healthy=False, why=("no frame moves",)),
    "lost a channel": lambda one: replace(one, channels={"spare": ChannelHealth()}),
    "has a channel offline": lambda one: replace(one, channels={"ops": ChannelHealth(False, True)}),
    "does not find the card": lambda one: replace(one, channels={"ops": ChannelHealth(True, False)}),
    "does not reach the server": lambda one: replace(one, links={"server": LinkHealth(False, "refused")}),
    "hangs": lambda one: replace(one, at_boot_s=one.at_boot_s - 60),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_worse_is_left_and_says_why(machine: Machine, how: str) -> None:
    machine.services.behaviour["2"] = SPOILED[how]
    assert try_it(machine) == "went back"
    assert versions.current(machine.layout) == "1"
    assert machine.unit_text() == "# of 1\n", "the units of the version that runs"
    assert machine.services.asked.count("restart echostream.service") == 2
    why = history(machine.layout)[-1].why
    assert "within 1 s" in why, why


def test_what_was_away_before_is_not_asked_for(machine: Machine) -> None:
    machine.services.behaviour["2"] = lambda one: replace(
        one, channels={"ops": ChannelHealth(True, True)} | {"spare": ChannelHealth(False, False)}
    )
    assert try_it(machine) == "confirmed"


def test_a_gateway_that_ends_again_and_again_is_left_at_once(machine: Machine) -> None:
    machine.services.behaviour["2"] = lambda _: None
    began = trial.begin(machine.layout, machine.services, "2", 60.0, 0.05)
    assert began is not None
    original = machine.services.restart_soon

    def restart_soon(units: list[str]) -> None:
        original(units)
        machine.services.restarted["echostream.service"] = trial.MOST_RESTARTS

    machine.services.restart_soon = restart_soon  # type: ignore[method-assign, assignment]
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert ended.outcome == "went back"
    assert "has ended 5 times" in ended.why


def test_all_gateways_of_the_machine_are_watched(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, ("echostream.service", "echostream@north.service", "echostream-ptt-guard.service")
    )
    machine.tree("2")
    machine.services.behaviour["2"] = lambda one: one if one.instance == "echostream" else None
    assert try_it(machine) == "went back"
    assert "echostream@north.service" in history(machine.layout)[-1].why
    order = "restart echostream-ptt-guard.service echostream.service echostream@north.service"
    assert order in machine.services.asked


def test_where_no_gateway_runs_nothing_is_started(tmp_path: Path) -> None:
    machine = Machine(tmp_path, running=())
    machine.tree("2")
    assert try_it(machine) == "confirmed"
    assert not [one for one in machine.services.asked if one.startswith("restart")]


def test_the_first_version_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.tree("2")
    machine.layout.current.unlink()
    assert trial.begin(machine.layout, machine.services, "2") is None
    assert versions.current(machine.layout) == "2"
    assert not machine.layout.trial_file.exists()


@pytest.mark.parametrize("phase", ["switch", "watch"])
@pytest.mark.parametrize("good", [True, False])
def test_who_goes_on_after_a_kill_ends_it(machine: Machine, phase: str, good: bool) -> None:
    began = trial.begin(machine.layout, machine.services, "2", *QUICK)
    assert began is not None
    if not good:
        machine.services.behaviour["2"] = lambda _: None
    if phase == "watch":  # killed after it had switched; the machine was started again
        versions.switch(machine.layout, "2")
        versions.set_previous(machine.layout, "1")
        machine.services.restart_soon(["echostream.service"])
        write_trial(machine.layout, replace(began, phase="watch", resumed=1))
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert ended.outcome == ("confirmed" if good else "went back")
    assert versions.current(machine.layout) == ("2" if good else "1")


def test_one_that_takes_the_machine_down_again_and_again_is_left(machine: Machine) -> None:
    began = trial.begin(machine.layout, machine.services, "2", *QUICK)
    assert began is not None
    write_trial(machine.layout, replace(began, resumed=trial.MOST_RESUMED))
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert (ended.outcome, versions.current(machine.layout)) == ("went back", "1")


def stop_later(stop: threading.Event) -> None:
    threading.Event().wait(0.2)
    stop.set()


def test_a_stop_leaves_the_trial_for_later(machine: Machine) -> None:
    trial.begin(machine.layout, machine.services, "2", 60.0, 30.0)
    stops = threading.Thread(target=stop_later, args=(machine.stop,), name="stops")
    stops.start()
    assert trial.carry_on(machine.layout, machine.services, machine.stop) is None
    stops.join()
    found = read_trial(machine.layout)
    assert found is not None
    assert (found.phase, found.resumed) == ("watch", 1)


def test_switching_that_fails_goes_back(machine: Machine) -> None:
    trial.begin(machine.layout, machine.services, "2", *QUICK)
    machine.services.refuse = "restart"
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert (ended.outcome, versions.current(machine.layout)) == ("went back", "1")
    assert "refused" in ended.why


def test_rolled_back_by_hand_and_forth_again(machine: Machine) -> None:
    try_it(machine)
    for wanted, other in (("1", "2"), ("2", "1")):
        trial.begin_going_back(machine.layout, machine.services, "cli:ann")
        ended = trial.carry_on(machine.layout, machine.services, machine.stop)
        assert ended is not None
        assert (ended.outcome, ended.why) == ("rolled back", "cli:ann asked for it")
        assert (versions.current(machine.layout), versions.previous(machine.layout)) == (wanted, other)
        assert machine.unit_text() == f"# of {wanted}\n"


def test_going_back_may_be_asked_for_during_a_trial(machine: Machine) -> None:
    trial.begin(machine.layout, machine.services, "2", 60.0, 30.0)
    trial.begin_going_back(machine.layout, machine.services, "cli:ann")
    ended = trial.carry_on(machine.layout, machine.services, machine.stop)
    assert ended is not None
    assert (ended.outcome, versions.current(machine.layout)) == ("rolled back", "1")
    assert not (machine.layout.home / GO_BACK).exists()


def test_nothing_to_go_back_to_is_said(machine: Machine) -> None:
    with pytest.raises(DeployError, match="no version before"):
        trial.begin_going_back(machine.layout, machine.services, "cli:ann")


def test_a_second_trial_is_refused(machine: Machine) -> None:
    trial.begin(machine.layout, machine.services, "2", *QUICK)
    machine.tree("3")
    with pytest.raises(DeployError, match="on trial already"):
        trial.begin(machine.layout, machine.services, "3")


def test_a_trial_file_that_does_not_read_ends_the_trial(machine: Machine) -> None:
    for rubbish in ("", "{", "[]", '{"phase": "on"}', '{"phase": "back", "new": "../../x", "old": "1"}'):
        machine.layout.trial_file.write_text(rubbish)
        with pytest.raises(DeployError, match="does not read"):
            trial.carry_on(machine.layout, machine.services, machine.stop)
        assert not machine.layout.trial_file.exists()
        assert versions.current(machine.layout) == "1"


def test_only_the_last_two_stay(machine: Machine) -> None:
    try_it(machine)
    machine.tree("3")
    (machine.layout.versions / versions.COMING).mkdir()
    assert try_it(machine, "3") == "confirmed"
    assert sorted(path.name for path in machine.layout.versions.iterdir()) == ["2", "3"]


def test_one_that_was_left_stays_until_the_next(machine: Machine) -> None:
    machine.services.behaviour["2"] = lambda _: None
    assert try_it(machine) == "went back"
    assert {one.release.id for one in versions.versions(machine.layout)} == {"1", "2"}
    machine.tree("3")
    assert try_it(machine, "3") == "confirmed"
    assert {one.release.id for one in versions.versions(machine.layout)} == {"1", "3"}


def test_the_version_that_works_judges(machine: Machine) -> None:
    trial.begin(machine.layout, machine.services, "2", *QUICK)
    assert (machine.layout.home / JUDGE).resolve() == machine.layout.tree("1").path.resolve()


def test_the_units_that_judge_are_those_of_the_version_that_works(machine: Machine) -> None:
    for version_id in ("1", "2"):
        (machine.layout.tree(version_id).units / "echostream-trial.service").write_text(f"# {version_id}\n")
    unit = machine.layout.below("/etc/systemd/system/echostream-trial.service")
    seen = set[str]()
    machine.services.behaviour["2"] = lambda one: seen.add(unit.read_text()) or one  # type: ignore[func-returns-value]
    assert try_it(machine) == "confirmed"
    assert seen == {"# 1\n"}, "while 2 is on trial"
    assert unit.read_text() == "# 2\n"


def test_two_at_a_time_are_refused(machine: Machine) -> None:
    with (
        versions.alone(machine.layout),
        pytest.raises(DeployError, match="under way"),
        versions.alone(machine.layout),
    ):
        pass
