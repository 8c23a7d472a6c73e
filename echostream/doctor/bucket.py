"""Group `s3`: reach the bucket, write a small object, delete it."""

from __future__ import annotations

import time
from typing import Final

from echostream.config.models import S3
from echostream.config.secrets import read_secret
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import SecretError
from echostream.uploads.causes import Cause, Refused
from echostream.uploads.client import Bucket, Label, extra_of

OFF: Final = Kind("s3.off", Level.NOTE, "uploads are switched off")
LOOKED: Final = Kind("s3.looked", Level.OK, "bucket {bucket} at {where} answers within {ms:.0f} ms")
STORED: Final = Kind("s3.stored", Level.OK, "a small object is written within {ms:.0f} ms ({key})")
FAILED: Final = Kind(
    "s3.failed",
    Level.FAILURE,
    "bucket {bucket}, {step}: {why}",
    "look at s3 in the configuration; docs/s3.md has the policy that an uploader needs",
)
NO_LIST: Final = Kind(
    "s3.no_list",
    Level.NOTE,
    "bucket {bucket} may not be listed with these keys ({why}); uploads do not need it",
)
NO_DELETE: Final = Kind(
    "s3.no_delete",
    Level.NOTE,
    "the object {key} was written and may not be deleted ({why}); uploads do not need that",
    "nothing to do: the next time it is written over; aws s3 rm 's3://{bucket}/{key}' takes it away",
)
SECRET: Final = Kind("s3.secret", Level.NOTE, "not tried: {why}", "see the group configuration")
_TEXT: Final = b"Written by `echostream doctor`; it may be deleted.\n"


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("s3", "bucket", _bucket, within_s=45.0)]


def _bucket(world: World) -> list[Finding]:
    config = world.config
    if config is None:
        return []
    s3 = config.s3
    if not s3.enabled:
        return [OFF.at("s3.enabled")]
    try:
        keys = _keys(s3)
    except SecretError as error:
        return [SECRET.at("s3", why=error)]
    try:
        bucket = Bucket(s3, keys)
    except Refused as error:
        return [FAILED.at("s3", bucket=s3.bucket, step="connecting", why=error)]
    try:
        findings = _look(bucket)
        if not world.quick and findings[0].level is not Level.FAILURE:
            findings += _write(bucket, s3, f"{config.gateway.id}/doctor.txt")
    finally:
        bucket.close()
    return findings


def _keys(s3: S3) -> tuple[str, str] | None:
    if s3.access_key_id is None or s3.secret_access_key is None:
        return None
    return (
        read_secret(s3.access_key_id, "s3.access_key_id").strip(),
        read_secret(s3.secret_access_key, "s3.secret_access_key").strip(),
    )


def _look(bucket: Bucket) -> list[Finding]:
    began_s = time.monotonic()
    try:
        bucket.look()
    except Refused as error:
        kind = NO_LIST if error.cause is Cause.DENIED else FAILED
        return [kind.at("s3.bucket", bucket=bucket.name, step="listing", why=error)]
    ms = 1000 * (time.monotonic() - began_s)
    return [LOOKED.at("s3.bucket", bucket=bucket.name, where=bucket.where, ms=ms)]


def _write(bucket: Bucket, s3: S3, key: str) -> list[Finding]:
    """Where reading or deleting is denied, writing is all that uploads need."""
    began_s = time.monotonic()
    place = "s3.bucket"
    try:
        bucket.put_bytes(key, _TEXT, Label("text/plain", {}, extra_of(s3)))
        ms = 1000 * (time.monotonic() - began_s)
        size = _size_there(bucket, key)
    except Refused as error:
        return [FAILED.at(place, bucket=bucket.name, step="writing", why=error)]
    if size is not None and size != len(_TEXT):
        why = f"{size} bytes are there, not the {len(_TEXT)} that were written"
        return [FAILED.at(place, bucket=bucket.name, step="reading back", why=why)]
    try:
        bucket.delete(key)
    except Refused as error:
        return [STORED.at(place, ms=ms, key=key), NO_DELETE.at(place, key=key, why=error, bucket=bucket.name)]
    return [STORED.at(place, ms=ms, key=key)]


def _size_there(bucket: Bucket, key: str) -> int | None:
    """Bytes; 0 where nothing is, None where the keys may not see it."""
    try:
        stored = bucket.head(key)
    except Refused as error:
        if error.cause is Cause.DENIED:
            return None
        raise
    return 0 if stored is None else stored.size
