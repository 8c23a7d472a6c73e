"""`echostream tones detect` as a person and as a machine see it."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tone_files import CONFIG_TONES, page_sound, wav_bytes, write_page

from echostream.cli import main
from echostream.console import progress
from echostream.tone_tools import detect as detect_module
from echostream.tone_tools.detect import DetectOptions, detect
from echostream.tones import generator
from echostream.tones.generator import Part
from echostream.tones.plan import TwoTone

KEYS = {
    *("file", "channel", "type", "tone_id", "start_s", "end_s", "decided_s", "digits", "system", "tones"),
    *("tone_a_hz", "tone_b_hz", "tone_a_length_s", "tone_b_length_s"),
    *("tone_a_deviation_hz", "tone_b_deviation_hz", "snr_db", "level_dbfs", "twist_db", "confidence"),
}


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(CONFIG_TONES))
    return path


def run(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "echostream", "tones", "detect", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def heard(options: DetectOptions) -> tuple[int, list[dict[str, object]], str]:
    out, err = io.StringIO(), io.StringIO()
    code = detect(options, out, err)
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def test_json_is_one_object_a_line_and_nothing_else(definitions: Path, tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.wav", 22050)
    broken = tmp_path / "notes.txt"
    broken.write_text("no sound")
    done = run("--definitions", definitions, "--json", broken, page, tmp_path / "missing.wav")
    (record,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert record.keys() >= KEYS
    assert (record["file"], record["type"], record["tone_id"]) == (str(page), "two_tone", "engine-7")
    assert record["start_s"] == pytest.approx(0.5, abs=0.02)
    assert record["tone_a_hz"] == pytest.approx(349.0, abs=0.1)
    assert record["tone_b_length_s"] == pytest.approx(2.4, abs=0.05)
    assert record["decided_s"] == pytest.approx(3.5, abs=0.2)
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 2
    assert b"notes.txt" in done.stderr
    assert b"missing.wav" in done.stderr


def test_a_broken_file_costs_only_itself(definitions: Path, tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.wav")
    empty = tmp_path / "empty.wav"
    empty.touch()
    options = DetectOptions((page, empty, page), definitions=definitions, as_json=True)
    code, records, err = heard(options)
    assert (code, len(records)) == (2, 2)
    assert "empty (0 bytes)" in err


def test_nothing_heard_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "quiet.wav"
    soundfile.write(str(path), np.zeros(16000), 8000)
    assert main(["tones", "detect", str(path)]) == 0
    assert "nothing heard" in capsys.readouterr().out


def test_without_definitions_unknown_pages_and_digits_are_heard(tmp_path: Path) -> None:
    parts = (
        Part(0.5),
        *generator.two_tone(TwoTone("", 707.3, 928.1)),
        Part(1.0),
        *generator.dtmf("123#"),
        Part(1.0),
    )
    path = tmp_path / "page.wav"
    soundfile.write(str(path), generator.render(parts, 16000), 16000)
    code, records, _ = heard(DetectOptions((path,), as_json=True))
    by_type = {str(record["type"]): record for record in records}
    assert code == 0
    assert by_type["new_tones"]["tone_b_hz"] == pytest.approx(928.1, abs=0.1)
    assert by_type["new_tones"]["tone_id"] == ""
    assert by_type["dtmf"]["digits"] == "123#"


def test_with_definitions_only_they_are_heard_unless_all_is_asked_for(
    definitions: Path, tmp_path: Path
) -> None:
    parts = (*generator.two_tone(TwoTone("", 707.3, 928.1)), Part(1.0), *generator.dtmf("123#"), Part(1.0))
    path = tmp_path / "other.wav"
    soundfile.write(str(path), generator.render(parts, 8000), 8000)
    assert heard(DetectOptions((path,), definitions=definitions, as_json=True))[1] == []
    everything = heard(DetectOptions((path,), definitions=definitions, as_json=True, everything=True))[1]
    assert {record["type"] for record in everything} == {"new_tones", "dtmf"}


def test_explain_says_why_a_page_was_none(definitions: Path, tmp_path: Path) -> None:
    parts = (Part(0.5), *generator.two_tone(TwoTone("", 349.0, 460.0)), Part(1.0))
    path = tmp_path / "off.wav"
    soundfile.write(str(path), generator.render(parts, 8000), 8000)
    wide = {"alert_tones": [{**CONFIG_TONES["alert_tones"][0], "tone_b_range_hz": 15}]}
    definitions.write_text(json.dumps(wide))
    code, records, _ = heard(DetectOptions((path,), definitions=definitions, as_json=True, explain=True))
    assert code == 0
    missed = [record for record in records if record["type"] == "near_miss"]
    assert missed, "a page whose B is 26 Hz off should be told"
    assert {"reason", "explanation", "kind"} <= missed[0].keys()
    assert missed[0]["tone_id"] == "engine-7"
    assert heard(DetectOptions((path,), definitions=definitions, as_json=True))[1] == []


def test_explain_says_that_b_was_too_short(definitions: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    parts = (Part(0.5), *generator.two_tone(TwoTone("", 600.9, 788.5), b_s=1.0), Part(1.0))
    soundfile.write(str(path), generator.render(parts, 8000), 8000)
    _, records, _ = heard(DetectOptions((path,), definitions=definitions, as_json=True, explain=True))
    assert [(record["tone_id"], record["reason"]) for record in records] == [("ladder-2", "b_too_short")]


def test_a_level_and_a_threshold_are_gates(definitions: Path, tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.wav")  # its tones are at -12 dBFS
    loud = DetectOptions((path,), definitions=definitions, as_json=True, level_db=-6.0)
    soft = DetectOptions((path,), definitions=definitions, as_json=True, level_db=-18.0, threshold=0.5)
    assert (len(heard(loud)[1]), len(heard(soft)[1])) == (0, 1)


def test_several_channels_are_told_apart(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.wav")
    config = tmp_path / "config.json"
    plan = {"detect": True, **CONFIG_TONES}
    document = {"tones": {"fire": plan, "ems": plan, "quiet": {"detect": True}}}
    config.write_text(json.dumps(document))
    _, records, _ = heard(DetectOptions((page,), definitions=config, as_json=True))
    assert sorted(str(record["channel"]) for record in records) == ["ems", "fire"]
    _, records, _ = heard(DetectOptions((page,), definitions=config, channel="ems", as_json=True))
    assert [record["channel"] for record in records] == ["ems"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "missing.json", "x.wav"], "missing.json"),
        (["--definitions", "missing.json", "x.wav"], "missing.json"),
        (["--channel-number", "9", "page.wav"], "has 1 channel"),
        (["--plot", "picture.bmp", "page.wav"], ".png"),
        (["--plot", "nowhere/picture.png", "page.wav"], "no directory"),
    ],
)
def test_a_wrong_call_ends_with_2_and_a_word(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_page(tmp_path / "page.wav")
    assert main(["tones", "detect", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--threshold", "2", "x"], ["--level", "3", "x"], ["--new-tone-length", "0", "x"], []]
)
def test_a_number_out_of_range_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tones", "detect", *arguments])
    assert ended.value.code == 2


def test_an_unknown_channel_has_a_nearest_one(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definitions.write_text(json.dumps({"tones": {"fire-dispatch": CONFIG_TONES}}))
    page = write_page(tmp_path / "page.wav")
    assert (
        main(["tones", "detect", "--definitions", str(definitions), "--channel", "fire-dispach", str(page)])
        == 2
    )
    assert 'did you mean "fire-dispatch"?' in capsys.readouterr().err


def test_standard_input_is_heard_as_it_comes(definitions: Path) -> None:
    """The page is told while the pipe is still open."""
    sound = (page_sound(8000) * 32767).astype("<i2").tobytes()
    command = [
        sys.executable,
        "-m",
        "echostream",
        "tones",
        "detect",
        "--json",
        "--definitions",
        str(definitions),
        "-",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(wav_bytes(sound))
        process.stdin.flush()
        record = json.loads(process.stdout.readline())
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(20) == 0
    assert (record["tone_id"], record["file"]) == ("engine-7", "standard input")


def test_no_progress_bar_where_nobody_watches(
    definitions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LONG_S", 0.0)
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    code, records, _ = heard(
        DetectOptions((write_page(tmp_path / "page.wav"),), definitions=definitions, as_json=True)
    )
    assert (code, len(records), err.getvalue()) == (0, 1, "")


def test_a_progress_bar_on_a_terminal_leaves_stdout_alone(definitions: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(str(path), np.concatenate((page_sound(8000), np.zeros(8000 * 130))), 8000)
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "echostream",
        "tones",
        "detect",
        "--json",
        "--definitions",
        str(definitions),
        str(path),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert done.returncode == 0
    assert [json.loads(line)["tone_id"] for line in done.stdout.splitlines()] == ["engine-7"]
    assert b"long.flac" in shown


def test_a_missing_library_is_told_before_an_hour_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = write_page(tmp_path / "page.wav")
    for name in [
        name for name in sys.modules if name.startswith(("matplotlib", "echostream.tone_tools.plot"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("echostream.tone_tools.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(detect_module, "hear", None)
    assert main(["tones", "detect", "--plot", str(tmp_path / "out.png"), str(page)]) == 3
    assert "make run" in capsys.readouterr().err
