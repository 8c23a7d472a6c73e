"""How fast: commands that come in, and what goes out to a broker that said it was too much. Pure."""

from __future__ import annotations

from typing import Final

AT_ONCE: Final = 16
BURST: Final = 10.0
PER_SECOND: Final = 5.0
FORGET_S: Final = 120.0
OUT_BURST: Final = 10.0
OUT_PER_SECOND: Final = 50.0
"""Half of what AWS IoT takes of one connection (publish requests per second per connection: 100)."""


class Bucket:
    """Tokens that come again with time. now: monotonic seconds."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = self._tokens = burst
        self._per_second = per_second
        self._at_s: float | None = None

    def take(self, now: float) -> bool:
        """One of them, if there is one."""
        if self._at_s is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at_s) * self._per_second)
        self._at_s = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class CommandPace:
    """So many a second, and so many without an answer: a flood must not fill the coordinator's mailbox. now:
    monotonic seconds."""

    def __init__(self) -> None:
        self._bucket = Bucket(BURST, PER_SECOND)
        self._begun: list[float] = []

    def refusal(self, now: float) -> str:
        """Why one more is too many; "": it is not, and counts as begun."""
        self._begun = [at for at in self._begun if now - at < FORGET_S]
        if len(self._begun) >= AT_ONCE:
            return f"{AT_ONCE} commands are being carried out"
        if not self._bucket.take(now):
            return f"more than {PER_SECOND:.0f} commands a second"
        self._begun.append(now)
        return ""

    def answered(self) -> None:
        """One of them, the oldest."""
        del self._begun[:1]
