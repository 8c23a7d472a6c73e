"""One value of a configuration file changed, and nothing else of its text. Pure.

Whoever wrote the file keeps order, indentation and line ends. The text must be JSON already.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from echostream.config.findings import Finding, InvalidConfig

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry of an object or array: where its key begins (an array's: its value), and its value's span."""

    begin: int
    start: int
    end: int


def with_channel_value(text: str, channel_id: str, path: tuple[str, ...], value: float) -> str:
    """`text` with channels[…].path set for that channel. InvalidConfig where there is no such channel in it.

    path: one or two keys; an object on the way that is not there, or null, is made.
    """
    root = _members(text, _skip(text, 0))
    channels = root.get("channels")
    if channels is None or text[channels.start] != "[":
        raise _no_channel(channel_id)
    for one in _members(text, channels.start).values():
        if text[one.start] == "{" and _value(text, _members(text, one.start).get("id")) == channel_id:
            return _with(text, one, path, value)
    raise _no_channel(channel_id)


def _with(text: str, place: _Member, path: tuple[str, ...], value: float) -> str:
    members = _members(text, place.start)
    member = members.get(path[0])
    if len(path) > 1 and member is not None and text[member.start] == "{":
        return _with(text, member, path[1:], value)
    new = _number(value)
    for key in reversed(path[1:]):
        new = "{ " + json.dumps(key) + ": " + new + " }"
    if member is not None:
        return text[: member.start] + new + text[member.end :]
    entry = f"{json.dumps(path[0])}: {new}"
    if not members:
        return text[: place.start + 1] + f" {entry} " + text[place.end - 1 :]
    last = list(members.values())[-1]
    return text[: last.end] + "," + _between(text, last, place) + entry + text[last.end :]


def _between(text: str, last: _Member, place: _Member) -> str:
    """What stands before the object's last key: a line break and its indentation, or a space."""
    before = text[place.start + 1 : last.begin]
    tail = before[len(before.rstrip(" \t\r\n")) :]
    return tail if tail else " "


def _members(text: str, at: int) -> dict[str, _Member]:
    """The entries of the object or array that begins at `at`; an array's keys are its indices. Of a key that
    stands twice the last one counts, as for json."""
    found: dict[str, _Member] = {}
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        begin = at
        key = str(len(found))
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # over the colon
        _, end = _DECODER.raw_decode(text, at)
        found[key] = _Member(begin, at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _value(text: str, member: _Member | None) -> object:
    return None if member is None else json.loads(text[member.start : member.end])


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches nothing, too
    return match.end()


def _number(value: float) -> str:
    return json.dumps(int(value) if value == int(value) else value)


def _no_channel(channel_id: str) -> InvalidConfig:
    finding = Finding("channels", channel_id, "a channel of this id in the file's own form", "")
    return InvalidConfig("the configuration", [finding])
