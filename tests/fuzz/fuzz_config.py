"""Configuration files: whatever stands in them, a refusal with findings or a configuration that holds."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from fuzz_json import TOKENS
from fuzz_mutate import Generator, blend, mutate, mutator, pick, rubbish

from echostream.config.load import parse_config

_ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = json.loads((_ROOT / "config.json").read_text("utf-8"))
_SMALL = {
    "gateway": {"id": "a", "affiliation_id": "b"},
    "control_server": {"url": "ws://127.0.0.1:8765"},
    "channels": [{"id": "a", "card": "usb:1-1.1", "ptt": {"pin": 20}, "key": {"pin": 12}}],
}
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1e308, 10**30),
    *("", "x" * 300, "\x00", "usb:1-1.1"),
    *([], {}, [[]], {"pin": 20}),
)


def _spoiled(rng: Random) -> bytes:
    """The example or the small document with one value replaced, a key renamed or an entry doubled."""
    document = json.loads(json.dumps(_EXAMPLE if rng.random() < 0.2 else _SMALL))
    place: object = document
    while True:
        if isinstance(place, dict) and place:
            key = pick(rng, sorted(place))
            if not isinstance(place[key], dict | list) or rng.random() < 0.3:
                if rng.random() < 0.2:
                    place[key + "x"] = place.pop(key)
                else:
                    place[key] = pick(rng, _VALUES)
                break
            place = place[key]
        elif isinstance(place, list) and place:
            at = int(rng.random() * len(place))
            if rng.random() < 0.2:
                place.append(place[at])
                break
            place = place[at]
        else:
            break
    return json.dumps(document).encode()


_BYTES = json.dumps(_SMALL).encode()
generate_config: Generator = blend(
    (4, _spoiled),
    (2, mutator([_BYTES], TOKENS)),
    (1, lambda rng: mutate(rng, _spoiled(rng), TOKENS)),
    (0.3, rubbish(300)),
)


def run_config(data: bytes) -> bool:
    """InvalidConfig with findings that name a place, or a configuration with at least one channel."""
    loaded = parse_config(data, "fuzz")
    assert loaded.config.channels
    ids = [channel.id for channel in loaded.config.channels]
    assert len(set(ids)) == len(ids)
    return True
