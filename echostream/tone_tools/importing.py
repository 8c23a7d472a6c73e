"""`echostream tones import`: definitions of other programs, in our form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from echostream.config.tone_models import AlertTone
from echostream.errors import ConfigError
from echostream.tone_tools import definitions
from echostream.tone_tools.detect import tell


def entries_of(tones: Iterable[AlertTone]) -> list[dict[str, Any]]:
    """As `alert_tones` has them: what was said, and nothing that is a default."""
    return [tone.model_dump(mode="json", exclude_unset=True, exclude_none=True) for tone in tones]


def document_of(tones: Iterable[AlertTone], channel: str | None) -> dict[str, object]:
    """`{"alert_tones": [...]}`, or the whole of a configuration's `tones` for one channel."""
    plan: dict[str, object] = {"alert_tones": entries_of(tones)}
    return {"tones": {channel: {"detect": True, **plan}}} if channel else plan


def write_document(document: dict[str, object], output: Path | None, out: TextIO) -> None:
    """To a file, or to `out`. ConfigError where the file cannot be written."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        out.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from None


def import_file(path: Path, output: Path | None, channel: str | None, out: TextIO, err: TextIO) -> int:
    """Print or write what a file defines. Exit code 0, or 1 where something was left out."""
    found = definitions.from_file(path)
    tell(found.findings, path, err)
    if not found.tones:
        raise ConfigError(f"{path}: no definition in it holds")
    write_document(document_of(found.tones, channel), output, out)
    where = f", in {output}" if output is not None else ""
    err.write(f"{path}: {found.form}, {len(found.tones)} definition(s) taken{where}\n")
    return 1 if found.findings else 0
