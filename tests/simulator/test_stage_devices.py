"""The simulated microphones of a run never get in the way of what is configured."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from echostream.cli import build_parser
from echostream.config.esp32_models import Esp32, Esp32Device
from echostream.config.load import parse_config
from echostream.config.models import Channel, Config, ControlServer, Gateway
from echostream.simulator.stage_devices import StageDevices


def config(channels: int = 4, esp32: Esp32 | None = None) -> Config:
    return Config(
        gateway=Gateway(id="test", affiliation_id="test"),
        control_server=ControlServer(url="ws://127.0.0.1:1"),
        channels=tuple(Channel(id=f"c{number}", card=f"K{number}") for number in range(1, channels + 1)),
        esp32=esp32 or Esp32(),
    )


def test_three_are_on_the_fourth_channel_one_of_them_keyed_by_voice() -> None:
    adapted = StageDevices(config()).adapt(config())
    devices = adapted.esp32.devices
    assert [(device.name, device.channel, device.transmit) for device in devices] == [
        ("porch", "c4", "vox"),
        ("yard", "c4", "never"),
        ("workshop", "c4", "never"),
    ]
    assert {device.record.mode for device in devices} == {"continuous"}


def test_nothing_beyond_this_machine_hears_of_them() -> None:
    esp32 = StageDevices(config()).adapt(config()).esp32
    assert (esp32.enabled, esp32.bind, esp32.udp_port, esp32.announce) == (True, "127.0.0.1", None, False)
    assert esp32.tcp_port != Esp32().tcp_port


def test_what_it_makes_is_a_configuration_that_holds() -> None:
    adapted = StageDevices(config()).adapt(config())
    loaded = parse_config(json.loads(adapted.model_dump_json()), "test")
    assert not loaded.dropped
    assert loaded.config == adapted


def test_a_reload_keeps_the_port() -> None:
    devices = StageDevices(config())
    assert devices.adapt(config()).esp32.tcp_port == devices.adapt(config(5)).esp32.tcp_port


def test_configured_microphones_stay_as_they_are() -> None:
    own = Esp32Device(name="gate", address="192.0.2.9")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = Esp32(enabled=True, tcp_port=port, devices=(own, Esp32Device(name="yard")))
    esp32 = StageDevices(config(esp32=asked)).adapt(config(esp32=asked)).esp32
    assert (esp32.tcp_port, esp32.bind, esp32.udp_port) == (port, asked.bind, asked.udp_port)
    assert esp32.devices[0] == own
    assert [device.name for device in esp32.devices] == ["gate", "porch", "yard", "workshop"]


def test_a_port_that_is_taken_is_not_fought_for() -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        asked = Esp32(enabled=True, tcp_port=port)
        esp32 = StageDevices(config(esp32=asked)).adapt(config(esp32=asked)).esp32
    assert esp32.tcp_port != port


@pytest.mark.parametrize("channels", [1, 3])
def test_with_fewer_channels_there_are_none(channels: int) -> None:
    devices = StageDevices(config(channels))
    assert not devices.there
    assert devices.adapt(config(channels)) == config(channels)


def test_the_command_that_plays_them_is_understood() -> None:
    devices = StageDevices(config())
    args = build_parser().parse_args(devices.arguments(config()))
    assert args.to == ("127.0.0.1", devices.adapt(config()).esp32.tcp_port)
    assert args.loop
    assert args.name.split(",") == devices.names
    assert args.ppm == (-200.0, 200.0)
    assert (Path(__file__).parents[2] / "echostream" / "simulator" / "speech" / "microphone.wav").is_file()
