"""The list of lines that a guard holds, kept where its successor finds it.

With it a line is claimed inactive before any gateway has come: at boot, and after a guard was killed. One
line of text each, fields between tabs; what cannot be read is left out, and must not keep the rest up.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from echostream.hardware.ptt_protocol import MAX_TEXT

MAX_LISTED = 256
MAX_BYTES = MAX_LISTED * (2 * MAX_TEXT + 64)


class Place(NamedTuple):
    """What is driven. path: the GPIO chip, or the card as the configuration names it; pin: 0 for a card."""

    cm108: bool
    path: str
    pin: int


class Listed(NamedTuple):
    """One line. instance: the gateway it is held for. label: the GPIO chip's, "" where it is not known."""

    instance: str
    place: Place
    active_low: bool
    label: str


def format_list(lines: list[Listed]) -> str:
    """The text of a list."""
    rows = (
        (
            "cm108" if line.place.cm108 else "gpio",
            str(line.place.pin),
            "low" if line.active_low else "high",
            line.place.path,
            line.label,
            line.instance,
        )
        for line in lines[:MAX_LISTED]
    )
    return "".join("\t".join(row) + "\n" for row in rows)


def parse_list(text: str) -> tuple[list[Listed], int]:
    """The lines of a text, and how many could not be read."""
    lines, torn = [], 0
    for row in text.split("\n"):
        if not row:
            continue
        fields = row.split("\t")
        good = len(fields) == 6 and fields[0] in ("cm108", "gpio") and fields[2] in ("high", "low")
        if not good or not (fields[1].isascii() and fields[1].isdecimal()) or int(fields[1]) > 0xFFFF:
            torn += 1
            continue
        kind, pin, level, path, label, instance = fields
        lines.append(Listed(instance, Place(kind == "cm108", path, int(pin)), level == "low", label))
    return lines[:MAX_LISTED], torn


def read_list(path: str) -> tuple[list[Listed], int]:
    """As `parse_list`; nothing where there is no file. OSError where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_list(file.read(MAX_BYTES))
    except FileNotFoundError:
        return [], 0


def write_list(path: str, lines: list[Listed]) -> None:
    """Replace the list in one step. OSError.

    It does not wait for the disk, because lines may be keyed meanwhile: a power cut costs the change at
    worst.
    """
    beside = f"{path}.new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(format_list(lines))
    os.replace(beside, path)


def complain(words: str) -> None:
    """On standard error, which is the journal's."""
    sys.stderr.write(f"echostream PTT guard: {words}\n")
    sys.stderr.flush()
