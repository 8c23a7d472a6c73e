"""The options of `echostream recordings`. Each command is imported when it is asked for."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive_tools import times

if TYPE_CHECKING:
    from echostream.archive_tools.selection import Selection
    from echostream.archive_tools.store import FileStore

_KINDS: Final = ("channel", "network", "device", "quarantine")
_TRIGGERS: Final = ("continuous", "vox", "transmission", "page")
_DEFAULT_CONFIG: Final = Path("config.json")
_DEFAULT_DIRECTORY: Final = Path("/var/lib/echostream/recordings")


def add_recordings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `echostream recordings` on the command line."""
    recordings = commands.add_parser("recordings", help="list, show, export, verify what was recorded")
    actions = recordings.add_subparsers(dest="recordings_command", metavar="ACTION", required=True)
    _add_list(actions)
    _add_export(actions)


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = actions.add_parser("list", help="what there is, the newest at the bottom")
    _add_selection(listing)
    listing.add_argument("--limit", type=_count, default=50, metavar="N", help="the newest N (50)")
    listing.add_argument("--all", action="store_true", help="however many there are")
    listing.set_defaults(action=_list)


def _add_export(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = actions.add_parser("export", help="a range of time as one WAV or FLAC file")
    _add_selection(export)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    export.add_argument("--rate", type=_count, default=0, metavar="HZ")
    export.add_argument("--join", choices=("samples", "time"))
    export.add_argument("--mix", action="store_true", help="all sources in one channel")
    export.add_argument("--force", action="store_true", help="overwrite OUT")
    export.set_defaults(action=_export)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    # "-2h" is a time here, no option: argparse would take it for one.
    parser._negative_number_matcher = re.compile(r"-\d")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="sources (porch, 'esp32-*'), ids or files")
    parser.add_argument("--from", dest="start", default="", metavar="TIME", help="today, 12:00, -2h, ...")
    parser.add_argument("--to", dest="end", default="", metavar="TIME", help="a day is meant whole")
    parser.add_argument("--for", dest="length_us", type=times.parse_length, default=0, metavar="LENGTH")
    parser.add_argument("--kind", action="append", default=[], choices=_KINDS)
    parser.add_argument("--trigger", action="append", default=[], choices=_TRIGGERS)
    parser.add_argument("--channel", action="append", default=[], metavar="ID")
    parser.add_argument("--tone", action="append", default=[], metavar="TONE")
    parser.add_argument("--text", default="", metavar="WORDS")
    parser.add_argument("--protected", action="store_true", default=None)
    parser.add_argument("--utc", action="store_true", help="times are typed and shown in UTC")
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--directory", type=Path, metavar="D", help="where the recordings are")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration that says where")
    parser.add_argument("--json", action="store_true", help="for machines")


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < value <= 10**9:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
    return value


# ---- the commands


def _list(args: argparse.Namespace) -> int:
    from echostream.archive_tools.listing import list_recordings

    limit = 0 if args.all else args.limit
    return list_recordings(
        _store(args), _selection(args), _now_us(), limit, as_json=args.json, out=sys.stdout
    )


def _export(args: argparse.Namespace) -> int:
    from echostream.archive_tools.exporting import ExportOptions, export

    options = ExportOptions(
        output=args.output,
        rate_hz=args.rate,
        join=args.join,
        mix=args.mix,
        as_json=args.json,
        force=args.force,
    )
    store, selection = _store(args), _selection(args)
    return export(store, selection, options, _now_us(), sys.stdout, sys.stderr, sys.stdout.buffer)


def _selection(args: argparse.Namespace) -> Selection:
    from echostream.archive_tools.selection import Selection

    return Selection(
        what=tuple(args.what),
        start=args.start,
        end=args.end,
        length_us=args.length_us,
        kinds=tuple(args.kind),
        triggers=tuple(args.trigger),
        channels=tuple(args.channel),
        tones=tuple(args.tone),
        text=args.text,
        protected=args.protected,
        utc=args.utc,
    )


def _store(args: argparse.Namespace) -> FileStore:
    from echostream.archive_tools.store import FileStore

    return FileStore(_directory(args))


def _directory(args: argparse.Namespace) -> Path:
    directory: Path | None = args.directory
    if directory is not None:
        return directory
    if args.config is None and not _DEFAULT_CONFIG.exists():
        return _DEFAULT_DIRECTORY
    from echostream.config.load import load_config

    return Path(load_config(args.config or _DEFAULT_CONFIG).config.recording.directory)


def _now_us() -> int:
    return time.time_ns() // 1000
