"""Three simulated ESP32 microphones of `make run`: on the fourth channel, one of them keyed by its voice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from echostream.config.esp32_models import DeviceVox, Esp32Device
from echostream.config.models import Channel, Config
from echostream.simulator.stage_children import LOOPBACK, free_port

CHANNEL_NUMBER: Final = 4
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

    They speak only where the configuration names microphones: else nobody expects any. And only where the
    channel's own card is simulated too, so that no recorded speech gets among real radios. Where
    esp32.enabled is true microphones are real, also while all else is simulated: they find their port.
    Nobody but this machine can reach the port of simulated ones, and nothing is announced.
    """

    def __init__(self, config: Config, simulated_cards: Collection[str], everything: bool = False) -> None:
        """simulated_cards: by their names in the configuration."""
        self._cards = frozenset(simulated_cards)
        self._everything = everything
        self.there = self._channel(config) is not None
        self._port = free_port() if self.there else 0

    @property
    def names(self) -> list[str]:
        """As they are called."""
        return [name for name, _, _ in DEVICES]

    def adapt(self, config: Config) -> Config:
        """The same configuration, which expects them, too."""
        channel = self._channel(config)
        if channel is None or not self.there:
            return config
        own = tuple(
            Esp32Device(
                name=name,
                label=label,
                channel=channel.id,
                transmit="vox" if transmit == "vox" else "never",
                vox=DeviceVox(threshold_dbfs=-45.0),
            )
            for name, label, transmit in DEVICES
        )
        asked = config.esp32
        wanted: dict[str, object] = {
            "enabled": True,
            "bind": LOOPBACK,
            "tcp_port": self._port,
            "udp_port": None,
            "announce": False,
            "devices": own,
        }
        return config.model_copy(update={"esp32": asked.model_copy(update=wanted)})

    def arguments(self) -> list[str]:
        """Of `echostream esp32`."""
        return [
            *("esp32", "--to", f"{LOOPBACK}:{self._port}", "--loop", "--hello"),
            *("--devices", str(len(DEVICES)), "--name", ",".join(self.names)),
            *("--chunk", str(CHUNK_BYTES), f"--ppm={-PPM}:{PPM}", "--pause", str(PAUSE_S)),
            *("--burst", "1", "--retry", "0.5"),
        ]

    def _channel(self, config: Config) -> Channel | None:
        """The channel that they are on."""
        if config.esp32.enabled or not config.esp32.devices:
            return None
        there = [channel for channel in config.channels if channel.enabled]
        fourth = there[CHANNEL_NUMBER - 1] if len(there) >= CHANNEL_NUMBER else None
        if fourth is None or self._everything:
            return fourth
        return fourth if fourth.card in self._cards else None
