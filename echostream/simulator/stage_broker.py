"""The broker of `make run`: Mosquitto on this machine's own address, and a subscriber that shows what comes.

A real broker, because what a publisher does is only seen at one. Where it is not installed the run says so
and publishes nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

from echostream.config.models import Config
from echostream.config.mqtt_models import MqttCommands
from echostream.mqtt.topics import Topics
from echostream.simulator.stage_children import LOOPBACK, Child, echostream, free_port, wait_until_answers

PROGRAM: Final = "mosquitto"
PLACES: Final = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
"""Debian keeps it where only root looks by itself."""


def find_mosquitto() -> str | None:
    """Where the program is; None: not installed."""
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:{PLACES}")


class StageBroker:
    """Only where the configuration names no broker: else the real one is told.

    wanted: none is configured. there: and Mosquitto is installed.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        """directory: for its settings; it is made, and `close` removes it."""
        self._directory = directory
        self._program = find_mosquitto()
        self.wanted = not config.mqtt.enabled
        self.there = self.wanted and self._program is not None
        self.port = free_port() if self.there else 0

    def start(self) -> Child | None:
        """The broker; None: it does not run, and `adapt` changes nothing from now on."""
        if not self.there or self._program is None:
            return None
        self._directory.mkdir(mode=0o700, parents=True)
        settings = self._directory / "mosquitto.conf"
        # It would change its user, and with that forget whose death ends it.
        user = pwd.getpwuid(os.geteuid()).pw_name
        settings.write_text(
            f"listener {self.port} {LOOPBACK}\nallow_anonymous true\npersistence false\nuser {user}\n",
            "utf-8",
        )
        broker = Child(self._program, "-c", str(settings))
        if wait_until_answers(broker, LOOPBACK, self.port):
            return broker
        broker.end()
        self.there = False
        return None

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def subscriber(self, config: Config) -> Child:
        """A program of its own that subscribes to everything but levels and health, and prints it."""
        return Child(
            *echostream("subscribe", *topics(config), "--broker", f"{LOOPBACK}:{self.port}", "--short"),
            logged_as="subscriber",
        )

    def adapt(self, config: Config) -> Config:
        """The same configuration, which publishes there. Nobody commands the gateway through it."""
        if not self.there or config.mqtt.enabled:
            return config
        ours: dict[str, object] = {
            "enabled": True,
            "host": LOOPBACK,
            "port": self.port,
            "tls": None,
            "client_id": "",
            "username": None,
            "password": None,
            "commands": MqttCommands(),
        }
        return config.model_copy(update={"mqtt": config.mqtt.model_copy(update=ours)})


def topics(config: Config) -> tuple[str, ...]:
    """What the subscriber of a simulated run asks for: pages, recordings, uploads, and who is there."""
    names = Topics(config)
    root = names.root
    return (
        names.tone_detection,
        names.status,
        *(names.event(kind) for kind in ("recording", "upload")),
        *(
            f"{root}/{place}/+/event/{kind}"
            for place in ("channel", "device")
            for kind in ("recording", "upload")
        ),
        f"{root}/channel/+/event/page",
    )
