"""Options that several of the commands share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from echostream.archive_tools import times

_KINDS: Final = ("channel", "network", "device", "quarantine")
_TRIGGERS: Final = ("continuous", "vox", "transmission", "page", "command")


def add_command(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    short: str,
    epilog: str,
    usage: str = "[WHAT ...] [options]",
) -> argparse.ArgumentParser:
    """A command whose help teaches."""
    parser = actions.add_parser(
        name,
        help=short,
        usage=f"echostream recordings {name} {usage}".rstrip(),
        description=short[0].upper() + short[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # "-2h" is a time here, no option: argparse has its own idea of what a negative number is.
    parser._negative_number_matcher = re.compile(r"-\d")
    return parser


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which recordings."""
    parser.add_argument("what", nargs="*", metavar="WHAT", help="sources, patterns, ids or files; see below")
    group = parser.add_argument_group("which of them")
    group.add_argument("--from", dest="start", default="", metavar="TIME", help="what ends after it")
    group.add_argument("--to", dest="end", default="", metavar="TIME", help="what begins before it")
    group.add_argument(
        "--for",
        dest="length_us",
        type=times.parse_length,
        default=0,
        metavar="LENGTH",
        help="with --from or --to instead of the other one; alone: the last 10m, 1h30m, 2d",
    )
    group.add_argument(
        "--kind", action="append", default=[], choices=_KINDS, help="of which kind the source is"
    )
    group.add_argument(
        "--trigger", action="append", default=[], choices=_TRIGGERS, help="why it was recorded"
    )
    group.add_argument("--channel", action="append", default=[], metavar="ID", help="on this channel")
    group.add_argument("--tone", action="append", default=[], metavar="TONE", help="in which it was heard")
    group.add_argument("--text", default="", metavar="WORDS", help='in label, tones, notes; "eng*" begins so')
    group.add_argument("--protected", action="store_true", default=None, help="only protected ones")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where they are, and how they are told."""
    group = parser.add_argument_group("where, and how it is told")
    group.add_argument("--directory", type=Path, metavar="D", help="where the recordings are")
    group.add_argument("--config", type=Path, metavar="FILE", help="the configuration that says where")
    group.add_argument("--by-files", action="store_true", help="read every file; do not ask the index")
    group.add_argument("--utc", action="store_true", help="times are typed and shown in UTC")
    group.add_argument("--json", action="store_true", help="for machines")


def hours(text: str) -> float:
    """More than 0, and a week at most: no link works longer."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 168.0:
        raise argparse.ArgumentTypeError(f"{text}: expected hours, up to 168")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
    return value


def rate(text: str) -> int:
    """A sample rate."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 4000 <= value <= 192_000:
        raise argparse.ArgumentTypeError(f"{text}: expected a sample rate of 4000 to 192000 Hz")
    return value
