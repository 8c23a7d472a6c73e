"""What a long run is judged by: leaks, restarts, audio that was lost; and a short run of a whole gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hwtests.soak_report import Finding, Look, as_json, growth_a_day, judge, passed, render

REPOSITORY = Path(__file__).parents[2]
EVERY_S = 60.0


def good_run(hours: float = 24.0) -> list[Look]:
    """Two channels at 50 frames a second, 4 % of a core each, memory that wobbles by half a megabyte."""
    count = round(hours * 3600 / EVERY_S) + 1
    return [
        Look(
            at_s=number * EVERY_S,
            pid=100,
            healthy=True,
            channels=2,
            all_channels=2,
            frames=round(number * EVERY_S * 100),
            pss_mb=100 + number % 7 / 14,
            cpu_s=number * EVERY_S * 0.08,
            threads=30,
            fds=40 + number % 3,
            temperature_c=55.0,
            under_voltage=False,
            throttled=False,
        )
        for number in range(count)
    ]


def with_count(field: str, every_s: float, begin: int = 0) -> list[Look]:
    """A good run in which one figure grows by one every so often."""
    grown = [begin + int(look.at_s // every_s) for look in good_run()]
    return [Look(**(asdict(look) | {field: value})) for look, value in zip(good_run(), grown, strict=True)]


def failed(looks: list[Look]) -> list[str]:
    return [finding.what for finding in judge(looks) if finding.ok is False]


def found(looks: list[Look], what: str) -> Finding:
    return next(finding for finding in judge(looks) if finding.what == what)


def test_quiet_day_passes_and_says_its_figures() -> None:
    looks = good_run()
    assert failed(looks) == []
    assert passed(judge(looks))
    assert found(looks, "CPU of one core").found == "8.0 %, 4.0 % a channel"
    assert found(looks, "captured frames that are missing").found == "0.00% of 8640000"
    page = render(looks, judge(looks), "the service")
    assert "| channels whose card was there all the time | 2 of 2 |" in page
    assert "passed: 24.00 h, 1441 looks." in page
    assert len([line for line in page.splitlines() if line.startswith("| ")]) < 45


@pytest.mark.parametrize("mb_a_day", [12.0, 100.0])
def test_leak_is_found_whatever_the_memory_took_at_the_start(mb_a_day: float) -> None:
    """30 MB are taken up in the first hour, which is no leak."""
    looks = [replace(look, pss_mb=look.pss_mb + min(30.0, look.at_s / 120)) for look in good_run()]
    assert failed(looks) == []
    leaking = [replace(look, pss_mb=look.pss_mb + look.at_s / 86_400 * mb_a_day) for look in looks]
    assert failed(leaking) == ["memory (PSS)"]


def test_short_run_is_not_called_a_leak() -> None:
    looks = [replace(look, pss_mb=50 + look.at_s / 10) for look in good_run(0.5)]
    assert failed(looks) == []
    assert found(looks, "memory (PSS)").ok is None


@pytest.mark.parametrize(("field", "what"), [("fds", "open files"), ("threads", "threads")])
def test_what_is_opened_and_never_closed_is_found(field: str, what: str) -> None:
    assert failed(with_count(field, 3600, begin=30)) == [what]


@pytest.mark.parametrize("field", ["overruns", "underruns"])
def test_one_lost_frame_an_hour_is_let_pass_and_two_are_not(field: str) -> None:
    assert failed(with_count(field, 3600)) == []
    assert failed(with_count(field, 1800)) == [field]


def test_restart_is_found_and_its_counters_begin_anew() -> None:
    looks = good_run()
    for number in range(700, len(looks)):
        first = looks[700]
        looks[number] = replace(
            looks[number],
            pid=200,
            frames=looks[number].frames - first.frames if number > 700 else 0,
            cpu_s=(looks[number].at_s - 700 * EVERY_S) * 0.08,
        )
    assert failed(looks) == ["restarts"]
    assert found(looks, "CPU of one core").found.startswith("8.0 %")


def test_gateway_that_hangs_and_channel_that_is_away_are_found() -> None:
    looks = good_run(2.0)
    looks[5] = Look(looks[5].at_s, None)
    looks[9] = replace(looks[9], away=("fire-tac",))
    looks[11] = replace(looks[11], healthy=False)
    assert failed(looks) == [
        "looks at which it said nothing",
        "looks at which it was not healthy",
        "channels that were away",
    ]
    assert found(looks, "channels that were away").found == "fire-tac"


def test_card_that_gives_too_little_is_found_and_a_slow_clock_is_not() -> None:
    slow = [replace(look, frames=round(look.frames * (1 - 300e-6))) for look in good_run()]
    assert failed(slow) == []
    poor = [replace(look, frames=round(look.frames * 0.99)) for look in good_run()]
    assert failed(poor) == ["captured frames that are missing"]


def test_machine_that_is_hot_and_badly_fed_is_found() -> None:
    looks = good_run(2.0)
    looks[30] = replace(looks[30], temperature_c=81.0, under_voltage=True, throttled=True)
    assert failed(looks) == ["temperature", "under-voltage", "throttled"]


def test_machine_without_sensors_says_nothing_of_them() -> None:
    looks = [replace(one, temperature_c=None, under_voltage=None, throttled=None) for one in good_run(2.0)]
    assert not {"temperature", "under-voltage", "throttled"} & {one.what for one in judge(looks)}
    assert json.loads(as_json(looks, judge(looks)))["looks"][3]["at_s"] == 180.0


def test_one_look_is_no_run() -> None:
    with pytest.raises(ValueError, match="two looks"):
        judge(good_run()[:1])


def test_slope_is_that_of_the_line() -> None:
    assert growth_a_day([(0.0, 5.0), (3600.0, 6.0), (7200.0, 7.0)]) == pytest.approx(24.0)
    assert growth_a_day([(0.0, 5.0)]) == 0.0


def test_short_run_of_a_whole_gateway_has_a_report(tmp_path: Path) -> None:
    report = tmp_path / "soak.md"
    command = [
        sys.executable,
        "-m",
        "hwtests.soak",
        "--simulate",
        "all",
        "--hours",
        "0.0008",
        "--every",
        "0.5",
    ]
    done = subprocess.run(
        [*command, "--report", str(report)],
        cwd=REPOSITORY,
        env=os.environ | {"ECHOSTREAM_KERNEL": "/nonexistent:/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # a machine that is busy with other tests may lose a frame
    page = report.read_text("utf-8")
    assert done.stdout == page
    assert "# Soak: 2 channels of its own" in page
    assert "| restarts | 0 | 0 | ok |" in page
    document = json.loads(report.with_suffix(".json").read_text("utf-8"))
    first, last = document["looks"][0], document["looks"][-1]
    assert last["frames"] > first["frames"]
    assert last["pid"] == first["pid"]
    assert 20 < last["pss_mb"] < 400
    assert last["threads"] > 5
