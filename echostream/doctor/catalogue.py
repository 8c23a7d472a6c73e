"""All checks, and all that they can find: docs/doctor.md is made from it.

python -m echostream.doctor.catalogue > docs/doctor.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Final

from echostream.doctor import (
    audio_way,
    board,
    broker,
    bucket,
    cards,
    certificates,
    clock,
    configuration,
    cpu,
    database,
    disk,
    gpio,
    mixer,
    network,
    permissions,
    realtime,
    service,
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
    "network": (network, audio_way, database),
    "mqtt": (broker,),
    "s3": (bucket,),
    "certificates": (certificates,),
    "configuration": (configuration,),
    "service": (service,),
    "realtime": (realtime,),
}
"""Those of each group: what has `checks` looks, all of them say what can be found."""


def checks(world: World, only: Sequence[str] = ()) -> list[Check]:
    """Those of the groups asked for, or of all; the slow ones only where there is time."""
    found: list[Check] = []
    for group in GROUPS:
        if group in _MODULES and (not only or group in only):
            for module in _MODULES[group]:
                if hasattr(module, "checks"):
                    found += module.checks(world)
    return [check for check in found if not (world.quick and check.slow)]


def kinds(group: str) -> Iterator[Kind]:
    """All that its modules define, in their order."""
    for module in _MODULES.get(group, ()):
        yield from (value for value in vars(module).values() if isinstance(value, Kind))
