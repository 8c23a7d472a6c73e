"""`echostream events`: what happened, and who did what."""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from echostream.archive_tools.options import count
from echostream.archive_tools.times import parse_time
from echostream.errors import EventLogError

if TYPE_CHECKING:
    from echostream.event_log.reading import Wanted
    from echostream.event_tools.listing import Shown

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

NEWEST: Final = 50
_HELP: Final = """\
TIME is today, yesterday, 12:00, 2026-11-21, "2026-11-21 12:00:30", -2h (ago) or @1763726400; local time, UTC
with --utc. --since a day is its beginning, --until a day its end.

examples:
  echostream events                                      the newest 50
  echostream events --follow                             and what happens from now on
  echostream events --since yesterday --kind page        yesterday's pages, and today's
  echostream events --kind admin --who cli:              what people did on the command line
  echostream events --channel fire-dispatch --text "engine 7" --json | jq .data
  echostream events --site --since today --kind page     of all gateways that share an index

Which kinds there are, and what each carries: docs/events.md. The log is read from its files, so this works
while the gateway runs and when it does not. Where it is: --directory, or events.directory of --config, of
./config.json, or of /etc/echostream/config.json.

exit codes: 0 done, 2 the call is wrong or there is no log
"""


def add_events(commands: Actions) -> None:
    """Put `echostream events` on the command line."""
    events = commands.add_parser(
        "events",
        help="what happened, and who did what",
        description="Read the event log: the newest at the bottom.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # "-2h" is a time here, no option.
    events._negative_number_matcher = re.compile(r"-\d")
    which = events.add_argument_group("which of them")
    which.add_argument("--since", default="", metavar="TIME", help="what happened then or later")
    which.add_argument("--until", default="", metavar="TIME", help="what happened before it")
    which.add_argument("--kind", action="append", default=[], metavar="KIND", type=_kind, help="of this kind")
    which.add_argument("--channel", action="append", default=[], metavar="ID", help="on this channel")
    which.add_argument("--text", default="", metavar="WORDS", help="with all of these words")
    which.add_argument("--who", default="", metavar="WHO", help="done by whoever begins so: cli:, mqtt, ...")
    which.add_argument("--site", action="store_true", help="of all gateways in the index (PostgreSQL)")
    which.add_argument("--gateway", action="append", default=[], metavar="ID", help="with --site: of this")
    which.add_argument("--limit", type=count, metavar="N", help="the newest N (50; all with --since)")
    events.add_argument("--follow", action="store_true", help="stay, and show what happens")
    where = events.add_argument_group("where, and how it is told")
    where.add_argument("--directory", type=Path, metavar="D", help="events.directory, where log/ is")
    where.add_argument("--config", type=Path, metavar="FILE", help="the configuration that says where")
    where.add_argument("--utc", action="store_true", help="times are typed and shown in UTC")
    where.add_argument("--json", action="store_true", help="for machines: the lines of the log")
    events.set_defaults(action=_events)


def _kind(text: str) -> str:
    from echostream.notices.notice import Kind

    if text not in get_args(Kind):
        raise argparse.ArgumentTypeError(f"{text}: expected one of {', '.join(get_args(Kind))}")
    return text


def _time(option: str, text: str, zone: tzinfo | None) -> int | None:
    """Unix microseconds; None where nothing was typed."""
    if not text:
        return None
    try:
        return parse_time(text, time.time_ns() // 1000, zone, end=option == "--until")
    except argparse.ArgumentTypeError as error:
        raise EventLogError(f"{option}: {error}") from None


# ---- the commands


def _events(args: argparse.Namespace) -> int:
    from echostream.event_log.reading import Wanted
    from echostream.event_tools.listing import Shown, show
    from echostream.event_tools.place import log_of

    zone = UTC if args.utc else None
    wanted = Wanted(
        since_us=_time("--since", args.since, zone),
        until_us=_time("--until", args.until, zone),
        kinds=tuple(args.kind),
        channels=tuple(args.channel),
        text=args.text,
        who=args.who,
    )
    limit = args.limit or (0 if args.since else NEWEST)
    shown = Shown(as_json=args.json, zone=zone, limit=limit)
    if args.site:
        return _site(args, wanted, shown)
    pause = threading.Event().wait if args.follow else None
    return show(log_of(args.directory, args.config), wanted, shown, sys.stdout, pause)


def _site(args: argparse.Namespace, wanted: Wanted, shown: Shown) -> int:
    from echostream.archive_tools.place import Place, resolve
    from echostream.event_tools.site import show_site

    if args.follow or args.directory is not None:
        raise EventLogError(
            "--site reads the index that the configuration names: without --follow and --directory"
        )
    found = resolve(Place(config=args.config))
    return show_site(found, wanted, tuple(args.gateway), shown, sys.stdout)
