"""Times as people say them on a command line, and as they read them back. Inside: Unix microseconds, UTC.

A time without an offset is the machine's local time, or UTC where that was asked for.
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

EXPECTED: Final = (
    'expected "today", "yesterday", "now", "-2h", "-1h30m", "12:00", "2026-11-21", "2026-11-21 12:00:30", '
    '"2026-11-21T12:00Z" or "@1763726400"'
)
EXPECTED_LENGTH: Final = 'expected a length of time such as "90s", "10m", "1h30m" or "2d"'
_SECOND: Final = 1_000_000
_UNITS_S: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_LONGEST_S: Final = 100 * 366 * 86_400
_LENGTH = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_PAIRS: Final = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
_DAY_WORDS: Final = {"today": 0, "yesterday": -1}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
_UNIX = re.compile(r"@(\d{1,11})(?:\.(\d{1,6}))?")


def parse_time(text: str, now_us: int, zone: tzinfo | None, end: bool = False) -> int:
    """What a time on the command line is. zone: None is the machine's own.

    end: it is the end of a range: a day without a clock time is meant whole, and of an hour that comes twice
    as summer time ends the second is meant. ArgumentTypeError says what is expected.
    """
    said = " ".join(text.split())
    try:
        found = _relative(said, now_us) or _unix(said)
        return found if found is not None else _calendar(said, now_us, zone, end)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f'"{text}" is no time: {EXPECTED}') from None


def parse_length(text: str) -> int:
    """A length of time in microseconds, above 0. ArgumentTypeError says what is expected."""
    length_us = _length_us(text.strip())
    if not length_us:
        raise argparse.ArgumentTypeError(f'"{text}" is no length: {EXPECTED_LENGTH}')
    return length_us


def _relative(said: str, now_us: int) -> int | None:
    if said == "now":
        return now_us
    ago = said.removesuffix(" ago").lstrip("-")
    if said[:1].isdigit() or said.startswith("-"):
        length_us = _length_us(ago)
        return None if length_us is None else now_us - length_us
    return None


def _length_us(text: str) -> int | None:
    """None where it is no length."""
    found = _LENGTH.fullmatch(text)
    if not text or found is None:
        return None
    seconds = sum(
        float(part) * unit for part, unit in zip(found.groups(), _UNITS_S.values(), strict=True) if part
    )
    return round(seconds * _SECOND) if seconds <= _LONGEST_S else None


def _unix(said: str) -> int | None:
    found = _UNIX.fullmatch(said)
    if found is None:
        return None
    return int(found[1]) * _SECOND + int((found[2] or "").ljust(6, "0"))


def _calendar(said: str, now_us: int, zone: tzinfo | None, end: bool) -> int:
    """ValueError where it is no time of the calendar."""
    if _OFFSET.search(said) and _DAY.match(said):
        return microseconds(datetime.fromisoformat(said))
    day_part, clock_part = _parts(said)
    today = moment(now_us, zone).date()
    day = _day(day_part, today)
    if clock_part:
        return _local(datetime.combine(day, _clock(clock_part)), zone, end)
    whole_day = timedelta(days=1) if end else timedelta()
    return _local(datetime.combine(day + whole_day, time()), zone, end)


def _parts(said: str) -> tuple[str, str]:
    """Day and clock time; either may be "" but not both."""
    if _CLOCK.fullmatch(said):
        return "", said
    day, _, clock = said.replace("T", " ", 1).partition(" ") if _DAY.match(said) else said.partition(" ")
    if not day:
        raise ValueError
    return day, clock


def _day(text: str, today: date) -> date:
    if not text:
        return today
    if text.lower() in _DAY_WORDS:
        return today + timedelta(days=_DAY_WORDS[text.lower()])
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError
    return date(int(found[1]), int(found[2]), int(found[3]))


def _clock(text: str) -> time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError
    fraction = (found[4] or "").ljust(6, "0")
    return time(int(found[1]), int(found[2]), int(found[3] or 0), int(fraction))


def _local(naive: datetime, zone: tzinfo | None, end: bool) -> int:
    return microseconds(naive.replace(tzinfo=zone, fold=int(end)))


def microseconds(when: datetime) -> int:
    """Unix microseconds, exact; without a zone it is the machine's local time."""
    aware = when.astimezone()
    whole = aware.replace(microsecond=0)
    return round(whole.timestamp()) * _SECOND + aware.microsecond


def moment(at_us: int, zone: tzinfo | None) -> datetime:
    """A time as the calendar has it. zone: None is the machine's own."""
    seconds, rest = divmod(at_us, _SECOND)
    whole = datetime.fromtimestamp(seconds, zone)
    return (whole if zone is not None else whole.astimezone()).replace(microsecond=rest)


def shown(at_us: int, zone: tzinfo | None, digits: int = 0) -> str:
    """2026-11-21 12:00:07, cut (not rounded) to digits of a second: 0 to 6."""
    when = moment(at_us, zone)
    fraction = f".{when.microsecond:06d}"[: digits + 1] if digits else ""
    return when.strftime("%Y-%m-%d %H:%M:%S") + fraction


def iso(at_us: int) -> str:
    """2026-11-21T12:00:07.250000Z, for machines."""
    return moment(at_us, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def zone_name(at_us: int, zone: tzinfo | None) -> str:
    """What the local time is called then: "UTC", "CET"."""
    return moment(at_us, zone).tzname() or "local time"


def length_shown(length_us: int) -> str:
    """0:07.2, 10:00.0, 1:00:00.0: (hours,) minutes, seconds and tenths, rounded."""
    tenths = round(length_us / 100_000)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def span_shown(length_us: int) -> str:
    """A length in two units that people think in: "7.2 s", "10 min 5 s", "3 h 20 min", "12 d 4 h"."""
    seconds = length_us / _SECOND
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit, part, part_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"
