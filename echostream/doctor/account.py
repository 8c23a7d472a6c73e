"""The user that the gateway runs as, and what that user may do: asked by whoever runs the doctor.

Read from passwd and group as files, so that a test can bring its own. ACLs are seen only for the user who
asks: of another one the mode bits are read, as the kernel reads them where no ACL is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVICE_USER: Final = "echostream"
READ: Final = 4
WRITE: Final = 2
ENTER: Final = 1


@dataclass(frozen=True, slots=True)
class Account:
    """One user. groups: names by number, the primary one too. exists: False where it is missing."""

    name: str
    uid: int
    groups: dict[int, str]
    exists: bool = True

    @classmethod
    def current(cls) -> Account:
        """Who runs this."""
        return read_account(Path("/"), uid=os.geteuid(), gids=(os.getegid(), *os.getgroups()))

    def may(self, path: Path, want: int, root: Path = Path("/")) -> bool:
        """Whether this user may do so with what is there, every folder above it (below `root`) included.

        False where it is not there.
        """
        real, top = Path(os.path.realpath(path)), Path(os.path.realpath(root))
        above = [folder for folder in real.parents if folder.is_relative_to(top)]
        return all(self._may_one(folder, ENTER) for folder in above) and self._may_one(real, want)

    def _may_one(self, path: Path, want: int) -> bool:
        if self.uid == os.geteuid() and self.uid != 0:
            return os.access(path, want)
        try:
            info = path.stat()
        except OSError:
            return False
        if self.uid == 0:
            return True
        mode = stat.S_IMODE(info.st_mode)
        if info.st_uid == self.uid:
            return (mode >> 6) & want == want
        shift = 3 if info.st_gid in self.groups else 0
        return (mode >> shift) & want == want


def read_account(root: Path, name: str = "", uid: int | None = None, gids: tuple[int, ...] = ()) -> Account:
    """By name or number, from etc/passwd and etc/group below the root. gids: groups it has besides."""
    entry = next((line for line in _lines(root / "etc/passwd") if name == line[0] or _is(line, uid)), None)
    known = {int(line[2]): line for line in _lines(root / "etc/group") if len(line) > 3 and line[2].isdigit()}
    if entry is None:
        groups = {gid: known[gid][0] if gid in known else str(gid) for gid in gids}
        return Account(name or str(uid), -1 if uid is None else uid, groups, exists=uid is not None)
    mine = {int(entry[3]), *gids}
    mine |= {gid for gid, line in known.items() if entry[0] in line[3].split(",")}
    return Account(
        entry[0], int(entry[2]), {gid: known[gid][0] if gid in known else str(gid) for gid in sorted(mine)}
    )


def group_number(root: Path, name: str) -> int | None:
    """None: there is no such group."""
    lines = _lines(root / "etc/group")
    return next((int(line[2]) for line in lines if line[0] == name and len(line) > 2), None)


def _is(line: list[str], uid: int | None) -> bool:
    return uid is not None and len(line) > 3 and line[2] == str(uid)


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [line.split(":") for line in text.splitlines() if ":" in line and not line.startswith("#")]
