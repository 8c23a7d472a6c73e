"""The list of held lines: whatever stands in the file, the lines that can be read are held."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.hardware.ptt_list import (
    MAX_LISTED,
    Listed,
    Place,
    format_list,
    parse_list,
    read_list,
    write_list,
)

letters = st.characters(codec="utf-8", exclude_characters="\t\n")
words = st.text(letters, max_size=40)
places = st.builds(Place, st.booleans(), words, st.integers(0, 0xFFFF))
lists = st.lists(st.builds(Listed, words, places, st.booleans(), words), max_size=8)
ONE = Listed("/run/echostream", Place(False, "/dev/gpiochip0", 17), True, "pinctrl-bcm2711")


@given(lists)
def test_list_survives(lines: list[Listed]) -> None:
    assert parse_list(format_list(lines)) == (lines, 0)


@given(st.text(max_size=300))
def test_rubbish_is_left_out(text: str) -> None:
    lines, torn = parse_list(text)
    assert len(lines) + torn == sum(bool(row) for row in text.split("\n"))


@given(lists, st.text(letters, min_size=1))
def test_torn_line_costs_only_itself(lines: list[Listed], rubbish: str) -> None:
    assert parse_list(f"{rubbish}\n" + format_list(lines)) == (lines, 1)


@pytest.mark.parametrize(
    "row",
    [
        "gpio\t17\thigh\t/dev/gpiochip0\tlabel",
        "spi\t17\thigh\t/dev/gpiochip0\tlabel\tgateway",
        "gpio\t-1\thigh\t/dev/gpiochip0\tlabel\tgateway",
        "gpio\t70000\thigh\t/dev/gpiochip0\tlabel\tgateway",
        "gpio\t17\tup\t/dev/gpiochip0\tlabel\tgateway",
        "gpio\t\u0661\thigh\t/dev/gpiochip0\tlabel\tgateway",
    ],
)
def test_wrong_field_is_not_driven(row: str) -> None:
    assert parse_list(row) == ([], 1)


def test_file_without_end_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(format_list([ONE]) * (3 * MAX_LISTED))
    lines, _torn = read_list(str(path))
    assert lines == [ONE] * MAX_LISTED


def test_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    write_list(str(path), [ONE])
    with path.open() as before:
        write_list(str(path), [])
        assert parse_list(before.read()) == ([ONE], 0)
    assert read_list(str(path)) == ([], 0)
    assert [one.name for one in tmp_path.iterdir()] == ["lines"]


def test_bytes_that_are_no_text_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert read_list(str(path)) == ([], 0)
    path.write_bytes(b"\xff\xfe\x00\n" + format_list([ONE]).encode())
    assert read_list(str(path)) == ([ONE], 1)
    with pytest.raises(OSError, match="directory"):
        read_list(str(tmp_path))
