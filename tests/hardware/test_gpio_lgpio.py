"""What the real library does to a process, and when the chip is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpio_bench import REPOSITORY, LgpioBench
from gpio_simulator import GpioSimulator, build_forwarder

pytestmark = pytest.mark.real_gpio


def run(code: str, **environment: str) -> str:
    """What a program writes that runs `code` with this in its environment."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OPEN = """
from echostream.errors import EchoStreamError
from echostream.hardware.gpio import GpioInputs, list_chips
try:
    GpioInputs({chip!r}).start()
except EchoStreamError as error:
    print(type(error).__name__, error)
"""


def test_library_leaves_directory_files_and_threads_as_they_were(tmp_path: Path) -> None:
    bench = LgpioBench(tmp_path)
    try:
        assert bench.directory_kept is True
        look = bench.watch(20)
        assert look["directory_kept"] is True
        assert look["files"] == []
        assert look["threads"] == ["MainThread", "gpio-reread", "lgpio-notify"]
        assert bench.threads_after_close() == ["MainThread", "lgpio-notify"]
        assert bench.simulator.wait_held(20, False)
    finally:
        bench.close()


def test_edge_reaches_the_subscriber_within_five_ms(tmp_path: Path) -> None:
    bench = LgpioBench(tmp_path)
    try:
        bench.watch(20)
        bench.drive(20, False)
        change = bench.change()
        edge = bench.simulator.history[-1]
        assert change is not None
        assert abs(change[2] - edge.at_s) < 0.005
    finally:
        bench.close()


def test_header_chip_is_found_by_its_label_on_every_model(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    code = "from echostream.hardware.gpio import find_chip; print(find_chip())"
    for number, label in ((4, "pinctrl-rp1"), (0, "pinctrl-bcm2711"), (0, "pinctrl-bcm2835")):
        path = f"/dev/gpiochip{number}"
        with GpioSimulator(tmp_path / "chip.sock", chip_path=path, label=label) as simulator:
            assert f"path='{path}', label='{label}'" in run(code, **simulator.environment(library))


def test_chip_that_is_not_the_headers_is_not_taken(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    with GpioSimulator(tmp_path / "chip.sock", label="raspberrypi-exp-gpio") as simulator:
        said = run(OPEN.format(chip="auto"), **simulator.environment(library))
    assert said.startswith("GpioError the header's GPIO chip is not among /dev/gpiochip0 (raspberrypi-exp")


def test_no_chip_says_that_this_is_no_pi() -> None:
    said = run(OPEN.format(chip="auto"), GPIO_SIMULATOR="/nonexistent")
    assert said.startswith("GpioError no GPIO chip at /dev/gpiochip*: this does not look like a Raspberry Pi")


def test_chip_named_by_a_wrong_path_is_said() -> None:
    assert "GpioError /dev/null: " in run(OPEN.format(chip="/dev/null"))
    assert "not a GPIO chip" in run(OPEN.format(chip="/dev/gpiochip77"))


def test_missing_library_names_the_package(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    hidden = "import sys; sys.modules['lgpio'] = None\n"
    with GpioSimulator(tmp_path / "chip.sock") as simulator:
        said = run(hidden + OPEN.format(chip="auto"), **simulator.environment(library))
    assert said.startswith("LibraryMissing lgpio does not load")
    assert "apt install python3-lgpio" in said


def test_importing_the_room_does_not_import_the_library() -> None:
    code = "import sys, echostream.hardware.gpio; print('lgpio' in sys.modules)"
    assert run(code) == "False"
