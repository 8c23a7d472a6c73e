"""What `echostream config …` does. Exit codes: 0 in force, 1 in force with findings, 2 refused."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from echostream.config.findings import Finding, InvalidConfig, Severity
from echostream.config.load import LoadedConfig, load_config, parse_config, parse_document, read_file
from echostream.config.secrets import masked, secret_findings
from echostream.config.shadow import ShadowDefaults, convert_traced, is_shadow

EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 1
EXIT_REFUSED: Final = 2


def check(path: Path, *, as_json: bool, out: TextIO) -> int:
    """Print everything that is wrong with a file at once."""
    loaded: LoadedConfig | None
    try:
        loaded = load_config(path)
        findings = (*loaded.dropped, *loaded.warnings, *secret_findings(loaded.config))
    except InvalidConfig as error:
        loaded, findings = None, error.findings
    code = EXIT_REFUSED if loaded is None else EXIT_FINDINGS if findings else EXIT_OK
    if as_json:
        channels = [channel.id for channel in loaded.config.channels] if loaded is not None else []
        _dump({"file": str(path), "in_force": loaded is not None, "channels": channels,
               "findings": [asdict(finding) for finding in findings]}, out)  # fmt: skip
        return code
    _print_findings(findings, out)
    out.write(f"{path}: {_summary(loaded, findings)}\n")
    return code


def show(path: Path, *, out: TextIO) -> int:
    """Print what is in force, defaults included, secrets hidden."""
    try:
        loaded = load_config(path)
    except InvalidConfig as error:
        return _refused(error)
    _dump(masked(loaded.config), out)
    findings = (*loaded.dropped, *loaded.warnings)
    _print_findings(findings, sys.stderr)
    return EXIT_FINDINGS if findings else EXIT_OK


def schema(*, out: TextIO) -> int:
    """Print the JSON Schema."""
    from echostream.config.schema import json_schema  # reads the source of the models; only needed here

    _dump(json_schema(), out)
    return EXIT_OK


def convert(path: Path, output: Path | None, *, out: TextIO, defaults: ShadowDefaults | None = None) -> int:
    """Turn a device's document into our own form; findings go to stderr where the form goes to `out`."""
    try:
        document = parse_document(read_file(path), str(path))
        if not is_shadow(document):
            hint = "a device's document has software_configuration; this file is no such document"
            raise InvalidConfig(str(path), [Finding("", "another form", "a device's document", hint)])
        conversion = convert_traced(document, defaults or ShadowDefaults())
        findings = list(conversion.findings)
        try:
            loaded = parse_config(conversion.document, str(path))
        except InvalidConfig as error:
            raise InvalidConfig(str(path), [*findings, *conversion.traced(error.findings)]) from None
    except InvalidConfig as error:
        return _refused(error)
    findings += conversion.traced((*loaded.dropped, *loaded.warnings))
    dumped = loaded.config.model_dump(mode="json", exclude_unset=True)
    own = {name: section for name, section in dumped.items() if section}
    if output is None:
        _dump(own, out)
        _print_findings(findings, sys.stderr)
        return EXIT_FINDINGS if findings else EXIT_OK
    try:
        with output.open("w", encoding="utf-8") as file:
            _dump(own, file)
    except OSError as error:
        sys.stderr.write(f"{output}: cannot be written: {error.strerror}\n")
        return EXIT_REFUSED
    _print_findings(findings, out)
    out.write(f"{output}: written, {_summary(loaded, findings)}\n")
    return EXIT_FINDINGS if findings else EXIT_OK


# ---- printing


def _refused(error: InvalidConfig) -> int:
    _print_findings(error.findings, sys.stderr)
    sys.stderr.write(f"{error.origin}: {_summary(None, error.findings)}\n")
    return EXIT_REFUSED


def _dump(document: dict[str, Any], out: TextIO) -> None:
    # ASCII where the terminal cannot do more: a configuration must be readable over a serial line.
    plain = (getattr(out, "encoding", None) or "utf-8").lower() not in ("utf-8", "utf8")
    out.write(json.dumps(document, indent=2, ensure_ascii=plain) + "\n")


def _print_findings(findings: Sequence[Finding], out: TextIO) -> None:
    for finding in findings:
        lines = [f"{finding.severity}: {finding.path or 'the file'}"]
        if finding.excerpt:
            lines += [f"  {line}" for line in finding.excerpt.splitlines()]
        lines += _line("is", finding.value) + _line("expected", finding.expected)
        lines += _line("hint", finding.hint) if finding.hint else []
        _write(out, "\n".join(lines) + "\n\n")


def _line(label: str, text: str) -> list[str]:
    head = f"  {label + ':':<10}"
    return textwrap.wrap(
        text, 100, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False
    ) or [head.rstrip()]


def _write(out: TextIO, text: str) -> None:
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _summary(loaded: LoadedConfig | None, findings: Sequence[Finding]) -> str:
    counts = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    told = [
        f"{counts[severity]} {word}"
        for severity, word in (
            (Severity.REFUSED, "refused"),
            (Severity.DROPPED, "left out"),
            (Severity.WARNING, "to look at"),
        )
        if counts[severity]
    ]
    if loaded is None:
        return f"refused ({', '.join(told)})"
    on = [channel.id for channel in loaded.config.channels if channel.enabled]
    good = f"in force with {len(on)} channel{'' if len(on) == 1 else 's'} ({', '.join(on)})"
    return f"{good}; {', '.join(told)}" if told else good
