"""Pages in words for the log: what was heard, for people who stand beside a radio."""

from __future__ import annotations

from echostream.events import ToneDetected, ToneMissed
from echostream.tones.heard import Detection, Kind, ToneSpan
from echostream.tones.stream import EAR_RATE_HZ

PAGES = frozenset({Kind.TWO_TONE, Kind.LONG_TONE, Kind.AT_ONCE, Kind.DTMF, Kind.FIVE_TONE})
"""What calls somebody; the others tell about the channel."""


def is_page(event: ToneDetected) -> bool:
    """Whether a definition of the plan was heard."""
    return event.detection.kind in PAGES and bool(event.detection.tone_id)


def heard_in_words(event: ToneDetected) -> str:
    """ "Page heard on fire-dispatch: Engine 7 (349.0 / 433.7 Hz, 1.0 + 2.0 s, SNR 24 dB)"."""
    found = event.detection
    what = "Page" if is_page(event) else "Tones"
    details = [*_tones(found), *([f"digits {found.digits}"] if found.digits else [])]
    if found.system:
        details.append(found.system)
    details.append(f"SNR {found.snr_db:.0f} dB")
    return f"{what} heard on {event.channel_id}: {event.name} ({', '.join(details)})"


def missed_in_words(event: ToneMissed) -> str:
    """ "Nearly a page on fire-dispatch: engine-7 (b_too_short): ..."."""
    name = event.miss.tone_id or event.miss.kind.replace("_", " ")
    return f"Nearly a page on {event.channel_id}: {name} ({event.miss.reason}): {event.miss.explanation}"


def _tones(found: Detection) -> list[str]:
    if not found.tones or found.digits:
        return []  # the tones of digits say less than the digits
    joint = " + " if found.kind is Kind.AT_ONCE else " / "
    shown = found.tones[:4]
    hz = joint.join(f"{tone.hz:.1f}" for tone in shown)
    lengths = " + ".join(f"{_length_s(tone):.1f}" for tone in shown)
    return [f"{hz} Hz", f"{lengths} s"]


def _length_s(tone: ToneSpan) -> float:
    return (tone.end - tone.start) / EAR_RATE_HZ
