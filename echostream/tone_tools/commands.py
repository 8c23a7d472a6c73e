"""The options of `echostream tones`. Each command is imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from echostream.tone_tools.generate_options import add_definitions, add_generate, add_timing
from echostream.tone_tools.numbers import count, level, seconds, share

Command = Callable[[argparse.Namespace], int]

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
LEARN_EPILOG = """\
examples:
  echostream tones learn *.mp3                                  what is paged here?
  echostream tones learn --known config.json -o new.json *.wav  only what I do not know yet
  echostream tones learn --server ws://10.0.0.5:8765 --for 3600 fire-dispatch
"""
PAGE_EPILOG = """\
examples:
  echostream page fire-dispatch engine-7 --voice alarm.mp3
  echostream page fire-dispatch engine-7 --config /etc/echostream/config.json --a 1 --b 3
  echostream page fire-dispatch --five-tone zvei1 12345 --server ws://10.0.0.5:8765
  espeak-ng --stdout "Engine 7, house fire" | echostream page fire-dispatch engine-7 --voice -

exit codes: 0 the last packet is out, 1 it could not be sent whole, 2 unknown channel or page, or a bad file,
            3 a library is missing
"""


def add_tones(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], learn_from_channel: Command
) -> None:
    """Put `echostream tones` on the command line. learn_from_channel: joins one; not done here."""
    tones = commands.add_parser("tones", help="hear, learn, make, list and import tones")
    actions = tones.add_subparsers(dest="tones_command", metavar="ACTION", required=True)
    _add_detect(actions)
    _add_learn(actions, learn_from_channel)
    add_generate(actions)
    _add_list(actions)
    _add_import(actions)
    _add_bench(actions)


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
    detect.add_argument("--threshold", type=share, metavar="X", help="how sure the ear must be, 0 to 1")
    detect.add_argument("--level", type=level, metavar="DB", help="least level of a tone, dBFS")
    detect.add_argument(
        "--new-tone-length",
        type=seconds,
        default=2.0,
        metavar="SECONDS",
        help="least B of an unknown page (2)",
    )
    detect.set_defaults(action=_detect)


def _add_learn(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], learn_from_channel: Command
) -> None:
    learn = actions.add_parser(
        "learn",
        help="propose definitions for the unknown pages in recordings, or on a running channel",
        description="Listen for pages that nobody has defined, in recordings or, with --server, on a "
        "channel, and propose a definition for each: how often it was heard, and which standard tones it is.",
        epilog=LEARN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    learn.add_argument(
        "sources", nargs="+", metavar="FILE|CHANNEL", help="recordings; with --server: a channel"
    )
    learn.add_argument("--known", type=Path, metavar="FILE", help="definitions that there are already")
    learn.add_argument(
        "--channel", metavar="ID", help="the channel whose definitions are known, and are written"
    )
    learn.add_argument("--json", action="store_true", help="alert_tones as JSON, and how each came about")
    learn.add_argument("-o", "--output", type=Path, metavar="FILE", help="write alert_tones to a file")
    learn.add_argument(
        "--new-tone-length", type=seconds, default=1.0, metavar="SECONDS", help="least tone B of a page (1)"
    )
    learn.add_argument(
        "--server", metavar="URL", dest="url", help="ws:// or wss:// address: listen to a channel"
    )
    learn.add_argument(
        "--for", dest="for_s", type=seconds, metavar="SECONDS", help="how long to listen (Ctrl-C)"
    )
    add_member_options(learn)
    learn.set_defaults(action=_learn, learn_from_channel=learn_from_channel)


def add_member_options(parser: argparse.ArgumentParser) -> None:
    """What a member of a channel needs to be let in."""
    parser.add_argument("--name", default="EchoStream command line", help="the name that others see")
    parser.add_argument("--key-file", help='file with the pre-shared key, where the server offers "N/A"')
    parser.add_argument("--token-file", help="file with an access token")
    parser.add_argument("--token-header", help="header that carries the token")
    parser.add_argument("--token-query", help="URL query key that carries the token")
    parser.add_argument("--ca-file", help="PEM of the authority to trust")
    parser.add_argument("--verbose", action="store_true")


def add_page(commands: argparse._SubParsersAction[argparse.ArgumentParser], page: Command) -> None:
    """Put `echostream page` on the command line. page: sends it, which is no business of ours."""
    parser = commands.add_parser(
        "page",
        help="page out: tones, then a voice, on a channel",
        description="Send a page on a channel as one transmission: its tones, then, where given, a voice.",
        epilog=PAGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("channel", help="channel id")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("tone_id", nargs="?", metavar="TONE_ID", help="a page of the channel's tone plan")
    what.add_argument("--dtmf", metavar="DIGITS", help="keys instead: 0 to 9, A to D, *, #")
    what.add_argument(
        "--five-tone", nargs=2, metavar=("SYSTEM", "DIGITS"), help="a call instead: zvei1 12345"
    )
    parser.add_argument(
        "--voice", type=Path, metavar="FILE", help='WAV, FLAC, Ogg or MP3 to follow; "-": WAV, piped'
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="where server and pages come from (./config.json)"
    )
    parser.add_argument("--definitions", type=Path, metavar="FILE", help="the pages, from another file")
    parser.add_argument(
        "--server", dest="url", metavar="URL", help="ws:// or wss:// address of another server"
    )
    parser.add_argument("--level", type=level, default=-12.0, metavar="DBFS", help="of the tones (-12)")
    add_timing(parser)
    add_member_options(parser)
    parser.set_defaults(action=page)


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    tables = actions.add_parser("list", help="the standard tables: Quick Call II, DTMF, five-tone, CTCSS")
    tables.add_argument("system", nargs="?", help="one of them (default: their names)")
    tables.add_argument("--json", action="store_true", help="for machines")
    tables.set_defaults(action=_list)


def _add_import(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    importing = actions.add_parser(
        "import",
        help="definitions of another program, in our form",
        description="Turn definitions of TwoToneDetect (tones.cfg), icad, fd-tone-notify, ThinLineRadio, or "
        "a CSV table into our alert_tones. Exit codes: 0 all taken, 1 some left out (see stderr), 2 none.",
    )
    importing.add_argument("file", type=Path)
    importing.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: print it")
    importing.add_argument(
        "--channel", metavar="ID", help="as the `tones` of a configuration, for this channel"
    )
    importing.set_defaults(action=_import)


def _add_bench(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = actions.add_parser("bench", help="a quick check of the ear on this machine, with figures")
    bench.add_argument("--pages", type=count, default=20, metavar="N", help="pages for each SNR (20)")
    bench.add_argument("--seed", type=count, default=1, metavar="N", help="of the cases (1)")
    bench.add_argument("--json", action="store_true", help="for machines")
    bench.set_defaults(action=_bench)


# ---- the commands


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


def _learn(args: argparse.Namespace) -> int:
    if args.url is not None:
        code: int = args.learn_from_channel(args)
        return code
    from echostream.tone_tools.learn import learn_from_files, options_of

    return learn_from_files(
        [Path(source) for source in args.sources], options_of(args), sys.stdout, sys.stderr
    )


def _list(args: argparse.Namespace) -> int:
    from echostream.tone_tools.tables_shown import list_tables

    return list_tables(args.system, as_json=args.json, out=sys.stdout)


def _import(args: argparse.Namespace) -> int:
    from echostream.tone_tools.importing import import_file

    return import_file(args.file, args.output, args.channel, sys.stdout, sys.stderr)


def _bench(args: argparse.Namespace) -> int:
    from echostream.tone_tools.self_check import self_check

    return self_check(args.pages, args.seed, as_json=args.json, out=sys.stdout)
