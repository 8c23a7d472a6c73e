"""What is wrong with a configuration, as values: where, what (masked), what was expected, what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from echostream.config.base import looks_like_a_key
from echostream.errors import ConfigError

HIDDEN: Final = "(hidden)"
MISSING: Final = "(missing)"
LONGEST_VALUE: Final = 60
HUGE: Final = 10**18
MOST_FINDINGS: Final = 200
_SECRET_LIKE = re.compile(
    r"pass(?!through)|pwd|pswd|token|secret|key|aes|psk|cred|auth|private|jwt|bearer|pin_code", re.I
)
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_USERINFO = re.compile(r"(\w+://)[^/@\s]*@")
_QUERY = re.compile(r"([?#]).*", re.S)

Place = tuple[str | int, ...]
"""Where something stands, from the root: keys and list indices."""


class Severity(StrEnum):
    """What a finding does to the configuration."""

    REFUSED = "refused"
    """The configuration cannot be in force."""
    DROPPED = "dropped"
    """This part is left out; the rest is in force."""
    WARNING = "warning"
    """In force, but look at it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    path: JSON path such as `channels[2].ptt.pin`, or "line 3, column 7" where the text is no JSON.
    value: what stands there, shortened, secrets hidden. excerpt: a line of the text, a caret under the place.
    """

    path: str
    value: str
    expected: str
    hint: str = ""
    severity: Severity = Severity.REFUSED
    excerpt: str = ""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.path or 'configuration'}: {self.value}; expected {self.expected}{hint}"


class InvalidConfig(ConfigError):
    """A configuration that cannot be in force. Every finding at once, also those that only drop a part."""

    def __init__(self, origin: str, findings: Iterable[Finding]) -> None:
        self.origin = origin
        self.findings = bounded(list(findings))
        lines = "\n".join(f"  {finding}" for finding in self.findings)
        super().__init__(f"{origin}: this configuration does not hold\n{lines}")


def bounded(findings: list[Finding]) -> tuple[Finding, ...]:
    """At most MOST_FINDINGS of them and a word about the others, so that rubbish cannot flood a log."""
    if len(findings) <= MOST_FINDINGS:
        return tuple(findings)
    worst = sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
    kept, others = worst[:MOST_FINDINGS], worst[MOST_FINDINGS:]
    more = Finding("", f"{len(others)} more findings", "fewer", "repair these first", others[0].severity)
    return (*kept, more)


def path_of(place: Place) -> str:
    """`channels[2].ptt.pin`; keys that are no plain names go into brackets."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{_quoted(part)}]"
    return text


def secret_like(key: str | int) -> bool:
    """Whether what stands under this key could be a secret, by its name."""
    return isinstance(key, str) and _SECRET_LIKE.search(key) is not None


def masked_url(text: str) -> str:
    """The address without user, password, query and fragment, where tokens are put."""
    return _QUERY.sub(r"\1" + HIDDEN, _USERINFO.sub(rf"\1{HIDDEN}@", text))


def shown(value: object, place: Place = (), secret: bool = False) -> str:
    """A value as it may be shown: on one line, short, never a secret and never what a container holds."""
    if isinstance(value, dict):
        return f"{{…}} (an object of {len(value)})" if value else "{} (an empty object)"
    if isinstance(value, (list, tuple)):
        return f"[…] (a list of {len(value)})" if value else "[] (an empty list)"
    if value is not None and (secret or (place and secret_like(place[-1]))):
        return HIDDEN
    if isinstance(value, str):
        if looks_like_a_key(value):
            return HIDDEN
        return _quoted(masked_url(value) if "://" in value else value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and abs(value) >= HUGE:
        return "a number of more than 18 digits"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return f"a {type(value).__name__}"


def _quoted(text: str) -> str:
    cut = text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
    return json.dumps(cut, ensure_ascii=not cut.isprintable())
