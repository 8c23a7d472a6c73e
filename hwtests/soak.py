"""A long run of a gateway, and a report of it.

    python -m hwtests.soak --hours 24                     a gateway of its own on the USB cards that are there
    python -m hwtests.soak --hours 24 --watch echostream  the installed one, as it is in service (as root)
    python -m hwtests.soak --hours 0.1 --simulate all     without any hardware

Its own gateway is on a control server of this process; another member talks five seconds of every twenty on
each channel, and with the jumper of the GPIO tests the button of the first channel is pressed in between. The
report (soak.md, and soak.json with every look) is written anew after each look, so that a run that is cut
short has one. Ends with status 1 when something was beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from echostream.config.models import ControlServer as ServerAddress
from echostream.errors import EchoStreamError
from echostream.gateway import Secrets
from echostream.hardware.gpio_chips import find_chip
from echostream.hardware.gpio_uapi import OutputRequest
from echostream.simulator.control_server import ControlServer
from echostream.simulator.file_cards import FileCards, Voice, read_wav
from echostream.simulator.member import Member, MemberIdentity
from hwtests.machine import IN_PIN, OUT_PIN, by_port, usb_cards
from hwtests.soak_look import Watcher
from hwtests.soak_report import HOUR_S, Look, as_json, judge, passed, render

REPOSITORY: Final = Path(__file__).parents[1]
SPEECH: Final = REPOSITORY / "echostream/simulator/speech/answer.wav"
INSTANCE: Final = "soak"
MOST_CHANNELS: Final = 4
UP_S: Final = 30.0
TURN_S: Final = 20.0
TALK_S: Final = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Status 0: within every limit; 1: not; 3: there is nothing to look at."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        if options.watch is not None:
            return follow(Watcher(options.watch, None), options, stop, f"the service {options.watch}")
        with gateway(options.simulate) as (watcher, what):
            return follow(watcher, options, stop, what)
    except EchoStreamError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 1


def follow(watcher: Watcher, options: argparse.Namespace, stop: threading.Event, what: str) -> int:
    """Look every so often until the time is over; write the report each time."""
    if not _until(lambda: watcher.health() is not None, UP_S, stop):
        print(f"soak: {what} says nothing of itself (no health file that is new)", file=sys.stderr)
        return 3
    _until(lambda: _settled(watcher.look()), options.settle, stop)
    looks: list[Look] = [watcher.look()]
    ends_s = time.monotonic() + options.hours * HOUR_S
    ok = True
    while not stop.is_set() and time.monotonic() < ends_s:
        stop.wait(min(options.every, max(0.0, ends_s - time.monotonic())))
        looks.append(watcher.look())
        ok = _write(looks, options.report, what)
    print(options.report.read_text("utf-8"), end="")
    return 0 if ok else 1


@contextmanager
def gateway(simulate: str) -> Iterator[tuple[Watcher, str]]:
    """A gateway as a process of its own, somebody who talks to it, and somebody who presses its button."""
    folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))
    server = ControlServer(aes_key="generate")
    server.start()
    try:
        channels = _channels(simulate)
        config = folder / "config.json"
        config.write_text(json.dumps(_document(server.url, channels, folder)), "utf-8")
        process = _start(config, folder, simulate)
        try:
            with _talker(server.url, [str(one["id"]) for one in channels]), _presser():
                yield Watcher(INSTANCE, folder), f"{len(channels)} channels of its own"
        finally:
            _end(process)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _channels(simulate: str) -> list[dict[str, Any]]:
    cards = [by_port(card) for card in usb_cards()][:MOST_CHANNELS]
    if not cards and simulate == "none":
        raise EchoStreamError("no USB sound card is plugged in: plug one in, or --simulate missing")
    names = cards or ["usb:1-1.1", "usb:1-1.2"]
    channels: list[dict[str, Any]] = [
        {"id": f"soak-{number}", "card": card, "duplex": "full"} for number, card in enumerate(names, 1)
    ]
    channels[0]["ptt"] = {"pin": IN_PIN, "active_low": False, "pull": "down"}
    return channels


def _document(url: str, channels: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    return {
        "gateway": {"id": INSTANCE, "affiliation_id": INSTANCE},
        "control_server": {"url": url},
        "channels": channels,
        "events": {"directory": str(folder / "events")},
    }


def _start(config: Path, folder: Path, simulate: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "echostream", "run", "--config", str(config), "--simulate", simulate]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--instance", INSTANCE, "--log", "lines", "--no-live"],
            env=os.environ | {"RUNTIME_DIRECTORY": str(folder), "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _talker(url: str, channels: list[str]) -> Iterator[None]:
    """Another member: five seconds of every twenty, on all channels. Thread `soak-talk`."""
    recording = read_wav(SPEECH)
    cards = FileCards({name: Voice(recording, loop=True) for name in channels})
    member = Member(ServerAddress(url=url), channels, MemberIdentity("talker", "talker"), Secrets(), cards)

    def turn() -> None:
        for name in channels:
            member.press(name)
        stop.wait(TALK_S)
        for name in channels:
            member.release(name)

    stop = threading.Event()
    member.start()
    try:
        with _thread("soak-talk", stop, turn):
            yield
    finally:
        member.stop()


@contextmanager
def _presser() -> Iterator[None]:
    """Presses the first channel's button over the jumper, where there is a GPIO chip. Thread `soak-press`."""
    try:
        line = OutputRequest(find_chip().path, OUT_PIN, active_low=False, consumer="echostream-soak")
    except (EchoStreamError, OSError):
        yield
        return

    def turn() -> None:
        stop.wait(TALK_S * 2)
        line.set(True)
        stop.wait(TALK_S)
        line.set(False)

    stop = threading.Event()
    try:
        with _thread("soak-press", stop, turn):
            yield
    finally:
        line.set(False)
        line.park()
        line.close()


@contextmanager
def _thread(name: str, stop: threading.Event, turn: Callable[[], None]) -> Iterator[None]:
    def run() -> None:
        while not stop.wait(TURN_S - TALK_S if name == "soak-talk" else 1.0):
            turn()

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TURN_S)


def _settled(look: Look) -> bool:
    """Everything is up. Whoever waits goes on in any case: what never comes up belongs into the report."""
    return look.healthy and not look.away and look.channels == look.all_channels


def _until(holds: Callable[[], bool], timeout_s: float, stop: threading.Event) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s or stop.wait(0.2):
            return False
    return True


def _write(looks: list[Look], report: Path, what: str) -> bool:
    findings = judge(looks)
    for path, text in (
        (report, render(looks, findings, what)),
        (report.with_suffix(".json"), as_json(looks, findings)),
    ):
        beside = path.with_name(path.name + ".new")
        beside.write_text(text, "utf-8")
        beside.replace(path)
    return passed(findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hwtests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hours = float(os.environ.get("ECHOSTREAM_SOAK_H", "24"))
    parser.add_argument("--hours", type=float, default=hours, help="default: $ECHOSTREAM_SOAK_H, else 24")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="between two looks")
    parser.add_argument(
        "--settle", type=float, default=UP_S, metavar="SECONDS", help="how long all may take to come up"
    )
    parser.add_argument("--report", type=Path, default=Path("soak.md"), help="default: ./soak.md, soak.json")
    parser.add_argument("--watch", metavar="INSTANCE", help="look at the installed gateway of that name")
    parser.add_argument("--simulate", choices=("none", "missing", "all"), default="none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
