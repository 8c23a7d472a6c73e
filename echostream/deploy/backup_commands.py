"""`echostream backup` and `echostream restore`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final, TypeAlias

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_BACKUP_HELP: Final = """\
examples:
  sudo echostream backup /media/usb/station-7.tar.gz
  sudo echostream backup /media/usb/all.tar.gz --recordings      may be very much

In it: configurations, credentials and every secret's file, certificates that the configuration names, the
index of recordings (in PostgreSQL too, where pg_dump is installed), the event log, reports, what waits for
the broker and for people, and the configuration that worked last. The gateway goes on meanwhile. The file is
readable for its owner alone, because keys are in it: keep it where you would keep those.

exit codes: 0 all of it, 1 something was left out (it says what), 2 nothing was written
"""
_RESTORE_HELP: Final = """\
examples:
  sudo echostream restore station-7.tar.gz --check     is it whole? what would change?
  sudo echostream restore station-7.tar.gz             also on another machine: install EchoStream there first

Every file is compared with its checksum and the configuration is read before anything is changed. What was
there is kept beside it (NAME.before-restore); files of which the backup knows nothing stay. Gateways that
run are stopped for the moment and started again.

exit codes: 0 done, 1 something was not restored (it says what), 2 nothing was changed
"""


def add_backup(commands: Actions) -> None:
    """Add both to the command line."""
    save = commands.add_parser(
        "backup",
        help="configuration, keys, index and event log in one file",
        description="Keep in one file what makes this gateway what it is.",
        epilog=_BACKUP_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    save.add_argument("file", type=Path, metavar="FILE", help="a new file, NAME.tar.gz")
    save.add_argument("--recordings", action="store_true", help="the recordings themselves too")
    save.set_defaults(action=_backup)
    bring = commands.add_parser(
        "restore",
        help="make this machine what a backup says",
        description="Put everything of a backup in its place.",
        epilog=_RESTORE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bring.add_argument("file", type=Path, metavar="FILE", help="what `echostream backup` wrote")
    bring.add_argument("--check", action="store_true", help="only look through it, and say what it holds")
    bring.add_argument(
        "--also", action="append", default=[], metavar="DIR", help="another folder that files may go to"
    )
    bring.set_defaults(action=_restore)
    for one in (save, bring):
        one.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)


def _backup(args: argparse.Namespace) -> int:
    from echostream.deploy.backup import backup
    from echostream.deploy.layout import Layout

    layout = Layout(args.root)
    _read_credentials_of(layout.credentials)
    manifest = backup(layout, args.file, args.recordings, _say)
    size = args.file.stat().st_size
    _say(f"{args.file}: {len(manifest.files)} files, {size / 1e6:.1f} MB, readable for you alone")
    _log(layout.data, "backup", f"a backup was written: {args.file}", {"files": len(manifest.files)})
    for one in manifest.left_out:
        sys.stderr.write(f"echostream backup: left out: {one}\n")
    return 1 if manifest.left_out else 0


def _restore(args: argparse.Namespace) -> int:
    from echostream.deploy.layout import Layout
    from echostream.deploy.restore import Options, look_through, refuse_elsewhere, restore
    from echostream.deploy.services import ServiceManager

    layout, options = Layout(args.root), Options(tuple(args.also))
    if args.check:
        manifest, _ = look_through(args.file)
        refuse_elsewhere(manifest, options)
        _say(f"{args.file}: whole; of {manifest.host}, {manifest.made_at}, EchoStream {manifest.version}")
        for one in manifest.files:
            _say(f"  {one.size:12,}  {one.path}")
        return 0
    _read_credentials_of(layout.credentials)
    told = list[str]()

    def say(line: str) -> None:
        told.append(line)
        _say(line)

    manifest = restore(layout, ServiceManager(args.root), args.file, options, say)
    _log(layout.data, "restore", f"the backup of {manifest.made_at} was restored", {"host": manifest.host})
    _say(f"restored: {len(manifest.files)} files of {manifest.host}, {manifest.made_at}")
    return 1 if any("was not restored" in line for line in told) else 0


def _read_credentials_of(folder: Path) -> None:
    """A unit finds them in a folder of its own; root reads them where they lie."""
    os.environ.setdefault("CREDENTIALS_DIRECTORY", str(folder))


def _log(events: Path, act: str, text: str, data: dict[str, int | str]) -> None:
    from echostream.event_log.acts import append_act

    append_act(events, act, text, data=dict(data))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
