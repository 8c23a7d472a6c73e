"""Sound cards that are away, taken, twins, or set wrong."""

from __future__ import annotations

import errno
import re
from functools import partial
from pathlib import Path

import pytest
from doctor_machine import Machine, channel, document, findings

from echostream.doctor import cards
from echostream.doctor.mixer import mixer_findings
from echostream.doctor.model import Finding, Level
from echostream.doctor.world import Ran
from echostream.errors import AudioError
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.alsa_mixer import Control, Fader

STOCK_CONFIG = "/usr/share/alsa/alsa.conf"
RUNNING = "state: RUNNING\nowner_pid   : {pid}\ntrigger_time: 1.0\n"
look = partial(findings, cards.checks)


@pytest.fixture(autouse=True)
def no_mixer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each card of a made machine opens."""
    monkeypatch.setattr("echostream.doctor.mixer.mixer_controls", lambda card: ())
    real = AlsaLibrary.open_error

    def opens(alsa: AlsaLibrary, pcm: str, *, capture: bool) -> int:
        return 0 if pcm.startswith("hw:CARD=") else real(alsa, pcm, capture=capture)

    monkeypatch.setattr(AlsaLibrary, "open_error", opens)


def configure(machine: Machine, *names: str) -> None:
    machine.configure(document(channels=[channel(id=f"c{at}", card=name) for at, name in enumerate(names)]))


def test_a_card_that_is_there_tells_its_port_and_rates(machine: Machine) -> None:
    machine.card(1, "Device", "USB PnP Sound Device", "1-1.2")
    configure(machine, "usb:1-1.2")
    found = look(machine.world())
    assert set(found) == {"cards.there"}
    assert found["cards.there"][0].data == {
        "card": "usb:1-1.2",
        "alsa_id": "Device",
        "port": "1-1.2",
        "rates_hz": [44100, 48000],
    }


def test_a_card_that_is_away_is_a_failure_that_names_what_is_there(machine: Machine) -> None:
    machine.card(0, "Headset", "Another", "1-1.4")
    configure(machine, "usb:1-1.2")
    [missing] = look(machine.world())["cards.missing"]
    assert missing.level is Level.FAILURE
    assert (missing.place, missing.found) == (
        "channel c0",
        "usb:1-1.2 is not plugged in; there is: Headset",
    )


def test_a_machine_without_any_sound_is_told_as_such(machine: Machine) -> None:
    configure(machine, "usb:1-1.2")
    assert look(machine.world())["cards.missing"][0].found.endswith("there is: no card at all")


def test_a_card_without_an_input_hears_nothing(machine: Machine) -> None:
    folder = machine.card(1, "HDMI", "Out only")
    for path in (machine.root / folder.lstrip("/")).glob("pcm0c/sub0/status"):
        path.unlink()
        path.parent.rmdir()
        path.parent.parent.rmdir()
    configure(machine, "HDMI")
    found = look(machine.world())
    assert "cards.no_capture" in found
    assert "cards.no_playback" not in found


def test_a_card_without_48_khz_is_no_fault(machine: Machine) -> None:
    folder = machine.card(1, "Device")
    machine.write(f"{folder}/stream0", "Playback:\n Rates: 44100\nCapture:\n Rates: 8000, 16000\n")
    configure(machine, "Device")
    [rate] = look(machine.world())["cards.rate"]
    assert rate.level is Level.NOTE
    assert rate.found.startswith("Device does 8 kHz, 16 kHz, 44.1 kHz")


def test_twins_named_by_their_id_are_told_to_be_named_by_port(machine: Machine) -> None:
    machine.card(1, "Device", port="1-1.2")
    machine.card(2, "Device_1", port="1-1.3")
    configure(machine, "Device", "usb:1-1.3")
    found = look(machine.world())
    [twins] = found["cards.twins"]
    assert twins.place == "channel c0"
    assert '"card": "usb:1-1.2"' in twins.remedy
    assert [finding.place for finding in found["cards.twins_told"]] == ["channel c1"]


def test_a_port_whose_bus_may_have_another_number_tomorrow(machine: Machine) -> None:
    """Two controllers of PCI: the port is named with its controller."""
    for controller, bus in (("0000:01:00.0", 1), ("0000:02:00.0", 2)):
        machine.write(f"/sys/devices/pci0000:00/{controller}/usb{bus}/x")
        machine.link(f"/sys/bus/usb/devices/usb{bus}", f"/sys/devices/pci0000:00/{controller}/usb{bus}")
    machine.card(1, "Device")
    interface = "/sys/devices/pci0000:00/0000:01:00.0/usb1/1-1/1-1.2/1-1.2:1.0"
    machine.write(f"{interface}/x")
    machine.link("/sys/class/sound/card1/device", interface)
    configure(machine, "usb:1-1.2", "usb:0000:01:00.0-1.2")
    [found] = look(machine.world())["cards.buses"]
    assert found.place == "channel c0"
    assert '"usb:0000:01:00.0-1.2"' in found.remedy


def test_cards_of_different_kinds_are_no_twins(machine: Machine) -> None:
    machine.card(1, "Device", "One kind", "1-1.2")
    machine.card(2, "Other", "Another kind", "1-1.3")
    configure(machine, "Device", "Other")
    assert "cards.twins" not in look(machine.world())


def test_a_card_that_another_program_has_names_the_program(machine: Machine) -> None:
    folder = machine.card(1, "Device")
    machine.write(f"{folder}/pcm0c/sub0/status", RUNNING.format(pid=812))
    machine.write("/proc/812/comm", "pulseaudio\n")
    configure(machine, "Device")
    found = look(machine.world())
    [taken] = found["cards.in_use"]
    assert "used by pulseaudio (process 812)" in taken.found
    assert "systemctl --user mask --now pulseaudio.socket" in taken.remedy
    assert "process 812" in found["cards.sound_server"][0].found


def test_a_card_that_the_gateway_has_is_fine(machine: Machine) -> None:
    folder = machine.card(1, "Device")
    for pcm in ("pcm0c", "pcm0p"):
        machine.write(f"{folder}/{pcm}/sub0/status", RUNNING.format(pid=99))
        machine.write(f"{folder}/{pcm}/sub0/hw_params", "access: MMAP\nrate: 48000 (48000/1)\n")
    machine.write("/proc/99/comm", "python\n")
    machine.write("/proc/99/cmdline", "/opt/echostream/current/bin/python\0-m\0echostream\0run\0")
    configure(machine, "Device")
    found = look(machine.world())
    assert [finding.found for finding in found["cards.ours"]] == ["Device is used by the gateway, at 48 kHz"]
    assert "cards.in_use" not in found


def test_a_pcm_of_a_configuration_file_is_opened_by_alsa_itself(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "asound.conf"
    conf.write_text(
        "pcm.radio { type null }\n"
        "pcm.half { type asym capture.pcm { type null } playback.pcm nobody_defined_this }\n"
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", f"{STOCK_CONFIG}:{conf}")
    machine.card(1, "Device")
    configure(machine, "radio", "half", "plughw:CARD=Device", "nobody")
    found = look(machine.world(quick=True))
    assert [finding.place for finding in found["cards.pcm"]] == ["channel c0"]
    assert [finding.found for finding in found["cards.one_way"]] == [
        "half is a PCM of an ALSA configuration file, and does not open for playback"
    ]
    assert [finding.place for finding in found["cards.there"]] == ["channel c2"]
    assert [finding.place for finding in found["cards.missing"]] == ["channel c3"]


def test_a_card_that_does_not_open_says_why(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"hw:CARD=Device,DEV=0": errno.EIO, "hw:CARD=Busy,DEV=0": errno.EBUSY}
    monkeypatch.setattr(AlsaLibrary, "open_error", lambda self, pcm, *, capture: capture and codes[pcm])
    machine.card(1, "Device")
    machine.card(2, "Busy")
    configure(machine, "Device", "Busy")
    [found] = look(machine.world())["cards.shut"]
    assert found.found == "Device does not open for capture: Input/output error"


def test_a_card_that_nobody_uses_is_mentioned(machine: Machine) -> None:
    machine.card(1, "Device", port="1-1.2")
    machine.configure(document())
    found = look(machine.world())
    assert [finding.level for finding in found["cards.spare"]] == [Level.NOTE]
    assert "cards.none" in found


def test_plugs_that_lose_contact_are_counted_from_the_kernels_log(machine: Machine) -> None:
    line = "usb 1-1.2: USB disconnect, device number 7\n"
    machine.programs["journalctl -k"] = Ran(0, 3 * line)
    assert "cards.unplugged" not in look(machine.world())
    machine.programs["journalctl -k"] = Ran(0, 9 * line)
    assert "9 times" in look(machine.world())["cards.unplugged"][0].found


# ---- mixers


def judged(*controls: Control) -> list[Finding]:
    def read(card: str) -> tuple[Control, ...]:
        assert card == "hw:CARD=Device"
        return controls

    return mixer_findings("channel c0", "Device", read)


FULL = Fader(0, 37, 37, 0.0, -37.0, 0.0)
HALF = Fader(0, 100, 60, -12.0, -30.0, 0.0)
NOTHING = Fader(0, 100, 1, -60.0, -64.0, 0.0)
NO_DB = Fader(0, 15, 0)


@pytest.mark.parametrize(
    ("control", "code", "command"),
    [
        (Control("Speaker", 0, FULL, None, False), "cards.muted", "sset 'Speaker' unmute"),
        (Control("Mic", 0, None, FULL, None, False), "cards.muted", "sset 'Mic' cap"),
        (Control("Speaker", 0, NOTHING, None, True), "cards.low", "sset 'Speaker' 60% unmute"),
        (Control("PCM", 0, None, NO_DB, None, True), "cards.low", "sset 'PCM' 60% cap"),
        (Control("Auto Gain Control", 0, None, None, True), "cards.agc", "sset 'Auto Gain Control' off"),
        (Control("Mic", 0, HALF, HALF, True, True), "cards.sidetone", "sset 'Mic' mute"),
    ],
)
def test_a_mixer_that_is_set_wrong_comes_with_the_command(control: Control, code: str, command: str) -> None:
    found = {finding.code: finding for finding in judged(control)}
    assert f"amixer -c Device {command}" in found[code].remedy


def test_a_mixer_as_it_should_be_is_fine() -> None:
    controls = (
        Control("Speaker", 0, HALF, None, True),
        Control("Mic", 0, HALF, HALF, False, True),
        Control("Auto Gain Control", 0, None, None, False),
    )
    found = judged(*controls)
    assert [finding.level for finding in found] == [Level.OK, Level.OK]
    assert re.search(r"Speaker \(playback\) at 60 % \(-12.0 dB\)", found[0].found)


def test_a_card_without_a_mixer_is_no_fault() -> None:
    def read(card: str) -> tuple[Control, ...]:
        raise AudioError("the mixer of card hw:CARD=Device (attach): No such file or directory")

    assert [finding.level for finding in mixer_findings("", "Device", read)] == [Level.NOTE]
