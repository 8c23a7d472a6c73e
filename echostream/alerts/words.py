"""What people read: a title and a few lines, which also an SMS can hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from echostream.alerts.rules import Incident, Saying, State
from echostream.config.alert_conditions import LIMITS

MOST_LINES: Final = 20
_LONGEST_LINE: Final = 300


def title(gateway: str, sayings: Sequence[Saying]) -> str:
    """Of sayings of one rule and one state."""
    first = sayings[0]
    rule = first.incident.rule
    prefix = {
        State.RAISED: "",
        State.RECOVERED: "Over: ",
        State.REPEATED: "Still: ",
        State.ESCALATED: "Nobody answered: ",
        State.ACKNOWLEDGED: "Seen to: ",
        State.UNDELIVERED: "",
    }[first.state]
    count = f" ({len(sayings)})" if len(sayings) > 1 else ""
    return f"{gateway}: {prefix}{rule}{count}"


def body(sayings: Sequence[Saying], local: datetime) -> str:
    """One line for each, the first ones of many; how to acknowledge where that still helps. local: now."""
    lines = [line(saying, local) for saying in sayings[:MOST_LINES]]
    if len(sayings) > MOST_LINES:
        lines.append(f"… and {len(sayings) - MOST_LINES} others")
    numbers = [saying.incident.number for saying in sayings]
    if sayings[0].state in (State.RECOVERED, State.ACKNOWLEDGED):
        return "\n".join(lines)
    whole = str(numbers[0]) if len(numbers) == 1 else f"{min(numbers)}-{max(numbers)}"
    return "\n".join([*lines, f"Incident {whole}: echostream alerts ack {whole}"])


def line(saying: Saying, local: datetime) -> str:
    """What is so, since when, in one line without secrets."""
    incident = saying.incident
    since = _time(incident.at_us, local)
    lasted = duration(max(0.0, saying.now_s - incident.raised_s))
    match saying.state:
        case State.RAISED if LIMITS[incident.on].event:
            text = f"{what(incident)} ({since})"
        case State.RAISED:
            text = f"{what(incident)}. Since {since}."
        case State.RECOVERED:
            detail = f": {incident.detail}" if incident.detail else ""
            text = f"{over(incident)} after {lasted}{detail}"
        case State.ACKNOWLEDGED:
            text = f"{incident.acknowledged} sees to it: {what(incident)}"
        case _:
            text = f"{what(incident)}. Since {since}, for {lasted}."
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def what(incident: Incident) -> str:
    """What is so, as a clause."""
    if LIMITS[incident.on].event:
        return incident.detail or incident.name or incident.on
    sentence = _WHAT[incident.on].format(name=_name(incident), value=_number(incident.value))
    if incident.on == "stuck_open" and math.isinf(incident.value):
        sentence = f"{_name(incident)} is stuck open: the time-out timer ended its transmission"
    if incident.on == "clock" and math.isinf(incident.value):
        sentence = "The gateway's clock is not synchronised"
    if incident.on == "silence":
        sentence = f"{_name(incident)} has been silent for {duration(incident.value)}"
    if incident.on == "upload_lag":
        sentence = f"Recordings have waited {duration(incident.value)} to be uploaded"
    if incident.on == "disk":
        sentence = _disk(incident.value)
    return sentence + (f": {incident.detail}" if incident.detail else "")


def over(incident: Incident) -> str:
    """That it is over, as a clause."""
    return _OVER[incident.on].format(name=_name(incident))


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3.5 h", "8 days"."""
    if not math.isfinite(seconds):
        return "who knows how long"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def _disk(hours: float) -> str:
    if hours < 0:
        return "The recordings' disk fails, or does not answer"
    if hours == 0:
        return "The recordings' disk is full"
    if not math.isfinite(hours):
        return "The recordings' disk was filling up"
    return f"The recordings' disk is full in {duration(3600 * hours)}"


def _name(incident: Incident) -> str:
    """As people call it, and as the configuration does."""
    if not incident.name or incident.name == incident.source:
        return incident.source
    return f"{incident.name} ({incident.source})"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "untold"
    return f"{value:.1f}" if abs(value) < 10 else f"{value:.0f}"


def _time(at_us: int, local: datetime) -> str:
    """On the gateway's clock; with the day when it is another one."""
    try:
        then = datetime.fromtimestamp(at_us / 1e6)
    except (ValueError, OverflowError, OSError):
        return "some time"
    return then.strftime("%H:%M:%S" if then.date() == local.date() else "%Y-%m-%d %H:%M:%S")


_WHAT: Final = {
    "device_gone": "Microphone {name} is gone",
    "card_gone": "The sound card of {name} is gone",
    "silence": "{name} is silent",
    "stuck_open": "{name} has been transmitting for {value} s",
    "clipping": "{name} is too loud: {value} % of its sound is clipped",
    "clock": "The gateway's clock may be off by {value} ms",
    "drift": "The clock of {name} is off by {value} ppm",
    "upload_lag": "Recordings wait",
    "disk": "The disk fills up",
    "temperature": "The gateway is at {value} °C",
    "under_voltage": "The gateway's supply voltage is too low: use a stronger power supply",
    "server_gone": "The control server is away",
    "broker_gone": "The MQTT broker is away",
}
_OVER: Final = {
    "page": "Page of {name}",
    "device_gone": "Microphone {name} is back",
    "card_gone": "The sound card of {name} is back",
    "silence": "{name} is heard again",
    "stuck_open": "{name} is no longer stuck open",
    "clipping": "{name} no longer clips",
    "clock": "The gateway's clock is right again",
    "drift": "The clock of {name} is steady again",
    "upload_lag": "Recordings are uploaded again",
    "disk": "The recordings' disk is well again",
    "temperature": "The gateway has cooled down",
    "under_voltage": "The gateway's supply voltage is right again",
    "server_gone": "The control server is back",
    "broker_gone": "The MQTT broker is back",
    "recordings_at_risk": "Recordings are no longer at risk",
    "worker_failed": "Worker {name} runs",
}
