"""`echostream server`: the control server as a program. The server itself is in `server_loop`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import ssl
from pathlib import Path
from typing import Final

from echostream.console import logs
from echostream.errors import ConfigError, EchoStreamError, SecretError
from echostream.signals import Waker
from echostream.simulator.control_server_options import add_arguments
from echostream.simulator.server_loop import ControlServer
from echostream.simulator.server_settings import Limits, ServerStats

__all__ = ["ControlServer", "Limits", "ServerStats", "add_arguments", "run"]

log = logging.getLogger(__name__)

DRAIN_MARGIN_S: Final = 2.0


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Exit codes: 2 for options that cannot hold, 3 for a port in use."""
    logs.set_up("lines", args.verbose)
    try:
        server = _server(args)
    except EchoStreamError as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("cannot listen on %s port %d: %s", args.host, args.port, error.strerror or error)
        return 3
    return _serve(server, args.drain)


def _serve(server: ControlServer, drain_s: float) -> int:
    asked: list[int] = []

    def on_signal(number: int) -> None:
        asked.append(number)
        if len(asked) > 1:
            os._exit(1)  # asked twice

    with Waker((signal.SIGINT, signal.SIGTERM), on_signal) as waker:
        server.start()
        log.info("control server listens on %s", server.url)
        while not asked:
            waker.wait(None)
        return _end(server, drain_s)


def _end(server: ControlServer, drain_s: float) -> int:
    server.drain(drain_s)
    server.drained.wait(drain_s + DRAIN_MARGIN_S)
    log.info(
        "served: %s", ", ".join(f"{name} {count}" for name, count in sorted(server.stats().counts.items()))
    )
    return 0 if server.stop() else 1


def _server(args: argparse.Namespace) -> ControlServer:
    key = "N/A" if args.no_key else "generate"
    if args.key_file:
        key = _secret(args.key_file)
    return ControlServer(
        args.host,
        args.port,
        aes_key=key,
        channels=args.channels,
        users_form=args.users_form,
        udp_host_advertised=args.udp_host,
        token=_secret(args.token_file) if args.token_file else None,
        tls=_tls(args.tls_cert) if args.tls_cert else None,
    )


def _secret(path: str) -> str:
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SecretError(f"{path}: cannot be read: {error}") from error
    if not secret:
        raise SecretError(f"{path}: is empty")
    return secret


def _tls(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{path}: expected a PEM file with a certificate and its key ({error})") from error
    return context
