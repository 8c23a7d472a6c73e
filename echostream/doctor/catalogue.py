"""All checks, and all that they can find: docs/doctor.md is made from it.

python -m echostream.doctor.catalogue > docs/doctor.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Final

from echostream.doctor import (
    board,
    cards,
    clock,
    configuration,
    cpu,
    disk,
    gpio,
    mixer,
    permissions,
    software,
)
from echostream.doctor.groups import GROUPS
from echostream.doctor.model import Check, Kind
from echostream.doctor.world import World

_MODULES: Final[dict[str, tuple[ModuleType, ...]]] = {
    "software": (software,),
    "permissions": (permissions,),
    "cards": (cards, mixer),
    "gpio": (gpio,),
    "clock": (clock,),
    "board": (board,),
    "cpu": (cpu,),
    "disk": (disk,),
    "configuration": (configuration,),
}
"""Those of each group; the first one has its checks."""


def checks(world: World, only: Sequence[str] = ()) -> list[Check]:
    """Those of the groups asked for, or of all; the slow ones only where there is time."""
    found: list[Check] = []
    for group in GROUPS:
        if group in _MODULES and (not only or group in only):
            found += _MODULES[group][0].checks(world)
    return [check for check in found if not (world.quick and check.slow)]


def kinds(group: str) -> Iterator[Kind]:
    """All that its modules define, in their order."""
    for module in _MODULES.get(group, ()):
        yield from (value for value in vars(module).values() if isinstance(value, Kind))
