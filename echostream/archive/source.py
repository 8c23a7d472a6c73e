"""Who is recorded, and how: what stays the same for as long as a stream of it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from echostream.archive.recording import SourceKind, Trigger
from echostream.audio.device_ports import GapCause
from echostream.config.recording_models import Recording, RecordPolicy


@dataclass(frozen=True, slots=True)
class Source:
    """name, kind, label, channel_id, priority, keep_days: as in a Recording."""

    name: str
    kind: SourceKind
    trigger: Trigger
    rate_hz: int
    label: str = ""
    channel_id: str = ""
    priority: int = 5
    keep_days: float | None = None

    @property
    def key(self) -> tuple[SourceKind, str]:
        """The same for every stream of one source."""
        return self.kind, self.name


@dataclass(slots=True)
class LastEnd:
    """Where the last recording of a source ended: Unix microseconds; cause: why what follows is missing.

    None: nothing is (the recording was over, or goes on in the next file).
    """

    end_us: int
    cause: GapCause | None


def channel_policy(settings: Recording, channel_id: str) -> RecordPolicy:
    """What is recorded of a channel's own radio or card."""
    return settings.channels.get(channel_id, settings.default)


def network_policy(settings: Recording, channel_id: str) -> RecordPolicy:
    """What is recorded of what others say on a channel: nothing, unless it is named."""
    return settings.network.get(channel_id, RecordPolicy(mode="never"))
