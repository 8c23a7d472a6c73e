"""What a channel listens for: two-tone pages, filters, and where a page is passed on to."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import Hertz, Label, Name, SearchHz, Section, broken

MAX_ALERT_TONES: Final = 1000
MAX_FILTERS: Final = 32


class AlertTone(Section):
    """One two-tone page to listen for."""

    tone_id: Name = Field(examples=["engine-7"])
    """Id of the page, unique in its channel; events carry it."""
    tone_a_hz: Hertz = Field(examples=[349.0])
    """Frequency of the first tone."""
    tone_b_hz: Hertz = Field(examples=[433.7])
    """Frequency of the second tone."""
    tone_a_length_s: Annotated[float, Field(gt=0, le=60)] = 0.8
    """Least length of tone A."""
    tone_b_length_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Least length of tone B."""
    tone_a_range_hz: SearchHz = 10.0
    """Tone A may be off by ± this much."""
    tone_b_range_hz: SearchHz = 10.0
    """Tone B may be off by ± this much."""
    record_length_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long to record and pass through after the page."""
    alert: Label = ""
    """Name of the alert (`detection_tone_alert`)."""


class ToneFilter(Section):
    """One continuous filter in front of the detector."""

    filter_id: Label = ""
    """What people call it."""
    type: Literal["below", "above", "center"]
    """below/above remove what lies below/above the frequency; center removes frequency ± range."""
    frequency_hz: Hertz
    """The corner, or the middle of what is removed."""
    range_hz: Annotated[float, Field(ge=0, le=5000)] = 0.0
    """Half the width of what a center filter removes; the other types ignore it."""

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.type == "center" and self.range_hz == 0:
            broken(
                "a number above 0 for a center filter", "say how much it removes on either side", "range_hz"
            )
        return self


class TonePlan(Section):
    """What one channel listens for."""

    detect: bool = True
    """Listen for tones on this channel."""
    passthrough: bool = False
    """Pass what follows a page on to another channel, for its record_length_s."""
    passthrough_channel: Name | None = Field(default=None, examples=["fire-tac"])
    """Id of the channel that a page is passed through to."""
    alert_tones: Annotated[tuple[AlertTone, ...], Field(max_length=MAX_ALERT_TONES)] = ()
    """The pages to listen for."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """How sure the detector must be (`threshold` of the field's devices)."""
    gain: Annotated[float, Field(ge=0, le=100)] = 0.4
    """Linear gain in front of the detector (`gain` of the field's devices)."""
    level_db: Annotated[float, Field(ge=-120, le=0)] = -45.0
    """Least level of a tone, dBFS (`db` of the field's devices)."""
    detect_new_tones: bool = False
    """Also report two-tone pages that are not in the list."""
    new_tone_length_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Least length of an unknown tone."""
    new_tone_range_hz: SearchHz = 10.0
    """An unknown tone may wander by ± this much."""
    filters: Annotated[tuple[ToneFilter, ...], Field(max_length=MAX_FILTERS)] = ()
    """Filters in front of the detector, in order."""
