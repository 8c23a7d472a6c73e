"""Alerts in the configuration: who is told, of what, and when not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.alert_conditions import LIMITS
from echostream.config.base import Label, Name, Secret, Section, broken

Condition = Literal[
    "page",
    "device_gone",
    "card_gone",
    "silence",
    "stuck_open",
    "clipping",
    "clock",
    "drift",
    "upload_lag",
    "disk",
    "temperature",
    "under_voltage",
    "server_gone",
    "broker_gone",
    "recordings_at_risk",
    "worker_failed",
]
Days = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
MOMENT_PATTERN: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?$"
Moment = Annotated[str, Field(pattern=MOMENT_PATTERN)]


class Schedule(Section):
    """Times of a week, on the gateway's clock."""

    days: tuple[Days, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """On these days."""
    begins: TimeOfDay = Field(default="00:00", examples=["08:00"])
    """From this time on."""
    ends: TimeOfDay = Field(default="00:00", examples=["18:00"])
    """To this time; earlier than or the same as `begins`: to that time of the next day."""


class AlertTarget(Section):
    """Somebody or something that is told."""

    name: Name = Field(examples=["chief"])
    """What the rules call it."""
    url: Secret = Field(examples=[{"file": "/etc/echostream/alert-chief"}])
    """Where its Apprise address is (mailto://, tgram://, twilio://, json://, …): it holds passwords."""
    schedule: tuple[Schedule, ...] = ()
    """It is told at these times only; empty: always."""


class Escalation(Section):
    """Who else is told when nobody acknowledged and it is not over."""

    after_min: Annotated[float, Field(gt=0, le=10_080)]
    """Minutes after the alert."""
    targets: tuple[Name, ...] = Field(min_length=1)
    """Who is told then."""


class AlertRule(Section):
    """One thing that somebody has to know."""

    name: Name = Field(examples=["porch is dead"])
    """What it is called in messages."""
    on: Condition = Field(examples=["device_gone"])
    """What it looks at; docs/alerts.md says what each means, in which unit, and with which thresholds."""
    sources: tuple[Name, ...] = ()
    """Only these channels (by id), devices (by name), or for `page` tones (by tone_id); empty: all."""
    threshold: float | None = None
    """Value from which on it is raised; null: the condition's own."""
    clear: float | None = None
    """Value from which on it is over; null: the condition's own, some way below the threshold."""
    for_s: Annotated[float, Field(ge=0, le=604_800)] | None = None
    """It must hold for so long; null: the condition's own."""
    targets: tuple[Name, ...] = Field(min_length=1)
    """Who is told."""
    escalate: tuple[Escalation, ...] = ()
    """Who else, later."""
    repeat_min: Annotated[float, Field(ge=1, le=10_080)] | None = None
    """Told again so often while it lasts and nobody acknowledged; null: once."""
    recovery: bool = True
    """Also tell that it is over."""
    schedule: tuple[Schedule, ...] = ()
    """It is looked at at these times only; empty: always."""

    @model_validator(mode="after")
    def _over_on_the_right_side(self) -> Self:
        limits = LIMITS[self.on]
        if self.threshold is None and self.clear is None:
            return self
        if not limits.unit:
            field = "threshold" if self.threshold is not None else "clear"
            broken(f"no {field} for {self.on}: it is so or it is not", "remove it", field)
        if self.clear is None or limits.event:
            return self
        threshold = limits.threshold if self.threshold is None else self.threshold
        if limits.below and self.clear < threshold:
            broken(f"{threshold:g} or more: {self.on} is raised at less", "raise it, or remove it", "clear")
        if not limits.below and self.clear > threshold:
            broken(f"{threshold:g} or less: {self.on} is raised at more", "lower it, or remove it", "clear")
        return self


class Maintenance(Section):
    """Nobody is told of anything new meanwhile; what still holds at the end is told then."""

    name: Label = ""
    """What is being done."""
    begins: Moment = Field(examples=["2026-11-21T22:00"])
    """From then on: ISO 8601; without a zone it is the gateway's clock."""
    ends: Moment = Field(examples=["2026-11-22T02:00"])
    """Until then."""
    sources: tuple[Name, ...] = ()
    """Only for these channels and devices; empty: for everything but pages."""

    @model_validator(mode="after")
    def _a_time(self) -> Self:
        times = []
        for field, text in (("begins", self.begins), ("ends", self.ends)):
            try:
                times.append(datetime.fromisoformat(text).timestamp())
            except (ValueError, OverflowError, OSError):
                broken("a day and a time that there are", 'write it like "2026-11-21T22:00"', field)
        if times[1] <= times[0]:
            broken("a time after begins", "a window ends after it began", "ends")
        return self


class Alerts(Section):
    """Messages to people."""

    enabled: bool = False
    """Tell them."""
    targets: tuple[AlertTarget, ...] = ()
    """Who can be told."""
    rules: tuple[AlertRule, ...] = ()
    """Of what."""
    maintenance: tuple[Maintenance, ...] = ()
    """When not."""

    @model_validator(mode="after")
    def _everyone_is_known(self) -> Self:
        for kind, names in (
            ("targets", [target.name for target in self.targets]),
            ("rules", [rule.name for rule in self.rules]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                broken(f"names of their own; {', '.join(sorted(twice))} stands twice", "rename one", kind)
        known = {target.name for target in self.targets}
        for at, rule in enumerate(self.rules):
            named = {*rule.targets, *(name for step in rule.escalate for name in step.targets)}
            if not named <= known:
                missing = ", ".join(sorted(named - known))
                broken(f"targets that are there; rules[{at}] names {missing}", "add it to targets", "rules")
        return self
