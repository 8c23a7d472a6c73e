"""What is published: one message, before anybody knows of a broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Message:
    """One publication. kind: an `event` waits on the disk until the broker has taken it, whatever happens
    meanwhile; of a `state` (always retained) only the newest of a topic counts, and it is sent again after
    each connection; `telemetry` is sent once or never. lane: what keeps its order, a channel's id. weight:
    notices.notice.Weight. at_us: Unix microseconds of what it tells of. message_id: goes along as a user
    property in MQTT 5, so that repeats are known without reading the payload; "": none."""

    topic: str
    payload: bytes
    kind: Literal["event", "state", "telemetry"] = "event"
    qos: Literal[0, 1] = 1
    retain: bool = False
    lane: str = ""
    weight: int = 1
    at_us: int = 0
    content_type: str = "application/json"
    message_id: str = ""
