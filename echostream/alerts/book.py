"""All rules with all their sources: what is open, what has to be said. No I/O, no thread: `now` is given."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from echostream.alerts.conditions import Happening, Sight, sights
from echostream.alerts.rules import (
    QUIET,
    Incident,
    Moment,
    Saying,
    State,
    Watch,
    acknowledge,
    ended,
    for_s_of,
    idle,
    raised,
    step,
    tend,
    threshold_of,
    unheard,
)
from echostream.alerts.schedule import held, within
from echostream.config.alert_conditions import LIMITS
from echostream.config.alert_models import AlertRule
from echostream.config.alert_models import Alerts as Settings
from echostream.vitals.model import Vitals

MOST_HAPPENINGS: Final = 500
"""Open ones: of what happened, and waits for somebody to acknowledge it."""
MOST_LATER: Final = 100
"""Messages that one target is told when its time comes."""
HAPPENING_OPEN_S: Final = 86_400.0
"""Nobody acknowledges a page of yesterday."""
_MOST_SEEN: Final = 5000


@dataclass(frozen=True, slots=True)
class Now:
    """now_s: monotonic; at_us: Unix microseconds; local: the same on the gateway's clock, naive."""

    now_s: float
    at_us: int
    local: datetime


class RuleBook:
    """One for a configuration. One thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = {rule.name: rule for rule in settings.rules}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._happened: OrderedDict[int, tuple[str, Incident]] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._later: dict[str, deque[Saying]] = {}
        self.next_number = 1

    def look(self, vitals: Vitals, now: Now) -> list[Saying]:
        """How the gateway is: everything that lasts."""
        seen: dict[str, list[Sight]] = {}
        sayings: list[Saying] = []
        awake = self._awake(now)
        for rule in self._settings.rules:
            if rule.on not in seen:
                seen[rule.on] = sights(rule.on, vitals)
            sayings += self._look(rule, seen[rule.on], now, awake)
        return self._in_time(sayings, now, awake)

    def happened(self, happening: Happening, now: Now) -> list[Saying]:
        """Something that is over by the time it is told."""
        sayings: list[Saying] = []
        awake = self._awake(now)
        for rule in self._settings.rules:
            if rule.on == happening.on and _chosen(rule, happening) and happening.value >= threshold_of(rule):
                sayings += self._happen(rule, happening, now, awake)
        return self._in_time(sayings, now, awake)

    def tick(self, now: Now, unreachable: frozenset[str] = frozenset()) -> list[Saying]:
        """About once a second: who else is told of what happened, and what had to wait. unreachable: targets
        that cannot be told, as it looks."""
        sayings: list[Saying] = []
        if unreachable:
            self._escalate(unreachable, now.now_s)
        awake = self._awake(now)
        for number, (rule_name, incident) in list(self._happened.items()):
            rule = self._rules[rule_name]
            after, said = tend(rule, incident, self._moment(rule, incident.source, incident, now, awake))
            sayings += said
            self._happened[number] = (rule_name, after)
            if not _expects_more(rule, after) or now.now_s - after.raised_s > HAPPENING_OPEN_S:
                del self._happened[number]
        waited = [saying for name in self._later.keys() & awake for saying in self._later.pop(name)]
        return self._in_time([*waited, *sayings], now, awake)

    def acknowledge(self, number: int, who: str, now: Now) -> list[Saying]:
        """Nothing where there is no such incident, or somebody did before."""
        awake = self._awake(now)
        for key, watch in self._watches.items():
            if watch.incident is not None and watch.incident.number == number:
                moment = self._moment(self._rules[key[0]], key[1], watch.incident, now, awake)
                incident, sayings = acknowledge(watch.incident, who, moment)
                self._watches[key] = replace(watch, incident=incident)
                return self._in_time(sayings, now, awake)
        if number in self._happened:
            rule_name, incident = self._happened.pop(number)
            moment = self._moment(self._rules[rule_name], incident.source, incident, now, awake)
            return self._in_time(acknowledge(incident, who, moment)[1], now, awake)
        return []

    def open(self) -> list[Incident]:
        """Oldest first."""
        lasting = [watch.incident for watch in self._watches.values() if watch.incident is not None]
        return sorted(
            [*lasting, *(incident for _, incident in self._happened.values())], key=lambda one: one.number
        )

    def restore(self, incidents: Iterable[Incident], next_number: int) -> None:
        """Those that were open when the gateway ended; without a rule of that name they are forgotten."""
        self.next_number = max(self.next_number, next_number)
        for incident in incidents:
            rule = self._rules.get(incident.rule)
            if rule is None or rule.on != incident.on:
                continue
            self.next_number = max(self.next_number, incident.number + 1)
            if LIMITS[rule.on].event:
                self._happened[incident.number] = (rule.name, incident)
            else:
                self._watches[rule.name, incident.source] = Watch(incident=incident)

    # ---- inside

    def _escalate(self, unreachable: frozenset[str], now_s: float) -> None:
        for key, watch in self._watches.items():
            incident = watch.incident
            if incident is not None and incident.told and incident.told <= unreachable:
                incident = unheard(self._rules[key[0]], incident, now_s)
                self._watches[key] = replace(watch, incident=incident)
        for number, (rule_name, incident) in self._happened.items():
            if incident.told and incident.told <= unreachable:
                self._happened[number] = (rule_name, unheard(self._rules[rule_name], incident, now_s))

    def _look(self, rule: AlertRule, seen: list[Sight], now: Now, awake: frozenset[str]) -> list[Saying]:
        sayings: list[Saying] = []
        chosen = frozenset(rule.sources) if LIMITS[rule.on].sources else frozenset[str]()
        there = set()
        for sight in seen:
            if chosen and sight.source not in chosen:
                continue
            there.add(sight.source)
            key = (rule.name, sight.source)
            known = self._watches.get(key)
            if known is None and not _worth_a_look(rule, sight):
                continue
            watch = known or QUIET
            moment = self._moment(rule, sight.source, watch.incident, now, awake)
            watch, said = step(rule, watch, sight, moment, self.next_number)
            self._count(said)
            sayings += said
            self._watches[key] = watch
            if idle(watch, now.now_s):
                del self._watches[key]
        return sayings + self._gone(rule, there, now, awake)

    def _gone(self, rule: AlertRule, there: set[str], now: Now, awake: frozenset[str]) -> list[Saying]:
        """Sources that the gateway no longer has: nothing lasts there any more. A way out that says nothing
        of itself is no such source: nobody knows."""
        if not LIMITS[rule.on].sources:
            return []
        sayings: list[Saying] = []
        for key in [key for key in self._watches if key[0] == rule.name and key[1] not in there]:
            watch = self._watches.pop(key)
            if watch.incident is not None:
                moment = self._moment(rule, key[1], watch.incident, now, awake)
                incident = replace(watch.incident, detail="it is not part of the gateway any more")
                sayings += ended(rule, watch, incident, moment)[1]
        return sayings

    def _happen(self, rule: AlertRule, happening: Happening, now: Now, awake: frozenset[str]) -> list[Saying]:
        key = (rule.name, happening.source)
        last_s = self._seen.get(key)
        if last_s is not None and now.now_s - last_s < for_s_of(rule):
            return []
        self._seen[key] = now.now_s
        self._seen.move_to_end(key)
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        incident = Incident(
            self.next_number,
            rule.name,
            rule.on,
            happening.source,
            happening.at_us,
            now.now_s,
            happening.value,
            happening.value,
            happening.name,
            happening.channel_id,
            happening.detail,
            threshold_of(rule),
        )
        moment = self._moment(rule, happening.source, incident, now, awake)
        if not moment.watching:
            return []
        incident, saying = raised(rule, incident, moment)
        asleep, incident = incident.owed, replace(incident, owed=frozenset())
        if (
            rule.on != "page" and not moment.held
        ):  # who sleeps while a page is on the air is not told of it in the morning
            for name in asleep:
                self._keep(name, replace(saying, targets=(name,)))
        self._count([saying])
        if _expects_more(rule, incident):
            self._happened[incident.number] = (rule.name, incident)
            if len(self._happened) > MOST_HAPPENINGS:
                self._happened.popitem(last=False)
        return [saying]

    def _in_time(self, sayings: list[Saying], now: Now, awake: frozenset[str]) -> list[Saying]:
        """What is over is told to those whose time it is, and to the others when theirs comes."""
        told = []
        for saying in sayings:
            asleep = [name for name in saying.targets if name not in awake]
            if saying.state not in (State.RECOVERED, State.ACKNOWLEDGED) or not asleep:
                told.append(saying)
                continue
            for name in asleep:
                self._keep(name, replace(saying, targets=(name,)))
            told.append(replace(saying, targets=tuple(name for name in saying.targets if name in awake)))
        return told

    def _keep(self, target: str, saying: Saying) -> None:
        self._later.setdefault(target, deque(maxlen=MOST_LATER)).append(saying)

    def _count(self, sayings: list[Saying]) -> None:
        self.next_number += sum(1 for saying in sayings if saying.state is State.RAISED)

    def _awake(self, now: Now) -> frozenset[str]:
        return frozenset(
            target.name for target in self._settings.targets if within(target.schedule, now.local)
        )

    def _moment(
        self, rule: AlertRule, source: str, incident: Incident | None, now: Now, awake: frozenset[str]
    ) -> Moment:
        channel_id = incident.channel_id if incident is not None else ""
        return Moment(
            now.now_s,
            now.at_us,
            awake,
            within(rule.schedule, now.local),
            held(self._settings.maintenance, source, channel_id, rule.on == "page", now.at_us),
        )


def _chosen(rule: AlertRule, happening: Happening) -> bool:
    return not rule.sources or not LIMITS[rule.on].sources or happening.source in rule.sources


def _worth_a_look(rule: AlertRule, sight: Sight) -> bool:
    """Whether a source of which nothing is known has anything to it: most of a thousand have not."""
    if sight.value is None:
        return False
    if rule.on == "clipping":
        return sight.value > 0.0
    return sight.value <= threshold_of(rule) if LIMITS[rule.on].below else sight.value >= threshold_of(rule)


def _expects_more(rule: AlertRule, incident: Incident) -> bool:
    """Whether anybody will be told more of what happened."""
    if incident.acknowledged:
        return False
    return incident.escalated < len(rule.escalate) or rule.repeat_min is not None
