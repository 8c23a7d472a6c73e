"""Renders docs/configuration.md: `python -m echostream.config.reference > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from echostream.config.describe import Node, is_secret, raw_schema, words
from echostream.config.models import MAX_CHANNELS
from echostream.config.schema import field_docs, models
from echostream.config.shadow import MAPPING

PLACES: Final = {
    "Config": "The whole file",
    "Gateway": "gateway",
    "ControlServer": "control_server",
    "Secret": "References to secrets",
    "Tls": "control_server.tls",
    "Channel": "channels[n]",
    "Ptt": "channels[n].ptt",
    "Cos": "channels[n].cos",
    "Vox": "channels[n].vox",
    "Key": "channels[n].key",
    "Audio": "audio",
    "Gpio": "gpio",
    "TonePlan": "tones.ID",
    "AlertTone": "tones.ID.alert_tones[n]",
    "ToneFilter": "tones.ID.filters[n]",
    "Esp32": "esp32",
    "Esp32Device": "esp32.devices[n]",
    "DeviceDefaults": "esp32.defaults",
    "DeviceVox": "esp32.devices[n].vox",
    "Relay": "relay",
    "Mqtt": "mqtt",
    "MqttTls": "mqtt.tls",
    "MqttCommands": "mqtt.commands",
    "S3": "s3",
    "S3Rule": "s3.rules[n]",
    "Recording": "recording",
    "RecordPolicy": "recording.channels.ID",
    "Alerts": "alerts",
    "AlertTarget": "alerts.targets[n]",
    "AlertRule": "alerts.rules[n]",
    "Escalation": "alerts.rules[n].escalate[n]",
    "Schedule": "alerts.rules[n].schedule[n]",
    "Maintenance": "alerts.maintenance[n]",
    "Events": "events",
}
"""Where each model stands, in the order of the reference."""

INTRODUCTION: Final = f"""\
# Configuration

<!-- Made by `python -m echostream.config.reference > docs/configuration.md`: change the models, not this. -->

EchoStream reads one JSON file, `./config.json` unless `--config FILE` names another. The `config.json` of
the repository is a complete example for a gateway with four channels.

```
echostream config check FILE            every error at once, each with its path and remedy
echostream config check FILE --json     the same for machines
echostream config show FILE             what is in force, defaults included, secrets hidden
echostream config schema                the JSON Schema: editors complete and check with it
echostream config convert FILE -o OUT   a device's stored configuration into this form
```

`check` exits with 0 when the file is in force as it stands, 1 when it is in force with something left out
or to look at, 2 when it is refused.

For help while typing, write the schema into a file and name it at the top of the configuration:
`echostream config schema > config.schema.json`, then `"$schema": "./config.schema.json"`.

## What happens to an error

| where | what happens |
|---|---|
| the text is no JSON, a key stands twice, more than 8 MB or 32 levels | refused, with line and column |
| `gateway`, `control_server`, `audio`, `gpio`, an unknown section | refused: without them nothing works |
| one channel; the later of two with one id, one pin or one side of a card | that channel is left out |
| one entry of `alert_tones` or `filters` | that entry is left out |
| one setting of a tone plan | it has its default |
| a passthrough that leads nowhere or round in a circle | that passthrough is off |
| one entry of `esp32.devices`, `recording.channels` or `recording.network` | that entry is left out |
| a device's channel that does not exist | it is recorded, and not on the air |
| one entry of `alerts.rules`, `alerts.targets` or `alerts.maintenance` | that entry is left out |
| anything else in `esp32`, `relay`, `mqtt`, `s3`, `recording`, `alerts`, `events` | that feature is off |
| no channel that holds | refused |

What is left out is logged as an error at every start. `echostream reload` (SIGHUP) reads the file again;
one that is refused changes nothing, and channels that did not change are not touched. A change of `audio`
touches every channel, one of `gateway` or `control_server` only the connection to the server, one of
`tones` only what is listened for, one of `recording` only the recorder, one of `esp32` only the devices
that changed, one of `mqtt`, `s3`, `alerts` or `events` only that publisher; one of `gpio` has effect at
the next start.

A value is read strictly: `"20"` is no number and `1` is not `true`. At most {MAX_CHANNELS} channels.
"""

SECRETS: Final = """\
A secret never stands in the configuration, only the place where it is. Exactly one of the three:

```json
"aes_key": { "credential": "aes-key" }
"aes_key": { "file": "/etc/echostream/aes-key" }
"aes_key": { "env": "ECHOSTREAM_AES_KEY" }
```

- `credential` is for the service: each file in `/etc/echostream/credentials` is one of its name, which only
  root can read; systemd hands it to the gateway, and to nobody else, at the start. So after a change:
  `sudo systemctl restart echostream`. A unit of your own may name single ones (`LoadCredential=NAME:FILE`).
- `file` should have mode 0600; one that everybody can read is used and warned about. A relative path
  starts at the directory in which the gateway was started.
- One line break at the end is taken off. A key is the base64 of 32 bytes: `openssl rand -base64 32`.

A secret written in place of a reference is refused, and neither it nor anything under a key that looks
like one (password, token, key …) is shown in any message.
"""

SHADOW: Final = """\
## A device's stored configuration

The document that devices in the field hold (`shadow.state.desired.software_configuration[0]`) is read as
it is, wherever a configuration is read, and `echostream config convert` writes it in the form above.
Numbers may stand as texts, and what is `null`, `""` or missing has its default. Findings tell paths of
the device's document.

It does not tell the control server, the sound cards and the pins. The pins are BCM 20, 21, 23 and 24 for
the buttons of channels one to four; placeholders stand for the others, and a warning says what to fill
in.

| in the device's document | here |
|---|---|
"""


def reference() -> str:
    """The whole document."""
    parts = [INTRODUCTION]
    for name, place in PLACES.items():
        parts.append(_section(name, place))
    rows = "".join(f"| `{old}` | {_marked(new)} |\n" for old, new in MAPPING)
    return "\n".join([*parts, SHADOW + rows])


def _section(name: str, place: str) -> str:
    schema = raw_schema()
    node: Node = schema if name == "Config" else schema["$defs"][name]
    title = place if name in ("Config", "Secret") else f"`{place}`"
    intro = f"{node['description']}\n" if name != "Secret" else SECRETS
    return f"## {title}\n\n{intro}\n| key | value | default | |\n|---|---|---|---|\n" + "".join(
        _rows(name, node)
    )


def _rows(name: str, node: Node) -> Iterator[str]:
    docs = field_docs(models()[name])
    for key, field in node["properties"].items():
        told = _text(docs.get(key, ""), field)
        yield f"| `{key}` | {_value(field, key)} | {_default(node, field, key)} | {told} |\n"


def _value(field: Node, key: str) -> str:
    reference_to = next((node["$ref"] for node in (field, *field.get("anyOf", ())) if "$ref" in node), "")
    nothing = " or null" if "anyOf" in field else ""
    if is_secret(field):
        return f"[a reference](#references-to-secrets){nothing}"
    if reference_to:
        return f"[an object](#{_anchor(PLACES[reference_to.rsplit('/', 1)[-1]])}){nothing}"
    for inner, word in (("items", "a list of"), ("additionalProperties", "an object of")):
        target = field.get(inner)
        if isinstance(target, dict) and "$ref" in target:
            return f"{word} [these](#{_anchor(PLACES[target['$ref'].rsplit('/', 1)[-1]])})"
    return words(field, key).replace('"', "`").replace("|", "\\|")


def _default(node: Node, field: Node, key: str) -> str:
    if key in node.get("required", ()):
        return "**required**"
    default = field.get("default")
    if isinstance(default, dict) or "default" not in field:
        return "its defaults" if "$ref" in field else "none"
    if isinstance(default, list):
        return "none"
    return f"`{_json(default)}`"


def _json(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _text(text: str, field: Node) -> str:
    examples = ", ".join(
        f"`{json.dumps(example, ensure_ascii=False)}`" for example in field.get("examples", ())
    )
    told = f"{text} Example: {examples}" if examples else text
    return told.replace("|", "\\|")


def _anchor(title: str) -> str:
    """The name that a heading has as a link target: small letters, no punctuation, dashes for spaces."""
    kept = "".join(character for character in title.lower() if character.isalnum() or character in " _-")
    return kept.replace(" ", "-")


def _marked(own: str) -> str:
    """Keys as code; a phrase as it is."""
    return own if "," in own else " and ".join(f"`{part}`" for part in own.split(" and "))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # text whatever the locale is
    sys.stdout.write(reference())
