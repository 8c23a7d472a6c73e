"""What udev's rules do to a device: as much of the language of udev(7) as our own file uses, and no more."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r'\s*([A-Z_]+)(?:\{([^}]*)\})?\s*(==|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
MATCH_ONE: Final = frozenset({"ACTION", "SUBSYSTEM", "KERNEL", "ATTR", "ENV", "TEST", "PROGRAM"})
MATCH_PARENTS: Final = frozenset({"SUBSYSTEMS", "KERNELS", "DRIVERS", "ATTRS"})
ASSIGN: Final = frozenset({"GROUP", "MODE", "ENV", "ATTR"})


@dataclass(frozen=True, slots=True)
class Part:
    key: str
    argument: str
    operator: str
    value: str


@dataclass(slots=True)
class Device:
    """A device of sysfs with its chain of parents, nearest first. paths: what TEST finds."""

    kernel: str
    subsystem: str
    driver: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    parents: list[Device] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)


def read_rules(path: Path) -> list[list[Part]]:
    """Every rule of a file. ValueError for what is none, or uses a key that this reader does not know."""
    rules = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts, at = [], 0
        while at < len(line):
            match = _PART.match(line, at)
            if match is None:
                raise ValueError(f"line {number}: not a rule from {line[at:]!r} on")
            parts.append(Part(match[1], match[2] or "", match[3], match[4]))
            at = match.end()
        for part in parts:
            known = ASSIGN if part.operator == "=" else MATCH_ONE | MATCH_PARENTS
            if part.key not in known and (part.key, part.operator) != ("PROGRAM", "="):
                raise ValueError(f"line {number}: {part.key}{part.operator} is not known here")
        rules.append(parts)
    return rules


def apply_rules(rules: list[list[Part]], action: str, device: Device) -> dict[str, str]:
    """What they assign: "GROUP", "MODE", "ENV{...}", "ATTR{...}" -> value."""
    assigned: dict[str, str] = {}
    for rule in rules:
        holder = _holder(rule, device)
        if holder is None or not all(_holds(part, action, device) for part in rule if part.key in MATCH_ONE):
            continue
        words = {"$id": holder.kernel}
        for part in rule:
            if part.key == "PROGRAM":
                words["$result"] = _run(_filled(part.value, words))
            elif part.operator == "=":
                name = f"{part.key}{{{part.argument}}}" if part.argument else part.key
                assigned[name] = _filled(part.value, words)
    return assigned


def _holder(rule: list[Part], device: Device) -> Device | None:
    """The one device, of this and its parents, for which all keys in the plural hold."""
    wanted = [part for part in rule if part.key in MATCH_PARENTS]
    for one in (device, *device.parents):
        if all(_matches(part.value, _plural(part, one)) == (part.operator == "==") for part in wanted):
            return one
    return None


def _plural(part: Part, device: Device) -> str | None:
    if part.key == "ATTRS":
        return device.attributes.get(part.argument)
    return {"SUBSYSTEMS": device.subsystem, "KERNELS": device.kernel, "DRIVERS": device.driver}[part.key]


def _holds(part: Part, action: str, device: Device) -> bool:
    if part.operator == "=" or part.key == "PROGRAM":
        return True
    if part.key == "TEST":
        return (part.value in device.paths) == (part.operator == "==")
    found = {
        "ACTION": action,
        "SUBSYSTEM": device.subsystem,
        "KERNEL": device.kernel,
        "ATTR": device.attributes.get(part.argument, ""),
        "ENV": device.environment.get(part.argument, ""),
    }[part.key]
    return _matches(part.value, found) == (part.operator == "==")


def _matches(pattern: str, found: str | None) -> bool:
    return found is not None and any(fnmatch.fnmatchcase(found, one) for one in pattern.split("|"))


def _filled(value: str, words: dict[str, str]) -> str:
    return re.sub(r"\$\$|\$\w+", lambda match: "$" if match[0] == "$$" else words[match[0]], value)


def _run(command: str) -> str:
    """Without a shell of its own, as udev does it; one line."""
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.rstrip("\n")
