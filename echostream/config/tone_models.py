"""What a channel listens for: pages and calls, filters, and where a page is passed on to."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import Hertz, Label, Name, SearchHz, Section, broken

MAX_ALERT_TONES: Final = 1000
MAX_FILTERS: Final = 32
LONG_TONE_S: Final = 5.0
LOWEST_TONE_HZ: Final = 250.0
HIGHEST_TONE_HZ: Final = 3200.0
"""Between which the ear looks for steady tones; spectrum.py has the same two, and a test compares them."""

AlertKind = Literal["two_tone", "long", "at_once", "dtmf", "five_tone"]
FiveToneSystem = Literal["zvei1", "zvei2", "zvei3", "ccir", "eea", "eia", "ccitt"]
Length = Annotated[float, Field(gt=0, le=60)]
DIGITS_PATTERN: Final = r"^[0-9A-Da-d*#?]+$"
_OF_KIND: Final = {
    "two_tone": frozenset({"tone_a_hz", "tone_b_hz"}),
    "long": frozenset({"tone_a_hz"}),
    "at_once": frozenset({"tone_a_hz", "tone_b_hz"}),
    "dtmf": frozenset({"digits"}),
    "five_tone": frozenset({"digits", "system"}),
}
"""What a definition of each kind cannot do without."""
_USED: Final = {
    "two_tone": frozenset({"tone_a_hz", "tone_b_hz"}),
    "long": frozenset({"tone_a_hz"}),
    "at_once": frozenset({"tone_a_hz", "tone_b_hz", "tone_c_hz", "tone_d_hz"}),
    "dtmf": frozenset({"digits"}),
    "five_tone": frozenset({"digits", "system"}),
}
"""What a definition of each kind can have of these."""


class AlertTone(Section):
    """One page or call to listen for; `kind` says which of the keys below it needs."""

    tone_id: Name = Field(examples=["engine-7"])
    """Id of the page, unique in its channel; events carry it."""
    kind: AlertKind = "two_tone"
    """two_tone: A, then B. long: A alone, for long. at_once: A with B, then, where set, C with D. dtmf and
    five_tone: digits."""
    tone_a_hz: Hertz | None = Field(default=None, examples=[349.0])
    """Frequency of the first tone; two_tone, long and at_once need it."""
    tone_b_hz: Hertz | None = Field(default=None, examples=[433.7])
    """Frequency of the second tone; two_tone and at_once need it. 0 where no kind is given: a long tone."""
    tone_a_length_s: Length = 0.8
    """Least length of tone A, and of each pair of at_once; a long tone has 5 unless this is set."""
    tone_b_length_s: Length = 2.0
    """Least length of tone B."""
    tone_a_range_hz: SearchHz = 10.0
    """Tone A may be off by ± this much, and every tone of at_once."""
    tone_b_range_hz: SearchHz = 10.0
    """Tone B may be off by ± this much."""
    a_longest_s: Length | None = Field(default=None, examples=[3.0])
    """A tone A that lasts longer is another page's B; null: three times tone_a_length_s, at least 2."""
    gap_s: Annotated[float, Field(ge=0, le=5)] = 0.5
    """The longest silence between A and B, and between the pairs of at_once."""
    tone_c_hz: Hertz | None = Field(default=None, examples=[600.9])
    """at_once: with tone_d_hz, the pair that follows; null: one pair only."""
    tone_d_hz: Hertz | None = Field(default=None, examples=[707.3])
    """at_once: the other tone of the pair that follows."""
    vocoder_grid_hz: float = Field(default=0.0, json_schema_extra={"enum": [0, 31.25, 62.5]})
    """The tones may also have been moved to this grid by a digital radio's voice coder; 0: they were not."""
    digits: Annotated[str, Field(min_length=1, max_length=32, pattern=DIGITS_PATTERN)] | None = Field(
        default=None, examples=["12345"]
    )
    """dtmf and five_tone: the digits as sent (A: group call); a ? stands for any one."""
    system: FiveToneSystem | None = Field(default=None, examples=["zvei1"])
    """five_tone: which standard the tones follow."""
    record_length_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long to record and pass through after the page; heard again meanwhile, the time starts anew."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Of several passthroughs to one channel the highest (9) has it, of equal ones the first."""
    alert: Label = ""
    """Name of the alert (`detection_tone_alert`)."""

    @model_validator(mode="before")
    @classmethod
    def _long_tones_are_long(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "kind" not in data and _is_zero(data.get("tone_b_hz")):
            # The field's devices write a group call so: one tone, and 0 for what it has not.
            data = {key: value for key, value in data.items() if not key.startswith("tone_b_")}
            data["kind"] = "long"
        if data.get("kind") == "long" and "tone_a_length_s" not in data:
            return data | {"tone_a_length_s": LONG_TONE_S}
        return data

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        for field in sorted(_OF_KIND[self.kind]):
            if getattr(self, field) is None:
                broken(_WANTED[field], f'a page of kind "{self.kind}" needs it: add {field}', field)
        for field in sorted(_WANTED.keys() - _USED[self.kind]):
            if getattr(self, field) is not None:
                hint = f'a page of kind "{self.kind}" has none: remove {field}, or choose another kind'
                broken(f"no {field}", hint, field)
        if (self.tone_c_hz is None) != (self.tone_d_hz is None):
            field = "tone_d_hz" if self.tone_d_hz is None else "tone_c_hz"
            broken("both tones of the second pair, or neither", f"add {field}, or remove the other", field)
        if self.vocoder_grid_hz not in (0.0, 31.25, 62.5):
            hint = "0 where no digital radio is between, else the grid of its voice coder"
            broken("0, 31.25 or 62.5 Hz", hint, "vocoder_grid_hz")
        return self

    @model_validator(mode="after")
    def _digits_of_the_system(self) -> Self:
        if self.digits is None:
            return self
        allowed = "0123456789ABCD*#?" if self.kind == "dtmf" else "0123456789A?"
        if set(self.digits.upper()) - set(allowed):
            broken(f"digits out of {allowed}", f'what "{self.kind}" cannot send is never heard', "digits")
        return self

    @property
    def name(self) -> str:
        """What people call it."""
        return self.alert or self.tone_id


def _is_zero(value: object) -> bool:
    return value in ("", "0", "0.0") or (isinstance(value, (int, float)) and value == 0)


_WANTED: Final = {
    "tone_a_hz": "a frequency above 0 Hz",
    "tone_b_hz": "a frequency above 0 Hz",
    "tone_c_hz": "a frequency above 0 Hz",
    "tone_d_hz": "a frequency above 0 Hz",
    "digits": "the digits of the call",
    "system": "the name of a five-tone system, e.g. zvei1",
}


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
    """Pass what follows a page on to another channel, for its record_length_s: on that channel's
    loudspeaker always, further as the next settings say."""
    passthrough_channel: Name | None = Field(default=None, examples=["fire-tac"])
    """Id of the channel that a page is passed through to."""
    passthrough_network: bool = True
    """Pass it also to that channel's network members, as a transmission of its own; the channel's button
    comes first."""
    passthrough_key: bool = False
    """Key that channel's radio with it: on the air."""
    passthrough_end_tone: bool = True
    """Two falling beeps on that channel when it ends, so that nobody takes silence for news."""
    alert_tones: Annotated[tuple[AlertTone, ...], Field(max_length=MAX_ALERT_TONES)] = ()
    """The pages and calls to listen for."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Least confidence of a detection (`threshold` of the field's devices): 1 is a pure, steady tone."""
    gain: Annotated[float, Field(ge=0, le=100)] = 0.4
    """Read because the field's devices have it, and without effect: the detector does not depend on level."""
    level_db: Annotated[float, Field(ge=-120, le=0)] = -45.0
    """Least level of a tone at the channel's input after input_gain_db (`db` of the field's devices), in
    dBFS as AES17 has it: a full-scale sine is 0."""
    detect_new_tones: bool = False
    """Also report two-tone pages that are not in the list."""
    new_tone_length_s: Length = 2.0
    """Least length of an unknown tone B; A lasts at least 0.4 of it."""
    new_tone_range_hz: SearchHz = 10.0
    """An unknown tone may wander by ± this much."""
    dtmf: bool = False
    """Report every DTMF sequence, also those that are not in the list."""
    five_tone: Annotated[tuple[FiveToneSystem, ...], Field(max_length=7)] = ()
    """Report every five-tone call of these systems, also those that are not in the list."""
    alerts: bool = False
    """Report hi-lo and pulsed alert tones."""
    ctcss: bool = False
    """Report a sub-audible tone (CTCSS) that comes on or goes off."""
    mdc1200: bool = False
    """Report MDC1200 unit ids."""
    explain: bool = False
    """Log what nearly was a page, with the reason why it was none."""
    filters: Annotated[tuple[ToneFilter, ...], Field(max_length=MAX_FILTERS)] = ()
    """Filters in front of the detector, in order."""
