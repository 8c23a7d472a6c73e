"""`echostream recordings url`: a link to a recording in the bucket, for somebody who has no key."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from echostream.archive.recording import Recording
from echostream.archive_tools.place import CONFIGURATIONS, Found, Place, opened, resolve
from echostream.archive_tools.showing import chosen
from echostream.config.models import Config
from echostream.errors import ArchiveError, IndexUnavailable

if TYPE_CHECKING:
    from echostream.uploads.client import Bucket


def links(
    place: Place, what: Sequence[str], hours: float | None, *, as_json: bool, out: TextIO, err: TextIO
) -> int:
    """Print one for each. Exit code 1 where one is not in the bucket. ArchiveError, ConfigError, Refused."""
    from echostream.uploads.client import Bucket

    config = _configured(place)
    hours = hours or config.s3.url_hours
    with opened(place, err, owned=False) as store:
        recordings = list(chosen(store, what))
    bucket = Bucket(config.s3, _keys(config))
    complete = True
    try:
        for one, key in _with_keys(resolve(place), config, recordings):
            if not _is_there(bucket, one, key, err):
                err.write(f"echostream recordings url: {one.path} is not in the bucket (yet)\n")
                complete = False
                continue
            url = bucket.url(key, hours)
            if as_json:
                until_us = time.time_ns() // 1000 + round(hours * 3.6e9)
                told = {"id": one.id, "path": one.path, "key": key, "url": url, "until_us": until_us}
                out.write(json.dumps(told, ensure_ascii=False) + "\n")
            else:
                out.write(f"{url}\n")
    finally:
        bucket.close()
    return 0 if complete else 1


def _configured(place: Place) -> Config:
    from echostream.config.load import load_config

    path = place.config or next((one for one in CONFIGURATIONS if one.exists()), None)
    if path is None:
        raise ArchiveError("which bucket? Name the configuration that says so with --config")
    config = load_config(path).config
    if not config.s3.bucket:
        raise ArchiveError(f"{path} names no bucket: set s3.bucket")
    return config


def _keys(config: Config) -> tuple[str, str] | None:
    from echostream.config.secrets import read_secret

    key_id, secret = config.s3.access_key_id, config.s3.secret_access_key
    if key_id is None or secret is None:
        return None
    return (
        read_secret(key_id, "s3.access_key_id").strip(),
        read_secret(secret, "s3.secret_access_key").strip(),
    )


def _with_keys(found: Found, config: Config, recordings: list[Recording]) -> list[tuple[Recording, str]]:
    """What each is called there: as it was uploaded, or as it would be now."""
    from echostream.uploads.client import target_of
    from echostream.uploads.keys import key_of

    known = _uploaded(found.directory, found.database_url, target_of(config.s3), recordings)
    return [(one, known.get(one.id) or key_of(config.s3.key, one)) for one in recordings]


def _uploaded(
    directory: Path, database_url: str | None, target: str, recordings: list[Recording]
) -> dict[str, str]:
    from echostream.index.door import open_index

    keys: dict[str, str] = {}
    try:
        with open_index(directory, database_url, create=False) as index:
            for one in recordings:
                known = index.uploads.of(one.id, target)
                if known is not None and known[0] == "done":
                    keys[one.id] = known[1]
    except IndexUnavailable:
        return keys
    return keys


def _is_there(bucket: Bucket, one: Recording, key: str, err: TextIO) -> bool:
    """Who cannot be asked is believed."""
    from echostream.uploads.causes import Refused

    try:
        stored = bucket.head(key)
    except Refused as error:
        err.write(f"echostream recordings url: whether it is there is not known: {error}\n")
        return True
    return stored is not None and stored.metadata.get("recording", one.id) == one.id
