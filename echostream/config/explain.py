"""Validation of one section, with every error as a finding at its own path."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from echostream.config.base import URL_PATTERN, Section
from echostream.config.describe import field_names, is_secret, keys_at, node_at, objects, resolved, words
from echostream.config.findings import MISSING, Finding, Place, Severity, path_of, shown

Model = TypeVar("Model", bound=Section)

_ROUNDS: Final = 3
SECRET_REMEDY: Final = (
    "the secret itself never stands in the configuration: write it into a file of mode 0600 and name the file"
)
_HOMES: Final = {
    "Config": "the top level",
    "ControlServer": "control_server",
    "Tls": "control_server.tls",
    "Channel": "a channel",
    "Ptt": "a channel's ptt",
    "Cos": "a channel's cos",
    "Key": "a channel's key",
    "Vox": "a channel's vox",
    "TonePlan": "a channel's entry in tones",
    "AlertTone": "an entry of alert_tones",
    "ToneFilter": "an entry of filters",
    "Esp32Device": "an entry of esp32.devices",
    "DeviceDefaults": "esp32.defaults",
    "DeviceVox": "a device's vox",
    "RecordPolicy": "a record policy",
    "MqttTls": "mqtt.tls",
    "MqttCommands": "mqtt.commands",
    "S3Rule": "an entry of s3.rules",
    "AlertTarget": "an entry of alerts.targets",
    "AlertRule": "an entry of alerts.rules",
    "Escalation": "an entry of a rule's escalate",
    "Schedule": "an entry of a schedule",
    "Maintenance": "an entry of alerts.maintenance",
}
"""Where a model's keys stand, where that is not its name in small letters."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Model]):
    """What came of a section.

    section: None when something is wrong with it. rest: what is left when every bad field has its default,
    None where nothing can be; for finding further errors, and where a bad field may be left out.
    """

    section: Model | None
    wrong: list[Finding]
    rest: Model | None


def read(model: type[Model], value: object, place: Place, severity: Severity) -> Outcome[Model]:
    """The section at a place of the document.

    `value` is tidy JSON. It is read as JSON, strictly: "20" is no number and 1 is no boolean, because whoever
    wrote that may have meant something else.
    """
    try:
        section = _validated(model, value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return _salvaged(model, value, place, severity, details)
    return Outcome(section, [], section)


def _validated(model: type[Model], value: object) -> Model:
    return model.model_validate_json(json.dumps(value), strict=True)


def _salvaged(
    model: type[Model], value: object, place: Place, severity: Severity, details: list[ErrorDetails]
) -> Outcome[Model]:
    """Every error: rules over several fields are only looked at once the fields themselves hold."""
    wrong = [_explained(detail, value, place, severity) for detail in details]
    rest = value
    seen: list[tuple[int | str, ...]] = []
    for _ in range(_ROUNDS):
        places = [detail["loc"] for detail in details]
        seen += places
        rest = _without(rest, places)
        try:
            return Outcome(None, wrong, _validated(model, rest))
        except ValidationError as error:
            details = error.errors(include_url=False)
            fresh = [detail for detail in details if _is_fresh_rule(detail, seen)]
            wrong += [_explained(detail, value, place, severity) for detail in fresh]
    return Outcome(None, wrong, None)


def _is_fresh_rule(detail: ErrorDetails, seen: list[tuple[int | str, ...]]) -> bool:
    """Whether a rule is broken that is no mere consequence of a field having been left out."""
    if detail["type"] != "rule":
        return False
    at = detail["loc"]
    named = detail["ctx"]["field"]
    if named:
        return at not in seen and (*at, named) not in seen
    return all(place[: len(at)] != at for place in seen)


def _without(value: object, places: list[tuple[int | str, ...]]) -> object:
    """A copy in which the fields at these places are not there."""
    pruned = copy.deepcopy(value)
    for *above, last in (place for place in places if place):
        holder = _value_at(pruned, tuple(above))
        if isinstance(holder, dict):
            holder.pop(str(last), None)
    return pruned


def _explained(detail: ErrorDetails, value: object, place: Place, severity: Severity) -> Finding:
    inner: Place = tuple(detail["loc"])
    context: dict[str, Any] = detail.get("ctx", {})
    if detail["type"] == "rule":
        return _broken_rule(context, value, place, inner, severity)
    at = (*place, *inner)
    if detail["type"] == "extra_forbidden":
        return unknown_key(at, detail["input"], severity)
    node = node_at(at)
    expected = words(node, at[-1] if at else "") if node is not None else "something else"
    if detail["type"] == "missing":
        return Finding(path_of(at), MISSING, expected, f"add {at[-1]}", severity)
    given = detail["input"]
    hidden = is_secret(node) or is_secret(node_at(at[:-1]))
    if detail["type"] in ("too_long", "string_too_long") and isinstance(given, (str, list)):
        expected = f"{expected} (it has {len(given)})"
    return Finding(path_of(at), shown(given, at, hidden), expected, _hint(node, given, at), severity)


def _broken_rule(
    context: dict[str, Any], value: object, place: Place, inner: Place, severity: Severity
) -> Finding:
    """A rule over several fields: it names the field to point at, where there is one."""
    if context["field"]:
        inner = (*inner, context["field"])
    at = (*place, *inner)
    given = _value_at(value, inner)
    if given is None:
        node = node_at(at)
        given = node.get("default") if node is not None else None
    secret = is_secret(node_at(at))
    text = MISSING if given is None else shown(given, at, secret and not isinstance(given, dict))
    return Finding(path_of(at), text, context["expected"], context["hint"], severity)


def _value_at(value: object, inner: Place) -> object:
    for part in inner:
        if isinstance(part, str) and isinstance(value, dict):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, list) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def unknown_key(at: Place, value: object, severity: Severity) -> Finding:
    """A key that is not known here: the nearest one, or the section where it belongs."""
    key = str(at[-1])
    known = keys_at(at[:-1])
    if is_secret(node_at(at[:-1])):
        return Finding(path_of(at), "an unknown key", f"one of {', '.join(known)}", SECRET_REMEDY, severity)
    hint = did_you_mean(key, known)
    if not hint and key in field_names():
        homes = [_HOMES.get(name, name.lower()) for name, keys in objects() if key in keys]
        hint = f"{key} belongs into {' or '.join(homes)}"
    if not hint and isinstance(value, str) and shown(value, at) == "(hidden)":
        hint = SECRET_REMEDY
    expected = f"one of {', '.join(known)}" if known else "no such key"
    return Finding(path_of(at), "an unknown key", expected, hint or "remove it", severity)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`did you mean "x"?`, empty when nothing is near."""
    known = {option.lower(): option for option in options}
    near = difflib.get_close_matches(word[:128].lower(), list(known), n=1, cutoff=0.6)
    return f'did you mean "{known[near[0]]}"?' if near else ""


def _hint(node: dict[str, Any] | None, given: object, at: Place) -> str:
    if node is None:
        return ""
    if is_secret(node):
        return SECRET_REMEDY if isinstance(given, str) else ""
    kind = resolved(node)
    choices: Sequence[object] = kind.get("enum", [kind["const"]] if "const" in kind else [])
    texts = [choice for choice in choices if isinstance(choice, str)]
    if texts and isinstance(given, str):
        return did_you_mean(given, texts)
    if isinstance(given, str) and given.lower().startswith("http") and kind.get("pattern") == URL_PATTERN:
        return "write ws:// for http:// and wss:// for https://"
    if kind.get("type") in ("integer", "number") and isinstance(given, str):
        return "write the number without quotes" if _numeric(given) else ""
    if kind.get("type") == "boolean":
        return "write true or false, without quotes"
    if kind.get("type") == "string" and isinstance(given, (int, float)) and not isinstance(given, bool):
        return "write it in quotes"
    if given is None and "default" in node:
        return "remove the key to have the default"
    if isinstance(at[-1] if at else "", int) or kind.get("type") not in ("array", "object"):
        return ""
    return "write a list: […]" if kind["type"] == "array" else "write an object: {…}"


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) < 20
