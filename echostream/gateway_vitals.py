"""How a running gateway is: read from its parts, from any thread."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.gateway import Gateway
from echostream.vitals.model import BoardVitals, LinkVitals, Vitals


class GatewayVitals:
    """Remembers what it saw last: shares and times are since then."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def look(self, links: Sequence[LinkVitals]) -> Vitals:
        """Now. One thread at a time."""
        board = BoardVitals(None, None, None, None, None, None, 0, 0, None, 0.0, 0.0, 0.0, 0.0)
        return Vitals(0, 0.0, self._gateway.config.gateway.id, "", (), (), board, tuple(links))
