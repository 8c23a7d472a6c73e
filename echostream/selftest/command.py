"""`echostream selftest`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from echostream.selftest.parts import Simulation
    from echostream.selftest.setup import Setup

_HELP: Final = """\
Put a cable from the card's output to its input in the radio's place, and a wire from the pin that keys to the
one that is read (1 kOhm in it, docs/selftest.md has the drawing). Then:

  echostream selftest fire-dispatch                 card and pins as in the configuration
  echostream selftest fire-dispatch --in-pin 20     the wire goes to BCM 20
  echostream selftest --card usb:1-1.2              a card alone
  echostream selftest fire-tac --plot take.png      and a picture of it
  echostream selftest --simulate all --quick        no hardware at all: is this installation sound?

It plays a known signal for 15 s (--quick: 4 s) and measures what comes back; keys the line and measures when
that arrives; and sends speech through Opus, AES and UDP to itself. The gateway must not run meanwhile, since
it holds the card and the pins: sudo systemctl stop echostream, and afterwards start.

exit codes: 0 everything passed, 1 something failed, 2 the call or the configuration is wrong,
            3 a library is missing
"""


def add_selftest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    selftest = commands.add_parser(
        "selftest",
        help="measure card, keying and network with a cable, or simulated",
        description="Measure the way through the card, the keyed line and the network.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    selftest.add_argument(
        "channel", nargs="?", metavar="CHANNEL", help="whose card and pins (default: the first)"
    )
    what = selftest.add_argument_group("what is tested")
    what.add_argument(
        "--config", type=Path, metavar="FILE", help="./config.json, /etc/echostream/config.json"
    )
    what.add_argument("--card", metavar="NAME", help="this card instead of the channel's")
    what.add_argument("--out-pin", type=_pin, metavar="N", help="BCM number of the pin that keys")
    what.add_argument("--in-pin", type=_pin, metavar="N", help="BCM number of the pin that the wire goes to")
    what.add_argument(
        "--simulate", choices=("missing", "all"), help="what is not there, or everything, is simulated"
    )
    what.add_argument("--instance", default="echostream", help="name of the gateway that may run")
    how = selftest.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help="less than 10 s, and less exact")
    how.add_argument("--yes", action="store_true", help="do not ask whether the radio is disconnected")
    how.add_argument("--plot", type=Path, metavar="FILE", help="a picture: .png, .svg, .pdf or .jpg")
    how.add_argument("--json", action="store_true", help="for machines")
    selftest.set_defaults(action=_selftest)


def _pin(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 64):
        raise argparse.ArgumentTypeError(f"{text}: expected the BCM number of a pin, 0 to 63")
    return int(text)


def _selftest(args: argparse.Namespace) -> int:
    from echostream.selftest.gateway_runs import holding
    from echostream.selftest.parts import Simulation
    from echostream.selftest.report import write_json, write_report
    from echostream.selftest.run import run_fairly
    from echostream.selftest.setup import Asked, setup_of

    logging.basicConfig(level=logging.CRITICAL)  # what goes wrong stands in the report
    asked = Asked(args.channel, args.config, args.card, args.out_pin, args.in_pin, args.simulate, args.quick)
    if args.plot is not None:
        from echostream.selftest import plot

        plot.check(args.plot)
    setup = setup_of(asked)
    if asked.simulate != "all" and holding(args.instance, setup.name) is not None:
        sys.stderr.write(
            "echostream selftest: the gateway runs and holds the card and the pins:\n"
            f"  sudo systemctl stop echostream\n  sudo echostream selftest {setup.name}\n"
        )
        return 2
    simulation = Simulation(asked.simulate, setup)
    if not args.yes and not _consented(setup, simulation, sys.stdin, sys.stderr):
        return 2
    report, heard = run_fairly(asked, setup, simulation)
    (write_json if args.json else write_report)(report, sys.stdout)
    if args.plot is not None and heard is not None:
        verdict = "passed" if report.passed else "FAILED"
        plot.draw(args.plot, f"self-test of {report.name}: {verdict}", heard)
        sys.stderr.write(f"picture: {args.plot}\n")
    return 0 if report.passed else 1


def _consented(setup: Setup, simulation: Simulation, answers: TextIO, out: TextIO) -> bool:
    """A test signal on the air is an offence, and a keyed transmitter a hazard: a person says yes."""
    what = []
    if setup.card is not None and not simulation.card:
        what.append(f"plays a test signal on card {setup.card}")
    if setup.wire is not None and not simulation.pins:
        what.append(f"keys {setup.wire.out}")
    if not what:
        return True
    out.write(f"This {' and '.join(what)}. The radio must be disconnected, cable and wire in its place.\n")
    if not answers.isatty():
        out.write("echostream selftest: nobody is here to say that it is: add --yes\n")
        return False
    out.write("Is it? [y/N] ")
    out.flush()
    return answers.readline().strip().lower() in ("y", "yes")
