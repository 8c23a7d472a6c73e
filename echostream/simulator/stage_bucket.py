"""The bucket of `make run`: a folder, behind a small S3 server on this machine's own address."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from echostream.config.base import Secret
from echostream.config.models import Config
from echostream.config.s3_models import S3Rule
from echostream.simulator.stage_children import LOOPBACK, Child, echostream, free_port, wait_until_answers

BUCKET: Final = "recordings"
REGION: Final = "us-east-1"


class StageBucket:
    """Only where the configuration names no bucket, and no folder for recordings: what a real gateway has
    recorded in years would else be copied.

    directory: what has been uploaded stands there, as files. Its keys are made anew for each run, and only
    this user can read them.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self.there = not config.s3.enabled and not config.recording.enabled
        self.directory = directory
        self.port = free_port() if self.there else 0
        self._keys = directory / ".keys"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Child | None:
        """The server; None: it does not run, and `adapt` changes nothing from now on."""
        if not self.there:
            return None
        self._keys.mkdir(mode=0o700, parents=True)
        for name in ("id", "secret"):
            path = self._keys / name
            path.touch(0o600)
            path.write_text(secrets.token_hex(16), "ascii")
        server = Child(
            *echostream("bucket", BUCKET, "--directory", str(self.directory), "--port", str(self.port)),
            *("--key-id-file", str(self._keys / "id"), "--secret-file", str(self._keys / "secret")),
        )
        if wait_until_answers(server, LOOPBACK, self.port):
            return server
        server.end()
        self.there = False
        return None

    def adapt(self, config: Config) -> Config:
        """The same configuration, which uploads every recording there."""
        if not self.there or config.s3.enabled or config.recording.enabled:
            return config
        ours: dict[str, object] = {
            "enabled": True,
            "bucket": BUCKET,
            "region": REGION,
            "endpoint_url": self.url,
            "path_style": True,
            "ca_file": None,
            "access_key_id": Secret(file=str(self._keys / "id")),
            "secret_access_key": Secret(file=str(self._keys / "secret")),
            "rules": (S3Rule(what="all"),),
            "encryption": None,
            "kms_key_id": None,
            "storage_class": None,
            "window": None,
        }
        return config.model_copy(update={"s3": config.s3.model_copy(update=ours)})
