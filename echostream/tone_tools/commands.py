"""The options of `echostream tones`. Each command is imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DETECT_HELP = """\
Hear pages, tones and digits in sound files: WAV, FLAC, Ogg, MP3 of any rate and number of channels;
"-" reads a WAV from standard input as it comes. Without definitions everything is heard that needs none:
unknown two-tone pages, DTMF, five-tone calls of all systems, alert tones, CTCSS, MDC1200.
"""
DETECT_EPILOG = """\
examples:
  echostream tones detect call.mp3                              what is in it?
  echostream tones detect --config config.json --explain *.wav  my pages, and why one was not heard
  echostream tones detect --definitions tones.cfg --json call.wav | jq .tone_id
  arecord -q -f S16_LE -r 16000 -t wav | echostream tones detect -    as it is heard
  echostream tones detect --plot call.png call.wav              a picture

exit codes: 0 every file was heard through, whether or not something was in it; 2 a file could not be
            read (the others were), or the call or the definitions are wrong; 3 a library is missing
"""


def add_tones(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `echostream tones` on the command line."""
    tones = commands.add_parser("tones", help="hear, learn, make, list and import tones")
    actions = tones.add_subparsers(dest="tones_command", metavar="ACTION", required=True)
    _add_detect(actions)


def _add_detect(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    detect = actions.add_parser(
        "detect",
        help="what is heard in sound files",
        description=DETECT_HELP,
        epilog=DETECT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    detect.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help='sound files; "-": WAV from a pipe'
    )
    add_definitions(detect)
    detect.add_argument("--all", action="store_true", help="with definitions: also what needs none")
    detect.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    detect.add_argument(
        "--explain", action="store_true", help="also what was nearly a page, and why it was none"
    )
    detect.add_argument("--plot", type=Path, metavar="OUT.png", help="draw what was heard")
    detect.add_argument(
        "--channel-number", type=int, metavar="N", help="hear this channel only (default: mixed)"
    )
    detect.add_argument("--threshold", type=_share, metavar="X", help="how sure the ear must be, 0 to 1")
    detect.add_argument("--level", type=_level, metavar="DB", help="least level of a tone, dBFS")
    detect.add_argument(
        "--new-tone-length",
        type=seconds,
        default=2.0,
        metavar="SECONDS",
        help="least B of an unknown page (2)",
    )
    detect.set_defaults(action=_detect)


def add_definitions(parser: argparse.ArgumentParser) -> None:
    """--definitions, --config, --channel."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--definitions",
        type=Path,
        metavar="FILE",
        help="what to listen for: alert_tones, a configuration, tones.cfg, icad, ThinLineRadio, CSV",
    )
    source.add_argument("--config", type=Path, metavar="FILE", help="the pages of a gateway's configuration")
    parser.add_argument("--channel", metavar="ID", help="only those of this channel")


def _detect(args: argparse.Namespace) -> int:
    from echostream.tone_tools.detect import DetectOptions, detect

    options = DetectOptions(
        files=tuple(args.files),
        definitions=args.definitions,
        config=args.config,
        channel=args.channel,
        channel_number=args.channel_number,
        everything=args.all,
        as_json=args.json,
        explain=args.explain,
        plot=args.plot,
        threshold=args.threshold,
        level_db=args.level,
        new_tone_length_s=args.new_tone_length,
    )
    return detect(options, sys.stdout, sys.stderr)


def seconds(text: str) -> float:
    """A number of seconds above 0, at most an hour."""
    return _number(text, 0.0, 3600.0, "a number of seconds above 0, at most 3600", open_at_low=True)


def _share(text: str) -> float:
    return _number(text, 0.0, 1.0, "0 to 1")


def _level(text: str) -> float:
    return _number(text, -120.0, 0.0, "-120 to 0 dBFS")


def _number(text: str, low: float, high: float, expected: str, open_at_low: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high or (open_at_low and value == low):
        raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
    return value
