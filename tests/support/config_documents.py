"""Configuration documents for tests: the shipped example, a small one, and walking through them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from echostream.config.findings import Finding
from echostream.config.load import InvalidConfig, LoadedConfig, parse_config

EXAMPLE = Path(__file__).parents[2] / "config.json"
Document = dict[str, Any]
Step = str | int


def example() -> Document:
    loaded: Document = json.loads(EXAMPLE.read_text("utf-8"))
    return loaded


def small(**more: object) -> Document:
    """The least that is in force: two channels."""
    channels = [{"id": "a", "card": "usb:1-1.1"}, {"id": "b", "card": "usb:1-1.2"}]
    server = {"url": "ws://127.0.0.1:8765"}
    return {
        "gateway": {"id": "g", "affiliation_id": "g"},
        "control_server": server,
        "channels": channels,
    } | more


def findings_of(document: object) -> dict[str, Finding]:
    """What is told about a document, by path, refused or not."""
    try:
        loaded = parse_config(document, "test")
    except InvalidConfig as error:
        return {finding.path: finding for finding in error.findings}
    return {finding.path: finding for finding in (*loaded.dropped, *loaded.warnings)}


def channels_of(document: object) -> tuple[LoadedConfig, list[str], dict[str, Finding]]:
    loaded = parse_config(document, "test")
    ids = [channel.id for channel in loaded.config.channels]
    return loaded, ids, {finding.path: finding for finding in loaded.dropped}


def places(value: object, place: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Every place of a document."""
    if place:
        yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*place, key))
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from places(item, (*place, at))


def holder_of(document: Document, place: tuple[Step, ...]) -> Any:
    value: Any = document
    for step in place[:-1]:
        value = value[step]
    return value
