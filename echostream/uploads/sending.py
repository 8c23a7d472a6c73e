"""One recording on its way: looked for first, sent whole or in parts, and looked at afterwards.

Whatever is interrupted goes on where it was: an upload in parts with the next part, after a restart too, and
after a loss of the index with what the server knows of it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from echostream.archive.recording import Recording
from echostream.uploads.body import Body, Part, Stopped, Whole, look_through
from echostream.uploads.causes import Cause, Refused
from echostream.uploads.client import Bucket, Label, Stored
from echostream.uploads.keys import CONTENT_TYPES, metadata_of
from echostream.uploads.pace import Pace

log = logging.getLogger(__name__)

LEAST_PART: Final = 5 * 1024 * 1024
MOST_PARTS: Final = 10_000
"""Amazon S3 User Guide, "Amazon S3 multipart upload limits"."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is sent. upload_id: of an upload in parts that was begun before, or ""."""

    recording: Recording
    audio: Path
    key: str
    upload_id: str
    part_bytes: int
    extra: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ways:
    """How the sender talks to its owner.

    wait: for so many seconds, True: we stop. moved: bytes that left. arrived: a part is there. remember: the
    id of an upload in parts, on the disk before the first part; "": there is none any more.
    """

    wait: Callable[[float], bool]
    moved: Callable[[int], None]
    arrived: Callable[[], None]
    remember: Callable[[str], None]


class Sender:
    """Of one job. `send` raises Refused, Stopped, OSError (the recording's own file)."""

    def __init__(self, bucket: Bucket, job: Job, pace: Pace, ways: Ways) -> None:
        self._bucket = bucket
        self._job = job
        self._pace = pace
        self._ways = ways
        self._upload_id = job.upload_id
        self._checked = True
        recording = job.recording
        self._label = Label(CONTENT_TYPES[recording.form], metadata_of(recording), job.extra)

    def send(self) -> bool:
        """Have it there. False: it was there already."""
        if self._is_there(self._looked()):
            self._give_up_parts()
            return False
        with self._job.audio.open("rb") as file:
            whole = self._look_through(file)
            if len(whole.parts) == 1:
                self._give_up_parts()
                self._put(file, whole.parts[0])
            else:
                self._put_parts(file, whole)
        if self._checked and not self._is_there(self._looked()):
            raise Refused(Cause.DAMAGED, "it is not there although the server took it")
        return True

    def _looked(self) -> Stored | None:
        try:
            return self._bucket.head(self._job.key)
        except Refused as error:
            if error.cause is not Cause.DENIED:
                raise
            # May write, must not read: what is there already is sent again, into the same place. If nothing
            # at all is allowed, what comes next says so.
            self._checked = False
            return None

    def _is_there(self, stored: Stored | None) -> bool:
        """This very recording. Refused where another one has its name."""
        if stored is None:
            return False
        recording = self._job.recording
        other = stored.metadata.get("recording", recording.id)
        if other != recording.id:
            raise Refused(
                Cause.FILE,
                f"{self._job.key} is another recording ({other}): put {{gateway}} or {{id}} into s3.key",
            )
        return stored.size == recording.bytes and stored.metadata.get("sha256") == recording.sha256

    def _look_through(self, file: BinaryIO) -> Whole:
        size = self._job.recording.bytes
        part_bytes = max(LEAST_PART, self._job.part_bytes, -(-size // MOST_PARTS))
        whole = look_through(file, part_bytes, lambda: self._ways.wait(0.0))
        if whole.sha256 != self._job.recording.sha256:
            raise Refused(
                Cause.FILE,
                "the file is not what it was when it was filed: `echostream recordings verify` says more",
            )
        return whole

    def _put(self, file: BinaryIO, part: Part) -> None:
        etag, encryption = self._bucket.put(self._job.key, self._body(file, part), part.md5, self._label)
        _compare(etag, encryption, part.md5.hex())

    def _put_parts(self, file: BinaryIO, whole: Whole) -> None:
        etags = self._known_parts(whole)
        for part in whole.parts:
            if part.number not in etags:
                body = self._body(file, part)
                try:
                    etag, encryption = self._bucket.put_part(
                        self._job.key, self._upload_id, part.number, body, part.md5
                    )
                except LookupError:
                    self._forget_parts()
                    raise Refused(Cause.DAMAGED, "the server forgot the parts; it begins anew") from None
                _compare(etag, encryption, part.md5.hex())
                etags[part.number] = etag
                self._ways.arrived()
        try:
            etag, encryption = self._bucket.complete(self._job.key, self._upload_id, etags)
        except LookupError:
            # The answer to an earlier attempt was lost: it may be whole by now.
            self._forget_parts()
            if not self._is_there(self._looked()):
                raise Refused(Cause.DAMAGED, "the server forgot the parts; it begins anew") from None
            return
        together = hashlib.md5(b"".join(part.md5 for part in whole.parts), usedforsecurity=False)
        _compare(etag, encryption, f"{together.hexdigest()}-{len(whole.parts)}")
        self._forget_parts()

    def _known_parts(self, whole: Whole) -> dict[int, str]:
        """Parts that are there and right, of an upload that goes on; else a new one is begun."""
        if not self._upload_id:
            self._upload_id = self._found_upload()
        if self._upload_id:
            try:
                there = self._bucket.parts(self._job.key, self._upload_id)
            except LookupError:
                self._forget_parts()
            else:
                return {
                    part.number: found.etag
                    for part in whole.parts
                    if (found := there.get(part.number)) is not None
                    and found.size == part.size
                    and _same(found.etag, self._job.extra.get("ServerSideEncryption", ""), part.md5.hex())
                }
        self._upload_id = self._bucket.begin(self._job.key, self._label)
        self._ways.remember(self._upload_id)
        return {}

    def _found_upload(self) -> str:
        """One of this very name that an index which is lost knew of."""
        try:
            begun = [one for one in self._bucket.begun(self._job.key) if one.key == self._job.key]
        except Refused as error:
            if error.cause is not Cause.DENIED:
                raise
            return ""
        if not begun:
            return ""
        self._ways.remember(begun[-1].upload_id)
        for one in begun[:-1]:
            self._bucket.abort(one.key, one.upload_id)
        return begun[-1].upload_id

    def _give_up_parts(self) -> None:
        if self._upload_id:
            self._bucket.abort(self._job.key, self._upload_id)
            self._forget_parts()

    def _forget_parts(self) -> None:
        self._upload_id = ""
        self._ways.remember("")

    def _body(self, file: BinaryIO, part: Part) -> Body:
        if self._ways.wait(0.0):
            raise Stopped
        return Body(file, part, self._pace, self._ways.wait, self._ways.moved)


def _same(etag: str, encryption: str, md5: str) -> bool:
    """An ETag is the MD5, except where a key of the key service encrypts (S3 API Reference, "Object")."""
    if encryption.startswith("aws:kms") or not _is_md5(etag):
        return True
    return etag.lower() == md5


def _is_md5(etag: str) -> bool:
    digits = etag.partition("-")[0]
    return len(digits) == 32 and all(one in "0123456789abcdefABCDEF" for one in digits)


def _compare(etag: str, encryption: str, md5: str) -> None:
    if not _same(etag, encryption, md5):
        raise Refused(Cause.DAMAGED, f"the server has other bytes than were sent (ETag {etag}, not {md5})")
