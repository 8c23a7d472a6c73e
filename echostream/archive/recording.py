"""What is known of one recording. It stands in a small JSON file beside the audio, written before the first
sample and again at the end; the index is made of these files, and can be made again of them alone.

    DATE/2026-11-21_1200_07_porch.wav          the audio: UTC date, hour and minute, seconds, source
    DATE/.meta/2026-11-21_1200_07_porch.json   this
    DATE/.meta/2026-11-21_1200_07_porch.peaks  the waveform, 10 pairs a second
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from echostream.audio.device_ports import GapCause

SourceKind = Literal["channel", "network", "device", "quarantine"]
Trigger = Literal["continuous", "vox", "transmission", "page", "command"]
ClockState = Literal["synchronised", "unsynchronised", "unknown"]
State = Literal["open", "closed", "repaired"]
AudioForm = Literal["wav", "flac", "opus"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Time without audio of a source, in Unix microseconds UTC.

    position: the sample of the recording before which it lies: that is silence for its whole length, which
    begins at `position`. None: it lies between two recordings.
    """

    start_us: int
    end_us: int
    cause: GapCause
    position: int | None = None


@dataclass(frozen=True, slots=True)
class ToneMark:
    """A page within a recording. start_us: Unix microseconds of its first tone."""

    tone_id: str
    name: str
    start_us: int
    end_us: int
    kind: str = "two_tone"


@dataclass(slots=True)
class Recording:
    """One file. path: relative to the archive's directory, with "/". Times: Unix microseconds, UTC.

    id: 32 hex digits, unique among all gateways. gateway: its id. source: name of the channel or device; kind
    says which. samples: at rate_hz, silence that fills gaps included. start_error_ms: how far start_us may be
    off; clock: whether the wall clock was synchronised then. ppm: how much faster the device's clock runs
    than ours. ended: why the file ended: "segment" (the next one follows at once), "pause" (what was recorded
    was over), or a GapCause. sha256, bytes: of the file as it is now; "" and 0 while it is open.
    """

    id: str
    path: str
    form: AudioForm
    gateway: str
    source: str
    kind: SourceKind
    trigger: Trigger
    start_us: int
    rate_hz: int
    label: str = ""
    channel_id: str = ""
    samples: int = 0
    state: State = "open"
    ended: str = ""
    clock: ClockState = "unknown"
    start_error_ms: float = 0.0
    ppm: float | None = None
    peak_dbfs: float | None = None
    rms_dbfs: float | None = None
    bytes: int = 0
    sha256: str = ""
    protected: bool = False
    notes: str = ""
    priority: int = 5
    keep_days: float | None = None
    gap_before: Gap | None = None
    gaps: list[Gap] = field(default_factory=list)
    tones: list[ToneMark] = field(default_factory=list)

    @property
    def duration_us(self) -> int:
        return round(1e6 * self.samples / self.rate_hz)

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us
