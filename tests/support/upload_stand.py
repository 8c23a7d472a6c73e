"""Recordings in a folder with an index, a bucket, and an uploader between them."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ceph import S3Server
from recorded import recording

from echostream.archive.file_names import make_folder, place_of
from echostream.archive.meta_files import write_meta
from echostream.archive.recording import Recording
from echostream.config.recording_models import Recording as Settings
from echostream.config.s3_models import S3, S3Rule
from echostream.events import Event, LinkChanged, RecordingFiled, RecordingUploaded
from echostream.index.door import FILE_NAME, open_index
from echostream.uploads.s3_uploader import S3Uploader

PART: int = 5 * 1024 * 1024
_EMPTY: list[bytes] = []


def client_of(server: S3Server, url: str | None = None) -> Any:
    """The server, asked directly."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url or server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


@dataclass
class Stand:
    """One archive, and one bucket."""

    directory: Path
    server: S3Server
    bucket: str
    url: str
    events: list[Event] = field(default_factory=list)
    post: Callable[[Event], None] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 100_000)))

    def __post_init__(self) -> None:
        """An empty index; its tables are made once for all stands."""
        file = self.directory / FILE_NAME
        if file.exists():
            return
        if _EMPTY:
            file.write_bytes(_EMPTY[0])
            return
        open_index(self.directory).close()
        _EMPTY.append(file.read_bytes())

    def put(self, size: int = 20_000, indexed: bool = True, **fields: Any) -> Recording:
        """A recording that is closed and filed, on the disk, and in the index where one is wanted."""
        number = next(self.numbers)
        one = recording(number, **{"samples": 16_000, "bytes": size, **fields})
        data = random.Random(number).randbytes(size)
        one = replace(one, sha256=hashlib.sha256(data).hexdigest())
        audio = self.directory / one.path
        make_folder(audio.parent / ".meta")
        audio.write_bytes(data)
        meta = write_meta(self.directory, one, sync=False)
        if indexed:
            with open_index(self.directory) as index:
                index.changed([meta])
        return one

    def meta(self, one: Recording) -> Path:
        return place_of(self.directory, one.path).meta

    def data(self, one: Recording) -> bytes:
        return (self.directory / one.path).read_bytes()

    def filed(self, one: Recording) -> RecordingFiled:
        return RecordingFiled(
            str(self.directory / one.path),
            one.id,
            one.source,
            one.kind,
            (),
            one.start_us / 1e6,
            1.0,
            one.sha256,
        )

    def s3(self, **fields: Any) -> S3:
        given = {"enabled": True, "bucket": self.bucket, "endpoint_url": self.url, "part_mb": 5.0}
        return S3(**{**given, "rules": (S3Rule(what="all"),), **fields})

    def uploader(
        self, stuck_s: float = 30.0, keys: tuple[str, str] | None = None, **fields: Any
    ) -> S3Uploader:
        settings = Settings(enabled=True, directory=str(self.directory))
        keys = keys or (self.server.access_key, self.server.secret)
        post = self.post or self.events.append
        return S3Uploader(self.s3(**fields), settings, "north", keys, None, post, stuck_s)

    @contextmanager
    def running(self, **fields: Any) -> Iterator[S3Uploader]:
        """Started, and stopped within two seconds whatever happens."""
        uploader = self.uploader(**fields)
        uploader.start()
        try:
            yield uploader
        finally:
            began = time.monotonic()
            uploader.request_stop()
            assert uploader.join(10)
            took = time.monotonic() - began
        assert took < 4.0, f"it took {took:.1f} s to stop"

    @property
    def uploaded(self) -> list[str]:
        """Ids, in the order in which they were told."""
        return [one.recording for one in self.events if isinstance(one, RecordingUploaded)]

    @property
    def links(self) -> list[LinkChanged]:
        return [one for one in self.events if isinstance(one, LinkChanged)]

    def pending(self) -> int:
        with open_index(self.directory) as index:
            return len(index.uploads.pending(10_000))

    def until(self, what: Callable[[], bool], seconds: float = 30.0) -> None:
        """Or fail, with all events."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.events
            time.sleep(0.02)


def key(one: Recording) -> str:
    """Of the template that is the default."""
    day = one.path.partition("/")[0]
    return f"{one.gateway}/{day}/{one.channel_id or one.source}/{Path(one.path).name}"
