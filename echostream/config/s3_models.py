"""S3 in the configuration: the bucket, what goes there, and how."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from echostream.config.base import FilePath, Label, Name, Secret, Section, broken

Kind = Literal["channel", "network", "device", "quarantine"]
WINDOW_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
KEY_FIELDS: Final = (
    *("gateway", "date", "year", "month", "day", "channel", "source", "kind", "name", "form", "id"),
)
"""What a key's template can name."""


class S3Rule(Section):
    """Recordings that are uploaded: those that meet all of one rule."""

    what: Literal["pages", "protected", "all"] = "pages"
    """Those with a page in them, those that somebody protected, or all."""
    sources: tuple[Name, ...] = ()
    """Only of these channels (by id) and devices (by name); empty: of all."""
    kinds: tuple[Kind, ...] = ("channel", "network", "device")
    """Only what was heard there: by a channel's own radio or card, from the network, by a device."""


class S3(Section):
    """Recordings to an S3 bucket."""

    enabled: bool = False
    """Upload recordings."""
    bucket: Label = Field(default="", examples=["county-recordings"])
    """Name of the bucket."""
    region: Label | None = Field(default=None, examples=["us-east-1"])
    """Region; null: what the environment says."""
    endpoint_url: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^/\s].*$")] | None = Field(
        default=None, examples=["https://s3.example.org"]
    )
    """Address of a server that is not Amazon's; null: Amazon's."""
    path_style: bool | None = None
    """Whether the bucket stands in the path (true) or in the host's name; null: in the path where
    endpoint_url is set."""
    ca_file: FilePath | None = None
    """PEM file of the authorities to trust instead of the system's."""
    access_key_id: Secret | None = None
    """Access key id; null: what the machine's own identity gives."""
    secret_access_key: Secret | None = None
    """Secret access key; null: what the machine's own identity gives."""
    rules: tuple[S3Rule, ...] = (S3Rule(),)
    """What is uploaded: whatever meets one of them."""
    key: Annotated[str, Field(min_length=1, max_length=512)] = "{gateway}/{date}/{channel}/{name}"
    """What an object is called. {name} is the file's name with its form, {date} is YYYY-MM-DD, {channel} the
    channel it belongs to or else its source; also {year} {month} {day} {source} {kind} {form} {id}."""
    encryption: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption that is asked for; null: what the bucket does by itself."""
    kms_key_id: Label | None = None
    """Key of "aws:kms"; null: the account's own."""
    storage_class: Label | None = Field(default=None, examples=["STANDARD_IA"])
    """Storage class; null: the bucket's."""
    part_mb: Annotated[float, Field(ge=5, le=1000)] = 8.0
    """Larger files go in parts of this size, and go on with the next part after a break. In 10^6 bytes."""
    most_kbit_s: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Bandwidth that uploads take at most; null: all there is."""
    window: Annotated[str, Field(pattern=WINDOW_PATTERN)] | None = Field(
        default=None, examples=["22:00-06:00"]
    )
    """Time of day, on the gateway's clock, in which is uploaded; null: at any. Pages go at any time."""
    url_hours: Annotated[float, Field(gt=0, le=168)] = 24.0
    """How long a link to a recording works."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.enabled and not self.bucket:
            broken("the bucket's name", "add bucket", "bucket")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            missing = "access_key_id" if self.access_key_id is None else "secret_access_key"
            broken("both access_key_id and secret_access_key, or neither", f"add {missing}", missing)
        if self.kms_key_id is not None and self.encryption != "aws:kms":
            broken('encryption "aws:kms" beside kms_key_id', 'set encryption to "aws:kms"', "kms_key_id")
        self._key_names_one_file()
        return self

    def _key_names_one_file(self) -> None:
        try:
            filled = self.key.format_map({name: f"<{name}>" for name in KEY_FIELDS})
        except (KeyError, ValueError, IndexError, AttributeError):
            names = " ".join(f"{{{name}}}" for name in KEY_FIELDS)
            broken(f"a template of {names}", "every other brace is written twice", "key")
        if "<name>" not in filled and "<id>" not in filled:
            broken("{name} or {id} in it", "else one recording would take another one's place", "key")
