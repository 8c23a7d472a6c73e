"""A bucket in a folder: each object a file under its key, what is known of it in a JSON beside the tree.

    DIRECTORY/BUCKET/KEY              the object, for everybody to look at
    DIRECTORY/.meta/BUCKET/KEY.json   its headers and ETag
    DIRECTORY/.parts/UPLOAD/NUMBER    what has come of an upload in parts

Nothing stands under its name before it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from echostream.errors import EchoStreamError

BUCKET_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
UPLOAD_PATTERN: Final = re.compile(r"[0-9a-f]{32}")
MAX_KEY_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 240
LEAST_PART_BYTES: Final = 5 << 20
"""Of every part but the last, as S3 has it."""


class Refused(EchoStreamError):
    """What S3 would answer: its error code; the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, or one part. etag: without quotes; headers: those that come back with it."""

    key: str
    size: int
    etag: str
    modified_s: float
    headers: Mapping[str, str]
    path: Path


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that is under way."""

    upload_id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    begun_s: float


class BucketStore:
    """Any thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        for name in (".meta", ".parts", ".new"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    # ---- buckets

    def make(self, bucket: str) -> None:
        if BUCKET_PATTERN.fullmatch(bucket) is None:
            raise Refused("InvalidBucketName", "3 to 63 lower-case letters, digits, dots and hyphens")
        (self.directory / bucket).mkdir(exist_ok=True)

    def buckets(self) -> list[str]:
        return sorted(one.name for one in self.directory.iterdir() if BUCKET_PATTERN.fullmatch(one.name))

    def scratch(self) -> Path:
        """Where to write what is not whole yet."""
        return self.directory / ".new" / secrets.token_hex(16)

    # ---- objects

    def keep(self, bucket: str, key: str, whole: Path, etag: str, headers: Mapping[str, str]) -> None:
        """whole: a file of `scratch`, which becomes the object."""
        path, meta = self._places(bucket, key)
        with self._lock:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                meta.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise IsADirectoryError
            except (NotADirectoryError, FileExistsError, IsADirectoryError):
                raise Refused("InvalidRequest", "another object's key is a part of this one's path") from None
            known = {"etag": etag, "headers": dict(headers), "modified_s": time.time()}
            scratch = self.scratch()
            scratch.write_text(json.dumps(known), "utf-8")
            os.replace(whole, path)
            os.replace(scratch, meta)

    def get(self, bucket: str, key: str) -> Stored:
        path, meta = self._places(bucket, key)
        try:
            known: dict[str, Any] = json.loads(meta.read_text("utf-8"))
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise Refused("NoSuchKey", "there is no object of that key") from None
        return Stored(key, size, known["etag"], known["modified_s"], known["headers"], path)

    def has(self, bucket: str, key: str) -> bool:
        _, meta = self._places(bucket, key)
        return meta.is_file()

    def delete(self, bucket: str, key: str) -> None:
        """Also where there is none, as S3 has it."""
        places = self._places(bucket, key)
        roots = self.directory / bucket, self.directory / ".meta" / bucket
        with self._lock:
            for path, root in zip(places, roots, strict=True):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    path.unlink()
                _remove_empty(path.parent, root)

    def listed(self, bucket: str, prefix: str, after: str, most: int) -> tuple[list[Stored], bool]:
        """(those whose key begins with `prefix` and sorts behind `after`, whether there are more)."""
        self._bucket(bucket)
        root = self.directory / ".meta" / bucket
        keys = sorted(
            key
            for path in root.rglob("*.json")
            if (key := path.relative_to(root).as_posix().removesuffix(".json")).startswith(prefix)
            and key > after
        )
        return [self.get(bucket, key) for key in keys[:most]], len(keys) > most

    # ---- uploads in parts

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        self._places(bucket, key)
        upload_id = secrets.token_hex(16)
        folder = self.directory / ".parts" / upload_id
        folder.mkdir()
        known = {"bucket": bucket, "key": key, "headers": dict(headers), "begun_s": time.time()}
        (folder / "upload.json").write_text(json.dumps(known), "utf-8")
        return upload_id

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        found = next((one for one in self.uploads(bucket) if one.upload_id == upload_id), None)
        if found is None or found.key != key:
            raise Refused("NoSuchUpload", "there is no upload of that id: completed, aborted, or never begun")
        return found

    def uploads(self, bucket: str) -> list[Upload]:
        self._bucket(bucket)
        found = []
        for path in sorted((self.directory / ".parts").glob("*/upload.json")):
            known: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if known["bucket"] == bucket:
                found.append(Upload(path.parent.name, **known))
        return found

    def keep_part(self, upload: Upload, number: int, whole: Path, etag: str) -> None:
        folder = self._folder(upload)
        with self._lock:
            os.replace(whole, folder / f"{number:05d}")
            (folder / f"{number:05d}.etag").write_text(etag, "ascii")

    def parts(self, upload: Upload) -> dict[int, Stored]:
        """By number."""
        found = {}
        for path in sorted(self._folder(upload).glob("*.etag")):
            data, state = path.with_suffix(""), path.with_suffix("").stat()
            etag = path.read_text("ascii")
            found[int(data.name)] = Stored(data.name, state.st_size, etag, state.st_mtime, {}, data)
        return found

    def complete(self, upload: Upload, wanted: Sequence[tuple[int, str]]) -> str:
        """Of (number, ETag) in order; the object's ETag."""
        there = self.parts(upload)
        if not wanted or [number for number, _ in wanted] != sorted({number for number, _ in wanted}):
            raise Refused("InvalidPartOrder", "the list of parts is in ascending order, each once")
        for number, etag in wanted:
            if number not in there or there[number].etag != etag.strip('"'):
                raise Refused("InvalidPart", f"part {number} is not there, or is another one")
        if any(there[number].size < LEAST_PART_BYTES for number, _ in wanted[:-1]):
            raise Refused("EntityTooSmall", "a part before the last is smaller than 5 MiB")
        whole = self.scratch()
        sums = hashlib.md5(usedforsecurity=False)
        with whole.open("wb") as file:
            for number, _ in wanted:
                sums.update(bytes.fromhex(there[number].etag))
                with there[number].path.open("rb") as part:
                    shutil.copyfileobj(part, file)
        etag = f"{sums.hexdigest()}-{len(wanted)}"
        self.keep(upload.bucket, upload.key, whole, etag, upload.headers)
        self.abort(upload)
        return etag

    def abort(self, upload: Upload) -> None:
        shutil.rmtree(self._folder(upload), ignore_errors=True)

    # ---- inside

    def _folder(self, upload: Upload) -> Path:
        if UPLOAD_PATTERN.fullmatch(upload.upload_id) is None:
            raise Refused("NoSuchUpload", "that is no upload id")
        return self.directory / ".parts" / upload.upload_id

    def _bucket(self, bucket: str) -> Path:
        path = self.directory / bucket
        if BUCKET_PATTERN.fullmatch(bucket) is None or not path.is_dir():
            raise Refused("NoSuchBucket", "there is no bucket of that name")
        return path

    def _places(self, bucket: str, key: str) -> tuple[Path, Path]:
        """(file, meta file). A key never leads out of its bucket."""
        folder = self._bucket(bucket)
        names = key.split("/")
        if len(key.encode()) > MAX_KEY_BYTES:
            raise Refused("KeyTooLongError", "a key has 1024 bytes at most")
        if "\0" in key or any(
            name in ("", ".", "..") or len(name.encode()) > MAX_NAME_BYTES for name in names
        ):
            raise Refused("InvalidArgument", "this server takes only keys that are paths of files")
        return folder / key, self.directory / ".meta" / bucket / f"{key}.json"


def _remove_empty(folder: Path, root: Path) -> None:
    """Folders that hold nothing any more: S3 knows none."""
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
