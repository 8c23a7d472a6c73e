"""What a machine says of itself: a Pi with all its sensors, broken ones, and one that says nothing."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from echostream.vitals.board import Board, Supply, load, memory_mb, uptime_s
from echostream.vitals.firmware import throttled_bits

NOWHERE = Path("/nonexistent/vcio")


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """As a Raspberry Pi 4 has it."""
    write(tmp_path, "class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write(tmp_path, "class/thermal/thermal_zone0/temp", "61342\n")
    write(tmp_path, "class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path, "class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path, "class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    write(tmp_path, "devices/platform/soc/soc:firmware/get_throttled", "0\n")
    return tmp_path


def test_a_pi_says_how_warm_it_is(pi: Path) -> None:
    assert Board(pi, NOWHERE).temperature_c() == pytest.approx(61.342)


def test_the_processor_counts_not_the_hot_charger_beside_it(pi: Path) -> None:
    write(pi, "class/thermal/thermal_zone1/type", "charger\n")
    write(pi, "class/thermal/thermal_zone1/temp", "90000\n")
    assert Board(pi, NOWHERE).temperature_c() == pytest.approx(61.342)


def test_without_a_known_name_the_hottest_zone_counts(tmp_path: Path) -> None:
    for number, temp in enumerate(("40000", "52000", "-274000", "nonsense")):
        write(tmp_path, f"class/thermal/thermal_zone{number}/type", "acpitz\n")
        write(tmp_path, f"class/thermal/thermal_zone{number}/temp", temp)
    assert Board(tmp_path, NOWHERE).temperature_c() == pytest.approx(52.0)


@pytest.mark.parametrize(
    ("bits", "supply"),
    [
        ("0", Supply(False, False, False)),
        ("50005", Supply(True, True, True)),
        ("50000", Supply(False, True, False)),
        ("2", Supply(False, False, True)),
        ("8", Supply(False, False, True)),
        ("0x80008", Supply(False, False, True)),
    ],
)
def test_the_bits_of_the_firmware(pi: Path, bits: str, supply: Supply) -> None:
    write(pi, "devices/platform/soc/soc:firmware/get_throttled", f"{bits}\n")
    assert Board(pi, NOWHERE).supply() == supply


def test_what_was_is_remembered_when_another_reader_clears_it(pi: Path) -> None:
    board = Board(pi, NOWHERE)
    write(pi, "devices/platform/soc/soc:firmware/get_throttled", "10000\n")
    assert board.supply() == Supply(False, True, False)
    write(pi, "devices/platform/soc/soc:firmware/get_throttled", "0\n")
    assert board.supply() == Supply(False, True, False)


def test_a_kernel_without_the_firmware_file_still_knows_of_a_sag(pi: Path) -> None:
    (pi / "devices/platform/soc/soc:firmware/get_throttled").unlink()
    write(pi, "class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert Board(pi, NOWHERE).supply() == Supply(True, True, None)


def test_the_other_place_of_a_pi_5(tmp_path: Path) -> None:
    write(tmp_path, "bus/platform/drivers/raspberrypi-firmware/soc@107c000000:firmware/get_throttled", "1\n")
    assert Board(tmp_path, NOWHERE).supply() == Supply(True, True, False)


def test_a_machine_that_says_nothing_is_not_taken_for_a_healthy_one(tmp_path: Path) -> None:
    board = Board(tmp_path, NOWHERE)
    assert board.temperature_c() is None
    assert board.supply() == Supply(None, None, None)


def test_a_sensor_that_goes_away_while_it_runs(pi: Path) -> None:
    board = Board(pi, NOWHERE)
    (pi / "class/thermal/thermal_zone0/temp").unlink()
    (pi / "devices/platform/soc/soc:firmware/get_throttled").unlink()
    (pi / "class/hwmon/hwmon1/in0_lcrit_alarm").unlink()
    assert board.temperature_c() is None
    assert board.supply() == Supply(None, None, None)


def firmware_says(bits: int, code: int = 0x8000_0000) -> Callable[[int, int, array[int], bool], int]:
    """A mailbox that answers as the firmware does: in place of the request."""

    def ioctl(number: int, call: int, message: array[int], mutate: bool) -> int:
        assert (call & 0xFFFF, call >> 30, mutate) == (100 << 8, 3, True)
        assert list(message) == [32, 0, 0x0003_0046, 4, 4, 0, 0, 0]
        message[1], message[4], message[5] = code, 0x8000_0004, bits
        return 0

    return ioctl


def test_without_a_file_the_firmware_is_asked_through_its_mailbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Pi 5."""
    mailbox = write(tmp_path, "vcio", "")
    monkeypatch.setattr("fcntl.ioctl", firmware_says(0x50005))
    assert Board(tmp_path, mailbox).supply() == Supply(True, True, True)
    monkeypatch.setattr("fcntl.ioctl", firmware_says(0))
    assert Board(tmp_path, mailbox).supply() == Supply(False, False, False)
    monkeypatch.setattr("fcntl.ioctl", firmware_says(0, code=0x8000_0001))
    assert Board(tmp_path, mailbox).supply() == Supply(None, None, None)


def test_a_mailbox_that_may_not_be_asked_is_not_known(tmp_path: Path) -> None:
    mailbox = write(tmp_path, "vcio", "")  # a file, no mailbox: the call is refused
    assert throttled_bits(mailbox) is None
    assert throttled_bits(NOWHERE) is None


def test_the_process_is_told_in_shares_of_a_core() -> None:
    board = Board()
    assert board.cpu(0.0) == 0.0
    total = 0
    for number in range(200_000):
        total += number
    assert 0 < board.cpu(10.0) < 1
    assert board.cpu(10.0) == 0.0  # no time has passed


def test_this_machine_answers() -> None:
    assert load() >= 0
    assert 1 < memory_mb() < 10_000
    assert uptime_s() > 0
