"""Whether the watchdog is fed: pure, by what moved between two looks.

A gateway that is fed although nothing moves stays dead on its pole; one that is not fed because a card was
pulled restarts for ever. So what counts are signs of life: a frame that moved, or a card that was looked for
and not there. Whoever gives neither hangs. A card that is there and does not open is a sign of life as long
as it has not worked in this run: somebody else has it. One that worked, hung, and then does not open any more
is none: what the hang left behind in this process keeps it, and goes with the process alone.

- No channel gives a sign, or the coordinator does not answer: not fed after SILENT_S.
- One direction of one channel hangs although its card was closed under it: not fed after STUCK_S, that once.
  Where the same channel was the reason of the last restart, less than FORGIVEN_S ago, that has not helped:
  the other channels are not made to suffer again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SILENT_S: Final = 5.0
STUCK_S: Final = 20.0
FORGIVEN_S: Final = 3600.0
SLOW_LOOK_S: Final = 2.5
"""Two looks further apart than this: we stood still, and so did everybody else. It is nobody's fault."""
FIRST_SIGN_S: Final = 10.0
"""So much longer is waited for the first sign: cards are looked for one after another."""
ALL: Final = "all channels"
COORDINATOR: Final = "coordinator"


@dataclass(frozen=True, slots=True)
class Progress:
    """One direction of a channel, counted since its start: frames moved, times that its card was not there,
    and times that it was there and did not open."""

    frames: int
    misses: int
    refusals: int

    def is_sign_after(self, before: Progress) -> bool:
        """Of life, between two looks. Counts that went back are those of a channel that replaced it."""
        never = self.frames == 0
        return (self.frames, self.misses, never and self.refusals) != (
            before.frames,
            before.misses,
            never and before.refusals,
        )


@dataclass(frozen=True, slots=True)
class ChannelProgress:
    """Both directions of a channel."""

    channel_id: str
    capture: Progress
    playback: Progress


@dataclass(frozen=True, slots=True)
class Verdict:
    """feed: the watchdog is. blame: whose fault it is when it is not: a channel's id, ALL or COORDINATOR.
    stuck: channels that hang, fed or not. why: the same in words."""

    feed: bool
    blame: str = ""
    stuck: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seen:
    progress: Progress
    sign_s: float


class Feeder:
    """Looks about once a second. `forgiven`: channels for which another restart would not help. Times are
    monotonic seconds."""

    def __init__(self, forgiven: Sequence[str] = ()) -> None:
        self._forgiven = frozenset(forgiven)
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._looked_s: float | None = None
        self._turn: int | None = None
        self._turned_s = 0.0

    def look(self, channels: Sequence[ChannelProgress], turns: int, now: float) -> Verdict:
        """turns: how often the coordinator has come round since the start."""
        self._make_up_for_a_pause(now)
        if turns != self._turn:
            self._turn, self._turned_s = turns, now
        silent_s = {
            one.channel_id: (
                self._silent_s((one.channel_id, "capture"), one.capture, now),
                self._silent_s((one.channel_id, "playback"), one.playback, now),
            )
            for one in channels
        }
        known = {(one.channel_id, way) for one in channels for way in ("capture", "playback")}
        self._seen = {key: seen for key, seen in self._seen.items() if key in known}
        return self._verdict(silent_s, now - self._turned_s)

    def _verdict(self, silent_s: dict[str, tuple[float, float]], unanswered_s: float) -> Verdict:
        stuck = tuple(name for name, ways in silent_s.items() if max(ways) > SILENT_S)
        why = [_words(name, silent_s[name]) for name in stuck]
        if unanswered_s > SILENT_S:
            return Verdict(
                False,
                COORDINATOR,
                stuck,
                (f"the coordinator has not answered for {unanswered_s:.0f} s", *why),
            )
        if silent_s and all(min(ways) > SILENT_S for ways in silent_s.values()):
            return Verdict(False, ALL, stuck, tuple(why))
        for name in stuck:
            if max(silent_s[name]) > STUCK_S and name not in self._forgiven:
                return Verdict(False, name, stuck, tuple(why))
        return Verdict(True, "", stuck, tuple(why))

    def _silent_s(self, key: tuple[str, str], progress: Progress, now: float) -> float:
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(progress, now + FIRST_SIGN_S)
        elif progress.is_sign_after(seen.progress):
            self._seen[key] = _Seen(progress, now)
        return now - self._seen[key].sign_s

    def _make_up_for_a_pause(self, now: float) -> None:
        before_s, self._looked_s = self._looked_s, now
        pause_s = 0.0 if before_s is None else now - before_s
        if pause_s > SLOW_LOOK_S:
            self._turned_s += pause_s
            for seen in self._seen.values():
                seen.sign_s += pause_s


def _words(name: str, ways_s: tuple[float, float]) -> str:
    capture_s, playback_s = ways_s
    hang = [what for what, for_s in (("capture", capture_s), ("playback", playback_s)) if for_s > SILENT_S]
    return f"channel {name}: {' and '.join(hang)} hang{'s' if len(hang) == 1 else ''} for {max(ways_s):.0f} s"
