"""The recorder in the configuration: what is recorded of whom, in which form, and for how long it is kept."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import FilePath, Name, Secret, Section, broken

AudioForm = Literal["wav", "flac", "opus"]


class RecordPolicy(Section):
    """What of one source is recorded."""

    mode: Literal["never", "pages", "transmissions", "vox", "continuous"] = "pages"
    """Nothing; pages with what follows them; what is transmitted (or received); while it is loud; everything.
    Pages are recorded in each mode but never."""
    threshold_dbfs: Annotated[float, Field(ge=-90, le=0)] = -45.0
    """vox: RMS level from which on something is said."""
    pre_roll_ms: Annotated[int, Field(ge=0, le=10_000)] = 1000
    """vox: audio from before it that is kept."""
    post_roll_ms: Annotated[int, Field(ge=0, le=60_000)] = 2000
    """vox: audio after it that is kept; a pause shorter than this does not end the recording."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """When the disk is full the least important stop first; 9 stops last."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """Overrides recording.keep_days for this source."""


class Recording(Section):
    """The recorder: one file for each ten minutes of each source, and an index of them all."""

    enabled: bool = False
    """Write recordings."""
    directory: FilePath = "/var/lib/echostream/recordings"
    """Where recordings are kept, a folder for each day."""
    segment_s: Annotated[float, Field(ge=10, le=3600)] = 600.0
    """Longest file; files begin anew at multiples of this in UTC."""
    write: AudioForm = "wav"
    """Form that is written while audio comes."""
    keep: AudioForm | None = None
    """Form that a closed WAV is turned into; "wav" leaves it as it is. null: FLAC, which is half a WAV and
    loses nothing. What is written as FLAC or Opus stays as it is."""
    opus_bitrate_bps: Annotated[int, Field(ge=6000, le=256_000)] = 64_000
    """Bit rate of Opus recordings."""
    default: RecordPolicy = RecordPolicy()
    """What is recorded of a channel that is not named in `channels`: what its own radio or card hears."""
    channels: dict[Name, RecordPolicy] = Field(default_factory=dict)
    """What is recorded of each channel's own radio or card, by channel id."""
    network: dict[Name, RecordPolicy] = Field(default_factory=dict)
    """What is recorded of what others say on a channel, by channel id; not named: nothing."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """Recordings older than this are deleted; null: only when the disk gets full."""
    keep_gb: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """All recordings together; the oldest go first, shared fairly between sources. In 10^9 bytes."""
    min_free_percent: Annotated[float, Field(ge=0, le=90)] = 5.0
    """Free space that is left to others on the disk."""
    database: Secret | None = Field(default=None, examples=[{"file": "/etc/echostream/database-url"}])
    """Where the address of a PostgreSQL database is (postgresql://…): the index of a site. null: SQLite
    beside the recordings."""

    @model_validator(mode="after")
    def _one_step(self) -> Self:
        if self.write != "wav" and self.keep not in (None, self.write):
            broken(
                f'"{self.write}", as it is written',
                'only a WAV is turned into another form: write "wav", or keep what is written',
                "keep",
            )
        return self

    @property
    def kept_form(self) -> AudioForm:
        """The form in which a recording stays."""
        return self.write if self.write != "wav" else self.keep or "flac"
