"""What was heard, for machines (one JSON object a line) and for people (one line each)."""

from __future__ import annotations

from typing import Final

from echostream.tones.heard import Detection, Heard, Kind, NearMiss, ToneSpan
from echostream.tones.stream import EAR_RATE_HZ

NEAR_MISS: Final = "near_miss"
_WORTH_SAYING_HZ: Final = 0.05
_SEQUENCES: Final = frozenset({Kind.DTMF, Kind.FIVE_TONE, Kind.MDC1200, Kind.CTCSS_ON, Kind.CTCSS_OFF})


def seconds(position: int) -> float:
    """A sample index of the ear, as seconds of the file."""
    return round(position / EAR_RATE_HZ, 4)


def record(file: str, channel: str, heard: Heard) -> dict[str, object]:
    """One finding for a machine: every key is there, null where it says nothing."""
    tones = heard.tones
    first, second = tones[0] if tones else None, tones[1] if len(tones) > 1 else None
    found = heard if isinstance(heard, Detection) else None
    missed = heard if isinstance(heard, NearMiss) else None
    entry: dict[str, object] = {
        "file": file,
        "channel": channel or None,
        "type": NEAR_MISS if missed else heard.kind.value,
        "tone_id": heard.tone_id,
        "start_s": seconds(heard.start),
        "end_s": seconds(heard.end),
        "decided_s": seconds(found.decided) if found else None,
        **_tone("a", first),
        **_tone("b", second),
        "digits": found.digits if found else "",
        "system": found.system if found else "",
        "snr_db": round(found.snr_db, 1) if found else None,
        "level_dbfs": round(found.level_dbfs, 1) if found else None,
        "twist_db": round(found.twist_db, 1) if found else None,
        "confidence": round(found.confidence, 3) if found else None,
        "tones": [_span(tone) for tone in tones],
    }
    if missed is not None:
        entry |= {"kind": missed.kind.value, "reason": missed.reason, "explanation": missed.explanation}
    return entry


def _tone(name: str, tone: ToneSpan | None) -> dict[str, object]:
    return {
        f"tone_{name}_hz": round(tone.hz, 2) if tone else None,
        f"tone_{name}_length_s": seconds(tone.end - tone.start) if tone else None,
        f"tone_{name}_deviation_hz": round(tone.deviation_hz, 2) if tone else None,
    }


def _span(tone: ToneSpan) -> dict[str, object]:
    return {
        "hz": round(tone.hz, 2),
        "start_s": seconds(tone.start),
        "end_s": seconds(tone.end),
        "level_dbfs": round(tone.level_dbfs, 1),
        "snr_db": round(tone.snr_db, 1),
        "deviation_hz": round(tone.deviation_hz, 2),
    }


# ---- for people


def clock(position_s: float) -> str:
    """`1:02:03.4`, without the hours where there are none."""
    tenths = round(position_s * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest / 10:04.1f}"


def line(channel: str, heard: Heard) -> str:
    """One finding for a person: when, what, and how it sounded."""
    at = clock(seconds(heard.start))
    where = f"{channel}: " if channel else ""
    if isinstance(heard, NearMiss):
        name = heard.tone_id or _WHAT[heard.kind]
        return f"  {at:>9}  {where}not {name}: {heard.explanation} ({heard.reason})"
    return f"  {at:>9}  {where}{what(heard):<28}  {_details(heard)}".rstrip()


_WHAT: Final = {
    Kind.TWO_TONE: "page",
    Kind.LONG_TONE: "long tone",
    Kind.AT_ONCE: "tones at once",
    Kind.NEW_TONES: "unknown page",
    Kind.HI_LO: "hi-lo alert",
    Kind.PULSED: "pulsed alert",
    Kind.DTMF: "DTMF",
    Kind.FIVE_TONE: "five-tone call",
    Kind.CTCSS_ON: "CTCSS on",
    Kind.CTCSS_OFF: "CTCSS off",
    Kind.MDC1200: "MDC1200",
}


def what(found: Detection) -> str:
    """What was heard in a few words: `page engine-7`, `DTMF 123#`."""
    parts = [_WHAT[found.kind]]
    if found.kind is Kind.FIVE_TONE and found.system:
        parts.append(found.system)
    if found.kind in _SEQUENCES and found.digits:
        parts.append(f"{found.digits} Hz" if found.kind in (Kind.CTCSS_ON, Kind.CTCSS_OFF) else found.digits)
    if found.tone_id:
        parts.append(f"({found.tone_id})" if found.kind in _SEQUENCES else found.tone_id)
    return " ".join(parts)


def _details(found: Detection) -> str:
    parts = []
    if found.kind not in _SEQUENCES and found.tones:
        parts.append(_sounding(found))
    parts.append(
        f"{found.level_dbfs:.0f} dBFS, {found.snr_db:.0f} dB over noise, sure to {found.confidence:.0%}"
    )
    return "; ".join(parts)


def _sounding(found: Detection) -> str:
    tones = [_tone_words(tone) for tone in found.tones]
    if found.kind is Kind.AT_ONCE:
        pairs = [" + ".join(tones[at : at + 2]) for at in range(0, len(tones), 2)]
        return ", then ".join(pairs)
    if found.kind is Kind.HI_LO:
        return " and ".join(f"{tone.hz:.1f} Hz" for tone in found.tones[:2])
    return ", then ".join(tones)


def _tone_words(tone: ToneSpan) -> str:
    off = f" ({tone.deviation_hz:+.1f})" if abs(tone.deviation_hz) >= _WORTH_SAYING_HZ else ""
    return f"{tone.hz:.1f} Hz{off} {seconds(tone.end - tone.start):.1f} s"
