"""What comes and goes as XML and as bodies: read with a bound, checked as they are read."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from xml.sax.saxutils import escape

from echostream.simulator.bucket_store import Refused

CHUNK_BYTES: Final = 1 << 16
MOST_BYTES: Final = 5 << 30
"""Of one request, as S3 has it."""
MOST_XML_BYTES: Final = 1 << 20
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

Tree = Mapping[str, "str | int | Tree | list[Tree]"]


@dataclass(frozen=True, slots=True)
class Received:
    """A body on the disk. md5: in hex, the ETag."""

    path: Path
    size: int
    md5: str


class Body(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes: ...


def receive(body: Body, size: int, path: Path, headers: Mapping[str, str], signed: str) -> Received:
    """Read `size` bytes into a file, and check them against what the headers say of them.

    signed: SHA-256 in hex that the signature holds, "" where it does not. Raises Refused and leaves no file.
    """
    if size > MOST_BYTES:
        raise Refused("EntityTooLarge", "one request carries 5 GiB at most; larger files come in parts")
    md5, sha256, crc32, left = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0, size
    try:
        with path.open("wb") as file:
            while left:
                chunk = body.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise Refused("IncompleteBody", "the body ended early")
                left -= len(chunk)
                md5.update(chunk)
                sha256.update(chunk)
                crc32 = zlib.crc32(chunk, crc32)
                file.write(chunk)
        if signed and signed != sha256.hexdigest():
            raise Refused("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
        _check(headers, "content-md5", md5.digest())
        _check(headers, "x-amz-checksum-sha256", sha256.digest())
        _check(headers, "x-amz-checksum-crc32", crc32.to_bytes(4, "big"))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Received(path, size, md5.hexdigest())


def _check(headers: Mapping[str, str], name: str, found: bytes) -> None:
    if name in headers and headers[name].strip() != base64.b64encode(found).decode():
        raise Refused("BadDigest", f"the body does not have the {name} that was sent with it")


def xml(name: str, tree: Tree) -> bytes:
    """An answer. A list becomes its element once for each entry."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    space = "" if name == "Error" else f' xmlns="{NAMESPACE}"'
    return f"{head}<{name}{space}>{''.join(_elements(tree))}</{name}>".encode()


def _elements(tree: Tree) -> Iterable[str]:
    for name, value in tree.items():
        for one in value if isinstance(value, list) else [value]:
            inner = "".join(_elements(one)) if isinstance(one, Mapping) else escape(str(one))
            yield f"<{name}>{inner}</{name}>"
