"""The replay guard beside a model that forgets nothing and is as plain as its rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from fuzz_mutate import below, pick

from echostream.wire.counted_iv import make_iv
from echostream.wire.replay_guard import ReplayGuard, Verdict

_WINDOWS = (1024, 64, 16, 4, 1, 1024, 64, 16)
_DELAYS_S = (0.0, 0.0, 0.001, 0.02, 0.02, 0.1, 0.25, 0.5, 0.75, 1.0, 1.0001, 1.5, 2.5, 60.0, 1e6, -0.5)
_CHANNELS = ("a", "b", "c", "d")
_PREFIXES = (b"talk-1", b"talk-2", b"talk-3", b"ourown")
_BASE_TICK = 2**40
_STEP_BYTES = 3


@dataclass
class NaiveGuard:
    """Keeps every accepted packet: (channel, prefix, tick, at_s)."""

    window: int
    heard: list[tuple[str, bytes, int, float]] = field(default_factory=list)

    def check(self, channel_id: str, prefix: bytes, tick: int, now: float) -> Verdict:
        """The rules, one after another, by looking at all there is."""
        if prefix == _PREFIXES[3]:
            return Verdict.REPLAYED
        of_prefix = [one for one in self.heard if one[1] == prefix]
        if any(tick <= one[2] and now - one[3] > 1.0 for one in of_prefix):
            return Verdict.REPLAYED
        on_channel = [one[2] for one in of_prefix if one[0] == channel_id]
        if tick in on_channel and max(on_channel) - tick < self.window:
            return Verdict.REPLAYED
        if on_channel and max(on_channel) - tick >= self.window:
            return Verdict.STALE
        self.heard.append((channel_id, prefix, tick, now))
        return Verdict.FRESH if any(one[2] != tick for one in of_prefix) else Verdict.FRESH_FIRST


def run_program(program: bytes) -> bool:
    """A byte for the window, then three a packet: (delay, channel, prefix), tick forwards or back, how far.

    True when any packet was accepted; AssertionError where guard and model part.
    """
    if not program:
        return False
    window = _WINDOWS[program[0] % len(_WINDOWS)]
    guard = ReplayGuard(window, own_prefixes=[_PREFIXES[3]])
    naive = NaiveGuard(window)
    now, latest = 0.0, float("-inf")
    ticks = dict.fromkeys(_PREFIXES, _BASE_TICK)
    for place in range(1, len(program) - _STEP_BYTES + 1, _STEP_BYTES):
        who, direction, distance = program[place : place + _STEP_BYTES]
        now += _DELAYS_S[who >> 4]
        latest = max(latest, now)
        channel_id, prefix = _CHANNELS[who >> 2 & 3], _PREFIXES[who & 3]
        # Small steps mostly; with the top bits set, leaps around and beyond the window.
        step = distance << (direction & 3) if direction & 0x40 else distance & 3
        tick = ticks[prefix] + (-step if direction & 0x80 else step)
        ticks[prefix] = max(tick, ticks[prefix]) if direction & 0x20 else tick
        verdict = guard.check(channel_id, make_iv(prefix, tick), now)
        expected = naive.check(channel_id, prefix, tick, latest)
        assert verdict is expected, f"packet {place // _STEP_BYTES}: guard {verdict}, model {expected}"
    return bool(naive.heard)


def generate_program(rng: Random) -> bytes:
    """One to twelve packets; half the time a conversation of one talker, copied, repeated and moved."""
    count = 1 + below(rng, 12)
    if rng.random() < 0.5:
        return rng.randbytes(1 + count * _STEP_BYTES)
    out = bytearray(rng.randbytes(1))
    for _ in range(count):
        delay = pick(rng, (0, 3, 3, 4, 5, 7, 9, 10))
        out.append(delay << 4 | below(rng, 2) << 2)
        out.append(pick(rng, (0x20, 0x20, 0x20, 0xA0, 0xE0, 0x60)))
        out.append(below(rng, 4))
    return bytes(out)
