"""The package in a booted Debian: installed, keyed, stopped, killed, upgraded, gone back from, removed.

    make test-system                          Debian 12, the package built first
    make test-system ARGS="trixie --deb dist/echostream_0.2.0_amd64.deb"
    make test-system ARGS="--only stopped,killed --keep"

Needs root, mmdebstrap and systemd-container. Pins are simulated outside the container and keep their level
when they are released, as a Raspberry Pi's do; the gateway reaches them through the kernel's own interface.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "support")]

from tests.system import debian_root  # noqa: E402
from tests.system.container import Failed, booted  # noqa: E402
from tests.system.scenes import SCENES  # noqa: E402
from tests.system.site import PINS, Site, note, pins  # noqa: E402

EXIT_FAILED, EXIT_MISSING = 1, 3


def main() -> int:
    args = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the container goes with us
    try:
        debian_root.need_root()
        debian_root.need("systemd-nspawn", "systemd-container")
        package = args.deb or _build(args.suite)
        root = debian_root.debian(args.suite, _architecture(), debian_root.BOOTABLE)
    except debian_root.CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_MISSING
    failed = 0
    with tempfile.TemporaryDirectory(prefix="echostream-system-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(package, folder)
        with debian_root.layer(root, args.keep) as merged, pins(folder) as simulator:
            _fetch_dependencies(merged, package)
            with booted(merged, f"echostream-{args.suite}", [(folder, PINS)]) as container:
                site = Site(container, simulator, package, folder)
                failed = _play(site, args.only)
    sys.stdout.write(f"{args.suite}: {len(SCENES)} scenes, {failed} failed\n")
    return EXIT_FAILED if failed else 0


def _play(site: Site, only: list[str]) -> int:
    failed = 0
    for at, scene in enumerate(SCENES):
        if only and at and not any(word in scene.__name__ for word in only):
            continue
        began_s = time.monotonic()
        sys.stdout.write(f"  {scene.__name__}\n")
        sys.stdout.flush()
        try:
            scene(site)
            verdict = "ok"
        except Failed as error:
            failed += 1
            verdict = f"FAILED: {error}"
            note(site.say("systemctl", "list-units", "--all", "--no-pager", "--no-legend", "echostream*"))
            note(site.say("journalctl", "--no-pager", "-n", "16", "-o", "cat"))
            note(site.say("ls", "-lan", "/etc/echostream"))
        sys.stdout.write(f"    {verdict} ({time.monotonic() - began_s:.1f} s)\n")
    return failed


def _fetch_dependencies(root: Path, package: Path) -> None:
    """The container has no network: what the package depends on lies in apt's cache before it boots."""
    with debian_root.entered(root):
        shutil.copy(package, root / "srv")
        debian_root.inside(root, "apt-get", "update", "-q")
        done = debian_root.inside(
            root,
            *("apt-get", "install", "-y", "-q", "--download-only", "--no-install-recommends"),
            f"/srv/{package.name}",
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"apt cannot satisfy the package:\n{done.stdout}")


def _build(suite: str) -> Path:
    command = [str(REPOSITORY / "packaging/build_deb.sh"), "--for", f"{suite}/{_architecture()}"]
    before = time.time()
    if subprocess.run(command, check=False, cwd=REPOSITORY).returncode != 0:
        raise debian_root.CannotRun("the package could not be built: see above")
    made = [path for path in (REPOSITORY / "dist").glob("*.deb") if path.stat().st_mtime >= before - 1]
    if not made:
        raise debian_root.CannotRun("packaging/build_deb.sh left no package in dist/")
    return max(made, key=lambda path: path.stat().st_mtime)


def _architecture() -> str:
    return subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="?", default="bookworm", choices=("bookworm", "trixie"))
    parser.add_argument("--deb", type=Path, help="this package; default: one is built")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="WORDS")
    parser.add_argument("--keep", action="store_true", help="leave the container's files below build/roots")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
