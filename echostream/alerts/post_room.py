"""From what has to be said to messages: those of one rule that come within moments go in one. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from echostream.alerts import words
from echostream.alerts.book import Now
from echostream.alerts.delivery import Failure
from echostream.alerts.letters import Letter
from echostream.alerts.rules import Saying, State
from echostream.config.alert_conditions import LIMITS
from echostream.notices.notice import Json, Notice, Weight

GATHER_S: Final = 2.0
"""A thousand microphones lose their power at once, and are missed one after the other."""
_KINDS: Final = {
    State.RAISED: "warning",
    State.REPEATED: "warning",
    State.ESCALATED: "failure",
    State.RECOVERED: "success",
    State.ACKNOWLEDGED: "info",
    State.UNDELIVERED: "failure",
}


@dataclass(slots=True)
class _Pile:
    since_s: float
    sayings: list[Saying] = field(default_factory=list)


class PostRoom:
    """One thread."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._piles: dict[tuple[str, str, State], _Pile] = {}

    @property
    def waits(self) -> bool:
        """Whether something has been taken that is in no letter yet."""
        return bool(self._piles)

    def take(self, sayings: Sequence[Saying], now_s: float) -> None:
        """Sort them by whom they go to."""
        for saying in sayings:
            for target in saying.targets:
                key = (target, saying.incident.rule, saying.state)
                self._piles.setdefault(key, _Pile(now_s)).sayings.append(saying)

    def letters(self, now: Now, everything: bool = False) -> list[Letter]:
        """Those that need not wait for more."""
        ready = [
            key
            for key, pile in self._piles.items()
            if everything or pile.sayings[0].incident.on == "page" or now.now_s - pile.since_s >= GATHER_S
        ]
        return [self._letter(key[0], self._piles.pop(key).sayings, now.local) for key in ready]

    def next_s(self, now_s: float) -> float:
        """Seconds until a letter may be ready, at most one."""
        return min([1.0, *(max(0.05, pile.since_s + GATHER_S - now_s) for pile in self._piles.values())])

    def _letter(self, target: str, sayings: list[Saying], local: datetime) -> Letter:
        first = sayings[0]
        return Letter(
            target,
            words.title(self._gateway, sayings),
            words.body(sayings, local),
            _KINDS[first.state],
            weight_of(first),
            first.incident.at_us,
            first.incident.rule,
            first.incident.number,
        )


def weight_of(saying: Saying) -> Weight:
    """What gives way last: that something is wrong."""
    urgent = saying.state in (State.RAISED, State.ESCALATED, State.UNDELIVERED)
    return Weight.ALARM if urgent else Weight.EVENT


def notice_of(saying: Saying) -> Notice:
    """For the log, and for subscribers."""
    incident = saying.incident
    data: dict[str, Json] = {
        "rule": incident.rule,
        "on": incident.on,
        "source": incident.source,
        "state": saying.state.value,
        "value": _json(incident.value),
        "threshold": _json(incident.threshold),
        "targets": list(saying.targets),
        "incident": incident.number,
        "raised_at_us": incident.at_us,
    }
    clause = words.over(incident) if saying.state is State.RECOVERED else words.what(incident)
    who = incident.acknowledged if saying.state is State.ACKNOWLEDGED else ""
    text = f"{incident.rule}: {clause}" + (f"; {who} sees to it" if who else "")
    channel_id = incident.channel_id if not LIMITS[incident.on].event or incident.on == "page" else ""
    return Notice(
        "alert", saying.at_us, text, channel_id, incident.rule, weight_of(saying), who=who, data=data
    )


def notice_of_failure(failure: Failure, at_us: int) -> Notice:
    """A target that cannot be told."""
    first = failure.letters[0] if failure.letters else None
    verb = "was given up" if failure.given_up else "is tried again"
    data: dict[str, Json] = {
        "rule": first.rule if first is not None else "",
        "state": State.UNDELIVERED.value,
        "targets": [failure.target],
        "incident": first.incident if first is not None else 0,
        "messages": len(failure.letters),
        "reason": failure.text,
    }
    text = f"{failure.target} was not told: {failure.text}; it {verb}"
    rule = first.rule if first is not None else ""
    return Notice("alert", at_us, text, subject=rule, weight=Weight.ALARM, data=data)


def _json(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
