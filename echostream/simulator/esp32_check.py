"""Whether a recorder kept what simulated microphones sent: each sample, in order, where it was in time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.archive.sound_library import AudioReader
from echostream.audio.format import Samples
from echostream.errors import ArchiveError, ConfigError
from echostream.simulator.esp32_device import Esp32Device, Sent
from echostream.simulator.esp32_plan import Esp32Plan

WAIT_S: Final = 10.0
"""How long the recorder may take to close what it writes."""
LOOK_EVERY_S: Final = 0.25
SLACK_S: Final = 2.0
"""What begins so long after a connection's last sample is another one's."""
_BLOCK: Final = 1 << 20
_FORMS: Final = (".wav", ".flac", ".opus")


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one connection. sent, recorded: samples, without silence that stands for gaps. late_ms: of its first
    sample's time, None where nothing was recorded. lost_s: audio that was lost in the device or on the way;
    told_s: gaps that the recordings tell of, between their files too. fault: "" when all is well."""

    device: str
    connection: int
    sent: int
    recorded: int
    late_ms: float | None
    lost_s: float
    told_s: float
    fault: str = ""


def check_form(plan: Esp32Plan) -> None:
    """ConfigError for streams that cannot be compared: only 16-bit mono is recorded as it was sent."""
    if plan.format != "s16le" or plan.channels != 1:
        raise ConfigError("--check: only s16le with one channel is recorded as it was sent")


def check(plan: Esp32Plan, devices: list[Esp32Device], directory: Path, since_s: float) -> list[Verdict]:
    """Compare with an archive's folder. since_s: Unix seconds before which nothing of it is ours."""
    to_unix_s = time.time() - time.monotonic()
    names = {device.name: _name(plan, device) for device in devices}
    made = _when_closed(directory, set(names.values()), since_s)
    verdicts = []
    for device in devices:
        left = [one for one in made if one.source == names[device.name]]
        for sent in device.sent:
            if sent.samples:
                verdicts.append(_verdict(directory, device.name, sent, left, plan.rate_hz, to_unix_s))
    return verdicts


def words(verdicts: list[Verdict]) -> list[str]:
    """For people: what is wrong, line by line, and the sum."""
    wrong = [verdict for verdict in verdicts if verdict.fault]
    lines = [f"{one.device}, connection {one.connection}: {one.fault}" for one in wrong]
    late = [abs(one.late_ms) for one in verdicts if one.late_ms is not None]
    text = f"recorded to the sample: {len(verdicts) - len(wrong)} of {len(verdicts)} connections"
    if late:
        text += f"; their first samples' times are within {max(late):.0f} ms"
    lost_s, told_s = sum(one.lost_s for one in verdicts), sum(one.told_s for one in verdicts)
    if lost_s or told_s:
        text += f"; {lost_s:.1f} s were lost on the way, gaps tell of {told_s:.1f} s"
    return [*lines, text]


def _name(plan: Esp32Plan, device: Esp32Device) -> str:
    """What the gateway calls it; a device without hello is taken for one without an entry."""
    if plan.hello or not device.sent:
        return device.name
    return "esp32-" + device.sent[0].source.rpartition(":")[0]


def _when_closed(directory: Path, sources: set[str], since_s: float) -> list[Recording]:
    """What there is of them, in the order of time, once none of it is being written any more."""
    until_s = time.monotonic() + WAIT_S
    pause = threading.Event()
    while True:
        made = [one for one in _made(directory, since_s) if one.source in sources]
        if time.monotonic() > until_s or (made and not any(one.state == "open" for one in made)):
            return sorted(made, key=lambda one: one.start_us)
        pause.wait(LOOK_EVERY_S)


def _made(directory: Path, since_s: float) -> Iterator[Recording]:
    for meta in sorted(directory.glob("*/.meta/*.json")):
        try:
            if meta.stat().st_mtime >= since_s:
                one = read_meta(meta)
                if one.kind in ("device", "quarantine") and one.end_us >= since_s * 1e6:
                    yield one
        except (OSError, ArchiveError):
            continue  # removed a moment ago, or none of ours


def _verdict(
    directory: Path, device: str, sent: Sent, left: list[Recording], rate_hz: int, to_unix_s: float
) -> Verdict:
    """Takes from `left` the recordings that this connection filled."""
    digest = hashlib.sha256()
    recorded = told_us = 0
    first: Recording | None = None
    fault = ""
    whole_s = (sent.samples + sent.lost_samples) / rate_hz
    latest_us = 1e6 * (sent.first_at_s + whole_s + SLACK_S + to_unix_s)
    while left and left[0].start_us < latest_us and (recorded < sent.samples or _is_silence(left[0])):
        one = left.pop(0)
        first = first or one
        before = [one.gap_before] if one.gap_before is not None and one is not first else []
        told_us += sum(gap.end_us - gap.start_us for gap in (*one.gaps, *before))
        try:
            samples = _without_gaps(_read(directory, one), one)
        except (OSError, ArchiveError) as error:
            fault = str(error)
            break
        digest.update(samples.astype("<i2").tobytes())
        recorded += samples.size
    late_ms = None if first is None else first.start_us / 1e3 - 1e3 * (sent.first_at_s + to_unix_s)
    if not fault and recorded != sent.samples:
        fault = f"{sent.samples} samples were sent, {recorded} are recorded"
    elif not fault and digest.hexdigest() != sent.sha256:
        fault = f"{recorded} samples are recorded, but not those that were sent"
    lost_s, told_s = sent.lost_samples / rate_hz, told_us / 1e6
    return Verdict(device, sent.number, sent.samples, recorded, late_ms, lost_s, told_s, fault)


def _read(directory: Path, one: Recording) -> Samples:
    """All of it, in whichever form it is by now."""
    place = place_of(directory, one.path)
    stem = directory / one.path
    found = next((stem.with_suffix(form) for form in _FORMS if stem.with_suffix(form).exists()), None)
    if found is None:
        raise ArchiveError(f"{place.meta}: the audio is not there")
    if found.suffix == ".opus":
        raise ArchiveError(f"{found}: Opus is not to the sample; record WAV or FLAC to compare")
    with AudioReader(found) as reader:
        blocks = []
        while (block := reader.read(_BLOCK)).size:
            blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def _is_silence(one: Recording) -> bool:
    """Nothing but a gap: what was lost at the end of a stream that was just cut into segments."""
    return (
        sum(gap.end_us - gap.start_us for gap in one.gaps if gap.position is not None)
        >= one.duration_us - 100
    )


def _without_gaps(samples: Samples, one: Recording) -> Samples:
    """What the device sent: silence that stands for gaps is not of it."""
    keep = np.ones(samples.size, bool)
    for gap in one.gaps:
        if gap.position is not None:
            length = round((gap.end_us - gap.start_us) * one.rate_hz / 1e6)
            keep[gap.position : gap.position + length] = False
    return samples[keep]
