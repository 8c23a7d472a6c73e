"""Text that is no JSON, too large, too deep or ambiguous: a clean error with its place, no secret in it."""

from __future__ import annotations

import json
import random
import re

import pytest
from config_documents import EXAMPLE, small

from echostream.config.findings import Finding, shown
from echostream.config.load import InvalidConfig, parse_config

SECRET = "hunter2Sup3rS3cret"


def refused(text: object) -> tuple[Finding, ...]:
    with pytest.raises(InvalidConfig) as error:
        parse_config(text, "test")
    assert error.value.findings
    return error.value.findings


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ('{"gateway": {"id": "x",}}', "line 1, column 2", "remove the comma after the last entry"),
        ('{"gateway": {}\n "audio": {}}', "line 2, column 2", "a comma or colon is missing before this"),
        ('{"gateway": 1, // who\n}', "line 1, column 16", "JSON has no comments: remove it"),
        ("{'gateway': 1}", "line 1, column 2", 'texts stand in double quotes: "…"'),
        ('{"gateway": {', "line 1, column 14", "the file is cut off: a bracket or quote is not closed"),
        ("", "line 1, column 1", "the file is empty"),
        (" \n ", "line 2, column 2", "the file is empty"),
        ('{"a": NaN}', "line 1, column 7", "JSON knows neither NaN nor Infinity"),
        ('{"a": "NaN", "b": -Infinity}', "line 1, column 19", "JSON knows neither NaN nor Infinity"),
        ('{"a": "C:\\x"}', "line 1, column 10", 'write a backslash as "\\\\"'),
    ],
)
def test_broken_syntax_says_where_and_what_to_do(text: str, path: str, hint: str) -> None:
    (finding,) = refused(text)
    # Where a trailing comma is pointed at differs between versions of Python: at it, or behind it.
    assert finding.path.startswith(path[:-1] if "comma after" in hint else path)
    assert finding.hint == hint


def test_the_caret_stands_under_the_place() -> None:
    (finding,) = refused('{\n  "gateway": {"id" "s7"},\n  "audio": {}\n}')
    line, caret = finding.excerpt.splitlines()
    assert line == '    2 |   "gateway": {"id" "…"},'
    assert caret.index("^") == line.index('"…"')


def test_the_excerpt_of_a_text_in_one_line_is_short() -> None:
    text = json.dumps(json.loads(EXAMPLE.read_text("utf-8")))
    (finding,) = refused(text.replace('"audio":', '"audio"'))
    assert all(len(line) < 130 for line in finding.excerpt.splitlines())


def test_no_excerpt_ever_shows_a_secret() -> None:
    chance = random.Random(7)
    document = small(mqtt={"password": SECRET, "username": "u"}, s3={"secret_access_key": SECRET})
    seen = 0
    for indent in (None, 2):
        text = json.dumps(document, indent=indent)
        for _ in range(400):
            at = chance.randrange(len(text))
            broken = text[:at] + chance.choice(['"', ",", "}", "{", "\n", "", "'"]) + text[at + 1 :]
            try:
                parse_config(broken, "test")
            except InvalidConfig as error:
                seen += bool(error.findings[0].excerpt)
                told = repr(error.findings)
                assert SECRET not in told
                assert not any(piece in told for piece in re.findall("......", SECRET))
    assert seen > 300


def test_a_key_that_stands_twice_is_named_wherever_it_is() -> None:
    channels = '[{"id": "a"}, {"id": "b", "id": "c"}]'
    text = '{"gateway": 1, "channels": ' + channels + ', "gateway": {"id": 2, "id": 3, "id": 4}}'
    found = refused(text)
    assert {(finding.path, finding.value) for finding in found} == {
        ("gateway", 'the key "gateway" twice'),
        ("gateway.id", 'the key "id" twice'),
        ("channels[1].id", 'the key "id" twice'),
    }


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_ten_thousand_levels_are_a_clean_error(opening: str) -> None:
    (finding,) = refused(opening * 10_000)
    assert finding.expected == "at most 32 levels"


def test_33_levels_are_too_many_in_a_text_and_in_an_object() -> None:
    value: object = 1
    for _ in range(40):
        value = [value]
    assert refused({"gateway": value})[0].expected == "at most 32 levels"
    assert refused(json.dumps({"gateway": value}))[0].expected == "at most 32 levels"


def test_a_circle_of_objects_is_a_clean_error() -> None:
    circle: dict[str, object] = {}
    circle["gateway"] = circle
    assert refused(circle)[0].expected == "at most 32 levels"


@pytest.mark.parametrize("size", [8_000_001, 10_000_000])
def test_ten_megabytes_are_a_clean_error(size: int) -> None:
    assert refused(b" " * size)[0].expected == "at most 8,000,000 bytes"


def test_too_many_values_are_a_clean_error() -> None:
    assert refused({"channels": [0] * 600_000})[0].expected == "at most 500,000 values in all"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xff\xfe{\x00", "UTF-8 text"),
        (b'{"a": "\xc3("}', "UTF-8 text"),
        (b'{"a": "\\ud800"}', "Unicode text"),
        (b'{"\\udfff": 1}', "keys that are Unicode text"),
        (b'{"a": 1e999}', "a finite number"),
        (b'{"a": %s}' % (b"9" * 6000), "a finite number"),
        (b'{"a": %s}' % (b"9" * 30), "a number of less than 18 digits"),
        (b"[]", "a JSON object: {…}"),
        (b"null", "a JSON object: {…}"),
    ],
)
def test_what_json_allows_and_a_configuration_does_not(text: bytes, expected: str) -> None:
    assert refused(text)[0].expected == expected


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_config(b"\xef\xbb\xbf" + json.dumps(small()).encode(), "test").dropped == ()


def test_the_schema_may_be_named_at_the_top() -> None:
    loaded = parse_config(small(**{"$schema": "./config.schema.json"}), "test")
    assert (loaded.dropped, loaded.warnings) == ((), ())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ws://user:pw@host/x?token=1#f", '"ws://(hidden)@host/x?(hidden)"'),
        ("a\x1b[31m\n", '"a\\u001b[31m\\n"'),
        ("\u202ebidi", '"\\u202ebidi"'),
        ("x" * 100, '"' + "x" * 59 + '…"'),
        ({"password": "x"}, "{…} (an object of 1)"),
        ([1, 2], "[…] (a list of 2)"),
        (20.0, "20"),
        (b"x", "a bytes"),
        ("ab" * 32, "(hidden)"),
    ],
)
def test_a_value_is_shown_short_on_one_line_and_without_secrets(value: object, text: str) -> None:
    assert shown(value) == text
