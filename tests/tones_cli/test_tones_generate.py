"""Generated files are what was asked for, and the ear hears them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tone_files import CONFIG_TONES

from echostream.cli import main
from echostream.tone_tools.tables_shown import PAIRS, QUICK_CALL
from echostream.tones.tables import FIVE_TONE


def heard(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["tones", "detect", "--json", *options, str(path)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", ["page.wav", "page.flac", "page.ogg", "page.mp3"])
@pytest.mark.parametrize("rate", ["16000", "48000"])
def test_a_two_tone_page_in_any_format(
    name: str, rate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert main(["tones", "generate", "two-tone", "349.0", "433.7", "--rate", rate, "-o", str(path)]) == 0
    assert soundfile.info(str(path)).samplerate == int(rate)
    (page,) = [found for found in heard(path, capsys) if found["type"] == "new_tones"]
    assert page["tone_a_hz"] == pytest.approx(349.0, abs=0.1)
    assert page["tone_a_length_s"] == pytest.approx(1.0, abs=0.05)
    assert page["tone_b_length_s"] == pytest.approx(3.0, abs=0.05)


def test_lengths_gap_and_level_are_as_said(tmp_path: Path) -> None:
    path = tmp_path / "page.wav"
    options = [
        "--a",
        "0.4",
        "--b",
        "0.6",
        "--gap",
        "0.25",
        "--level",
        "-20",
        "--rate",
        "8000",
        "-o",
        str(path),
    ]
    assert main(["tones", "generate", "two-tone", "349.0", "433.7", *options]) == 0
    sound, rate = soundfile.read(str(path))
    sounding = np.flatnonzero(np.abs(sound) > 0.001)
    assert sound.size / rate == pytest.approx(0.5 + 0.4 + 0.25 + 0.6 + 0.5, abs=1e-3)
    assert (sounding[-1] - sounding[0]) / rate == pytest.approx(1.25, abs=0.01)
    assert np.abs(sound).max() == pytest.approx(0.1, abs=0.001)


@pytest.mark.parametrize("digits", ["123", "*0#", "ABCD", "5550199"])
def test_dtmf(digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dtmf.wav"
    assert main(["tones", "generate", "dtmf", digits, "-o", str(path)]) == 0
    assert [found["digits"] for found in heard(path, capsys) if found["type"] == "dtmf"] == [digits]


@pytest.mark.parametrize("system", ["zvei1", "ccir", "eia"])
def test_five_tone_through_a_pipe_of_noise(system: str) -> None:
    command = [sys.executable, "-m", "echostream", "tones"]
    with subprocess.Popen(
        [*command, "generate", "five-tone", system, "12334", "--noise", "10"], stdout=subprocess.PIPE
    ) as source:
        done = subprocess.run(
            [*command, "detect", "--json", "-"],
            stdin=source.stdout,
            capture_output=True,
            timeout=60,
            check=True,
        )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert ("five_tone", "12334") in [(each["type"], each["digits"]) for each in found]


def test_a_page_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, path = tmp_path / "plan.json", tmp_path / "page.wav"
    plan.write_text(json.dumps(CONFIG_TONES))
    options = ["--definitions", str(plan)]
    assert main(["tones", "generate", "page", "ladder-2", *options, "-o", str(path)]) == 0
    assert [found["tone_id"] for found in heard(path, capsys, *options)] == ["ladder-2"]
    assert main(["tones", "generate", "page", "lader-2", *options, "-o", str(path)]) == 2
    assert 'did you mean "ladder-2"?' in capsys.readouterr().err


def test_noise_is_as_strong_as_asked_for(tmp_path: Path) -> None:
    clean, noisy = tmp_path / "clean.wav", tmp_path / "noisy.wav"
    page = ["tones", "generate", "long", "1000", "--a", "4", "--level", "-20", "--rate", "16000"]
    assert main([*page, "-o", str(clean)]) == 0
    assert main([*page, "--noise", "6", "--seed", "3", "-o", str(noisy)]) == 0
    tone, noise = soundfile.read(str(clean))[0], soundfile.read(str(noisy))[0] - soundfile.read(str(clean))[0]
    power = np.sum(tone**2) / (4 * 16000)
    assert 10 * np.log10(power / np.mean(noise**2)) == pytest.approx(6.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum[spectrum.size * 9 // 16 :].sum() < 1e-3 * spectrum.sum(), "noise above 4 kHz"


def test_noise_that_would_clip_turns_all_of_it_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loud.wav"
    assert main(["tones", "generate", "long", "1000", "--a", "1", "--noise", "-20", "-o", str(path)]) == 0
    assert "turned down" in capsys.readouterr().err
    assert np.abs(soundfile.read(str(path))[0]).max() < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["dtmf", "12x"],
        ["five-tone", "zvei9", "12345"],
        ["five-tone", "zvei1", "12*"],
        ["at-once", "349", "433", "500"],
        ["page", "engine-7"],
        ["two-tone", "349", "433", "-o", "page.xyz"],
        ["two-tone", "349", "433", "-o", "/nowhere/page.wav"],
        ["two-tone", "349", "4000", "--rate", "6000", "-o", "page.wav"],
    ],
)
def test_what_cannot_be_made_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tones", "generate", *arguments]) == 2
    assert capsys.readouterr().err.startswith("echostream tones: ")


@pytest.mark.parametrize(
    "arguments", [["two-tone", "349", "x"], ["dtmf", "1", "--rate", "1"], ["nothing"], []]
)
def test_a_call_that_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tones", "generate", *arguments])
    assert ended.value.code == 2


# ---- list


def test_every_table_is_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tones", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
    assert {QUICK_CALL, PAIRS, "dtmf", "ctcss", "single", *FIVE_TONE} == set(names)
    for name in names:
        assert main(["tones", "list", name]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 2
        assert main(["tones", "list", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


def test_an_unknown_table_has_a_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tones", "list", "quickcall"]) == 2
    assert 'did you mean "quick-call"?' in capsys.readouterr().err
