"""The models in words: what stands at a place, which keys are there, which range a value has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from echostream.config.base import (
    CREDENTIAL_PATTERN,
    ENV_PATTERN,
    HEADER_PATTERN,
    PRINTABLE_PATTERN,
    URL_PATTERN,
)
from echostream.config.findings import Place
from echostream.config.models import Config
from echostream.config.tone_models import DIGITS_PATTERN

Node = dict[str, Any]
"""A node of the JSON Schema that pydantic makes of the models."""

REFERENCE: Final = '{"file": PATH}, {"env": NAME} or {"credential": NAME}'
_UNITS: Final = {
    "_ms": "ms",
    "_s": "s",
    "_min": "minutes",
    "_hours": "hours",
    "_days": "days",
    "_hz": "Hz",
    "_db": "dB",
    "_dbfs": "dBFS",
    "_bps": "bit/s",
    "_percent": "%",
}
_PATTERNS: Final = {
    URL_PATTERN: "a ws:// or wss:// address",
    ENV_PATTERN: "the name of an environment variable",
    CREDENTIAL_PATTERN: "the name of a systemd credential",
    HEADER_PATTERN: "a name without spaces or quotes",
    DIGITS_PATTERN: "digits: 0 to 9, A to D, *, #, or ? for any one",
}


@cache
def raw_schema() -> Node:
    """The JSON Schema as pydantic makes it; built once, read only."""
    return Config.model_json_schema()


@cache
def field_names() -> frozenset[str]:
    """Every key that a configuration can have."""
    return frozenset(name for _, properties in objects() for name in properties)


def objects() -> Iterator[tuple[str, Node]]:
    """Each model's name and properties."""
    schema = raw_schema()
    yield "Config", schema["properties"]
    for name, node in schema["$defs"].items():
        yield name, node.get("properties", {})


def resolved(node: Node) -> Node:
    """The node without `or null` and with its reference followed."""
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            return resolved(option)
    if "$ref" in node:
        found: Node = raw_schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node


def node_at(place: Place) -> Node | None:
    """The node of a place in a configuration; None where the models know nothing."""
    node: Node = raw_schema()
    for part in place:
        node = resolved(node)
        if isinstance(part, int):
            inner = node.get("items")
        else:
            inner = node.get("properties", {}).get(part)
            extra = node.get("additionalProperties")
            if inner is None and isinstance(extra, dict):
                inner = extra
        if not isinstance(inner, dict):
            return None
        node = inner
    return node


def keys_at(place: Place) -> list[str]:
    """The keys of the object at a place."""
    node = node_at(place)
    return list(resolved(node).get("properties", {})) if node is not None else []


def is_secret(node: Node | None) -> bool:
    """Whether a reference to a secret belongs here."""
    return node is not None and resolved(node).get("title") == "Secret"


def unit_of(name: str | int) -> str:
    """ "ms" of "frame_ms"; empty where the name has no unit."""
    if not isinstance(name, str):
        return ""
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


def words(node: Node, name: str | int = "") -> str:
    """What a value must be: "a whole number from 0 to 2000 (ms)"."""
    kind = resolved(node)
    nothing = " or null" if any(option.get("type") == "null" for option in node.get("anyOf", ())) else ""
    if is_secret(node):
        return f"a reference: {REFERENCE}{nothing}"
    return _kind(kind, name) + nothing


def _kind(node: Node, name: str | int) -> str:
    choices = node.get("enum", [node["const"]] if "const" in node else None)
    if choices is not None:
        return _choice(choices)
    match node.get("type"):
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return _number(node, name)
        case "string":
            return _text(node)
        case "array":
            most = f" of at most {node['maxItems']}" if "maxItems" in node else ""
            return f"a list{most}"
        case "object":
            keys = node.get("required") or list(node.get("properties", {}))
            return f"an object with {', '.join(keys)}" if keys else "an object"
    return "something else"


def _choice(choices: list[object]) -> str:
    quoted = [f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices]
    if len(quoted) == 1:
        return quoted[0]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _number(node: Node, name: str | int) -> str:
    text = "a whole number" if node["type"] == "integer" else "a number"
    least, most = node.get("minimum"), node.get("maximum")
    if "exclusiveMinimum" in node:
        text += f" above {node['exclusiveMinimum']:g}" + (
            f", at most {_plain(most)}" if most is not None else ""
        )
    elif least is not None and most is not None:
        text += f" from {_plain(least)} to {_plain(most)}"
    unit = unit_of(name)
    return f"{text} {unit}" if unit else text


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _text(node: Node) -> str:
    pattern = node.get("pattern")
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    least, most = node.get("minLength", 0), node.get("maxLength")
    text = "a text"
    if most is not None and most < 1000:
        text += f" of {least} to {most} characters" if least else f" of at most {most} characters"
    elif least:
        text = "a text that is not empty"
    return text + (" on one line" if pattern == PRINTABLE_PATTERN else "")
