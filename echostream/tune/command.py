"""`echostream tune`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

_HELP: Final = """\
On a terminal it asks for silence first and then for speech, shows a meter meanwhile, says what to do, and
does it where you agree: the card's own fader, or input_gain_db in the configuration. Into a pipe, or with
--seconds or --json, it only listens and reports.

  echostream tune fire-dispatch                     listen, advise, set
  echostream tune fire-dispatch --seconds 20        20 s, and a report
  echostream tune fire-dispatch --tone 1000 --key   a tone to set the radio's deviation with
  echostream tune fire-dispatch --simulate all      without hardware

While the gateway runs it holds the card: then the meter shows what it hears. To measure and to set, stop it:

  sudo systemctl stop echostream
  sudo echostream tune fire-dispatch                and then: sudo systemctl start echostream

exit codes: 0 nothing to change, 1 something should be changed, 2 the call or the configuration is wrong,
            3 a library or the card is missing
"""


def add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    tune = commands.add_parser(
        "tune",
        help="live meter, and levels set with advice",
        description="See and set the levels of a channel.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tune.add_argument("channel", metavar="CHANNEL", help="channel id")
    tune.add_argument("--config", type=Path, metavar="FILE", help="./config.json or /etc/echostream's")
    tune.add_argument("--instance", default="echostream", help="name of the gateway that may run")
    tune.add_argument("--seconds", type=_seconds, metavar="N", help="listen for so long, and report")
    tune.add_argument("--json", action="store_true", help="for machines")
    tune.add_argument("--set", action="store_true", help="without a terminal: set what is suggested")
    tune.add_argument("--simulate", choices=("missing", "all"), help="recorded speech where the card is not")
    tone = tune.add_argument_group("a tone for the radio's deviation")
    tone.add_argument("--tone", type=_hertz, metavar="HZ", help="play it on the card, for --seconds (10)")
    tone.add_argument("--level", type=_dbfs, metavar="DBFS", help="its peak (-5.4: 60 %% of the deviation)")
    tone.add_argument("--key", action="store_true", help="key the radio meanwhile: it transmits")
    tone.add_argument("--yes", action="store_true", help="do not ask whether it may transmit")
    tune.set_defaults(action=_tune)


def _seconds(text: str) -> float:
    return _number(text, 1.0, 600.0, "seconds")


def _hertz(text: str) -> float:
    return _number(text, 50.0, 12_000.0, "Hz")


def _dbfs(text: str) -> float:
    return _number(text, -60.0, 0.0, "dBFS")


def _number(text: str, low: float, high: float, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = high + 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text}: expected {low:g} to {high:g} {unit}")
    return value


def _tune(args: argparse.Namespace) -> int:
    from echostream.tune.run import Asked, Terminal, tune

    logging.basicConfig(level=logging.CRITICAL)  # what goes wrong is said once, by the command itself
    asked = Asked(
        channel=args.channel,
        config=args.config,
        instance=args.instance,
        seconds=args.seconds,
        as_json=args.json,
        change=args.set,
        simulate=args.simulate,
        tone_hz=args.tone,
        tone_dbfs=args.level,
        key=args.key,
        consent=args.yes,
    )
    return tune(asked, Terminal(sys.stdin, sys.stdout, sys.stderr))
