"""What sources are called on the command line: as in the names of their files."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from echostream.archive.recording import Recording, SourceKind

NETWORK: Final = ".net"
QUARANTINE: Final = "quarantine."


def source_name(one: Recording) -> str:
    """What a source is called on the command line, as in the names of its files."""
    return name_of(one.source, one.kind)


def name_of(source: str, kind: SourceKind) -> str:
    """The same of its parts."""
    if kind == "network":
        return source + NETWORK
    return QUARANTINE + source if kind == "quarantine" else source


def plain_name(name: str) -> str:
    """The name in the recording's own words: "ems" of "ems.net"."""
    return name.removeprefix(QUARANTINE).removesuffix(NETWORK)


def is_pattern(name: str) -> bool:
    """Whether it stands for several names."""
    return any(sign in name for sign in "*?[")


def named(one: Recording, names: tuple[str, ...]) -> bool:
    """Whether it is of one of these sources; no name: of any. A pattern has * and ?."""
    return not names or any(fnmatchcase(source_name(one), name) for name in names)
