"""`echostream tones list`: the standard tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TextIO

from echostream.config.explain import did_you_mean
from echostream.errors import ConfigError
from echostream.tones import tables

QUICK_CALL: Final = "quick-call"
PAIRS: Final = "quick-call-pairs"
_ABOUT: Final = {
    QUICK_CALL: "Quick Call II: 8 groups of 10 tones; 4-3 is digit 3 of group 4",
    PAIRS: "the 990 legal two-tone pages of Quick Call II",
    "dtmf": "DTMF (ITU-T Q.23): two tones at once for each key",
    "ctcss": "CTCSS: 50 sub-audible tones (38 of EIA/TIA-603, 12 more)",
    "single": "single tones: alert and tone burst",
    **{
        name: f"five-tone, {round(1000 * table.tone_s)} ms a tone" for name, table in tables.FIVE_TONE.items()
    },
}


def list_tables(system: str | None, *, as_json: bool, out: TextIO) -> int:
    """Print the names of the tables, or one table. ConfigError with the nearest name for an unknown one."""
    if system is None:
        if as_json:
            out.write(json.dumps({name: _table(name) for name in _ABOUT if name != PAIRS}, indent=2) + "\n")
            return 0
        width = max(map(len, _ABOUT))
        for name, about in _ABOUT.items():
            out.write(f"{name:<{width}}  {about}\n")
        out.write("\n`echostream tones list NAME` prints one; --json for machines\n")
        return 0
    if system not in _ABOUT:
        near = did_you_mean(system, _ABOUT)
        raise ConfigError(f"table {system}: unknown; {near or 'the tables are ' + ', '.join(_ABOUT)}")
    if as_json:
        out.write(json.dumps(_table(system), indent=2) + "\n")
    else:
        out.write(f"{_ABOUT[system]}\n")
        _PRINT.get(system, _print_five_tone(system))(out)
    return 0


def _table(system: str) -> object:
    if system == QUICK_CALL:
        return {group: list(hz) for group, hz in tables.QUICK_CALL_II.items()}
    if system == PAIRS:
        return [
            {"name": pair.name, "tone_a_hz": pair.a_hz, "tone_b_hz": pair.b_hz}
            for pair in tables.quick_call_pairs()
        ]
    if system == "dtmf":
        return {key: list(pair) for key, pair in tables.DTMF.items()}
    if system == "ctcss":
        return list(tables.CTCSS_ALL_HZ)
    if system == "single":
        return tables.SINGLE_TONES
    table = tables.FIVE_TONE[system]
    return {"tone_s": table.tone_s, "tones_hz": table.tones}


def _print_quick_call(out: TextIO) -> None:
    out.write("group " + "".join(f"{digit:>9}" for digit in range(10)) + "\n")
    for group, tones in tables.QUICK_CALL_II.items():
        out.write(f"{group:<6}" + "".join(f"{hz:>9.1f}" for hz in tones) + "\n")


def _print_pairs(out: TextIO) -> None:
    for pair in tables.quick_call_pairs():
        out.write(f"{pair.name:<8}  {pair.a_hz:>7.1f}  {pair.b_hz:>7.1f}\n")


def _print_dtmf(out: TextIO) -> None:
    out.write("Hz    " + "".join(f"{hz:>6.0f}" for hz in tables.DTMF_HIGH_HZ) + "\n")
    for low_hz, keys in zip(tables.DTMF_LOW_HZ, tables.DTMF_KEYS, strict=True):
        out.write(f"{low_hz:<6.0f}" + "".join(f"{key:>6}" for key in keys) + "\n")


def _print_ctcss(out: TextIO) -> None:
    all_hz = tables.CTCSS_ALL_HZ
    for at in range(0, len(all_hz), 10):
        out.write("".join(f"{hz:>8.1f}" for hz in all_hz[at : at + 10]) + "\n")


def _print_single(out: TextIO) -> None:
    for name, hz in tables.SINGLE_TONES.items():
        out.write(f"{name:<6}  {hz:>7.1f} Hz\n")


def _print_five_tone(system: str) -> Callable[[TextIO], None]:
    def write(out: TextIO) -> None:
        names = {"E": "repeat", "A": "group"}
        for digit, hz in tables.FIVE_TONE[system].tones.items():
            out.write(f"{names.get(digit, digit):<6}  {hz:>7.1f} Hz\n")

    return write


_PRINT: Final[dict[str, Callable[[TextIO], None]]] = {
    QUICK_CALL: _print_quick_call,
    PAIRS: _print_pairs,
    "dtmf": _print_dtmf,
    "ctcss": _print_ctcss,
    "single": _print_single,
}
