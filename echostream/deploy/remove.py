"""Take EchoStream off a machine. Configuration and data stay.

python -m echostream.deploy.remove [--purge] [--keep-tree]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from echostream.deploy.layout import DeployError, InstallRecord, Layout, Tree
from echostream.deploy.system_files import remove_system_files, unit_names
from echostream.deploy.systemd import Systemctl, Systemd

INSTANCES: Final = "echostream@*.service"
LEFTOVERS: Final = ("/var/cache/echostream", "/var/lib/echostream-ptt")
"""What is made anew when it is missing: caches, and the guard's list of lines."""


def stop_all(layout: Layout, record: InstallRecord, systemd: Systemd) -> list[str]:
    """Stop every unit of every version, the gateway before its guard, and no longer start any at boot."""
    unit_dir = layout.below(record.unit_dir)
    trees = [Tree(path) for path in sorted(layout.versions.glob("[!.]*"))]
    there = sorted(
        {name for tree in trees for name in unit_names(tree) if (unit_dir / name).is_file()}, key=_stop_order
    )
    services = [name for name in there if "@." not in name]
    if services:
        systemd.disable([*services, *_enabled_instances(layout)])
    if systemd.booted and there:
        systemd.stop([INSTANCES])
        for name in services:
            systemd.stop([name])
        systemd.reset_failed(services)
        return [f"stopped {', '.join(services)}"]
    return []


def _stop_order(name: str) -> tuple[int, str]:
    """What starts others first, then the gateway, its guard last: it drives the lines inactive."""
    if "guard" in name:
        return (3 if name.endswith(".service") else 2), name
    return (1 if name.endswith(".service") else 0), name


def _enabled_instances(layout: Layout) -> list[str]:
    folder = layout.below("/etc/systemd/system")
    return sorted({path.name for path in folder.glob("*.wants/echostream@?*.service")})


def remove(
    layout: Layout, systemd: Systemd, say: Callable[[str], None], keep_tree: bool = False
) -> list[str]:
    """Remove everything but configuration and data; returns each change, in words.

    `keep_tree` leaves /opt/echostream to who put it there (dpkg). Raises DeployError.
    """
    changes = list[str]()

    def note(made: list[str]) -> None:
        changes.extend(made)
        for one in made:
            say(one)

    record = layout.install_record()
    if record is not None:
        note(stop_all(layout, record, systemd))
        note(remove_system_files(layout, record, systemd))
        if record.method == "source":
            note(_unlinked(layout, layout.below(record.bin_dir) / "echostream"))
    if keep_tree:
        for path in sorted(set(layout.home.glob("*")) - {layout.versions}):
            note(_unlinked(layout, path))
    else:
        note(_removed(layout, layout.home))
    for folder in LEFTOVERS:
        note(_removed(layout, layout.below(folder)))
    return changes


def _unlinked(layout: Layout, path: Path) -> list[str]:
    if not (path.is_symlink() or path.exists()):
        return []
    path.unlink()
    return [f"removed {_seen(path, layout)}"]


def _removed(layout: Layout, folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise DeployError(f"{folder}: {error}; remove what is left of it by hand") from error
    return [f"removed {_seen(folder, layout)}"]


def _seen(path: Path, layout: Layout) -> str:
    return "/" + path.relative_to(layout.root).as_posix()


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done (also with nothing to do), 1 failed, 2 the call was wrong."""
    parser = argparse.ArgumentParser(prog="echostream.deploy.remove", description="Remove EchoStream.")
    parser.add_argument("--keep-tree", action="store_true", help="leave /opt/echostream/versions (dpkg's)")
    parser.add_argument("--root", type=Path, default=Path("/"), help="the machine's folder (default: /)")
    args = parser.parse_args(argv)
    layout = Layout(args.root)

    def say(text: str) -> None:
        sys.stdout.write(f"  {text}\n")
        sys.stdout.flush()

    try:
        if not remove(layout, Systemctl(args.root), say, args.keep_tree):
            say("nothing to do: EchoStream is not installed here")
    except DeployError as error:
        sys.stderr.write(f"echostream: {error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"echostream: {error}; run it as root (sudo)\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
