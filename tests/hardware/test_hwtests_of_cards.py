"""The hardware tests of sound cards, tried on a made-up bus: they pass, and say what is missing."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from usb_bus import UsbBus

REPOSITORY = Path(__file__).parents[2]
PORTS = {"left": "1-1.2", "right": "1-1.3"}
HANDS = """#!/bin/sh
echo "$1 $2" > "{folder}/asked" && read -r _ < "{folder}/answered"
"""


def run(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-rsP", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY), "ECHOSTREAM_SLACK": "4"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def on(bus: UsbBus) -> dict[str, str]:
    return bus.environment() | {"ECHOSTREAM_KERNEL": f"{bus.kernel.proc}:{bus.kernel.sys}"}


@contextmanager
def hands_at(bus: UsbBus, folder: Path) -> Iterator[dict[str, str]]:
    """Does what the tests ask for; thread `hands`."""
    for name in ("asked", "answered"):
        os.mkfifo(folder / name)
    program = folder / "hands"
    program.write_text(HANDS.format(folder=folder), "utf-8")
    program.chmod(0o755)
    names = {f"usb:{port}": name for name, port in PORTS.items()}

    def work() -> None:
        while True:
            what, _, card = (folder / "asked").read_text("utf-8").strip().partition(" ")
            if what == "pull":
                bus.pull(names[card])
            elif what == "plug":
                bus.plug(names[card], PORTS[names[card]])
            else:
                return
            (folder / "answered").write_text("done\n", "utf-8")

    thread = threading.Thread(target=work, name="hands")
    thread.start()
    try:
        yield {"ECHOSTREAM_HANDS": str(program), "ECHOSTREAM_HOTPLUG": "1"}
    finally:
        (folder / "asked").write_text("end\n", "utf-8")
        thread.join(5)


@pytest.mark.real_audio
def test_cabled_cards_that_somebody_unplugs_and_plugs_in_again_pass(tmp_path: Path) -> None:
    with UsbBus(list(PORTS), cabled=True) as bus:
        for name, port in PORTS.items():
            bus.plug(name, port)
        with hands_at(bus, tmp_path) as help_is_near:
            said = run(on(bus) | help_is_near, "hwtests/test_hw_audio.py", "hwtests/test_hw_hotplug.py")
    assert "5 passed" in said
    assert re.search(r"tone at -12\.\d dBFS of -12 played", said)
    assert re.search(r"round trip \d+ ms", said)
    assert "usb:1-1.2: was Device (number 0), is Device_1 (1)" in said
    assert re.search(r"usb:1-1\.2: noticed \d+ ms after the kernel did", said)


def test_lines_of_a_card_are_keyed_and_dropped() -> None:
    """A terminal pair stands for the HID device."""
    ours, theirs = os.openpty()
    with ExitStack() as ends:
        ends.callback(os.close, ours)
        ends.callback(os.close, theirs)
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        environment = {"ECHOSTREAM_CM108": os.ttyname(theirs), "ECHOSTREAM_KEY_RADIO": "1"}
        said = run(environment, "hwtests/test_hw_cm108.py")
        written = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(ours, 4096):
                written += data
    assert "2 passed" in said
    reports = [written[at : at + 5] for at in range(0, len(written), 5)]
    assert bytes((0, 0, 4, 4, 0)) in reports, "it was keyed"
    assert reports[-1] == bytes((0, 0, 0, 4, 0)), "and dropped"
