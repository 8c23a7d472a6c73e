"""CM108-type cards: which hidraw is a card's, the report that keys, the squelch, the plug that is pulled."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import socket
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from echostream.hardware import cm108_hid
from echostream.hardware.cm108 import Cm108Cos, Cm108CosReaders
from echostream.hardware.cm108_hid import Cm108Line, find_card, find_hidraw, output_report
from echostream.hardware.ptt_client import PttLines, PttLineSpec

KEYED = bytes((0, 0, 4, 4, 0))
UNKEYED = bytes((0, 0, 0, 4, 0))
SQUELCH_OPEN = bytes((2, 0, 0, 0))
SQUELCH_SHUT = bytes(4)


def plug(sysfs: Path, index: int, alsa_id: str, port: str, vendor: str, hidraw: str | None) -> None:
    """A USB card in sysfs as the kernel lays it out: the sound interface and the HID one below one device."""
    device = sysfs / "devices/platform/usb1" / port.split(".")[0] / port
    sound = device / f"{port}:1.0/sound/card{index}"
    sound.mkdir(parents=True)
    (device / "idVendor").write_text(vendor + "\n")
    (device / "idProduct").write_text("013c\n")
    (sound / "id").write_text(alsa_id + "\n")
    (sound / "device").symlink_to("../..")
    if hidraw is not None:
        (device / f"{port}:1.3/0003:{vendor.upper()}:013C.0001/hidraw" / hidraw).mkdir(parents=True)
    links = sysfs / "class/sound"
    links.mkdir(parents=True, exist_ok=True)
    (links / f"card{index}").symlink_to(sound)


@pytest.fixture
def sysfs(tmp_path: Path) -> str:
    plug(tmp_path, 0, "Headphones", "1-1.1", "1235", "hidraw0")
    plug(tmp_path, 1, "Device", "1-1.2", "0d8c", "hidraw1")
    plug(tmp_path, 2, "Device_1", "1-1.3", "0d8c", "hidraw4")
    plug(tmp_path, 3, "NoLines", "1-1.4", "0d8c", None)
    onboard = tmp_path / "class/sound/card4"
    onboard.mkdir()
    (onboard / "id").write_text("vc4hdmi\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("card", "hidraw"),
    [
        ("Device", "/dev/hidraw1"),
        ("alsa:Device", "/dev/hidraw1"),
        ("usb:1-1.2", "/dev/hidraw1"),
        ("Device_1", "/dev/hidraw4"),
        ("usb:1-1.3", "/dev/hidraw4"),
        ("usb:platform-1.3", "/dev/hidraw4"),
        ("plughw:CARD=Device_1,DEV=0", "/dev/hidraw4"),
        ("/dev/hidraw9", "/dev/hidraw9"),
    ],
)
def test_hidraw_of_a_card(sysfs: str, card: str, hidraw: str) -> None:
    assert find_hidraw(card, sysfs) == hidraw


@pytest.mark.parametrize(
    ("card", "number", "says"),
    [
        ("Gone", errno.ENODEV, 'no USB sound card "Gone"'),
        ("vc4hdmi", errno.ENODEV, "no USB sound card"),
        ("NoLines", errno.ENXIO, "has no HID lines"),
        ("Headphones", errno.EPERM, r"1235:013c\) is not of the CM108 kind"),
    ],
)
def test_card_without_lines_is_refused(sysfs: str, card: str, number: int, says: str) -> None:
    with pytest.raises(OSError, match=says) as caught:
        find_hidraw(card, sysfs)
    assert caught.value.errno == number


def test_machine_without_sound_has_no_card(tmp_path: Path) -> None:
    assert find_card("Device", str(tmp_path)) is None


def test_number_that_became_another_devices_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card left after it was found, and what came next has its number: a keyboard must get no report."""
    keyboard, card = tmp_path / "hidraw1", tmp_path / "hidraw2"
    for path in (keyboard, card):
        path.touch()
    found = iter([str(keyboard), str(card)])
    monkeypatch.setattr(cm108_hid, "find_hidraw", lambda card, sysfs: next(found))
    with pytest.raises(OSError, match="pulled while it was opened") as caught:
        Cm108Line("usb:1-1.2", active_low=False)
    assert caught.value.errno == errno.ENODEV
    assert keyboard.read_bytes() == card.read_bytes() == b""


def test_report_drives_gpio3_only() -> None:
    assert (output_report(True), output_report(False)) == (KEYED, UNKEYED)


def eventually(holds: Callable[[], bool], timeout_s: float = 3.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.005)
    return False


class Radio:
    """A terminal pair that stands for a hidraw device: what is written is read here, and it can be pulled."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        self._theirs: int | None = theirs
        os.set_blocking(self._ours, False)
        self.written = b""

    def reports(self) -> list[bytes]:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._ours, 4096):
                self.written += data
        return [self.written[at : at + 5] for at in range(0, len(self.written), 5)]

    def wait(self, holds: Callable[[list[bytes]], bool], timeout_s: float = 3.0) -> bool:
        return eventually(lambda: holds(self.reports()), timeout_s)

    def pull(self) -> None:
        if self._theirs is not None:
            os.close(self._theirs)
            os.close(self._ours)
            self._theirs = None


@pytest.fixture
def radio() -> Iterator[Radio]:
    radio = Radio()
    yield radio
    radio.pull()


@pytest.mark.parametrize(("active_low", "on", "off"), [(False, KEYED, UNKEYED), (True, UNKEYED, KEYED)])
def test_line_is_inactive_once_open(radio: Radio, active_low: bool, on: bytes, off: bytes) -> None:
    line = Cm108Line(radio.path, active_low=active_low)
    line.set(True)
    line.set(False)
    line.close()
    line.close()
    assert radio.wait(lambda reports: reports == [off, on, off])


def test_guard_keys_a_card_and_drops_it_at_the_end(radio: Radio) -> None:
    lines = PttLines([PttLineSpec("north", cm108=radio.path)])
    lines.start()
    try:
        output = lines.output("north")
        output.key()
        assert radio.wait(lambda reports: reports[-1] == KEYED)
        assert radio.wait(lambda reports: reports[-1] == UNKEYED, 0.5)
        assert eventually(lambda: output.state == "expired")
        output.key()
        assert radio.wait(lambda reports: reports[-1] == KEYED)
    finally:
        lines.close()
    assert radio.wait(lambda reports: reports[-1] == UNKEYED)


def test_guard_that_is_killed_leaves_no_card_keyed(radio: Radio) -> None:
    """The chip keeps its level when its program dies: the gateway drives it inactive itself."""
    lines = PttLines([PttLineSpec("north", cm108=radio.path)])
    lines.start()
    try:
        lines.output("north").key()
        assert radio.wait(lambda reports: reports[-1] == KEYED)
        assert lines.guard_pid is not None
        began = time.monotonic()
        os.kill(lines.guard_pid, 9)
        assert radio.wait(lambda reports: reports[-1] == UNKEYED, 0.25)
        assert time.monotonic() - began < 0.25
    finally:
        lines.close()


def test_pulled_card_is_a_fault_of_its_line(radio: Radio) -> None:
    lines = PttLines([PttLineSpec("north", cm108=radio.path)])
    lines.start()
    try:
        output = lines.output("north")
        assert output.fault is None
        radio.pull()
        output.key()
        assert eventually(lambda: output.fault is not None)
        assert not output.keyed
    finally:
        lines.close()


class Squelch:
    """Stands for the hidraw of a card whose pins change; packets keep their boundaries as reports do."""

    def __init__(self) -> None:
        self.changes: queue.Queue[bool] = queue.Queue()
        self.plugged = True
        self._card: socket.socket | None = None

    def open_device(self, card: str) -> int:
        if not self.plugged:
            raise OSError(errno.ENODEV, f"no card {card}")
        self._card, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        return theirs.detach()

    def report(self, data: bytes) -> None:
        eventually(lambda: self._card is not None)
        assert self._card is not None
        self._card.send(data)

    def pull(self) -> None:
        self.plugged = False
        if self._card is not None:
            self._card.close()
            self._card = None

    def watch(self, active_low: bool = True) -> Cm108Cos:
        return Cm108Cos(
            "Device",
            active_low=active_low,
            on_change=lambda active, _at_s: self.changes.put(active),
            open_device=self.open_device,
        )

    def change(self, timeout_s: float = 2.0) -> bool | None:
        with contextlib.suppress(queue.Empty):
            return self.changes.get(timeout=timeout_s)
        return None


@pytest.fixture
def squelch() -> Iterator[Squelch]:
    squelch = Squelch()
    yield squelch
    squelch.pull()


def test_squelch_opens_and_shuts(squelch: Squelch) -> None:
    cos = squelch.watch()
    squelch.report(SQUELCH_OPEN)
    assert squelch.change() is True
    assert cos.active
    squelch.report(SQUELCH_SHUT)
    assert squelch.change() is False
    cos.close()
    cos.close()


def test_active_high_squelch(squelch: Squelch) -> None:
    cos = squelch.watch(active_low=False)
    squelch.report(SQUELCH_SHUT)
    assert squelch.change() is True
    cos.close()


def test_other_buttons_of_the_card_are_not_the_squelch(squelch: Squelch) -> None:
    cos = squelch.watch()
    squelch.report(bytes((1, 0, 0, 0)))
    squelch.report(bytes((4, 0xFF, 0, 0)))
    assert squelch.change(0.1) is None
    cos.close()


def test_short_report_is_counted_and_ignored(squelch: Squelch) -> None:
    cos = squelch.watch()
    squelch.report(b"\x02")
    squelch.report(SQUELCH_OPEN)
    assert squelch.change() is True
    assert cos.bad_reports == 1
    cos.close()


def test_chatter_ends_where_the_line_rests(squelch: Squelch) -> None:
    cos = squelch.watch()
    for report in (SQUELCH_OPEN, SQUELCH_SHUT, SQUELCH_OPEN, SQUELCH_SHUT):
        squelch.report(report)
    assert squelch.change() is True
    assert squelch.change() is False
    assert squelch.change(0.1) is None
    cos.close()


def test_pulled_card_shuts_the_squelch_and_is_taken_up_again(squelch: Squelch) -> None:
    cos = squelch.watch()
    squelch.report(SQUELCH_OPEN)
    assert squelch.change() is True
    squelch.pull()
    assert squelch.change(0.25) is False
    assert not cos.present
    squelch.plugged = True
    squelch.report(SQUELCH_OPEN)
    assert squelch.change() is True
    cos.close()


def test_device_that_fails_with_an_error_is_gone(radio: Radio) -> None:
    """A terminal whose other end is closed fails with EIO, as a hidraw does with ENODEV."""
    opened: list[str] = []

    def open_device(card: str) -> int:
        opened.append(card)
        if len(opened) > 1:
            raise OSError(errno.ENODEV, "gone")
        return os.open(radio.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)

    cos = Cm108Cos("Device", active_low=True, on_change=lambda *_: None, open_device=open_device)
    assert eventually(lambda: cos.present)
    radio.pull()
    assert eventually(lambda: len(opened) == 2)
    assert not cos.present
    cos.close()
    assert len(opened) == 2


def test_exception_of_a_subscriber_does_not_end_the_reader(squelch: Squelch) -> None:
    def fail(active: bool, _at_s: float) -> None:
        squelch.changes.put(active)
        raise RuntimeError("a subscriber's bug")

    cos = Cm108Cos("Device", active_low=True, on_change=fail, open_device=squelch.open_device)
    squelch.report(SQUELCH_OPEN)
    assert squelch.change() is True
    time.sleep(0.03)
    squelch.report(SQUELCH_SHUT)
    assert squelch.change() is False
    cos.close()
    assert cos.callback_errors == 2


def test_readers_of_a_card_that_is_not_there_wait_for_it() -> None:
    readers = Cm108CosReaders()
    line = readers.watch_cos("alsa:NoSuchCard", active_low=True, on_change=lambda *_: None)
    assert not line.active
    readers.close()
    readers.close()
    assert line.closed
