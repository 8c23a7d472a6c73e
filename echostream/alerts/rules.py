"""When somebody has to be told that something lasts: one rule and one source, step by step.

Pure: `step` takes what was, what is seen now and when that is, and returns what is and what has to be said.

    quiet ── value at the threshold ──> holds ── for_s ──> RAISED ─┬─> REPEATED, ESCALATED, ACKNOWLEDGED
      ^                                                            │
      └──── RECOVERED <── calm_s <── value at `clear` or better ───┘

Between `clear` and the threshold nothing changes. A source that comes and goes has to be calm for longer each
time before that counts as over, so that it is one alert and not a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from echostream.alerts.conditions import Sight
from echostream.config.alert_conditions import LIMITS
from echostream.config.alert_models import AlertRule

AVERAGE_S: Final = 5.0
"""Over which clipping is averaged: speech clips in its peaks only."""
MOST_FLAPS: Final = 6
FLAPS_WITHIN_S: Final = 900.0
"""An alert that comes back sooner after the last one was over is the same one, flapping."""


class State(StrEnum):
    """What is said of an incident."""

    RAISED = "raised"
    RECOVERED = "recovered"
    ACKNOWLEDGED = "acknowledged"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, and who may be told. now_s: monotonic; at_us: Unix microseconds. watching: it is the rule's time;
    held: maintenance; awake: targets whose time it is."""

    now_s: float
    at_us: int
    awake: frozenset[str]
    watching: bool = True
    held: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """Something of which people are told. at_us: when it was raised, Unix microseconds; raised_s: the same,
    monotonic. open_s: since when people could be told; None: maintenance has not ended yet. value: now,
    worst: of all. told: targets that know; owed: who are told as soon as it is their time. told_s: of the
    last message. escalated: steps that were taken. acknowledged: by whom; "": by nobody."""

    number: int
    rule: str
    on: str
    source: str
    at_us: int
    raised_s: float
    value: float
    worst: float
    name: str = ""
    channel_id: str = ""
    detail: str = ""
    threshold: float = 0.0
    open_s: float | None = None
    told: frozenset[str] = frozenset()
    owed: frozenset[str] = frozenset()
    told_s: float = 0.0
    escalated: int = 0
    acknowledged: str = ""


@dataclass(frozen=True, slots=True)
class Saying:
    """Something to be said of an incident, to these targets: none where nobody may be told now."""

    state: State
    incident: Incident
    targets: tuple[str, ...]
    at_us: int
    now_s: float


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered of a source. Monotonic seconds: holds_s, since when the threshold is met; calm_s,
    since when it is over; ended_s, when the last alert was."""

    holds_s: float | None = None
    calm_s: float | None = None
    average: float = 0.0
    looked_s: float = 0.0
    flaps: int = 0
    ended_s: float | None = None
    incident: Incident | None = None


QUIET: Final = Watch()


def threshold_of(rule: AlertRule) -> float:
    """In the condition's unit."""
    return LIMITS[rule.on].threshold if rule.threshold is None else rule.threshold


def clear_of(rule: AlertRule) -> float:
    """In the condition's unit."""
    limits = LIMITS[rule.on]
    if rule.clear is not None:
        return rule.clear
    clear = limits.cleared_at(threshold_of(rule))
    return max(clear, threshold_of(rule)) if limits.below else min(clear, threshold_of(rule))


def for_s_of(rule: AlertRule) -> float:
    """How long it must hold, or is not told again."""
    return LIMITS[rule.on].for_s if rule.for_s is None else rule.for_s


def step(
    rule: AlertRule, watch: Watch, sight: Sight, moment: Moment, number: int
) -> tuple[Watch, list[Saying]]:
    """number: of the incident, should there be a new one."""
    watch, value = _averaged(rule, watch, sight.value, moment.now_s)
    sayings: list[Saying] = []
    limits, threshold = LIMITS[rule.on], threshold_of(rule)
    if value is None:
        watch = replace(watch, holds_s=None, calm_s=None)
    elif value <= threshold if limits.below else value >= threshold:
        watch, sayings = _held(rule, replace(watch, calm_s=None), sight, value, moment, number)
    else:
        cleared = clear_of(rule)
        over = value >= cleared if limits.below else value <= cleared
        watch = replace(watch, holds_s=None, calm_s=watch.calm_s if over else None)
        if watch.incident is not None and over:
            watch, sayings = _calm(rule, watch, watch.incident, sight, value, moment)
    if watch.incident is not None and watch.calm_s is None and not sayings:
        incident, sayings = tend(rule, watch.incident, moment)
        watch = replace(watch, incident=incident)
    return watch, sayings


def idle(watch: Watch, now_s: float) -> bool:
    """Whether nothing of it need be remembered."""
    if watch.incident is not None or watch.holds_s is not None or watch.average > 1e-3:
        return False
    return watch.ended_s is None or now_s - watch.ended_s > FLAPS_WITHIN_S


def ended(rule: AlertRule, watch: Watch, incident: Incident, moment: Moment) -> tuple[Watch, list[Saying]]:
    """It is over."""
    after = replace(watch, incident=None, holds_s=None, calm_s=None, ended_s=moment.now_s)
    targets = incident.told if rule.recovery else frozenset[str]()
    return after, [_saying(State.RECOVERED, incident, targets, moment)]


def raised(rule: AlertRule, incident: Incident, moment: Moment) -> tuple[Incident, Saying]:
    """A new incident, and what is said of it now."""
    targets = frozenset(rule.targets)
    now = frozenset[str]() if moment.held else targets & moment.awake
    incident = replace(
        incident,
        told=now,
        owed=targets - now,
        told_s=moment.now_s,
        open_s=None if moment.held else moment.now_s,
    )
    return incident, _saying(State.RAISED, incident, now, moment)


def tend(rule: AlertRule, incident: Incident, moment: Moment) -> tuple[Incident, list[Saying]]:
    """Who is told next of something that lasts: those whose time has come, others, or the same again."""
    if incident.acknowledged or moment.held or not moment.watching:
        return incident, []
    if incident.open_s is None:
        incident = replace(incident, open_s=moment.now_s)
    sayings: list[Saying] = []
    late = incident.owed & moment.awake
    if late:
        incident = _told(incident, late, moment)
        sayings.append(_saying(State.REPEATED, incident, late, moment))
    open_for_s = moment.now_s - (incident.open_s or 0.0)
    steps = sorted(rule.escalate, key=lambda one: one.after_min)
    while incident.escalated < len(steps) and open_for_s >= 60.0 * steps[incident.escalated].after_min:
        named = frozenset(steps[incident.escalated].targets)
        incident = replace(
            incident, escalated=incident.escalated + 1, owed=incident.owed | (named - moment.awake)
        )
        incident = _told(incident, named & moment.awake, moment)
        sayings.append(_saying(State.ESCALATED, incident, named & moment.awake, moment))
    if rule.repeat_min is not None and moment.now_s - incident.told_s >= 60.0 * rule.repeat_min:
        again = incident.told & moment.awake
        incident = _told(incident, again, moment)
        if again:
            sayings.append(_saying(State.REPEATED, incident, again, moment))
    return incident, sayings


def unheard(rule: AlertRule, incident: Incident, now_s: float) -> Incident:
    """Nobody who was told can be reached: the next step of its escalation is due now."""
    steps = sorted(rule.escalate, key=lambda one: one.after_min)
    if incident.acknowledged or incident.open_s is None or incident.escalated >= len(steps):
        return incident
    due_s = now_s - 60.0 * steps[incident.escalated].after_min
    return replace(incident, open_s=min(incident.open_s, due_s))


def acknowledge(incident: Incident, who: str, moment: Moment) -> tuple[Incident, list[Saying]]:
    """Somebody sees to it. The others who were told hear of that; nobody else is told any more."""
    if incident.acknowledged:
        return incident, []
    incident = replace(incident, acknowledged=who, owed=frozenset())
    return incident, [_saying(State.ACKNOWLEDGED, incident, incident.told, moment)]


# ---- inside


def _held(
    rule: AlertRule, watch: Watch, sight: Sight, value: float, moment: Moment, number: int
) -> tuple[Watch, list[Saying]]:
    incident = watch.incident
    if incident is not None:
        worse = min if LIMITS[rule.on].below else max
        now = replace(
            incident, value=value, worst=worse(value, incident.worst), detail=sight.detail or incident.detail
        )
        return replace(watch, incident=now), []
    if not moment.watching:
        return replace(watch, holds_s=None), []
    holds_s = moment.now_s if watch.holds_s is None else watch.holds_s
    if moment.now_s - holds_s < for_s_of(rule):
        return replace(watch, holds_s=holds_s), []
    soon = watch.ended_s is not None and moment.now_s - watch.ended_s < FLAPS_WITHIN_S
    incident, saying = raised(rule, _incident(rule, sight, value, moment, number), moment)
    flaps = min(watch.flaps + 1, MOST_FLAPS) if soon else 0
    return replace(watch, holds_s=None, flaps=flaps, incident=incident), [saying]


def _calm(
    rule: AlertRule, watch: Watch, incident: Incident, sight: Sight, value: float, moment: Moment
) -> tuple[Watch, list[Saying]]:
    calm_s = moment.now_s if watch.calm_s is None else watch.calm_s
    if moment.now_s - calm_s < LIMITS[rule.on].calm_s * 2.0**watch.flaps:
        return replace(watch, calm_s=calm_s), []
    return ended(rule, watch, replace(incident, value=value, detail=sight.detail), moment)


def _incident(rule: AlertRule, sight: Sight, value: float, moment: Moment, number: int) -> Incident:
    return Incident(
        number,
        rule.name,
        rule.on,
        sight.source,
        moment.at_us,
        moment.now_s,
        value,
        value,
        sight.name,
        sight.channel_id,
        sight.detail,
        threshold_of(rule),
    )


def _averaged(rule: AlertRule, watch: Watch, value: float | None, now_s: float) -> tuple[Watch, float | None]:
    """Clipping as its average over some seconds, however often somebody looks."""
    if rule.on != "clipping" or value is None:
        return watch, value
    passed_s = min(AVERAGE_S, max(0.0, now_s - watch.looked_s)) if watch.looked_s else 1.0
    average = watch.average + (value - watch.average) * (passed_s / AVERAGE_S)
    return replace(watch, average=average, looked_s=now_s), average


def _told(incident: Incident, targets: frozenset[str], moment: Moment) -> Incident:
    return replace(incident, told=incident.told | targets, owed=incident.owed - targets, told_s=moment.now_s)


def _saying(state: State, incident: Incident, targets: frozenset[str], moment: Moment) -> Saying:
    return Saying(state, incident, tuple(sorted(targets)), moment.at_us, moment.now_s)
