"""Whatever stands in a file: a configuration, or a ConfigError with findings that can be printed."""

from __future__ import annotations

import json
import math
from typing import Any

from config_documents import Document, example, holder_of, places
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.config.describe import field_names
from echostream.config.findings import Finding, InvalidConfig
from echostream.config.load import LoadedConfig, parse_config
from echostream.config.models import Config
from echostream.config.secrets import masked
from echostream.config.shadow import KEYS

WORDS = sorted(field_names() | KEYS)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["20", "0.7", "channel_three", "fire-tac", "true", "usb:1-1.1", "ws://h/", "\ud800"])
)
keys = st.sampled_from(WORDS) | st.text(max_size=4)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)
EVERYWHERE = list(places(example()))


def outcome(document: object) -> LoadedConfig | InvalidConfig:
    """What comes of a document; any other error is a failure of the test."""
    try:
        return parse_config(document, "test")
    except InvalidConfig as error:
        return error


def holds(document: object) -> LoadedConfig | None:
    """The configuration, or None when it was refused; what is told of either can be printed."""
    result = outcome(document)
    if isinstance(result, InvalidConfig):
        findings = result.findings
        assert findings
    else:
        findings = (*result.dropped, *result.warnings)
        assert result.config.channels
        json.dumps(masked(result.config))
    for finding in findings:
        check_printable(finding)
    return None if isinstance(result, InvalidConfig) else result


def check_printable(finding: Finding) -> None:
    told = str(finding)
    told.encode("utf-8")
    assert all(character.isprintable() for character in told)
    assert finding.expected
    assert finding.value


@given(st.dictionaries(keys, anything, max_size=10))
def test_any_object_is_a_configuration_or_a_clean_error(document: dict[str, Any]) -> None:
    holds(document)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_text_is_a_configuration_or_a_clean_error(text: bytes | str) -> None:
    holds(text)


@given(st.sampled_from(EVERYWHERE), anything)
@settings(max_examples=300)
def test_anything_in_place_of_anything_is_a_configuration_or_a_clean_error(
    place: tuple[str | int, ...], value: object
) -> None:
    document = example()
    holder_of(document, place)[place[-1]] = value
    holds(document)


@given(st.sampled_from(EVERYWHERE), st.integers(0, 4000), st.integers(0, 4000))
def test_a_text_with_a_piece_cut_out_is_a_configuration_or_a_clean_error(
    place: tuple[str | int, ...], start: int, length: int
) -> None:
    text = json.dumps(example())
    holds(text[:start] + text[start + length % 50 :])


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), anything, max_size=8))
@settings(max_examples=200)
def test_any_device_document_is_a_configuration_or_a_clean_error(desired: dict[str, Any]) -> None:
    holds({"shadow": {"state": {"desired": desired}}})
    holds({"software_configuration": [desired], "unique_id": "x"})
    holds({"software_configuration": [{"channel_one": desired | {"channel_id": "c"}}]})


@given(st.sampled_from(EVERYWHERE), st.floats() | st.integers())
def test_what_is_in_force_holds_again(place: tuple[str | int, ...], number: float) -> None:
    """What a configuration dumps as is read as the same configuration."""
    document: Document = example()
    if isinstance(number, float) and not math.isfinite(number):
        number = 0
    holder_of(document, place)[place[-1]] = number
    loaded = holds(document)
    if loaded is not None:
        again = parse_config(loaded.config.model_dump(mode="json"), "test").config
        assert again == loaded.config
        assert isinstance(again, Config)
