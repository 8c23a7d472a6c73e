"""`echostream upgrade`, `rollback`, `versions`, `backup`, `restore`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from echostream.deploy.layout import Layout
    from echostream.deploy.services import Services
    from echostream.deploy.trial_file import Trial

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

READY_S: Final = 60.0
"""For a gateway that was put back until it is ready; it takes some ten seconds where no server answers."""
_UPGRADE_HELP: Final = """\
examples:
  sudo echostream upgrade echostream-0.3.0-bookworm-arm64.tar.gz
  sudo echostream upgrade ./echostream-0.3.0-bookworm-arm64/     the same, unpacked
  sudo apt install ./echostream_0.3.0~deb12_arm64.deb            where it is installed as a package
  echostream versions                                            how it went

The new version is installed beside the one that runs, compared with its checksums, looks at your
configuration and tests itself. Then it is switched to and watched: when the gateway is not as good as before
within two minutes (channels online, cards there, server reached), the version before is put back by itself,
also after a power cut, and also when this command was interrupted.

exit codes: 0 the new version runs, 1 it does not, and the version before does, 2 nothing was changed
"""
_ROLLBACK_HELP: Final = """\
The version before is started again, with its units; a second rollback goes forth again. Configuration and
data stay as they are. While a new version is on trial the trial ends with this.

exit codes: 0 the version before runs, 1 it does not, 2 there is none
"""


def add_deploy(commands: Actions) -> None:
    """Add them to the command line."""
    from echostream.deploy.backup_commands import add_backup

    upgrade = commands.add_parser(
        "upgrade",
        help="install a new version beside the one that runs, try it, switch, watch it",
        description="Upgrade EchoStream, and go back by itself when the new version is not as good.",
        epilog=_UPGRADE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    upgrade.add_argument("source", type=Path, metavar="FILE", help="a release archive, or its folder")
    upgrade.set_defaults(action=_upgrade)
    rollback = commands.add_parser(
        "rollback",
        help="go back to the version before",
        description="Go back to the version before.",
        epilog=_ROLLBACK_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rollback.set_defaults(action=_rollback)
    listing = commands.add_parser(
        "versions",
        help="which versions are on this machine, and how upgrades went",
        description="Which versions are on this machine, which one runs, and how the last upgrades went.",
    )
    listing.add_argument("--json", action="store_true", help="for machines")
    listing.set_defaults(action=_versions)
    add_backup(commands)
    for one in (upgrade, rollback, listing):
        one.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)


# ---- upgrade and rollback


def _upgrade(args: argparse.Namespace) -> int:
    from echostream.deploy.layout import Layout
    from echostream.deploy.services import ServiceManager
    from echostream.deploy.upgrade import Options, upgrade

    layout, services = Layout(args.root), ServiceManager(args.root)
    trial = upgrade(layout, services, args.source, Options(), _say)
    return 0 if _to_the_end(layout, services, trial) == "confirmed" else 1


def _rollback(args: argparse.Namespace) -> int:
    from echostream.deploy import versions
    from echostream.deploy.layout import Layout
    from echostream.deploy.services import ServiceManager
    from echostream.deploy.trial import begin_going_back
    from echostream.deploy.trial_file import read_trial
    from echostream.event_log.acts import whoever

    layout, services = Layout(args.root), ServiceManager(args.root)
    if read_trial(layout) is not None:  # whoever judges holds the lock, and sees that it was asked for
        trial = begin_going_back(layout, services, whoever())
    else:
        with versions.alone(layout):
            trial = begin_going_back(layout, services, whoever())
    return 0 if _to_the_end(layout, services, trial) == "rolled back" else 1


def _to_the_end(layout: Layout, services: Services, trial: Trial) -> str:
    """How the trial ended; "" where it goes on without us, or where no gateway is ready after it."""
    from echostream.deploy.trial_file import in_words
    from echostream.deploy.upgrade import carry_out, not_ready

    with _interrupted() as stop:
        ended = carry_out(layout, services, trial, _say, stop)
        if ended is None:
            _say("it goes on by itself: `echostream versions` says how it ends")
            return ""
        left = [] if ended.outcome == "confirmed" else not_ready(layout, trial.units, READY_S, stop)
    _say(in_words(ended))
    for one in left:
        sys.stderr.write(f"echostream: after {READY_S:.0f} s: {one}; see `systemctl status`\n")
    return "" if left else ended.outcome


@contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Set by Ctrl-C and by who ends this command: what is under way is not torn."""
    stop = threading.Event()
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- versions


def _versions(args: argparse.Namespace) -> int:
    from echostream.deploy import versions
    from echostream.deploy.layout import Layout
    from echostream.deploy.trial_file import history, in_words, read_trial

    layout = Layout(args.root)
    found, trial, ended = versions.versions(layout), read_trial(layout), history(layout)
    if args.json:
        from dataclasses import asdict

        rows = [
            asdict(one.release)
            | {"current": one.current, "previous": one.previous, "path": str(one.tree.path)}
            for one in found
        ]
        document = {
            "versions": rows,
            "trial": None if trial is None else asdict(trial),
            "ended": [asdict(one) for one in ended],
        }
        _say(json.dumps(document, indent=2, ensure_ascii=False))
        return 0 if found else 1
    if not found:
        sys.stderr.write(f"echostream versions: {layout.versions}: nothing is installed there\n")
        return 1
    width = max(len(one.release.id) for one in found)
    for one in found:
        mark = "on trial" if trial is not None and one.release.id == trial.new else ""
        mark = mark or ("runs" if one.current else "before" if one.previous else "")
        made = f"built {one.release.built_at}, Debian {one.release.distribution}, Python {one.release.python}"
        _say(f"{one.release.id:{width}}  {mark:8}  {made}")
    if trial is not None:
        _say(f"\n{trial.new} is on trial since {_local(trial.began_us)} ({trial.phase})")
    if ended:
        _say("\nlast upgrades")
    for past in ended[-5:]:
        _say(f"  {_local(past.ended_us)}  {in_words(past)}")
    return 0


def _local(at_us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_us / 1e6))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
