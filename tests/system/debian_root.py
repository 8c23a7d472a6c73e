"""Debian roots to install into: made once by mmdebstrap, each use on a throw-away layer of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
CACHE: Final = REPOSITORY / "build" / "roots"
BOOTABLE: Final = ("systemd", "systemd-sysv", "dbus", "udev", "ca-certificates")


class CannotRun(Exception):
    """What is missing here, and the remedy."""


def need(program: str, package: str) -> None:
    """Raises CannotRun where it is not installed."""
    if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise CannotRun(f"{program} is not installed: apt install {package}")


def need_root() -> None:
    """Containers, mounts and chroots are root's."""
    if os.geteuid() != 0:
        raise CannotRun("this boots a Debian of its own, which only root may: sudo make ...")


def debian(suite: str, architecture: str, packages: Sequence[str]) -> Path:
    """The root of a minimal Debian, from the cache below build/ where it was made before."""
    need("mmdebstrap", "mmdebstrap")
    wanted = " ".join([suite, architecture, *sorted(packages)])
    root = CACHE / f"{suite}-{architecture}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    if root.is_dir():
        return root
    sys.stdout.write(f"making a root of Debian {suite} for {architecture} (mmdebstrap, some minutes)\n")
    sys.stdout.flush()
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=CACHE))
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={architecture}"]
    command += [f"--include={','.join(packages)}", suite, str(scratch)]
    try:
        subprocess.run(command, check=True)
        scratch.rename(root)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return root


@contextlib.contextmanager
def layer(root: Path, keep: bool = False) -> Iterator[Path]:
    """A root that can be changed; the one below is not touched, and the changes go at the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="layer.", dir=CACHE))
    upper, work, merged = (folder / name for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        path.mkdir()
    folder.chmod(0o755)
    options = f"lowerdir={root},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", str(merged)], check=True)
        if not keep:
            shutil.rmtree(folder)


@contextlib.contextmanager
def mounted(source: Path | str, target: Path, kind: str | None = None) -> Iterator[None]:
    """A mount for as long as this lasts: a bind mount, or a file system of that kind."""
    target.mkdir(parents=True, exist_ok=True)
    how = ["--rbind", "--make-rslave"] if kind is None else ["-t", kind]
    subprocess.run(["mount", *how, str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-R", "-l", str(target)], check=True)


@contextlib.contextmanager
def entered(root: Path) -> Iterator[Path]:
    """With /proc, /dev and this machine's network, to run programs in by `inside`. What this machine knows of
    package registries and certificates is lent to it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mounted("proc", root / "proc", "proc"))
        stack.enter_context(mounted("/dev", root / "dev"))
        for path in _registry_files():
            target = root / path.relative_to("/")
            if path.is_dir():
                stack.enter_context(mounted(path, target))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(path, target)
        yield root


def inside(root: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program in a root that was entered."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["chroot", str(root), *command],
        check=check,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )


def _registry_files() -> list[Path]:
    """Names, certificates, pip's settings and the folders that these name."""
    files = [Path("/etc/resolv.conf"), Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]
    files += sorted(Path("/etc/apt/apt.conf.d").glob("*proxy*"))
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    ).stdout
    words = [word.strip("'\"").removeprefix("file://") for word in asked.replace("=", " ").split()]
    folders = [Path(word) for word in words if word.startswith("/") and Path(word).is_dir()]
    top = {Path(*folder.parts[:3]) for folder in folders if len(folder.parts) >= 3}
    return [path for path in files if path.exists()] + sorted(top)
