"""Runs within Home Assistant's own environment, not within the tests'.

schemas           [[topic, payload], ...] on standard input -> {topic: why refused}
run PORT FOLDER   connected to the broker at PORT; questions on standard input, one a line
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import voluptuous
from homeassistant import bootstrap, config_entries, core, loader
from homeassistant.components.mqtt import discovery


def refusals(messages: list[tuple[str, str]]) -> dict[str, str]:
    """As discovery would take it; and as the file of settings would, which refuses unknown keys."""
    found = {}
    for topic, payload in messages:
        try:
            match = discovery.TOPIC_MATCHER.fullmatch(topic.partition("/")[2])
            if match is None or match["component"] not in discovery.SUPPORTED_COMPONENTS:
                raise ValueError("no topic of a discovery message")
            values = json.loads(payload)
            discovery.MQTT_ORIGIN_INFO_SCHEMA(values["origin"])
            platform = importlib.import_module(f"homeassistant.components.mqtt.{match['component']}")
            platform.DISCOVERY_SCHEMA(dict(values))
            platform.PLATFORM_SCHEMA_MODERN(dict(values))
        except (voluptuous.Invalid, ValueError, KeyError) as error:
            found[topic] = str(error)
    return found


async def run(port: int, folder: Path) -> None:
    """The core with one integration; what MQTT would need for uploads of files is left out."""
    logging.basicConfig(level=logging.WARNING)
    (folder / "configuration.yaml").write_text("")
    home = core.HomeAssistant(str(folder))
    home.config.skip_pip = True
    home.config.components |= {"http", "file_upload"}
    loader.async_setup(home)
    home.config_entries = config_entries.ConfigEntries(home, {})
    await bootstrap.async_load_base_functionality(home)
    broker = {"broker": "127.0.0.1", "port": port}
    entry = config_entries.ConfigEntry(
        version=1, minor_version=1, domain="mqtt", title="broker", data=broker, source="user"
    )
    await home.config_entries.async_add(entry)
    await home.async_start()
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(await answer(home, json.loads(line)), default=str) + "\n")
        sys.stdout.flush()
    await home.async_stop(force=True)


async def answer(home: Any, question: dict[str, Any]) -> object:
    if question["do"] == "call":
        await home.services.async_call(
            question["domain"], question["service"], question["data"], blocking=True
        )
        return {}
    return {
        one.entity_id: {"state": one.state, "attributes": dict(one.attributes)}
        for one in home.states.async_all()
    }


if __name__ == "__main__":
    if sys.argv[1] == "schemas":
        sys.stdout.write(json.dumps(refusals(json.load(sys.stdin))))
    else:
        asyncio.run(run(int(sys.argv[2]), Path(sys.argv[3])))
