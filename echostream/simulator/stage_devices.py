"""Three simulated ESP32 microphones of `make run`: on the fourth channel, one of them keyed by its voice."""

from __future__ import annotations

import errno
import socket
from typing import Final

from echostream.config.esp32_models import DeviceVox, Esp32, Esp32Device
from echostream.config.models import Config

CHANNEL_NUMBER: Final = 4
LOOPBACK: Final = "127.0.0.1"
PAUSE_S: Final = 6.0
"""Silence after the recorded speech: the valve closes, and somebody else is heard."""
PPM: Final = 200.0
"""Clock errors from one side to the other, as crystals have them."""
CHUNK_BYTES: Final = 1280
DEVICES: Final = (
    ("porch", "Porch (simulated)", "vox"),
    ("yard", "Yard (simulated)", "never"),
    ("workshop", "Workshop (simulated)", "never"),
)


class StageDevices:
    """`adapt` gives a configuration that knows them; `arguments` is the command that plays them.

    Where the configuration has none, only this machine can reach the port, and nothing is announced.
    """

    def __init__(self, config: Config) -> None:
        self.there = _channel(config) is not None
        asked = config.esp32
        self._port = asked.tcp_port if asked.enabled and _is_free(asked) else 0
        if self.there and not self._port:
            self._port = _free_port()

    @property
    def names(self) -> list[str]:
        """As they are called."""
        return [name for name, _, _ in DEVICES]

    def adapt(self, config: Config) -> Config:
        """The same configuration, which expects them besides its own microphones."""
        channel_id = _channel(config)
        if channel_id is None or not self._port:
            return config
        asked = config.esp32
        own = tuple(
            Esp32Device(
                name=name,
                label=label,
                channel=channel_id,
                transmit="vox" if transmit == "vox" else "never",
                vox=DeviceVox(threshold_dbfs=-45.0),
            )
            for name, label, transmit in DEVICES
        )
        wanted: dict[str, object] = {"tcp_port": self._port, "devices": own}
        if asked.enabled:
            others = tuple(device for device in asked.devices if device.name not in self.names)
            wanted["devices"] = (*others, *own)
        else:
            wanted |= {"enabled": True, "bind": LOOPBACK, "udp_port": None, "announce": False}
        return config.model_copy(update={"esp32": asked.model_copy(update=wanted)})

    def arguments(self, config: Config) -> list[str]:
        """Of `echostream esp32`."""
        bind = config.esp32.bind if config.esp32.enabled else LOOPBACK
        host = LOOPBACK if bind in ("", "0.0.0.0", "::") else bind
        return [
            *("esp32", "--to", f"{host}:{self._port}", "--loop", "--hello"),
            *("--devices", str(len(DEVICES)), "--name", ",".join(self.names)),
            *("--chunk", str(CHUNK_BYTES), f"--ppm={-PPM}:{PPM}", "--pause", str(PAUSE_S)),
            *("--burst", "1", "--retry", "0.5"),
        ]


def _channel(config: Config) -> str | None:
    """The channel that they are on."""
    there = [channel.id for channel in config.channels if channel.enabled]
    return there[CHANNEL_NUMBER - 1] if len(there) >= CHANNEL_NUMBER else None


def _is_free(esp32: Esp32) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((esp32.bind, esp32.tcp_port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
