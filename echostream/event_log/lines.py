"""One event as a line of JSON: what the log's files are made of. Bytes in, values out; no file, no clock."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, get_args

from echostream.notices.notice import Json, Kind, Notice, Weight

MOST_BYTES: Final = 262_144
"""Of one line; what is longer loses what it carried and keeps its text."""
FIRST_US: Final = 0
LAST_US: Final = 253_402_300_799_999_999
"""The years 1970 to 9999: a clock says what it likes, a file's name cannot."""
_KINDS: Final = frozenset(get_args(Kind))
DEEPEST: Final = 32
"""Levels of lists and objects within each other."""
_LARGEST: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS: Final = ("channel_id", "subject", "who")


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as the log has it. number: in the order in which all were written, from 1, never given twice;
    gateway: the id of the gateway that it is of."""

    number: int
    gateway: str
    notice: Notice


def encode(logged: Logged) -> bytes:
    """A line with its end, at most MOST_BYTES. What is empty is left out."""
    notice = logged.notice
    line = _encoded(logged, dict(notice.data), notice.before, notice.after, notice.text)
    if len(line) <= MOST_BYTES:
        return line
    cut: dict[str, Json] = {"too_long": len(line)}
    line = _encoded(logged, cut, None, None, notice.text)
    return line if len(line) <= MOST_BYTES else _encoded(logged, cut, None, None, notice.text[:1000])


def decode(line: bytes) -> Logged:
    """ValueError where it is none; keys that are not known are left out, a kind that is not is refused."""
    try:
        read = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(read, dict):
        raise ValueError("not an object")
    kind, text, identity = read.get("kind"), read.get("text", ""), read.get("id")
    if not (isinstance(kind, str) and isinstance(text, str) and isinstance(identity, str) and kind in _KINDS):
        raise ValueError("kind, text or id are none")
    texts = {name: read.get(name, "") for name in _TEXTS}
    data, gateway = read.get("data", {}), read.get("gateway", "")
    if not all(isinstance(one, str) for one in (*texts.values(), gateway)) or not isinstance(data, dict):
        raise ValueError("a text is none")
    notice = Notice(
        cast(Kind, kind),
        _whole(read, "at_us", FIRST_US, LAST_US),
        text,
        weight=Weight(_whole(read, "weight", 0, 2)),
        data=data,
        before=read.get("before"),
        after=read.get("after"),
        id=identity,
        **texts,
    )
    return Logged(_whole(read, "n", 1, 2**63 - 1), gateway, notice)


def day_of(at_us: int) -> str:
    """YYYY-MM-DD in UTC: which file it is in."""
    return _moment(at_us).strftime("%Y-%m-%d").rjust(10, "0")


def quoted(key: str, value: str) -> bytes:
    """How a text of a line's own keys stands in it: to look for before a line is read."""
    return _bytes(f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=False)}")


def _encoded(logged: Logged, data: Mapping[str, Json], before: Json, after: Json, text: str) -> bytes:
    notice = logged.notice
    document: dict[str, Any] = {
        "n": logged.number,
        "at": _moment(notice.at_us).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "kind": notice.kind,
        "channel_id": notice.channel_id,
        "subject": notice.subject,
        "who": notice.who,
        "text": text,
        "data": plain(data),
        "before": plain(before),
        "after": plain(after),
        "at_us": min(max(notice.at_us, FIRST_US), LAST_US),
        "weight": int(notice.weight),
        "gateway": logged.gateway,
        "id": notice.id,
    }
    said = {key: value for key, value in document.items() if value not in ("", None, {})}
    return _bytes(json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False)) + b"\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair, in a name from outside


def plain(value: object, depth: int = 0) -> Any:
    """As JSON can say it: it has no infinity, no keys but texts, and whoever reads it some patience."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else float(value) if abs(value) < 1e300 else None
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, depth + 1) for one in value]
    return str(value)


def _moment(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=min(max(at_us, FIRST_US), LAST_US))


def _whole(read: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = read.get(name, least)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is none")
    return value
