"""A gateway that keeps real time within the process of the tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> Iterator[None]:
    """As `main` does: a collection that walked through what thousands of tests have left would stand in the
    middle of a frame."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
