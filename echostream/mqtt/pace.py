"""How many commands at once, and how fast: a flood must not fill the coordinator's mailbox. Pure."""

from __future__ import annotations

from typing import Final

AT_ONCE: Final = 16
BURST: Final = 10.0
PER_SECOND: Final = 5.0
FORGET_S: Final = 120.0


class CommandPace:
    """A bucket of tokens, and a count of what has no answer yet. now: monotonic seconds."""

    def __init__(self) -> None:
        self._tokens = BURST
        self._at_s: float | None = None
        self._begun: list[float] = []

    def refusal(self, now: float) -> str:
        """Why one more is too many; "": it is not, and counts as begun."""
        if self._at_s is not None:
            self._tokens = min(BURST, self._tokens + (now - self._at_s) * PER_SECOND)
        self._at_s = now
        self._begun = [at for at in self._begun if now - at < FORGET_S]
        if len(self._begun) >= AT_ONCE:
            return f"{AT_ONCE} commands are being carried out"
        if self._tokens < 1.0:
            return f"more than {PER_SECOND:.0f} commands a second"
        self._tokens -= 1.0
        self._begun.append(now)
        return ""

    def answered(self) -> None:
        """One of them, the oldest."""
        del self._begun[:1]
