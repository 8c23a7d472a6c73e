"""Who is recorded, and how: what stays the same for as long as a stream of it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from echostream.archive.recording import SourceKind, Trigger
from echostream.audio.device_ports import GapCause


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
