"""`echostream alerts`: try targets out, see what is open, acknowledge it."""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from echostream.archive_tools.place import CONFIGURATIONS
from echostream.errors import ConfigError, SecretError

if TYPE_CHECKING:
    from echostream.alerts.rules import Incident
    from echostream.config.models import Config

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FILES: Final = ("alerts.json", "alerts.ack")
TAKEN_S: Final = 5.0
_INCIDENTS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_HELP: Final = """\
examples:
  echostream alerts test                      one message through each target, and what came back
  echostream alerts test chief --config FILE  through one of them
  echostream alerts rules                     what is looked at, and from which value on
  echostream alerts list                      what is open
  echostream alerts ack 17                    you see to it: nobody else is told, nothing is repeated
  echostream alerts ack 17-20                 several; or: all

The configuration is --config, ./config.json, or /etc/echostream/config.json.

exit codes: 0 done, 1 a target was not told, or nothing of that number is open, 2 the call or the
            configuration is wrong, 3 no gateway has told anybody there
"""


def add_alerts(commands: Actions) -> None:
    """Put `echostream alerts` on the command line."""
    alerts = commands.add_parser(
        "alerts",
        help="try targets out, see what is open, acknowledge it",
        description="Messages to people: docs/alerts.md says what there is to be told of.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = alerts.add_subparsers(dest="alerts_command", metavar="ACTION", required=True)
    test = actions.add_parser("test", help="one message through each target, and what came back")
    test.add_argument("target", nargs="*", metavar="TARGET", help="only these (default: all)")
    test.set_defaults(action=_test)
    rules = actions.add_parser("rules", help="what is looked at, and from which value on")
    rules.set_defaults(action=_rules)
    listing = actions.add_parser("list", help="what is open")
    listing.add_argument("--json", action="store_true", help="for machines")
    listing.set_defaults(action=_list)
    ack = actions.add_parser("ack", help="you see to it: nobody else is told, nothing is repeated")
    ack.add_argument("incident", metavar="INCIDENT", help="its number, a range (17-20), or all")
    ack.set_defaults(action=_ack)
    for action in (test, rules, listing, ack):
        action.add_argument("--config", type=Path, metavar="FILE", help="the gateway's configuration")
    for action in (listing, ack):
        action.add_argument(
            "--directory", type=Path, metavar="D", help="events.directory, instead of --config"
        )


# ---- targets


@dataclass(frozen=True, slots=True)
class _Told:
    ok: bool
    text: str
    took_s: float


def _test(args: argparse.Namespace) -> int:
    from echostream.config.secrets import read_secret

    config = _config(args.config)
    targets = {target.name: (at, target) for at, target in enumerate(config.alerts.targets)}
    unknown = [name for name in args.target if name not in targets]
    if unknown or not targets:
        known = f"the targets are {', '.join(targets)}" if targets else "alerts.targets is empty"
        _err(f"{', '.join(unknown) or 'nobody to tell'}: {known}")
        return 2
    wanted = args.target or list(targets)
    told: dict[str, _Told] = {}
    urls: dict[str, str] = {}
    for name in wanted:
        at, target = targets[name]
        try:
            urls[name] = read_secret(target.url, f"alerts.targets[{at}].url").strip()
        except SecretError as error:
            told[name] = _Told(False, str(error), 0.0)
    told |= _tell(config.gateway.id, urls)
    width = max(len(name) for name in wanted)
    for name in wanted:
        answer = told[name]
        words = f"told, after {answer.took_s:.1f} s" if answer.ok else f"not told: {answer.text}"
        _out(f"{name:{width}}  {words}")
    if not config.alerts.enabled:
        _err("alerts.enabled is false: a gateway with this configuration tells nobody")
    return 0 if all(answer.ok for answer in told.values()) else 1


def _tell(gateway: str, urls: dict[str, str]) -> dict[str, _Told]:
    """A message to each of them, all at the same time, the way the gateway does it."""
    from echostream.alerts.delivery import ANSWER_S
    from echostream.alerts.sending_process import Request, SendingProcess

    wake = threading.Event()
    sender = SendingProcess(wake.set)
    began_s = time.monotonic()
    names = dict(enumerate(urls, start=1))
    text = f"This is a test: {gateway} can tell you when something is wrong. Nothing is."
    told: dict[str, _Told] = {}
    try:
        for number, name in names.items():
            request = Request(number, urls[name], f"{gateway}: a test", text, "info")
            if not sender.ask(request, began_s):
                told[name] = _Told(False, "the process that sends could not be started", 0.0)
        while len(told) < len(urls) and time.monotonic() - began_s < ANSWER_S:
            wake.wait(0.2)
            wake.clear()
            took_s = time.monotonic() - began_s
            for answer in sender.answers():
                missing = [name for name in urls if name not in told] if answer.number == 0 else []
                for name in missing or [names[answer.number]]:
                    told[name] = _Told(answer.ok, answer.text, took_s)
    finally:
        sender.end()
    return {name: told.get(name, _Told(False, "no answer in time", ANSWER_S)) for name in urls}


# ---- rules


def _rules(args: argparse.Namespace) -> int:
    from echostream.alerts.rules import clear_of, for_s_of, threshold_of
    from echostream.alerts.words import duration
    from echostream.config.alert_conditions import LIMITS

    settings = _config(args.config).alerts
    for rule in settings.rules:
        limits = LIMITS[rule.on]
        parts = [f"{rule.name}: {rule.on}"]
        if rule.sources:
            parts.append(f"of {', '.join(rule.sources)}")
        if limits.unit and not (rule.on == "stuck_open" and rule.threshold is None):
            sign = "at most" if limits.below else "at least"
            parts.append(f"{sign} {threshold_of(rule):g} {limits.unit}")
            if not limits.event:
                parts.append(f"(over at {clear_of(rule):g})")
        if limits.event:
            parts.append(f"not again within {duration(for_s_of(rule))}")
        elif for_s_of(rule):
            parts.append(f"for {duration(for_s_of(rule))}")
        parts.append(f"-> {', '.join(rule.targets)}")
        parts += [
            f"; after {duration(60 * step.after_min)} -> {', '.join(step.targets)}" for step in rule.escalate
        ]
        _out(" ".join(parts).replace(" ;", ";"))
    if not settings.enabled:
        _err("alerts.enabled is false: nobody is told")
    return 0


# ---- what is open


def _list(args: argparse.Namespace) -> int:
    incidents = _open(_directory(args))
    if incidents is None:
        return 3
    if args.json:
        _out(json.dumps([_as_json(incident) for incident in incidents], ensure_ascii=False, indent=2))
        return 0
    from echostream.alerts.words import what

    for incident in incidents:
        since = datetime.fromtimestamp(incident.at_us / 1e6).strftime("%Y-%m-%d %H:%M:%S")
        seen_to = f"; {incident.acknowledged} sees to it" if incident.acknowledged else ""
        told = f"; told: {', '.join(sorted(incident.told))}" if incident.told else "; nobody was told yet"
        _out(f"{incident.number:6}  {since}  {incident.rule}: {what(incident)}{told}{seen_to}")
    if not incidents:
        _out("nothing is open")
    return 0


def _as_json(incident: Incident) -> dict[str, object]:
    finite = abs(incident.value) != float("inf")
    return {
        "incident": incident.number,
        "rule": incident.rule,
        "on": incident.on,
        "source": incident.source,
        "channel_id": incident.channel_id,
        "raised_at_us": incident.at_us,
        "value": incident.value if finite else None,
        "targets": sorted(incident.told),
        "acknowledged": incident.acknowledged or None,
    }


def _ack(args: argparse.Namespace) -> int:
    from echostream.alerts import control
    from echostream.event_log.acts import whoever

    directory = _directory(args)
    incidents = _open(directory)
    if incidents is None:
        return 3
    match = _INCIDENTS.fullmatch(args.incident)
    if match is None and args.incident != "all":
        _err(f"{args.incident}: a number, 17-20, or all")
        return 2
    first = int(match[1]) if match is not None else 1
    last = int(match[2] or match[1]) if match is not None else max([1, *(one.number for one in incidents)])
    meant = [one for one in incidents if first <= one.number <= last and not one.acknowledged]
    if not meant:
        _err(f"nothing of that number is open ({args.incident})")
        return 1
    folder = directory / FILES[1]
    asked = control.Asked(meant[0].number, meant[-1].number, whoever())
    try:
        path = control.ask(folder, asked)
    except OSError as error:
        remedy = "run this as the user of the service, or with sudo"
        _err(f"{folder}: {error.strerror}; {remedy}")
        return 3
    taken = control.wait_until_taken(path, TAKEN_S)
    when = "" if taken else ", as soon as the gateway runs"
    for incident in meant:
        _out(f"{incident.number}  {incident.rule}: acknowledged{when}")
    return 0


def _open(directory: Path) -> list[Incident] | None:
    from echostream.alerts import memory

    path = directory / FILES[0]
    try:
        return memory.read(path, time.monotonic())[0]
    except FileNotFoundError:
        _err(f"{path}: no gateway has told anybody there")
    except (OSError, ValueError) as error:
        _err(f"{path} cannot be read: {error}")
    return None


def _directory(args: argparse.Namespace) -> Path:
    return args.directory or Path(_config(args.config).events.directory)


def _config(path: Path | None) -> Config:
    from echostream.config.load import load_config

    found = path or next((one for one in CONFIGURATIONS if one.exists()), None)
    if found is None:
        raise ConfigError(f"no configuration: none of {', '.join(map(str, CONFIGURATIONS))}; use --config")
    return load_config(found).config


def _out(line: str) -> None:
    sys.stdout.write(line + "\n")


def _err(line: str) -> None:
    sys.stderr.write(f"echostream alerts: {line}\n")
