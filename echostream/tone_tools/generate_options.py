"""The options of `echostream tones generate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from echostream.tone_tools.numbers import count, hertz, level, pause_seconds, rate, snr, tone_seconds

if TYPE_CHECKING:
    from echostream.tone_tools.generate import Timing
    from echostream.tones.generator import Part

EPILOG = """\
examples:
  echostream tones generate two-tone 349.0 433.7 -o page.wav
  echostream tones generate page engine-7 --config config.json -o page.flac
  echostream tones generate long 1000 --a 8 -o group.wav
  echostream tones generate at-once 349.0 433.7 600.9 788.5 -o qc1.wav
  echostream tones generate dtmf 123# --tone 0.05 --pause 0.05 -o dtmf.wav
  echostream tones generate five-tone zvei1 12345 --noise 0 | echostream tones detect -
"""


def add_generate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Put `generate` and its kinds on the command line."""
    generate = actions.add_parser(
        "generate",
        help="make pages and calls as sound files",
        description="Make a page or a call: clean tones with shaped edges, or in noise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = generate.add_subparsers(dest="kind", metavar="KIND", required=True)
    two_tone = _kind(kinds, "two-tone", "tone A, then tone B: 1 s and 3 s unless said")
    two_tone.add_argument("a_hz", type=hertz, metavar="A_HZ")
    two_tone.add_argument("b_hz", type=hertz, metavar="B_HZ")
    long_tone = _kind(kinds, "long", "one tone: 8 s unless said")
    long_tone.add_argument("a_hz", type=hertz, metavar="HZ")
    at_once = _kind(kinds, "at-once", "two tones at once, then, where given, two others: 1 s each")
    at_once.add_argument("hz", type=hertz, nargs="+", metavar="HZ", help="two or four frequencies")
    dtmf = _kind(kinds, "dtmf", "keys: 0 to 9, A to D, *, #")
    dtmf.add_argument("digits")
    five_tone = _kind(
        kinds, "five-tone", "a call: 0 to 9, A (group); the repeat tone is put in where it belongs"
    )
    five_tone.add_argument("system", help="zvei1, zvei2, zvei3, ccir, eea, eia, ccitt")
    five_tone.add_argument("digits")
    page = _kind(kinds, "page", "a page by its id, from a configuration or a file of definitions")
    page.add_argument("tone_id", metavar="TONE_ID")
    add_definitions(page)
    generate.set_defaults(action=_generate)


def add_definitions(parser: argparse.ArgumentParser) -> None:
    """--definitions, --config, --channel."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--definitions",
        type=Path,
        metavar="FILE",
        help="alert_tones, a configuration, tones.cfg, icad, ThinLineRadio, CSV",
    )
    source.add_argument("--config", type=Path, metavar="FILE", help="a gateway's configuration")
    parser.add_argument("--channel", metavar="ID", help="only those of this channel")


def add_timing(parser: argparse.ArgumentParser) -> None:
    """How long what sounds."""
    parser.add_argument(
        "--a", type=tone_seconds, metavar="S", help="length of tone A, of a long tone, of each pair"
    )
    parser.add_argument("--b", type=tone_seconds, metavar="S", help="length of tone B")
    parser.add_argument(
        "--gap", type=pause_seconds, default=0.0, metavar="S", help="silence between A and B (0)"
    )
    parser.add_argument(
        "--tone", type=tone_seconds, default=0.1, metavar="S", help="DTMF: length of a digit (0.1)"
    )
    parser.add_argument(
        "--pause", type=pause_seconds, default=0.1, metavar="S", help="DTMF: pause after it (0.1)"
    )


def timing_of(args: argparse.Namespace) -> Timing:
    """What `add_timing` took."""
    from echostream.tone_tools.generate import Timing

    return Timing(args.a, args.b, args.gap, args.tone, args.pause)


def _kind(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=about, description=about)
    add_timing(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("-"),
        metavar="FILE",
        help=".wav, .flac, .ogg, .mp3 (WAV to stdout)",
    )
    parser.add_argument("--rate", type=rate, default=48_000, metavar="HZ", help="sample rate (48000)")
    parser.add_argument(
        "--level", type=level, default=-12.0, metavar="DBFS", help="a full-scale sine is 0 (-12)"
    )
    parser.add_argument("--noise", type=snr, metavar="SNR_DB", help="with white noise in 0 to 4 kHz")
    parser.add_argument("--seed", type=count, default=1, metavar="N", help="of the noise (1)")
    return parser


def _generate(args: argparse.Namespace) -> int:
    from echostream.tone_tools.generate import Writing, generate

    writing = Writing(args.output, args.rate, args.level, args.noise, args.seed)
    return generate(_parts(args), writing, sys.stderr)


def _parts(args: argparse.Namespace) -> tuple[Part, ...]:
    from echostream.errors import ConfigError
    from echostream.tone_tools.generate import definition_of, parts_of
    from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone

    timing = timing_of(args)
    match args.kind:
        case "two-tone":
            return parts_of(TwoTone("", args.a_hz, args.b_hz), timing)
        case "long":
            return parts_of(OneTone("", args.a_hz), timing)
        case "at-once":
            if len(args.hz) not in (2, 4):
                raise ConfigError(f"at-once: {len(args.hz)} frequencies; expected two or four")
            then_hz = tuple(args.hz[2:]) or None
            return parts_of(AtOnce("", tuple(args.hz[:2]), then_hz), timing)
        case "dtmf":
            return parts_of(Digits("", "dtmf", args.digits), timing)
        case "five-tone":
            return parts_of(Digits("", args.system, args.digits), timing)
    from echostream.tone_tools import definitions

    if args.definitions is None and args.config is None:
        raise ConfigError(
            f"page {args.tone_id}: say where it is defined: --config FILE or --definitions FILE"
        )
    given = definitions.given(args.definitions, args.config)
    return parts_of(definition_of(given.tone(args.tone_id, args.channel)), timing)
