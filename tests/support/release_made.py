"""Release archives whose interpreter is a script: small, quick, and spoilt as a test wants them."""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Callable
from pathlib import Path

from echostream.deploy.layout import Release, record_text

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
FAKE = """\
#!/bin/sh
# Plays the interpreter of a version: `-m echostream config check FILE` and `-m echostream selftest`.
case "$3" in
  config) grep -q "refused by $VERSION_ID" "$5" && { echo "$5: refused"; exit 2; }; exit 1 ;;
  selftest) exit SELFTEST ;;
esac
"""


def release(version_id: str, **changes: str) -> Release:
    fields = {"built_at": "2026-11-21T12:00:00Z", "python": "3.11", "arch": ARCH, "distribution": "bookworm"}
    return Release(version_id, version_id, **(fields | changes))


class Made:
    """A release, as a dictionary of its files, before it is packed."""

    def __init__(self, version_id: str, selftest: int = 0, **changes: str) -> None:
        script = FAKE.replace("$VERSION_ID", version_id).replace("SELFTEST", str(selftest))
        self.files = {
            "tree/release.json": record_text(release(version_id, **changes)).encode(),
            "tree/bin/python": script.encode(),
            "tree/share/echostream/systemd/echostream.service": f"# of {version_id}\n".encode(),
            "tree/lib/python3.11/site-packages/echostream/__init__.py": b"# " + version_id.encode() + b"\n",
            "install.sh": b"#!/bin/sh\n",
        }
        self.links = {"tree/bin/python3": "python", "tree/lib64": "lib"}
        self.top = f"echostream-{version_id}-bookworm-{ARCH}"

    def sums(self) -> bytes:
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(self.files.items())]
        return "".join(lines).encode()

    def pack(self, path: Path, change: Callable[[tarfile.TarInfo], None] | None = None) -> Path:
        contents = {**self.files, "SHA256SUMS": self.files.get("SHA256SUMS", self.sums())}
        with tarfile.open(path, "w:gz") as archive:
            for name, data in contents.items():
                member = tarfile.TarInfo(f"{self.top}/{name}")
                member.size, member.mode = len(data), 0o755 if "/bin/" in name else 0o644
                if change is not None:
                    change(member)
                archive.addfile(member, io.BytesIO(data))
            for name, target in self.links.items():
                member = tarfile.TarInfo(f"{self.top}/{name}")
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
        return path

    def spread(self, folder: Path) -> Path:
        for name, data in {**self.files, "SHA256SUMS": self.sums()}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if "/bin/" in name else 0o644)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)
        return folder
