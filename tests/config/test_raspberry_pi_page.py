"""The way from an empty SD card to on the air: every command on the page is one that there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from echostream.cli import build_parser
from echostream.config.load import parse_config

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "docs/raspberry-pi.md", REPOSITORY / "docs/hardware.md"]
TEXT = {page.name: page.read_text("utf-8") for page in PAGES}


def commands() -> list[str]:
    """Every call of `echostream` on the pages, in blocks and in lines."""
    found = set()
    for text in TEXT.values():
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        inline = "\n".join(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
        for line in f"{blocks}\n{inline}".splitlines():
            for part in re.split(r"&&|;|\|", line.partition("  #")[0]):
                match = re.match(r"\s*(?:sudo )?(echostream [a-z].*)", part)
                if match:
                    found.add(match[1].strip())
    return sorted(found)


def test_pages_show_what_looks_after_a_gateway() -> None:
    shown = {command.split()[1] for command in commands()}
    assert shown >= {"doctor", "selftest", "tune", "upgrade", "rollback", "versions", "backup", "restore"}


@pytest.mark.parametrize("command", commands())
def test_command_is_one_that_there_is(command: str) -> None:
    words = shlex.split(command)[1:]
    if words in (["selftest"], ["tune"], ["tones", "detect"]):
        words += ["CHANNEL"]  # named in passing
    build_parser().parse_args(words)


@pytest.mark.parametrize("page", sorted(TEXT))
def test_configuration_is_one_that_holds(page: str) -> None:
    for block in re.findall(r"```json\n(.*?)```", TEXT[page], re.DOTALL):
        json.loads(block)
        parse_config(block, page)


@pytest.mark.parametrize("page", sorted(TEXT))
def test_small_examples_are_json(page: str) -> None:
    for example in re.findall(r"`(\"[a-z_]+\": [^`]+)`", TEXT[page]):
        json.loads("{" + example + "}")


@pytest.mark.parametrize("page", sorted(TEXT))
def test_pages_that_are_pointed_to_are_there(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([\w/.-]+)(?:#([\w-]+))?\)", TEXT[page]):
        path = REPOSITORY / "docs" / target
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            made = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in made, f"{target}#{anchor}"


@pytest.mark.parametrize("page", sorted(TEXT))
def test_make_targets_are_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|sudo |=\S+ |^)make ([a-z-]+)", TEXT[page], re.MULTILINE)) <= targets
