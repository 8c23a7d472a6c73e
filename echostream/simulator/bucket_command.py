"""`echostream bucket`: a small S3 server, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

from echostream.config.base import Secret
from echostream.config.secrets import read_secret
from echostream.console import logs
from echostream.errors import ConfigError
from echostream.signals import Waker
from echostream.simulator.bucket_server import BucketServer
from echostream.simulator.bucket_store import Refused

log = logging.getLogger(__name__)


def bucket(args: argparse.Namespace) -> int:
    """0 when it was ended, 2 when the call is wrong."""
    logs.set_up("lines", args.verbose)
    key_id = read_secret(Secret(file=args.key_id_file), "--key-id-file").strip()
    secret = read_secret(Secret(file=args.secret_file), "--secret-file").strip()
    try:
        server = BucketServer(args.host, args.port, Path(args.directory), key_id, secret)
    except OSError as error:
        raise ConfigError(f"{args.host}:{args.port}, {args.directory}: {error.strerror or error}") from None
    try:
        server.store.make(args.bucket)
    except Refused as error:
        server.server_close()
        raise ConfigError(f"bucket {args.bucket!r}: {error}") from None
    with Waker((signal.SIGINT, signal.SIGTERM), _ignore) as waker:
        server.start()
        log.info("bucket %s at %s, in %s; Ctrl-C ends", args.bucket, server.url, args.directory)
        waker.wait(None)
        server.stop()
    return 0


def _ignore(number: int) -> None:
    """The waker wakes; there is nothing else to do."""
