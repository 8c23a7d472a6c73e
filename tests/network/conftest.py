"""What every test of this room gets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import stop_what_is_left


@pytest.fixture(autouse=True)
def _stop_what_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from stop_what_is_left(monkeypatch)
