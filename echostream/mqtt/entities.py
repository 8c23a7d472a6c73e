"""What Home Assistant shows of a gateway, a channel and a device: each entity, and where its state is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from echostream.config.models import Channel, Config, Esp32Device
from echostream.mqtt.topics import Topics

MOST_PAGE_BUTTONS: Final = 50
"""Of one channel. Beyond that a list of buttons helps nobody: publish the command itself."""
DEVICE_LEVELS_A_SECOND: Final = 100
"""Of all devices together: each has its turn."""


@dataclass(frozen=True, slots=True)
class Entity:
    """key: its name within its device. values: the rest of the discovery message. while_online: it is shown
    as unavailable while the gateway is away."""

    component: Literal["binary_sensor", "sensor", "event", "number", "switch", "button"]
    key: str
    name: str
    values: dict[str, object]
    while_online: bool = True


def levels_period_s(config: Config) -> float:
    """How often the level of each device comes; 0: never."""
    if config.mqtt.levels_s == 0:
        return 0.0
    return max(config.mqtt.levels_s, len(config.esp32.devices) / DEVICE_LEVELS_A_SECOND)


def gateway_entities(config: Config, topics: Topics) -> Iterator[Entity]:
    health = topics.health
    yield Entity(
        "binary_sensor",
        "online",
        "Online",
        {
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        },
        while_online=False,
    )
    links = {"server": "Control server"} | ({"s3": "Bucket"} if config.s3.enabled else {})
    for link, name in links.items():
        up = f"value_json.{link} is defined and value_json.{link}.up"
        yield _state(f"link_{link}", name, topics.links, up, device_class="connectivity", **_DIAGNOSTIC)
    yield _sensor(
        "disk_free", "Disk free", health, "disk_free_percent", "%", icon="mdi:harddisk", **_DIAGNOSTIC
    )
    yield _sensor(
        "disk_full", "Disk full in", health, "disk_full_s", "s", device_class="duration", **_DIAGNOSTIC
    )
    yield _sensor(
        "temperature", "Temperature", health, "temperature_c", "°C", device_class="temperature", **_DIAGNOSTIC
    )
    yield _sensor("cpu", "CPU", health, "cpu_percent", "%", icon="mdi:cpu-64-bit", **_DIAGNOSTIC)
    yield _sensor("memory", "Memory", health, "memory_mb", "MB", device_class="data_size", **_DIAGNOSTIC)
    yield _sensor("uptime", "Uptime", health, "uptime_s", "s", device_class="duration", **_DIAGNOSTIC)
    yield _sensor("waiting", "Events waiting", health, "waiting", None, icon="mdi:tray-full", **_DIAGNOSTIC)
    trouble: dict[str, object] = {"device_class": "problem", **_DIAGNOSTIC}
    yield _state("under_voltage", "Under-voltage", health, "value_json.under_voltage", **trouble)
    yield _state("clock", "Clock not set", health, "value_json.clock_synchronised == false", **trouble)
    if config.mqtt.commands.reload:
        yield _button(
            "reload", "Read the configuration again", topics.command("reload"), {}, entity_category="config"
        )


def channel_entities(config: Config, topics: Topics, channel: Channel) -> Iterator[Entity]:
    state = topics.channel(channel.id, "state")
    yield _state("online", "Online", state, "value_json.online", device_class="connectivity", **_DIAGNOSTIC)
    yield _state("ptt", "PTT", state, "value_json.transmitting", icon="mdi:radio-handheld")
    yield _state("playing", "Receiving", state, "value_json.playing", device_class="sound")
    yield _state("recording", "Recording", state, "value_json.recording", device_class="running")
    yield _state("stuck", "Stuck open", state, "value_json.stuck", device_class="problem", **_DIAGNOSTIC)
    if channel.card != "none":
        gone = "not (value_json.capture_present and value_json.playback_present)"
        yield _state("card", "Sound card gone", state, gone, device_class="problem", **_DIAGNOSTIC)
    yield Entity(
        "sensor",
        "talkers",
        "Talking",
        {
            "state_topic": state,
            "value_template": "{{ (value_json.talkers | join(', '))[:250] or 'nobody' }}",
            "icon": "mdi:account-voice",
        },
    )
    if config.mqtt.levels_s > 0:
        yield _level(topics.channel(channel.id, "levels"), config.mqtt.levels_s)
    for what, name, icon in (
        ("last_page", "Last page", "mdi:bell-ring"),
        ("last_tone", "Last tone", "mdi:sine-wave"),
    ):
        yield from _last(topics.channel(channel.id, what), what, name, icon)
    yield Entity(
        "event",
        "page",
        "Page",
        {"state_topic": topics.event("page", channel.id), "event_types": ["page"], "icon": "mdi:bell-ring"},
    )
    yield from _channel_controls(config, topics, channel)


def device_entities(config: Config, topics: Topics, device: Esp32Device) -> Iterator[Entity]:
    state = topics.device(device.name, "state")
    yield _state("connected", "Connected", state, "value_json.connected", device_class="connectivity")
    yield _state("talking", "Sound", state, "value_json.talking", device_class="sound")
    if config.mqtt.levels_s > 0:
        yield _level(topics.device(device.name, "levels"), levels_period_s(config))


def _channel_controls(config: Config, topics: Topics, channel: Channel) -> Iterator[Entity]:
    commands, state = config.mqtt.commands, topics.channel(channel.id, "state")
    if commands.volume:
        yield Entity(
            "number",
            "volume",
            "Volume",
            {
                "state_topic": state,
                "value_template": "{{ value_json.output_gain_db }}",
                "command_topic": topics.command("volume", channel.id),
                "command_template": '{"gain_db": {{ value }}}',
                "min": -60,
                "max": 60,
                "step": 0.5,
                "mode": "slider",
                "unit_of_measurement": "dB",
                "icon": "mdi:volume-high",
            },
        )
    if commands.mute:
        yield _mute(topics, channel, "microphone", "Microphone muted", "mdi:microphone-off")
        yield _mute(topics, channel, "loudspeaker", "Loudspeaker muted", "mdi:volume-off")
    if commands.record:
        record = topics.command("record", channel.id)
        yield _button("record", "Record a minute", record, {"seconds": 60}, icon="mdi:record-rec")
    if commands.page_out and channel.id in config.tones:
        for tone in config.tones[channel.id].alert_tones[:MOST_PAGE_BUTTONS]:
            key = f"page_out_{hashlib.blake2s(tone.tone_id.encode(), digest_size=6).hexdigest()}"
            page_out = topics.command("page_out", channel.id)
            yield _button(key, f"Page {tone.name}", page_out, {"tone_id": tone.tone_id}, icon="mdi:bell-plus")


_DIAGNOSTIC: Final[dict[str, object]] = {"entity_category": "diagnostic"}


def _state(key: str, name: str, topic: str, condition: str, **more: object) -> Entity:
    """Something that is so, or not."""
    template = f"{{{{ 'ON' if {condition} else 'OFF' }}}}"
    return Entity("binary_sensor", key, name, {"state_topic": topic, "value_template": template, **more})


def _sensor(key: str, name: str, topic: str, value: str, unit: str | None, **more: object) -> Entity:
    """A figure. What the machine does not say is unknown."""
    values: dict[str, object] = {
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{value} }}}}",
        "state_class": "measurement",
        **more,
    }
    return Entity("sensor", key, name, values | ({"unit_of_measurement": unit} if unit else {}))


def _level(topic: str, period_s: float) -> Entity:
    """dBFS is no unit of Home Assistant's own classes; a level that stops coming is not shown on."""
    expires_s = max(10, round(5 * period_s))
    return _sensor("level", "Level", topic, "level_dbfs", "dBFS", icon="mdi:waveform", expire_after=expires_s)


def _last(topic: str, key: str, name: str, icon: str) -> Iterator[Entity]:
    yield Entity(
        "sensor",
        key,
        name,
        {
            "state_topic": topic,
            "value_template": "{{ value_json.title }}",
            "json_attributes_topic": topic,
            "icon": icon,
        },
    )
    yield Entity(
        "sensor",
        f"{key}_time",
        f"{name} at",
        {
            "state_topic": topic,
            "value_template": "{{ (value_json.happened / 1000) | as_datetime }}",
            "device_class": "timestamp",
        },
    )


def _mute(topics: Topics, channel: Channel, what: str, name: str, icon: str) -> Entity:
    return Entity(
        "switch",
        f"mute_{what}",
        name,
        {
            "state_topic": topics.channel(channel.id, "state"),
            "value_template": f"{{{{ 'ON' if value_json.{what}_muted else 'OFF' }}}}",
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": topics.command("mute", channel.id),
            "payload_on": json.dumps({"what": what, "muted": True}),
            "payload_off": json.dumps({"what": what, "muted": False}),
            "icon": icon,
        },
    )


def _button(key: str, name: str, topic: str, payload: dict[str, object], **more: object) -> Entity:
    return Entity("button", key, name, {"command_topic": topic, "payload_press": json.dumps(payload), **more})
