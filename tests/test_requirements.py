"""What `make` installs is pinned whole, within the ranges that the package states."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
FILES = {"run": "requirements.txt", "dev": "requirements-dev.txt", "bench": "requirements-bench.txt"}
BUILD_TOOLS = {"setuptools", "swig", "cython"}


def pins(level: str) -> dict[str, Requirement]:
    """Name -> requirement, of one file."""
    lines = (line.partition("#")[0].strip() for line in (REPOSITORY / FILES[level]).read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(one.name): one for one in found}


def ranges() -> Iterator[tuple[str, Requirement]]:
    """(level, requirement) as pyproject.toml has them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for level, texts in {
        "run": project["dependencies"],
        "dev": extras["test"] + extras["lint"],
        "bench": extras["bench"],
    }.items():
        yield from ((level, Requirement(text)) for text in texts)


def version_of(pin: Requirement) -> str:
    (only,) = pin.specifier
    return only.version


@pytest.mark.parametrize("level", FILES)
def test_every_pin_is_exact_and_names_no_place(level: str) -> None:
    for name, pin in pins(level).items():
        assert [one.operator for one in pin.specifier] == ["=="], name
        assert "*" not in version_of(pin), name
        assert pin.url is None, name


@pytest.mark.parametrize(("level", "wanted"), list(ranges()), ids=str)
def test_every_dependency_is_pinned_within_its_range(level: str, wanted: Requirement) -> None:
    pin = pins(level)[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(version_of(pin))


def test_files_agree_where_they_pin_the_same() -> None:
    versions: dict[str, set[str]] = {}
    for level in FILES:
        for name, pin in pins(level).items():
            versions.setdefault(name, set()).add(version_of(pin))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_pinned_packages_bring_is_pinned_and_nothing_else() -> None:
    pinned = {name for level in ("run", "dev") for name in pins(level)} - BUILD_TOOLS
    stated = {canonicalize_name(one.name) for level, one in ranges() if level != "bench"}
    brought = {name for package in pinned for name in brought_by(package)}
    assert pinned == stated | brought


def brought_by(package: str) -> Iterator[str]:
    """What an installed package needs on this interpreter, extras left aside."""
    for requirement in map(Requirement, importlib.metadata.requires(package) or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)
