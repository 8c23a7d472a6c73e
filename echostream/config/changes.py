"""What is different between two configurations: what a reload has to touch, and above all what it has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from echostream.config.models import Channel, Config

ALL_CHANNELS: Final = frozenset({"audio"})
"""Sections that every channel is built from."""
NEEDS_RESTART: Final = frozenset({"gpio"})
"""Sections that are read once, when the process starts."""
SIGNALLING: Final = frozenset({"gateway", "control_server"})
"""Sections that only the connection to the control server is built from."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between an old and a new configuration.

    channels_changed: for each channel that is in both and differs, the keys of its entry that differ ("ptt",
    "card") and, for all of them, "audio" where that section did. tones_changed: channels whose tone plan
    came, went or differs; their audio goes on. global_changes: names of the top-level sections that differ,
    "tones" among them. The order of the channels is no difference.
    """

    channels_added: frozenset[str]
    channels_removed: frozenset[str]
    channels_changed: dict[str, frozenset[str]]
    global_changes: frozenset[str]
    tones_changed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(
            self.channels_added or self.channels_removed or self.channels_changed or self.global_changes
        )

    @property
    def touches_signalling(self) -> bool:
        """Whether the connection to the control server must be made anew."""
        return bool(self.global_changes & SIGNALLING)

    @property
    def needs_restart(self) -> frozenset[str]:
        """Sections whose change has effect when the process starts the next time."""
        return self.global_changes & NEEDS_RESTART

    def __str__(self) -> str:
        parts = [f"channel {channel} added" for channel in sorted(self.channels_added)]
        parts += [f"channel {channel} removed" for channel in sorted(self.channels_removed)]
        for channel, keys in sorted(self.channels_changed.items()):
            parts.append(f"channel {channel} changed ({', '.join(sorted(keys))})")
        if self.tones_changed:
            parts.append(f"tones of {', '.join(sorted(self.tones_changed))} changed")
        parts += [f"{name} changed" for name in sorted(self.global_changes - {"tones"} - NEEDS_RESTART)]
        parts += [f"{name} changed (in force at the next start)" for name in sorted(self.needs_restart)]
        return "; ".join(parts) or "nothing changed"


def compare(old: Config, new: Config) -> Changes:
    """What a reload from `old` to `new` has to do."""
    before, after = _by_id(old), _by_id(new)
    different = frozenset(
        name
        for name in Config.model_fields
        if name != "channels" and getattr(old, name) != getattr(new, name)
    )
    everywhere = different & ALL_CHANNELS
    changed = {
        channel: keys
        for channel in after
        if channel in before and (keys := _differing(before[channel], after[channel]) | everywhere)
    }
    tones = frozenset(
        channel
        for channel in old.tones.keys() | new.tones.keys()
        if old.tones.get(channel) != new.tones.get(channel)
    )
    return Changes(
        channels_added=frozenset(after.keys() - before.keys()),
        channels_removed=frozenset(before.keys() - after.keys()),
        channels_changed=changed,
        global_changes=different,
        tones_changed=tones,
    )


def _by_id(config: Config) -> dict[str, Channel]:
    return {channel.id: channel for channel in config.channels}


def _differing(old: Channel, new: Channel) -> frozenset[str]:
    return frozenset(name for name in Channel.model_fields if getattr(old, name) != getattr(new, name))
