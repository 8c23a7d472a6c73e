"""The report of `echostream tune`, in words or for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, TextIO

from echostream.tune.advice import Advice, Suggestion
from echostream.tune.levels import InputLevels

_MARKS: Final = {"good": "  ok    ", "note": "  note  ", "change": "  CHANGE"}


def write_report(name: str, levels: InputLevels, advice: Sequence[Advice], out: TextIO) -> None:
    """What was heard, then what it means."""
    speech = levels.speech
    out.write(f"{name}: {levels.duration_s:.0f} s heard\n")
    spoken = f"{speech.active_dbfs:.1f} dBFS, {speech.activity * 100:.0f} % of the time (ITU-T P.56)"
    rows = [
        ("speech", spoken if levels.spoken else "none"),
        ("peak", f"{levels.peak_dbfs:.1f} dBFS, {levels.clipped} samples clipped"),
        ("noise", f"{'' if levels.paused else 'at most '}{levels.noise_dbfs:.1f} dBFS"),
        ("hum", f"{levels.hum_dbfs:.1f} dBFS at {levels.hum_hz:.0f} Hz and above"),
    ]
    for label, words in rows:
        out.write(f"  {label:<7} {words}\n")
    out.write("\n")
    for one in advice:
        out.write(f"{_MARKS[one.sort]}  {one.words}\n")


def write_json(
    name: str, levels: InputLevels, advice: Sequence[Advice], suggestion: Suggestion, out: TextIO
) -> None:
    """The same for machines."""
    document = {
        "channel": name,
        "levels": asdict(levels),
        "advice": [asdict(one) for one in advice],
        "suggestion": asdict(suggestion),
    }
    out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
