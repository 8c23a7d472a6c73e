"""The limit of open files is raised as far as the machine lets, and never lowered."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from echostream.network.descriptors import allow_descriptors


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_follows_up_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    assert allow_descriptors(600) == 600
    assert allow_descriptors(550) == 600
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, hard)
    assert allow_descriptors(hard + 1) == hard
