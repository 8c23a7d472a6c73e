"""A stranger learns a plan by listening: groups, standard tones, definitions that hear what was heard."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echostream.cli import main
from echostream.simulator import learn_command
from echostream.tone_tools import definitions
from echostream.tone_tools.learning import Learner, proposal, proposals, standard
from echostream.tones import generator
from echostream.tones.generator import Part
from echostream.tones.heard import Detection, Kind, NearMiss, ToneSpan
from echostream.tones.plan import TwoTone
from echostream.tones.tables import quick_call_pairs


def page(a_hz: float, b_hz: float, at: int = 0, a_s: float = 1.0, b_s: float = 3.0) -> Detection:
    a = ToneSpan(a_hz, at, at + int(8000 * a_s), -15.0, 20.0)
    b = ToneSpan(b_hz, a.end, a.end + int(8000 * b_s), -15.0, 20.0)
    return Detection(Kind.NEW_TONES, "", a.start, b.end, b.end, (a, b))


def call(digits: str, kind: Kind = Kind.DTMF, system: str = "dtmf") -> Detection:
    return Detection(kind, "", 0, 8000, 8000, (), digits=digits, system=system)


def learn(*found: Detection | NearMiss) -> Learner:
    learner = Learner()
    for each in found:
        learner.take(each)
    return learner


def test_one_page_heard_three_times_is_one_definition() -> None:
    learner = learn(page(349.2, 434.0), page(348.1, 432.9), page(350.0, 434.5), page(600.9, 788.5))
    first, second = learner.learned()
    assert (first.times, second.times) == (3, 1)
    tone = proposal(first)
    assert (tone.tone_id, tone.tone_a_hz, tone.tone_b_hz) == ("page-349.0-433.7", 349.0, 433.7)
    assert (tone.tone_a_length_s, tone.tone_b_length_s) == (0.8, 2.0)


def test_pages_40_hz_apart_stay_two() -> None:
    assert len(learn(page(349.0, 410.8), page(349.0, 433.7)).learned()) == 2


@pytest.mark.parametrize("pair", quick_call_pairs()[::37])
def test_every_standard_page_is_named_by_its_tones(pair: object) -> None:
    assert hasattr(pair, "a_hz")
    assert hasattr(pair, "b_hz")
    tone = proposal(learn(page(pair.a_hz * 1.006, pair.b_hz * 0.994)).learned()[0])
    assert (tone.tone_a_hz, tone.tone_b_hz) == (pair.a_hz, pair.b_hz)
    assert abs(pair.a_hz * 1.006 - pair.a_hz) <= tone.tone_a_range_hz


def test_a_tone_of_no_table_stays_what_was_measured() -> None:
    assert standard(2750.0) is None
    tone = proposal(learn(page(2750.04, 2900.0)).learned()[0])
    assert (tone.tone_a_hz, tone.tone_b_hz) == (2750.0, 2900.0)


def test_calls_become_definitions_and_single_digits_do_not() -> None:
    learner = learn(call("12345"), call("12"), call("12345", Kind.FIVE_TONE, "zvei1"))
    made = [(tone.kind, tone.digits, tone.system) for tone in proposals(learner)]
    assert sorted(made, key=str) == [("dtmf", "12345", None), ("five_tone", "12345", "zvei1")]


def test_what_is_defined_already_is_counted_and_not_proposed() -> None:
    known = Detection(Kind.TWO_TONE, "engine-7", 0, 1, 1)
    learner = learn(known, known, NearMiss(Kind.TWO_TONE, "x", 0, 1, "b_too_short", ""))
    assert (learner.known, list(proposals(learner))) == ({"engine-7": 2}, [])


def test_ids_are_told_apart() -> None:
    """Two groups can be named alike: one a little off the other."""
    learner = learn(page(349.0, 433.7), page(349.0 * 1.009, 433.7))
    ids = [tone.tone_id for tone in proposals(learner)]
    assert len(set(ids)) == len(ids) == 2


def test_years_of_listening_need_no_more_memory() -> None:
    learner = Learner(most=10, most_hearings=5)
    for at in range(60):
        learner.take(page(300.0 + 20 * at, 2000.0))
        learner.take(page(500.0, 700.0))
    assert len(learner.learned()) <= 10
    assert learner.learned()[0].times == 5


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """Two recordings with three pages, two of them alike, off by half a percent, in noise."""
    rng = np.random.default_rng(5)
    paths = []
    for number, pairs in enumerate([[(349.0, 433.7), (707.3, 928.1)], [(349.0, 433.7)]]):
        parts = [Part(1.0)]
        for a_hz, b_hz in pairs:
            parts += [*generator.two_tone(TwoTone("", a_hz * 1.005, b_hz * 1.005)), Part(1.5)]
        sound = generator.render(parts, 16000, -12.0)
        path = tmp_path / f"{number}.flac"
        soundfile.write(str(path), sound + rng.normal(scale=0.03, size=sound.size), 16000)
        paths.append(path)
    return paths


def test_what_was_learned_is_heard_next_time(
    recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    assert main(["tones", "learn", "-o", str(plan), *map(str, recordings)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split()[:3] == ["2", "x", "page-349.0-433.7"]
    assert "quick call 1-1" in told[0]
    assert len(definitions.from_file(plan).tones) == 2
    assert main(["tones", "detect", "--json", "--definitions", str(plan), *map(str, recordings)]) == 0
    found = [json.loads(line)["tone_id"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(found) == ["page-349.0-433.7", "page-349.0-433.7", "page-707.3-928.1"]
    assert main(["tones", "learn", "--json", "--known", str(plan), *map(str, recordings)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["alert_tones"] == []


def test_a_recording_that_cannot_be_read_costs_only_itself(
    recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    assert main(["tones", "learn", "--json", str(broken), str(recordings[1])]) == 2
    told = capsys.readouterr()
    learned = json.loads(told.out)
    assert [each["times"] for each in learned["learned"]] == [1]
    assert "broken.wav" in told.err


def test_the_quick_check_hears_its_pages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tones", "bench", "--pages", "1", "--json", "--seed", "4"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["snr_db"] for row in rows] == [20, 10, 5, 0, -5, -10, -14]
    assert all(row["heard"] == 1 for row in rows if row["snr_db"] >= -5)
    assert main(["tones", "bench", "--pages", "1"]) == 0
    assert "make bench-tones" in capsys.readouterr().out


def test_an_ear_that_trips_over_a_bug_does_not_hold_up_the_command_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def feed(self, samples: object) -> list[object]:
            raise RuntimeError("a bug")

    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    monkeypatch.setattr(learn_command, "_QUEUE_FRAMES", 3)
    ear = learn_command.LearningEar(Broken(), Learner())  # type: ignore[arg-type]
    began_s = time.monotonic()
    with ear:
        while not told:
            ear.hear(np.zeros(960, np.int16))
            time.sleep(0.005)
        for _ in range(10):
            ear.hear(np.zeros(960, np.int16))
    assert time.monotonic() - began_s < 3.0
