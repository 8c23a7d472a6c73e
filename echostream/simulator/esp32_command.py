"""`echostream esp32`: simulated microphones that stream a file, and an account of what they sent."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from echostream.audio.format import Samples
from echostream.config.models import Secret
from echostream.config.secrets import read_secret
from echostream.console import logs
from echostream.errors import ConfigError
from echostream.signals import Waker
from echostream.simulator.esp32_device import Esp32Device, Sent
from echostream.simulator.esp32_fleet import Esp32Fleet
from echostream.simulator.esp32_options import MDNS
from echostream.simulator.esp32_plan import MOST_UDP_BYTES, SAMPLE_BYTES, Esp32Plan, Loop
from echostream.simulator.file_cards import read_wav

SPEECH: Final = Path(__file__).parent / "speech" / "microphone.wav"
FIND_S: Final = 3.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHOWN_SHA256: Final = 16


def esp32(args: argparse.Namespace) -> int:
    """Play until the time is over or Ctrl-C; 0 when every device got everything out."""
    logs.set_up("lines", args.verbose, sys.stderr)
    recording = _recording(args)
    plan = _plan(args, len(recording))
    checked = _checker(args, plan)
    fleet = Esp32Fleet(plan, Loop(recording, plan), args.for_s)
    began_s = time.time()
    with Waker(STOP_SIGNALS, lambda number: fleet.stop()):
        _run(fleet, args)
    told, lines = account(fleet), table(fleet.devices, plan.rate_hz)
    faults = [f"{name}: {why}" for name, why in fleet.failures.items()]
    if checked is not None:
        told["recorded"], (*wrong, total) = checked(fleet, began_s)
        lines.append(total)
        faults += wrong
    sys.stdout.write(json.dumps(told, indent=2) + "\n" if args.json else "\n".join(lines) + "\n")
    for fault in faults:
        sys.stderr.write(f"echostream esp32: {fault}\n")
    return 1 if faults else 0


Checker = Callable[[Esp32Fleet, float], tuple[list[dict[str, object]], list[str]]]


def _checker(args: argparse.Namespace, plan: Esp32Plan) -> Checker | None:
    """What compares with an archive afterwards; it needs the recorder's libraries, the devices do not."""
    if args.check is None:
        return None
    from echostream.simulator.esp32_check import check, check_form, words

    check_form(plan)

    def checked(fleet: Esp32Fleet, since_s: float) -> tuple[list[dict[str, object]], list[str]]:
        verdicts = check(plan, fleet.devices, args.check, since_s)
        return [asdict(verdict) for verdict in verdicts], words(verdicts)

    return checked


def _run(fleet: Esp32Fleet, args: argparse.Namespace) -> None:
    host, port = args.to

    def tell(up: int) -> None:
        if up == fleet.plan.devices:
            sys.stderr.write(f"{up} device(s) connected to {host}:{port}\n")
            sys.stderr.flush()

    fleet.run(tell)


def _recording(args: argparse.Namespace) -> Samples:
    samples = read_wav(args.file or SPEECH, args.rate)
    if not samples.size:
        raise ConfigError(f"{args.file}: no sound in it (0 samples)")
    pause = np.zeros(round(args.pause * args.rate), np.int16)
    return np.concatenate((samples, pause))


def _plan(args: argparse.Namespace, samples: int) -> Esp32Plan:
    """ConfigError for options that do not go together."""
    chunk = args.chunk or (1024 if args.udp else 8192)
    size = SAMPLE_BYTES[args.format] * args.channels
    if args.udp and (chunk > MOST_UDP_BYTES or chunk % size or chunk < size):
        raise ConfigError(f"--chunk {chunk}: a datagram holds whole samples, at most {MOST_UDP_BYTES} bytes")
    if args.token_file is not None and not args.hello:
        raise ConfigError("--token-file: goes into the hello line; add --hello")
    if args.udp and args.channels != 1:
        raise ConfigError("--channels 2: datagrams hold one channel")
    if args.udp and args.hello:
        raise ConfigError("--hello: the datagram form has none; a device is known by its address there")
    token = read_secret(Secret(file=args.token_file), "--token-file") if args.token_file else None
    host, port = args.to = _announced(args.udp) if args.to == MDNS else args.to
    return Esp32Plan(
        host=host,
        port=port,
        devices=args.devices,
        name=args.name,
        hello=args.hello,
        token=token,
        udp=args.udp,
        rate_hz=args.rate,
        format=args.format,
        channels=args.channels,
        chunk=chunk,
        interval_s=args.interval / 1e3,
        ppm=args.ppm,
        speed=args.speed,
        ring_s=args.ring,
        burst_s=args.burst,
        drop=args.drop,
        reconnect_s=args.reconnect,
        power_cut_s=args.power_cut,
        away_s=args.away,
        stall_s=args.stall,
        stalled_s=args.stalled,
        retry_s=args.retry,
        spread_s=args.spread,
        sources=args.sources,
        seed=args.seed,
        samples=samples if args.for_s is None and not args.loop else None,
    )


def _announced(udp: bool) -> tuple[str, int]:
    """The first gateway that answers. ConfigError where none does."""
    from echostream.network.announcement import find_gateways

    try:
        found = find_gateways(FIND_S)
    except OSError as error:
        raise ConfigError(f"--to mdns: {error}") from None
    usable = [one for one in found if not udp or one.udp_port is not None]
    if not usable:
        raise ConfigError("--to mdns: no gateway announces itself here (esp32.announce); give HOST:PORT")
    for one in usable:
        sys.stderr.write(f"gateway {one.gateway_id} at {one.host}:{one.port}\n")
    first = usable[0]
    return first.host, (first.udp_port or 0) if udp else first.port


def account(fleet: Esp32Fleet) -> dict[str, object]:
    """What was sent, for machines. Times in Unix seconds; latest_ms: how late the simulator itself was."""
    plan, to_unix_s = fleet.plan, time.time() - time.monotonic()
    return {
        "rate_hz": plan.rate_hz,
        "format": plan.format,
        "channels": plan.channels,
        "chunk": plan.chunk,
        "seed": plan.seed,
        "latest_ms": round(fleet.latest_ms, 1),
        "devices": [
            {
                "name": device.name,
                "ppm": device.ppm,
                "connections": [_connection(sent, to_unix_s) for sent in device.sent],
            }
            for device in fleet.devices
        ],
    }


def _connection(sent: Sent, to_unix_s: float) -> dict[str, object]:
    told = asdict(sent)
    told["began_s"] = round(sent.began_s + to_unix_s, 6)
    told["first_at_s"] = round(sent.first_at_s + to_unix_s, 6) if sent.samples else None
    told["gaps"] = [{"at": gap.at, "samples": gap.samples} for gap in sent.gaps]
    told["latest_ms"] = round(sent.latest_ms, 1)
    return told


def table(devices: list[Esp32Device], rate_hz: int) -> list[str]:
    """What was sent, for people: a line for each connection."""
    rows = [("device", "from", "samples", "seconds", "lost", "sha256", "ended")]
    for device in devices:
        for sent in device.sent:
            numbers = (str(sent.samples), f"{sent.samples / rate_hz:.2f}", str(sent.lost_samples))
            rows.append((device.name, sent.source, *numbers, sent.sha256[:_SHOWN_SHA256], sent.ended))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
