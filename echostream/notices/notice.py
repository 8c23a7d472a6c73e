"""What happened, in the form in which it is logged, published and told to people.

A `Notice` is made of an event of the coordinator (maker.py), or by whoever else has something to say: a
publisher of its own troubles, the command line of what somebody did.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Kind = Literal[
    "page",
    "tone",
    "tone_missed",
    "passthrough",
    "transmission",
    "talker",
    "channel",
    "card",
    "server",
    "link",
    "device",
    "recording",
    "upload",
    "at_risk",
    "worker",
    "alert",
    "command",
    "admin",
    "gateway",
]
"""page: of a definition; tone: another one; transmission: this gateway's own; talker: another member's;
channel: online or not; card, server, link (broker, bucket): there or gone; device: a microphone; command:
what was asked from elsewhere and what came of it; admin: what a person changed; gateway: it starts or
stops."""


class Weight(IntEnum):
    """What gives way first when there is no room: the least."""

    TELEMETRY = 0
    EVENT = 1
    ALARM = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened.

    id: a UUID, by which whoever gets it twice knows. at_us: Unix microseconds of when it happened. kind: see
    Kind. channel_id: "" where it belongs to none. subject: which device, tone, recording or worker. text: one
    line for people, without secrets. who: who did it; "" where nobody did. data: more of it, as JSON has it;
    the keys of each kind are in docs/events.md. before, after: what an act changed.
    """

    kind: Kind
    at_us: int
    text: str
    channel_id: str = ""
    subject: str = ""
    weight: Weight = Weight.EVENT
    who: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)
    before: Json = None
    after: Json = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
