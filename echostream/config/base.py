"""What every section of the configuration is made of: base class, value types, and where secrets are."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

URL_PATTERN: Final = r"^wss?://[^/\s].*$"
ENV_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
CREDENTIAL_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$"
PRINTABLE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
HEADER_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_KEY_OF_32_BYTES = re.compile(r"[A-Za-z0-9+/_-]{43}=|(?!/)[A-Za-z0-9+/_-]{43}|[0-9A-Fa-f]{64}")

BcmPin = Annotated[int, Field(ge=0, le=53)]
Hertz = Annotated[float, Field(gt=0, le=24_000)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE_PATTERN)]
Label = Annotated[str, Field(max_length=128, pattern=PRINTABLE_PATTERN)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
Port = Annotated[int, Field(ge=1, le=65535)]
FrameMs = Literal[10, 20, 40, 60]
Pull = Literal["up", "down", "none"]
GainDb = Annotated[float, Field(ge=-60, le=60)]
PreRollMs = Annotated[int, Field(ge=0, le=1000)]
SearchHz = Annotated[float, Field(gt=0, le=200)]


def looks_like_a_key(text: str) -> bool:
    """Whether a text is 32 bytes in base64 or hex: a key itself, not the name of a place where one is."""
    return _KEY_OF_32_BYTES.fullmatch(text.strip()) is not None


def broken(expected: str, hint: str, field: str = "") -> NoReturn:
    """A rule over several fields is broken; `field` is the one to point at. Never carries a value."""
    context = {"expected": expected, "hint": hint, "field": field}
    raise PydanticCustomError("rule", "expected {expected}", context)


class Section(BaseModel):
    """Common behaviour: frozen, unknown keys are errors, errors never repeat what was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Secret(Section):
    """Where a secret is read from, exactly one of the three; the secret itself never stands here."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    file: FilePath | None = Field(default=None, examples=["/etc/echostream/aes-key"])
    """Path of a file that holds the secret; only the gateway's user should be able to read it."""
    env: Annotated[str, Field(max_length=255, pattern=ENV_PATTERN)] | None = Field(
        default=None, examples=["ECHOSTREAM_AES_KEY"]
    )
    """Name of an environment variable that holds the secret."""
    credential: Annotated[str, Field(max_length=255, pattern=CREDENTIAL_PATTERN)] | None = Field(
        default=None, examples=["echostream-aes-key"]
    )
    """Name of a systemd credential: a file below $CREDENTIALS_DIRECTORY."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [text for text in (self.file, self.env, self.credential) if text is not None]
        if len(given) != 1:
            broken("exactly one of file, env, credential", "name the one place where the secret is")
        if looks_like_a_key(given[0]):
            broken(
                "the name of a place, not a key",
                "this looks like the key itself: write it into a file of mode 0600 and name the file here",
            )
        return self
