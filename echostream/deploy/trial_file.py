"""What is known of a trial, on the disk: whoever is killed in the middle of it, another one goes on.

/opt/echostream/trial.json    while a new version is on trial, or while going back from one
/opt/echostream/judge         -> versions/ID: whose Python judges; the version that is known to work
/opt/echostream/go-back       somebody asked for it while a new version is on trial; says who
/opt/echostream/trials.json   how the last twenty ended
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from echostream.deploy import files
from echostream.deploy.layout import ID_FORM, DeployError, Layout
from echostream.service.health import Health

Phase = Literal["switch", "watch", "back"]
Outcome = Literal["confirmed", "went back", "rolled back", "abandoned"]

WITHIN_S: Final = 120.0
"""A new version that is not as good as the one before within this time is left again."""
HOLD_S: Final = 20.0
"""It has to be good for so long without a break: many a thing dies only after its first seconds."""
JUDGE: Final = "judge"
GO_BACK: Final = "go-back"
HISTORY: Final = "trials.json"
MOST_ENDED: Final = 20
_MOST_BYTES: Final = 1 << 20
_NOT_THAT: Final = (TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What taking JSON apart raises when something else stands there."""


@dataclass(frozen=True, slots=True)
class Before:
    """How a gateway was before. told: it said so. channels: id -> (online, card); links: name -> up."""

    told: bool = False
    pid: int = 0
    started_us: int = 0
    healthy: bool = False
    channels: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    links: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial. old: where it goes back to; new: what is tried; previous: what `previous` is when it went
    back. began_us: Unix microseconds, names the trial. units: of the gateways that ran. resumed: how often
    whoever judged began anew. why: of going back."""

    new: str
    old: str
    previous: str | None
    began_us: int
    phase: Phase = "switch"
    units: tuple[str, ...] = ()
    before: Mapping[str, Before] = field(default_factory=dict)
    resumed: int = 0
    why: str = ""
    asked: bool = False
    """Somebody asked for going back; nothing is wrong with `new`."""
    within_s: float = WITHIN_S
    hold_s: float = HOLD_S


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended, for people."""

    began_us: int
    ended_us: int
    new: str
    old: str
    outcome: Outcome
    why: str = ""


def in_words(ended: Ended) -> str:
    """How it ended, in a line."""
    match ended.outcome:
        case "confirmed":
            return f"{ended.new} runs" + (f" ({ended.why})" if ended.why else "")
        case "went back":
            return f"{ended.new} was left, {ended.old} runs again: {ended.why}"
        case "rolled back":
            return f"{ended.old} runs again: {ended.why}"
        case _:
            return f"the trial of {ended.new} was given up: {ended.why}"


def before_of(health: Health | None) -> Before:
    """What has to be as good again."""
    if health is None:
        return Before()
    return Before(
        True,
        health.pid,
        health.started_us,
        health.healthy,
        {name: (one.online, one.card) for name, one in health.channels.items()},
        {name: one.up for name, one in health.links.items()},
    )


def worse(before: Before, now: Health | None) -> list[str]:
    """What is not as good as it was, in words; empty: as good. Only what was up before is asked for: a card
    that was pulled, or a server that was away, is nothing that a version can bring back."""
    if now is None:
        return ["the gateway does not say how it is"]
    if (now.pid, now.started_us) == (before.pid, before.started_us):
        return ["the gateway of the version before still runs"]
    found = [] if now.ready else ["not ready yet"]
    if not now.healthy and (before.healthy or not before.told):
        found.append("not healthy: " + ("; ".join(now.why) or "it does not say why"))
    for name, (online, card) in before.channels.items():
        channel = now.channels.get(name)
        if channel is None:
            found.append(f"channel {name} is not there")
            continue
        if online and not channel.online:
            found.append(f"channel {name} is not online")
        if card and not channel.card:
            found.append(f"channel {name} has no card")
    for name, up in before.links.items():
        link = now.links.get(name)
        if up and (link is None or not link.up):
            found.append(f"{name} is not connected" + (f": {link.detail}" if link and link.detail else ""))
    return found


# ---- the files


def write_trial(layout: Layout, trial: Trial) -> None:
    """It is on the disk when this returns. OSError."""
    files.write_file(layout.trial_file, json.dumps(asdict(trial), indent=1).encode() + b"\n")


def read_trial(layout: Layout) -> Trial | None:
    """The trial that is under way; None where there is none. DeployError where its file does not read."""
    try:
        with layout.trial_file.open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
        return _trial(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, *_NOT_THAT) as error:
        raise DeployError(f"{layout.trial_file} does not read ({error}); remove it") from error


def _trial(document: Any) -> Trial:
    if not isinstance(document, dict) or document["phase"] not in get_args(Phase):
        raise ValueError("no trial")
    before = {
        str(unit): Before(
            bool(one["told"]),
            int(one["pid"]),
            int(one["started_us"]),
            bool(one["healthy"]),
            {str(name): (bool(online), bool(card)) for name, (online, card) in one["channels"].items()},
            {str(name): bool(up) for name, up in one["links"].items()},
        )
        for unit, one in document["before"].items()
    }
    previous = document["previous"]
    ids = [document["new"], document["old"], *([] if previous is None else [previous])]
    if not all(isinstance(one, str) and ID_FORM.fullmatch(one) for one in ids):
        raise ValueError(f"{ids}: no versions")
    return Trial(
        document["new"],
        document["old"],
        previous,
        int(document["began_us"]),
        document["phase"],
        tuple(map(str, document["units"])),
        before,
        int(document["resumed"]),
        str(document["why"]),
        bool(document["asked"]),
        float(document["within_s"]),
        float(document["hold_s"]),
    )


def end_trial(layout: Layout, ended: Ended) -> None:
    """The trial is over: remembered, then its file is removed. Doing it twice is doing it once."""
    known = [one for one in history(layout) if one.began_us != ended.began_us]
    rows = [asdict(one) for one in [*known, ended][-MOST_ENDED:]]
    files.write_file(layout.home / HISTORY, json.dumps(rows, indent=1).encode() + b"\n")
    (layout.home / GO_BACK).unlink(missing_ok=True)
    layout.trial_file.unlink(missing_ok=True)
    files.sync_folder(layout.home)


def ask_to_go_back(layout: Layout, who: str) -> None:
    """Whoever judges goes back with its next look."""
    files.write_file(layout.home / GO_BACK, who.encode() + b"\n")


def asked_to_go_back(layout: Layout) -> str:
    """Who asked for it; "": nobody."""
    try:
        return (layout.home / GO_BACK).read_text("utf-8", "replace").strip()[:200]
    except OSError:
        return ""


def history(layout: Layout) -> list[Ended]:
    """How trials ended, the oldest first. A file that does not read is none: it is for people only."""
    path: Path = layout.home / HISTORY
    try:
        with path.open("rb") as file:
            rows = json.loads(file.read(_MOST_BYTES))
        return [
            Ended(
                int(one["began_us"]),
                int(one["ended_us"]),
                str(one["new"]),
                str(one["old"]),
                one["outcome"] if one["outcome"] in get_args(Outcome) else "abandoned",
                str(one["why"]),
            )
            for one in rows
        ]
    except (OSError, ValueError, *_NOT_THAT):
        return []
