"""Pages in words for the log: what was heard, for people who stand beside a radio."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.events import ToneDetected, ToneMissed
from echostream.tones.heard import PAGES, Detection, Kind, ToneSpan
from echostream.tones.stream import EAR_RATE_HZ


def is_page(event: ToneDetected) -> bool:
    """Whether a definition of the plan was heard."""
    return event.detection.kind in PAGES and bool(event.detection.tone_id)


def heard_in_words(event: ToneDetected) -> str:
    """ "Page heard on fire-dispatch: Engine 7 (349.0 / 433.7 Hz, 1.0 + 2.0 s, SNR 24 dB)"."""
    found = event.detection
    what = "Page" if is_page(event) else "Heard"
    place = f"heard on {event.channel_id}" if is_page(event) else f"on {event.channel_id}"
    details = [*_tones(found)]
    if found.digits and found.digits not in event.name:
        details.append(f"{found.system.upper()} {found.digits}".strip())
    details.append(f"SNR {found.snr_db:.0f} dB")
    return f"{what} {place}: {event.name} ({', '.join(details)})"


def missed_in_words(event: ToneMissed) -> str:
    """ "Nearly a page on fire-dispatch: engine-7 (b_too_short): ..."."""
    name = event.miss.tone_id or event.miss.kind.replace("_", " ")
    return f"Nearly a page on {event.channel_id}: {name} ({event.miss.reason}): {event.miss.explanation}"


def _tones(found: Detection) -> list[str]:
    if not found.tones or found.digits:
        return []  # the tones of digits say less than the digits
    if found.kind is Kind.AT_ONCE:
        pairs = [found.tones[at : at + 2] for at in range(0, len(found.tones), 2)]
        hz = ", then ".join(" + ".join(f"{tone.hz:.1f}" for tone in pair) for pair in pairs)
        return [f"{hz} Hz", _lengths([pair[0] for pair in pairs])]
    hz = " / ".join(f"{tone.hz:.1f}" for tone in found.tones)
    return [f"{hz} Hz", _lengths(found.tones)]


def _lengths(tones: Sequence[ToneSpan]) -> str:
    return " + ".join(f"{(tone.end - tone.start) / EAR_RATE_HZ:.1f}" for tone in tones) + " s"
