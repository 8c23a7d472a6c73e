"""Definition files of other programs and our own: recognised by content, bad entries named and left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.cli import main
from echostream.errors import ConfigError
from echostream.tone_tools import definitions
from echostream.tone_tools.definitions import Definitions
from echostream.tone_tools.foreign_forms import key_of, number

TONES_CFG = """\
; pages of the county
[ToneSet1]
description = Engine 7
atone = 349.0
btone = 433.7
atonelength = .6
btonelength = 1.5
tone_tolerance = 0.02
alert_command = python alert.py %1

[ToneSet2]
description = All Call
longtone = 600.9
longtonelength = 4

[Both]
atone = 707.3
btone = 928.1
longtone = 928.1
tone_tolerance = 8

[settings]
mp3 = yes
"""
ICAD = {
    "Engine 7": {
        "detector_id": 1,
        "a_tone": 349.0,
        "b_tone": "433.7",
        "tone_tolerance": 2,
        "ignore_time": 120.0,
    },
    "Ladder 2": {"detector_id": 2, "a_tone": 600.9, "b_tone": 788.5, "tone_tolerance": 1},
}
FD_NOTIFY = {
    "audio": {},
    "detection": {
        "detectors": [
            {"name": "Engine 7", "tones": [349.0, 433.7], "matchThreshold": 6, "tolerancePercent": 0.02},
            {"name": "All Call", "tones": [600.9], "tolerancePercent": 0.01},
        ]
    },
}
TONE_SET = {
    "id": "0c5e-77",
    "label": "Engine 7",
    "aTone": {"frequency": 349.0, "minDuration": 0.6, "maxDuration": 0},
    "bTone": {"frequency": 433.7, "minDuration": 1.5},
    "tolerance": 8,
    "minDuration": 0.6,
}
SHADOW_CHANNEL = {
    "channel_id": "fire",
    "tone_detect": True,
    "tone_detect_configuration": {
        "alert_tones": [{"tone_id": "engine-7", "tone_a": "349.0", "tone_b": "433.7", "tone_a_length": "0.6"}]
    },
}


def read(tmp_path: Path, content: object) -> Definitions:
    path = tmp_path / "definitions"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return definitions.from_file(path)


def dumped(found: Definitions) -> list[dict[str, Any]]:
    return [tone.model_dump(exclude_unset=True, exclude_none=True) for tone in found.tones]


def test_tones_cfg_of_twotonedetect(tmp_path: Path) -> None:
    found = read(tmp_path, TONES_CFG)
    assert found.findings == ()
    engine, all_call, both, both_long = dumped(found)
    assert engine == {
        "tone_id": "Engine 7",
        "tone_a_hz": 349.0,
        "tone_b_hz": 433.7,
        "tone_a_length_s": 0.6,
        "tone_b_length_s": 1.5,
        "tone_a_range_hz": 6.98,
        "tone_b_range_hz": 8.67,
    }
    assert all_call == {"tone_id": "All Call", "kind": "long", "tone_a_hz": 600.9, "tone_a_length_s": 4.0}
    assert (both["tone_id"], both["tone_a_range_hz"]) == ("Both", 8.0)
    assert (both_long["kind"], both_long["tone_a_hz"], both_long["tone_a_range_hz"]) == ("long", 928.1, 8.0)


def test_a_tones_cfg_that_was_edited_by_hand(tmp_path: Path) -> None:
    text = (
        "[ Engine 7 ]\nATONE=349\n btone = 433,7 Hz\nflag\n  more\n[unfinished\n= 3\n[Half]\natone = 600.9\n"
    )
    found = read(tmp_path, text)
    assert [(tone.tone_id, tone.tone_b_hz) for tone in found.tones] == [("Engine 7", 433.7)]
    assert [finding.path.split("]")[0] for finding in found.findings] == ["[Half"]


def test_detectors_of_icad_have_their_tolerance_in_percent(tmp_path: Path) -> None:
    engine, ladder = read(tmp_path, ICAD).tones
    assert (engine.tone_id, engine.tone_b_hz, engine.tone_a_range_hz) == ("Engine 7", 433.7, 6.98)
    assert ladder.tone_b_range_hz == pytest.approx(7.88, abs=0.01)


def test_detectors_of_fd_tone_notify(tmp_path: Path) -> None:
    engine, all_call = read(tmp_path, FD_NOTIFY).tones
    assert (engine.tone_a_hz, engine.tone_b_hz, engine.tone_a_range_hz) == (349.0, 433.7, 6.98)
    assert (all_call.kind, all_call.tone_a_hz, all_call.tone_a_range_hz) == ("long", 600.9, 6.01)


@pytest.mark.parametrize(
    "document",
    [
        [TONE_SET],
        {"toneSets": [TONE_SET]},
        {"systems": [{"talkgroups": [{"id": 1, "toneSets": [TONE_SET]}]}]},
    ],
)
def test_tone_sets_of_thinlineradio_wherever_they_stand(document: object, tmp_path: Path) -> None:
    (engine,) = read(tmp_path, document).tones
    assert (engine.tone_id, engine.tone_a_length_s, engine.tone_b_length_s) == ("Engine 7", 0.6, 1.5)
    assert (engine.tone_a_range_hz, engine.tone_b_range_hz) == (8.0, 8.0)


@pytest.mark.parametrize(
    "text",
    [
        "tone_id,tone_a,tone_b\nengine-7,349.0,433.7\n",
        "\ufeffName;Tone A (Hz);Tone B (Hz)\nengine-7;349,0;433,7\n",
        "description\tA Tone\tB Tone\tnotes\n# a remark\n\nengine-7\t349.0 Hz\t433.7 Hz\tx\n",
        "engine-7,349.0,433.7\n",
        "engine-7, 349.0, 433.7, 0.8, 2.0\r\n",
    ],
)
def test_tables(text: str, tmp_path: Path) -> None:
    (engine,) = read(tmp_path, text).tones
    assert (engine.tone_id, engine.tone_a_hz, engine.tone_b_hz) == ("engine-7", 349.0, 433.7)


def test_a_table_of_frequencies_only_makes_ids(tmp_path: Path) -> None:
    assert [tone.tone_id for tone in read(tmp_path, "349.0,433.7\n600.9,788.5\n").tones] == [
        "349.0-433.7",
        "600.9-788.5",
    ]


def test_all_of_a_list_in_either_naming(tmp_path: Path) -> None:
    entries = [
        {"tone_id": "a", "tone_a": "349", "tone_b": 433.7, "tone_a_length": "0.5", "tone_b_range": 3},
        {"tone_id": "b", "tone_a_hz": 600.9, "tone_b_hz": 788.5, "gap_s": 1.0, "vocoder_grid_hz": 31.25},
        {"tone_id": "c", "kind": "five_tone", "system": "zvei1", "digits": "12345"},
        {
            "tone_id": "d",
            "kind": "at_once",
            "tone_a_hz": 349,
            "tone_b_hz": 600,
            "tone_c_hz": 700,
            "tone_d_hz": 800,
        },
    ]
    a, b, c, d = read(tmp_path, {"alert_tones": entries}).tones
    assert read(tmp_path, entries).tones == (a, b, c, d)
    assert (a.tone_a_length_s, a.tone_b_range_hz) == (0.5, 3.0)
    assert (b.gap_s, b.vocoder_grid_hz) == (1.0, 31.25)
    assert (c.kind, c.digits, d.tone_d_hz) == ("five_tone", "12345", 800.0)


def test_configurations_of_both_forms_by_channel(tmp_path: Path) -> None:
    own = {
        "tones": {"fire": {"alert_tones": [{"tone_id": "engine-7", "tone_a_hz": 349, "tone_b_hz": 433.7}]}}
    }
    assert [tone.tone_id for tone in read(tmp_path, own).plans["fire"].alert_tones] == ["engine-7"]
    shadow = {"unique_id": "x", "software_configuration": [{"channel_one": SHADOW_CHANNEL}]}
    (tone,) = read(tmp_path, shadow).plans["fire"].alert_tones
    assert (tone.tone_id, tone.tone_a_hz, tone.tone_a_length_s) == ("engine-7", 349.0, 0.6)


def test_a_bad_entry_is_named_and_costs_only_itself(tmp_path: Path) -> None:
    entries = [
        {"name": "good", "a_hz": 349, "b_hz": 433.7},
        {"name": "bad", "a_hz": "abc", "b_hz": 433.7},
        {"name": "no b", "a_hz": 349},
        "what is this",
        {"name": "good", "a_hz": 600, "b_hz": 700},
        {"name": "far", "a_hz": 349, "b_hz": 433.7, "tolerance": 900},
    ]
    found = read(tmp_path, entries)
    assert [tone.tone_id for tone in found.tones] == ["good"]
    paths = [finding.path for finding in found.findings]
    assert paths[0] == "[1] a_hz"
    assert {path.split()[0] for path in paths} == {"[1]", "[2]", "[3]", "[4]", "[5]"}
    assert found.findings[-1].path.endswith("tolerance")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("{}", "no tones in this JSON"),
        ('{"alert_tones": [', "cut off"),
        ("foo,bar\n1,2\n", "expected a heading"),
        ("one line of prose", "expected a heading"),
        ("RIFF\0\0\0\0WAVE", "no text"),
    ],
)
def test_what_is_no_definition_says_what_would_be(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, content)


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_no_text_makes_it_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any-definitions"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        found = definitions.from_file(path)
    except ConfigError:
        return
    assert isinstance(found.tones, tuple)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 5000) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["tones", "alert_tones", "toneSets", "aTone", "a_tone", "tone_b", "frequency", "name"]
            )
            | st.sampled_from(
                ["detection", "detectors", "tolerance", "tolerancePercent", "longTone", "kind"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_makes_it_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, document: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any-definitions.json"
    path.write_text(json.dumps(document))
    try:
        found = definitions.from_file(path)
    except ConfigError:
        return
    assert all(tone.tone_id for tone in found.tones)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Tone A (Hz)", "tone_a_hz"),
        ("aTone", "tone_a_hz"),
        ("B-Tone Length", "tone_b_length_s"),
        ("mp3", None),
    ],
)
def test_names_of_columns(name: str, key: str | None) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("349", 349.0),
        ("349,5", 349.5),
        (".5 s", 0.5),
        ("433.7 Hz", 433.7),
        ("1e3", 1000.0),
        ("a1", "a1"),
        ("", ""),
    ],
)
def test_numbers_as_people_write_them(text: str, value: object) -> None:
    assert number(text) == value


# ---- import


def test_import_prints_what_detect_and_a_configuration_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "tones.cfg", tmp_path / "tones.json"
    source.write_text(TONES_CFG)
    assert main(["tones", "import", str(source)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [tone["tone_id"] for tone in printed["alert_tones"]] == [
        "Engine 7",
        "All Call",
        "Both",
        "Both (long)",
    ]
    assert main(["tones", "import", str(source), "--channel", "fire", "-o", str(target)]) == 0
    assert definitions.from_file(target).plans["fire"].alert_tones == definitions.from_file(source).tones


def test_import_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "tones.csv"
    source.write_text("name,a,b\ngood,349.0,433.7\nbad,x,433.7\n")
    assert main(["tones", "import", str(source)]) == 1
    told = capsys.readouterr()
    assert len(json.loads(told.out)["alert_tones"]) == 1
    assert "left out: row 3 a" in told.err
    source.write_text("name,a,b\nbad,x,433.7\n")
    assert main(["tones", "import", str(source)]) == 2
    assert main(["tones", "import", str(source), "-o", str(tmp_path / "no" / "where")]) == 2
