"""Where simulated microphones connect from and to, and how many sockets they may have."""

from __future__ import annotations

import ipaddress
import resource
import socket
from typing import Any

from echostream.errors import AudioError
from echostream.simulator.esp32_plan import Esp32Plan


def resolve(plan: Esp32Plan) -> tuple[int, tuple[Any, ...]]:
    """Family and address; IPv4 where there is a choice."""
    kind = socket.SOCK_DGRAM if plan.udp else socket.SOCK_STREAM
    family = socket.AF_INET if plan.sources is not None else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(plan.host, plan.port, family, kind)
    except OSError as error:
        raise AudioError(f"--to {plan.host}:{plan.port}: {words(error)}") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def sources(plan: Esp32Plan) -> list[str | None]:
    """Each device's local address."""
    if plan.sources is None:
        return [None] * plan.devices
    try:
        first = ipaddress.IPv4Address(plan.sources)
        return [str(first + number) for number in range(plan.devices)]
    except ValueError as error:
        raise AudioError(f"--from {plan.sources}: {error}") from None


def allow_files(devices: int) -> None:
    """Two sockets for each device: its own, and one that a power cut left behind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * devices + 64
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard < devices + 64:
        raise AudioError(f"--devices {devices}: this user may open {hard} files; `ulimit -n` raises it")


def words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
