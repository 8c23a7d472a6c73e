"""The simulated microphones of a run never get in the way of what is configured."""

from __future__ import annotations

import json

import pytest

from echostream.cli import build_parser
from echostream.config.esp32_models import Esp32, Esp32Device
from echostream.config.load import parse_config
from echostream.config.models import Channel, Config, ControlServer, Gateway
from echostream.simulator.stage_devices import StageDevices

NAMED = (Esp32Device(name="gate"),)


def config(channels: int = 4, esp32: Esp32 | None = None) -> Config:
    return Config(
        gateway=Gateway(id="test", affiliation_id="test"),
        control_server=ControlServer(url="ws://127.0.0.1:1"),
        channels=tuple(Channel(id=f"c{number}", card=f"K{number}") for number in range(1, channels + 1)),
        esp32=esp32 or Esp32(devices=NAMED),
    )


CARDS = ("K1", "K2", "K3", "K4", "K5")


def stage(of: Config, everything: bool = False) -> StageDevices:
    return StageDevices(of, CARDS, everything)


def test_three_are_on_the_fourth_channel_one_of_them_keyed_by_voice() -> None:
    adapted = stage(config()).adapt(config())
    devices = adapted.esp32.devices
    assert [(device.name, device.channel, device.transmit) for device in devices] == [
        ("porch", "c4", "vox"),
        ("yard", "c4", "never"),
        ("workshop", "c4", "never"),
    ]
    assert {device.record.mode for device in devices} == {"continuous"}


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_beyond_this_machine_hears_of_them(everything: bool) -> None:
    asked = config()
    esp32 = stage(asked, everything).adapt(asked).esp32
    assert (esp32.enabled, esp32.bind, esp32.udp_port, esp32.announce) == (True, "127.0.0.1", None, False)
    assert esp32.tcp_port != Esp32().tcp_port


def test_what_it_makes_is_a_configuration_that_holds() -> None:
    adapted = stage(config()).adapt(config())
    loaded = parse_config(json.loads(adapted.model_dump_json()), "test")
    assert not loaded.dropped
    assert loaded.config == adapted


def test_a_reload_keeps_the_port() -> None:
    devices = stage(config())
    assert devices.adapt(config()).esp32.tcp_port == devices.adapt(config(5)).esp32.tcp_port


def test_recorded_speech_does_not_get_among_real_radios() -> None:
    """The fourth channel's card is there: whoever hears that channel hears people."""
    devices = StageDevices(config(), ("K1", "K2", "K3"))
    assert not devices.there
    assert devices.adapt(config()) == config()


@pytest.mark.parametrize("everything", [False, True])
def test_configured_microphones_are_real_and_find_their_port(everything: bool) -> None:
    asked = config(esp32=Esp32(enabled=True, devices=(Esp32Device(name="gate"),)))
    devices = stage(asked, everything)
    assert not devices.there
    assert devices.adapt(asked) == asked


def test_a_reload_that_configures_microphones_ends_the_simulated_ones() -> None:
    devices = stage(config())
    assert devices.there
    real = config(esp32=Esp32(enabled=True))
    assert devices.adapt(real) == real


@pytest.mark.parametrize("channels", [1, 3])
def test_with_fewer_channels_there_are_none(channels: int) -> None:
    devices = stage(config(channels))
    assert not devices.there
    assert devices.adapt(config(channels)) == config(channels)


def test_the_command_that_plays_them_is_understood() -> None:
    devices = stage(config())
    args = build_parser().parse_args(devices.arguments())
    assert args.to == ("127.0.0.1", devices.adapt(config()).esp32.tcp_port)
    assert args.loop
    assert args.name.split(",") == devices.names
    assert args.ppm == (-200.0, 200.0)


@pytest.mark.parametrize("everything", [False, True])
def test_where_no_microphone_is_configured_none_is_simulated(everything: bool) -> None:
    """A run of somebody's own configuration has no speech on its fourth channel that nobody asked for."""
    asked = config(esp32=Esp32())
    devices = stage(asked, everything)
    assert not devices.there
    assert devices.adapt(asked) == asked
