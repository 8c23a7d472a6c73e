"""`echostream doctor`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from echostream.doctor.groups import GROUPS, TITLES

_HELP: Final = """\
Each line is what was looked at: ok, note (nothing to do), WARNING (it works, but not for ever, or not as well
as it could), FAILURE (it does not work), with the remedy below it. All of them are listed in docs/doctor.md.

The doctor changes nothing on this machine. Towards the network it does what the gateway does: it connects to
the control server, to the broker, and writes and deletes one small object in the bucket (--quick does not).
Run it with sudo, so that it can read the credentials and ask what the service's own user may do.

groups: {groups}

examples:
  sudo echostream doctor                              everything, about ten seconds
  sudo echostream doctor --only cards --only gpio     only these
  echostream doctor --config config.json --quick      nothing that takes longer than a moment
  sudo echostream doctor --json | jq '.findings[] | select(.level != "ok")'

exit codes: 0 nothing fails (there may be warnings), 1 something fails, 2 the call is wrong or there is no
            configuration where --config says
"""


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    doctor = commands.add_parser(
        "doctor",
        help="look for whatever can be wrong, and say what helps",
        description="Look for whatever can be wrong on this machine, and say what helps.",
        epilog=_HELP.format(groups=", ".join(GROUPS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "--config", type=Path, metavar="FILE", help="default: ./config.json, else /etc/echostream/config.json"
    )
    doctor.add_argument("--instance", default="echostream", metavar="NAME", help="where several run here")
    doctor.add_argument(
        "--only",
        action="append",
        default=[],
        choices=GROUPS,
        metavar="GROUP",
        help="only this; may be repeated",
    )
    doctor.add_argument("--quick", action="store_true", help="leave out what takes time or writes somewhere")
    doctor.add_argument(
        "--udp-channel",
        metavar="ID",
        help="measure the way of the audio on this channel, where the server opens none for strangers",
    )
    doctor.add_argument("--json", action="store_true", help="for machines")
    doctor.set_defaults(action=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from echostream.doctor.catalogue import checks
    from echostream.doctor.report import all_findings, exit_code, write_json, write_report
    from echostream.doctor.running import run_checks
    from echostream.doctor.seeing import see

    # What the rooms log on their way is told as findings.
    log = logging.getLogger("echostream")
    if not log.hasHandlers():
        log.addHandler(logging.NullHandler())
    world = see(args.config, args.instance, quick=args.quick, udp_channel=args.udp_channel)
    looking = run_checks(checks(world, args.only), world)
    if not args.json:
        return exit_code(write_report(looking, world, sys.stdout, TITLES))
    results = list(looking)
    write_json(results, world, sys.stdout)
    return exit_code(all_findings(results))
