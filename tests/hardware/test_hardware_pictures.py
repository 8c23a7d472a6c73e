"""The pictures of docs/hardware.md are those that their script draws, and show what config.json has."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "docs/hardware"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hardware_pictures", FOLDER / "make_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["header", "interface"])
def test_picture_is_what_its_script_draws(pictures: ModuleType, name: str) -> None:
    drawn = getattr(pictures, name)()
    ElementTree.fromstring(drawn)
    assert (FOLDER / f"{name}.svg").read_text("utf-8") == drawn, "python docs/hardware/make_pictures.py"
    assert f"hardware/{name}.svg" in (REPOSITORY / "docs/hardware.md").read_text("utf-8")


def test_header_shows_the_pins_of_the_example(pictures: ModuleType) -> None:
    channels = json.loads((REPOSITORY / "config.json").read_text("utf-8"))["channels"]
    pins = {str(one[part]["pin"]) for one in channels for part in ("ptt", "cos", "key") if part in one}
    assert pins == set(pictures.USES)
    assert pins <= set(pictures.HEADER)


def test_no_radio_of_the_example_is_keyed_while_the_board_boots(pictures: ModuleType) -> None:
    channels = json.loads((REPOSITORY / "config.json").read_text("utf-8"))["channels"]
    assert not {str(one["key"]["pin"]) for one in channels} & pictures.UP_AT_BOOT
