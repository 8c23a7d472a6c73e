"""Make a machine run a version: users, folders, configuration, command, units, and the switch to it.

    python -m echostream.deploy.apply --method source|package [--tree DIR]

What `make install`, a release archive and the Debian package all end in. Each step looks first and changes
what is not as it should be; with nothing to do it says so. What is a person's is never touched: the
configuration, the credentials, units that somebody disabled.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, get_args

from echostream.deploy import versions
from echostream.deploy.files import write_file
from echostream.deploy.layout import (
    PACKAGE,
    SOURCE,
    DeployError,
    InstallRecord,
    Layout,
    Method,
    Tree,
    record_text,
)
from echostream.deploy.next_steps import next_steps
from echostream.deploy.services import PATTERNS, ServiceManager, Services
from echostream.deploy.system_files import place_system_files, starts_at_boot, unit_names
from echostream.deploy.trial import begin, start_judge
from echostream.deploy.users import GATEWAY, Sysusers, Users, group_id, make_users, user_id

RECORDS: Final[dict[Method, InstallRecord]] = {"source": SOURCE, "package": PACKAGE}
Say = Callable[[str], None]


class NotStarted(DeployError):
    """Everything is in its place, but a unit did not start."""


WRAPPER: Final = """\
#!/bin/sh
# EchoStream's command line: of the version that is in force.
PYTHONSAFEPATH=1 exec /opt/echostream/current/bin/python -m echostream "$@"
"""


def apply(
    layout: Layout, tree: Tree, record: InstallRecord, services: Services, users: Users, say: Say
) -> list[str]:
    """Install `tree`, which lies in its place below versions/; returns each change, in words, none the second
    time. Where another version runs, the new one is put on trial. Raises DeployError."""
    release = tree.release()
    if tree.path != layout.tree(release.id).path:
        raise DeployError(f"{tree.path}: version {release.id} belongs into {layout.tree(release.id).path}")
    changes = list[str]()

    def note(made: list[str]) -> None:
        changes.extend(made)
        for one in made:
            say(one)

    _refuse_other_method(layout, record)
    note(make_users(layout, tree, users))
    note(_make_folders(layout))
    note(_make_config(layout, tree))
    note(_make_wrapper(layout, record))
    note(_make_record(layout, record))
    note(_switch(layout, tree, record, services))
    return changes


def _refuse_other_method(layout: Layout, record: InstallRecord) -> None:
    """A package and an installation by hand would overwrite each other's files."""
    there = layout.install_record()
    if there is None or there.method == record.method:
        return
    if there.method == "package":
        raise DeployError(
            "EchoStream is installed here as a Debian package: install the new version as a package too "
            "(apt install ./echostream_*.deb), or remove that first (apt remove echostream); "
            "configuration and data stay"
        )
    raise DeployError(
        "EchoStream was installed here by `make install` or from an archive: remove that first "
        "(sudo /opt/echostream/current/share/echostream/uninstall.sh);"
        " configuration and data stay"
    )


def _make_folders(layout: Layout) -> list[str]:
    gateway = (user_id(layout, GATEWAY), group_id(layout, GATEWAY))
    wanted: list[tuple[Path, int, tuple[int, int]]] = [
        (layout.home, 0o755, (0, 0)),
        (layout.config_dir, 0o755, (0, 0)),
        (layout.credentials, 0o700, (0, 0)),
        (layout.data, 0o750, gateway),
    ]
    changes = []
    for path, mode, owner in wanted:
        if path.is_dir():
            if path == layout.credentials and path.stat().st_mode & 0o077:
                path.chmod(mode)
                changes.append(f"closed {_seen(path, layout)} to everybody but root")
            continue
        path.mkdir(parents=True)
        path.chmod(mode)
        if _is_root():
            os.chown(path, *owner)
        changes.append(f"made {_seen(path, layout)}")
    return changes


def _make_config(layout: Layout, tree: Tree) -> list[str]:
    """One that starts on a machine with nothing attached; a person's own is never overwritten."""
    if layout.config.exists() or layout.config.is_symlink():
        return []
    owner = (0, group_id(layout, GATEWAY)) if _is_root() else None
    write_file(layout.config, tree.config.read_bytes(), 0o640, owner)
    return [f"made {_seen(layout.config, layout)}"]


def _make_wrapper(layout: Layout, record: InstallRecord) -> list[str]:
    path = layout.below(record.bin_dir) / "echostream"
    content = WRAPPER.encode("ascii")
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o111:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content, 0o755)
    return [f"made {_seen(path, layout)}"]


def _make_record(layout: Layout, record: InstallRecord) -> list[str]:
    if layout.install_record() == record:
        return []
    write_file(layout.install_file, record_text(record).encode("utf-8"))
    return [f"made {_seen(layout.install_file, layout)}"]


def _switch(layout: Layout, tree: Tree, record: InstallRecord, services: Services) -> list[str]:
    """Put the version in force: at once where there is none to go back to, else on trial."""
    new, old = tree.path.name, versions.current(layout)
    with versions.alone(layout):
        if old == new:
            return [
                *place_system_files(layout, tree, record, services),
                *_run_it_anew(record, services),
            ]
        trial = begin(layout, services, new)
    if trial is None:
        return [f"version {new} is in force", *_first_start(layout, tree, record, services)]
    start_judge(layout, services, threading.Event())
    if trial.units:
        return [f"version {new} is on trial; {old} comes back by itself if it is not as good"]
    return [f"version {new} is in force; {old} is kept for `echostream rollback`"]


def _run_it_anew(record: InstallRecord, services: Services) -> list[str]:
    """A package of the same version has brought every file anew; what runs has the ones before in memory."""
    running = services.running(PATTERNS) if record.method == "package" else []
    if running:
        services.restart_soon(running)
    return [f"started {name} anew" for name in running]


def _first_start(layout: Layout, tree: Tree, record: InstallRecord, services: Services) -> list[str]:
    changes = place_system_files(layout, tree, record, services)
    if not services.booted:
        return changes
    units = [name for name in unit_names(tree) if starts_at_boot(tree.units / name)]
    # Sockets, paths and timers before the services that they belong to.
    units.sort(key=lambda name: (name.endswith(".service"), name))
    try:
        services.start(units)
    except DeployError as error:
        raise NotStarted(
            f"installed, but it did not start: {error}; `journalctl -u echostream` has more"
        ) from error
    return [*changes, f"started {', '.join(units)}"]


def _is_root() -> bool:
    return os.geteuid() == 0


def _seen(path: Path, layout: Layout) -> str:
    return "/" + path.relative_to(layout.root).as_posix()


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done (also with nothing to do), 1 failed, 2 the call was wrong."""
    parser = argparse.ArgumentParser(prog="echostream.deploy.apply", description="Install this version.")
    parser.add_argument("--method", choices=get_args(Method), required=True)
    parser.add_argument("--tree", type=Path, help="default: the one that this program is of")
    parser.add_argument("--root", type=Path, default=Path("/"), help="the machine's folder (default: /)")
    args = parser.parse_args(argv)
    layout = Layout(args.root)
    tree = Tree(args.tree if args.tree is not None else Path(sys.prefix))

    def say(text: str) -> None:
        sys.stdout.write(f"  {text}\n")
        sys.stdout.flush()

    record, first = RECORDS[args.method], not layout.current.is_symlink()
    try:
        changes = apply(layout, tree, record, ServiceManager(args.root), Sysusers(args.root), say)
    except NotStarted as error:
        sys.stderr.write(f"echostream: {error}\n")
        return 0 if args.method == "package" else 1  # a package is installed, whatever its service does
    except DeployError as error:
        sys.stderr.write(f"echostream: {error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"echostream: {error}; run it as root (sudo)\n")
        return 1
    if changes:
        sys.stdout.write(next_steps(tree.path.name, record, first))
    else:
        say(f"nothing to do: version {tree.path.name} is installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
