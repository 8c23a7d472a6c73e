"""What a change of the configuration changed: single values by their paths, not whole sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from echostream.notices.notice import Json

MOST: Final = 200
"""Values that are told of one change; of more, their number."""
MORE: Final = "..."
_ABSENT: Final = object()


def differences(before: object, after: object) -> tuple[dict[str, Json], dict[str, Json]]:
    """path -> what it was, and path -> what it is now, of the values that differ.

    Of a list whose entries have names (channels, devices) the path says the name: "channels[fire].tot_s". A
    value that was not there, or no longer is, stands on one side only.
    """
    was: dict[str, Json] = {}
    now: dict[str, Json] = {}
    more = 0
    for path, old, new in _leaves("", before, after):
        if len(was.keys() | now.keys()) >= MOST:
            more += 1
            continue
        if old is not _ABSENT:
            was[path] = as_json(old)
        if new is not _ABSENT:
            now[path] = as_json(new)
    if more:
        was[MORE] = now[MORE] = f"and {more} more"
    return was, now


def as_json(value: object) -> Json:
    """A value as JSON has it; what JSON has not becomes text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [as_json(one) for one in value]
    return str(value)


def _leaves(path: str, before: object, after: object) -> Iterator[tuple[str, object, object]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            name = f"{path}.{key}" if path else str(key)
            yield from _leaves(name, before.get(key, _ABSENT), after.get(key, _ABSENT))
        return
    named = _named(before), _named(after)
    if named[0] is not None and named[1] is not None and (named[0] or named[1]):
        for key in dict.fromkeys((*named[0], *named[1])):
            yield from _leaves(f"{path}[{key}]", named[0].get(key, _ABSENT), named[1].get(key, _ABSENT))
        return
    if before is _ABSENT or after is _ABSENT or before != after:
        yield path, before, after


def _named(value: object) -> dict[str, Any] | None:
    """A list of entries with names of their own, by these."""
    if not isinstance(value, list | tuple):
        return None
    found: dict[str, Any] = {}
    for one in value:
        name = one.get("id") or one.get("name") or one.get("tone_id") if isinstance(one, Mapping) else None
        if not isinstance(name, str) or name in found:
            return None
        found[name] = one
    return found
