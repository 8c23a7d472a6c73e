"""`echostream report`: what a day brought."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, date, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from echostream.archive_tools.place import CONFIGURATIONS
from echostream.errors import EventLogError

if TYPE_CHECKING:
    from echostream.config.models import Config
    from echostream.reports.model import DayReport
    from echostream.reports.sources import Place

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_HELP: Final = """\
examples:
  echostream report                                yesterday
  echostream report today                          up to now
  echostream report 2026-11-21 --html -o day.html  a page with plots
  echostream report --csv | column -ts,            for a spreadsheet
  echostream report --if-missing                   what a gateway that was stopped has not written

A day is that of the machine's clock, of UTC with --utc. The report is made of the event log and of the index
of recordings, also while the gateway runs. It writes one by itself each morning (events.report_at), into
reports/ of events.directory.

exit codes: 0 done, 2 the call is wrong or there is no log
"""


def add_report(commands: Actions) -> None:
    """Put `echostream report` on the command line."""
    report = commands.add_parser(
        "report",
        help="pages, talk time, uptime and gaps of a day",
        description="What a day brought: pages, talk time, uptime and gaps per channel, microphones, alerts.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument(
        "day", nargs="?", default="yesterday", help="2026-11-21, today or yesterday (default)"
    )
    form = report.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a table for machines")
    form.add_argument("--html", dest="form", action="store_const", const="html", help="a page with plots")
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="all of it, for machines"
    )
    report.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write it there (default: print it)"
    )
    report.add_argument("--directory", type=Path, metavar="D", help="events.directory, where log/ is")
    report.add_argument("--config", type=Path, metavar="FILE", help="the configuration that says where")
    report.add_argument(
        "--if-missing",
        action="store_true",
        help="write the daily reports that are due and not there into their folder, as the gateway does",
    )
    report.add_argument("--utc", action="store_true", help="the day and its times are those of UTC")
    report.set_defaults(action=_report, form="text")


def _report(args: argparse.Namespace) -> int:
    from echostream.event_log.files import day_files, log_directory
    from echostream.reports.sources import report_of

    zone = UTC if args.utc else None
    now_us = time.time_ns() // 1000
    day = parse_day(args.day, now_us, zone)
    if args.if_missing:
        return _catch_up(args.config)
    place = _place(args.directory, args.config)
    try:
        if not day_files(log_directory(place.events)):
            raise EventLogError(
                f"{place.events}: no event log there; name the place with --directory or --config"
            )
        report = report_of(place, day, zone, now_us)
    except OSError as error:
        remedy = "; run this as the user of the service, or with sudo" if error.errno == 13 else ""
        raise EventLogError(f"{error.filename or place.events}: {error.strerror}{remedy}") from None
    if args.output is None:
        write(report, args.form, zone, sys.stdout)
        return 0
    try:
        with args.output.open("w", encoding="utf-8", newline="") as out:
            write(report, args.form, zone, out)
    except OSError as error:
        raise EventLogError(f"{args.output}: cannot be written: {error.strerror or error}") from None
    return 0


def _catch_up(named: Path | None) -> int:
    """As events.report_at of the configuration says."""
    from echostream.archive_tools.place import as_owner
    from echostream.reports.catching_up import catch_up

    config, place = _configured(named or next((one for one in CONFIGURATIONS if one.exists()), None))
    try:
        with as_owner(place.events):
            return catch_up(place, config.events.report_at, sys.stdout)
    except OSError as error:
        raise EventLogError(f"{error.filename or place.events}: {error.strerror}") from None


def parse_day(text: str, now_us: int, zone: tzinfo | None) -> date:
    """EventLogError says what is expected."""
    from echostream.reports.calendar import day_at

    today = day_at(now_us, zone)
    back = {"today": 0, "yesterday": 1}.get(text.strip().lower())
    if back is not None:
        return today - timedelta(days=back)
    try:
        day = date.fromisoformat(text.strip())
        if 1970 < day.year < 9999:
            return day
    except ValueError:
        pass
    raise EventLogError(f'"{text}" is no day: expected 2026-11-21, today or yesterday')


def write(report: DayReport, form: str, zone: tzinfo | None, out: TextIO) -> None:
    """form: text, csv, html or json. LibraryMissing for a page where there is no matplotlib."""
    if form == "csv":
        from echostream.reports.table import write_csv

        write_csv(report, out)
    elif form == "json":
        from echostream.reports.table import write_json

        write_json(report, out)
    elif form == "html":
        from echostream.reports.page import write_page

        write_page(report, zone, out)
    else:
        from echostream.reports.text import write_text

        write_text(report, zone, out)


def _place(directory: Path | None, named: Path | None) -> Place:
    """As typed, and as the configuration says. ConfigError."""
    from echostream.config.event_models import Events
    from echostream.reports.sources import Place

    path = named
    if path is None and directory is None:
        path = next((one for one in CONFIGURATIONS if one.exists()), None)
    if path is None:
        return Place(directory or Path(Events().directory))
    return _configured(path, directory)[1]


def _configured(path: Path | None, directory: Path | None = None) -> tuple[Config, Place]:
    """ConfigError."""
    from echostream.config.load import load_config
    from echostream.config.secrets import read_secret
    from echostream.reports.sources import place_of

    config = load_config(path or CONFIGURATIONS[-1]).config
    secret = config.recording.database
    url = None if secret is None else read_secret(secret, "recording.database").strip()
    return config, place_of(config, url, directory)
