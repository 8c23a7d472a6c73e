"""A release archive: looked through before anything is written, unpacked, compared with its checksums.

echostream-ID-DISTRIBUTION-ARCH.tar.gz
  echostream-ID-DISTRIBUTION-ARCH/SHA256SUMS   of every regular file but itself, as sha256sum writes it
                                 /tree/        the version, with release.json
                                 /install.sh, packages/   for a machine without EchoStream
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from echostream.deploy.layout import DeployError

SUMS: Final = "SHA256SUMS"
TREE: Final = "tree"
MOST_FILES: Final = 60_000
MOST_BYTES: Final = 2_000_000_000
_SUMS_BYTES: Final = 16_000_000
_SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")
_INTERPRETER: Final = re.compile(r"/usr/bin/python3(\.\d+)?|python3?(\.\d+)?")
_CHUNK: Final = 1 << 20


class ReleaseArchive:
    """One file, or the folder that it was unpacked into. DeployError for anything that is not as above."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            top, self._members = path, list(_walk(path))
        else:
            top, self._members = None, self._scan()
        self._top = top
        self.bytes = sum(size for _, _, size in self._members)
        if not any(name == f"{TREE}/release.json" for name, _, _ in self._members):
            raise self._broken(f"there is no {TREE}/release.json in it")

    def unpack(self, target: Path) -> None:
        """Write the tree to `target`, an empty folder, each file compared with its checksum."""
        sums = self._sums()
        found = dict[str, str]()
        if self._top is not None:
            self._copy(self._top, target, found)
        else:
            self._extract(target, found)
        wanted = {name: digest for name, digest in sums.items() if name.startswith(TREE + "/")}
        for name, digest in found.items():
            if wanted.pop(name, None) != digest:
                raise self._broken(f"{name} is not what {SUMS} says: fetch it again")
        if wanted:
            raise self._broken(f"{next(iter(wanted))} is missing: fetch it again")

    # ---- the archive as a file

    def _scan(self) -> list[tuple[str, str, int]]:
        """(name below the top folder, kind, size) of each member; refuses what could be written elsewhere."""
        members = list[tuple[str, str, int]]()
        total = 0
        try:
            with tarfile.open(self.path, "r:*") as archive:
                for one in archive:
                    name = self._name(one.name)
                    kind = (
                        "file" if one.isreg() else "folder" if one.isdir() else "link" if one.issym() else ""
                    )
                    if not kind:
                        raise self._broken(f"{one.name} is neither file nor folder")
                    if kind == "link":
                        self._look_at_link(name, one.linkname)
                    total += one.size
                    members.append((name, kind, one.size))
                    if len(members) > MOST_FILES or total > MOST_BYTES:
                        raise self._broken("it is larger than a release can be")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise self._broken(getattr(error, "strerror", None) or str(error)) from None
        return members

    def _extract(self, target: Path, found: dict[str, str]) -> None:
        try:
            with tarfile.open(self.path, "r:*") as archive:
                for one in archive:
                    name = self._name(one.name)
                    place = _place(name, target)
                    if place is None:
                        continue
                    if one.isdir():
                        place.mkdir(0o755, parents=True, exist_ok=True)
                        continue
                    place.parent.mkdir(0o755, parents=True, exist_ok=True)
                    if one.issym():
                        self._look_at_link(name, one.linkname)
                        place.symlink_to(one.linkname)
                    elif one.isreg() and (source := archive.extractfile(one)) is not None:
                        found[name] = _write(source, place, one.mode)
        except (tarfile.TarError, EOFError) as error:
            raise self._broken(str(error)) from None

    def _name(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise self._broken(f"{name!r} lies outside of it")
        return "/".join(parts[1:])

    def _look_at_link(self, name: str, target: str) -> None:
        """The interpreter's names, and nothing else: no file is written through a link."""
        folder = str(PurePosixPath(name).parent)
        if folder == f"{TREE}/bin" and _INTERPRETER.fullmatch(target):
            return
        if name.startswith(TREE + "/") and target in {"lib"} and folder == TREE:
            return  # lib64 -> lib, as venv makes it
        raise self._broken(f"{name} is a link to {target}")

    # ---- the archive as a folder

    def _copy(self, top: Path, target: Path, found: dict[str, str]) -> None:
        for name, kind, _ in self._members:
            place = _place(name, target)
            if place is None:
                continue
            if kind == "folder":
                place.mkdir(0o755, parents=True, exist_ok=True)
            elif kind == "link":
                to = os.readlink(top / name)
                self._look_at_link(name, to)
                place.symlink_to(to)
            else:
                with (top / name).open("rb") as source:
                    found[name] = _write(source, place, (top / name).stat().st_mode)

    # ---- checksums

    def _sums(self) -> dict[str, str]:
        text = self._sums_text().decode("utf-8", "replace")
        sums = {}
        for line in text.splitlines():
            match = _SUM.fullmatch(line)
            if match is None:
                raise self._broken(f"{SUMS}: {line[:80]!r} is no line of sha256sum")
            sums[match[2]] = match[1]
        return sums

    def _sums_text(self) -> bytes:
        if self._top is not None:
            try:
                return (self._top / SUMS).read_bytes()
            except OSError as error:
                raise self._broken(f"{SUMS}: {error.strerror}") from None
        try:
            with tarfile.open(self.path, "r:*") as archive:
                for one in archive:
                    if self._name(one.name) == SUMS and one.size <= _SUMS_BYTES:
                        file = archive.extractfile(one)
                        return file.read() if file is not None else b""
        except (tarfile.TarError, EOFError) as error:
            raise self._broken(str(error)) from None
        raise self._broken(f"there is no {SUMS} in it")

    def _broken(self, why: str) -> DeployError:
        return DeployError(f"{self.path} is no release of EchoStream: {why}")


def _kind(member: tarfile.TarInfo) -> str:
    return "file" if member.isreg() else "folder" if member.isdir() else "link" if member.issym() else ""


def _place(name: str, target: Path) -> Path | None:
    """Where a member goes; None for what is not of the tree."""
    return target / name.removeprefix(TREE + "/") if name.startswith(TREE + "/") else None


def _walk(top: Path) -> Iterator[tuple[str, str, int]]:
    for folder, folders, names in os.walk(top):
        for name in sorted(folders + names):
            path = Path(folder, name)
            kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
            yield path.relative_to(top).as_posix(), kind, path.lstat().st_size if kind == "file" else 0


def _write(source: IO[bytes], place: Path, mode: int) -> str:
    """The file, and its SHA-256. Modes are those of programs and of files, whatever the archive says."""
    digest = hashlib.sha256()
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o755 if mode & 0o100 else 0o644)
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
