"""The check finds each way in which a recorder may not have kept what was sent, and nothing else."""

from __future__ import annotations

import hashlib
import time
import uuid
import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from echostream.archive.meta_files import write_meta
from echostream.archive.recording import Gap, Recording
from echostream.audio.format import Samples
from echostream.errors import ConfigError
from echostream.simulator import esp32_check
from echostream.simulator.esp32_check import Verdict, check, check_form, words
from echostream.simulator.esp32_device import Esp32Device, Sent
from echostream.simulator.esp32_plan import Esp32Plan, Loop

RATE_HZ = 16_000
PLAN = Esp32Plan("127.0.0.1", 9000, hello=True, name="mic")
SAID = np.random.default_rng(3).integers(-9000, 9000, 3 * RATE_HZ).astype(np.int16)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esp32_check, "WAIT_S", 0.3)


def keep(folder: Path, at_s: float, samples: Samples, source: str = "mic", **changes: object) -> Recording:
    """A closed recording that begins at a Unix time."""
    began = datetime.fromtimestamp(at_s, UTC)
    path = f"{began:%Y-%m-%d}/{began:%Y-%m-%d_%H%M_%S}_{source}.wav"
    ((folder / path).parent / ".meta").mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    recording = Recording(
        id=uuid.uuid4().hex,
        path=path,
        form="wav",
        gateway="test",
        source=source,
        kind="device",
        trigger="continuous",
        start_us=round(at_s * 1e6),
        rate_hz=RATE_HZ,
        samples=samples.size,
        state="closed",
        **changes,  # type: ignore[arg-type]
    )
    write_meta(folder, recording)
    return recording


def sender(*parts: Samples, began_s: float, plan: Esp32Plan = PLAN) -> Esp32Device:
    """A device whose connections sent these, one after another, beginning at a Unix time."""
    device = Esp32Device(plan, 0, Loop(SAID, plan), 0.0)
    at_s = began_s + time.monotonic() - time.time()
    for number, part in enumerate(parts, 1):
        digest = hashlib.sha256(part.astype("<i2").tobytes()).hexdigest()
        device.sent.append(
            Sent(number, at_s, "127.0.0.7:4000", at_s, part.size, 1, ended="ended", sha256=digest)
        )
        at_s += part.size / RATE_HZ + 5
    return device


def verdicts(folder: Path, device: Esp32Device, plan: Esp32Plan = PLAN) -> list[Verdict]:
    return check(plan, [device], folder, time.time() - 60)


def test_segments_and_filled_gaps_are_put_together(tmp_path: Path) -> None:
    now = time.time() - 20
    quiet = np.zeros(800, np.int16)
    first, second = SAID[:RATE_HZ], SAID[RATE_HZ:]
    gap = Gap(round(now * 1e6), round(now * 1e6) + 50_000, "device lost audio", position=5000)
    keep(tmp_path, now, np.concatenate((first[:5000], quiet, first[5000:])), gaps=[gap])
    keep(tmp_path, now + 1.05, second)
    (verdict,) = verdicts(tmp_path, sender(SAID, began_s=now))
    assert verdict.fault == ""
    assert (verdict.recorded, verdict.told_s, verdict.lost_s) == (SAID.size, 0.05, 0.0)
    assert verdict.late_ms == pytest.approx(0, abs=5)


def test_each_connection_finds_its_own(tmp_path: Path) -> None:
    now = time.time() - 40
    parts = (SAID[:RATE_HZ], SAID[RATE_HZ : 2 * RATE_HZ], SAID[2 * RATE_HZ :])
    keep(tmp_path, now, parts[0])
    keep(tmp_path, now + 12, parts[2])
    keep(tmp_path, now, SAID, source="other")
    told = verdicts(tmp_path, sender(*parts, began_s=now))
    assert [bool(verdict.fault) for verdict in told] == [False, True, False]
    assert told[1].fault == "16000 samples were sent, 0 are recorded"
    assert told[1].late_ms is None


@pytest.mark.parametrize(
    ("recorded", "words_of_it"),
    [
        (SAID[:-1], "48000 samples were sent, 47999 are recorded"),
        (np.concatenate((SAID, SAID[:1])), "48000 samples were sent, 48001 are recorded"),
        (SAID[::-1], "not those that were sent"),
        (np.concatenate((SAID[1:], SAID[:1])), "not those that were sent"),
    ],
)
def test_a_single_sample_is_noticed(tmp_path: Path, recorded: Samples, words_of_it: str) -> None:
    now = time.time() - 20
    keep(tmp_path, now, recorded)
    (verdict,) = verdicts(tmp_path, sender(SAID, began_s=now))
    assert words_of_it in verdict.fault


def test_a_start_that_is_off_is_told(tmp_path: Path) -> None:
    now = time.time() - 20
    keep(tmp_path, now + 0.4, SAID)
    told = verdicts(tmp_path, sender(SAID, began_s=now))
    assert told[0].late_ms == pytest.approx(400, abs=5)
    assert words(told) == [
        "recorded to the sample: 1 of 1 connections; their first samples' times are within 400 ms"
    ]


def test_what_was_lost_on_the_way_stands_beside_what_the_gaps_tell(tmp_path: Path) -> None:
    now = time.time() - 20
    us = round(now * 1e6)
    keep(tmp_path, now, SAID[:RATE_HZ])
    between = Gap(us + 1_000_000, us + 4_000_000, "device lost audio")
    keep(tmp_path, now + 4, SAID[RATE_HZ:], gap_before=between)
    device = sender(SAID, began_s=now)
    device.sent[0].lost_samples = 3 * RATE_HZ + 1600
    told = verdicts(tmp_path, device)
    assert (told[0].fault, told[0].lost_s, told[0].told_s) == ("", 3.1, 3.0)
    assert words(told)[-1].endswith("3.1 s were lost on the way, gaps tell of 3.0 s")


def test_a_gap_that_ends_a_stream_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    now = time.time() - 40
    parts = (SAID[:RATE_HZ], SAID[RATE_HZ : 2 * RATE_HZ])
    keep(tmp_path, now, parts[0])
    us = round((now + 1.2) * 1e6)
    silent = Gap(us, us + 250_000, "device lost audio", position=0)
    keep(tmp_path, now + 1.2, np.zeros(4000, np.int16), gaps=[silent])
    keep(tmp_path, now + 6, parts[1])
    first, second = verdicts(tmp_path, sender(*parts, began_s=now))
    assert (first.fault, first.told_s, second.fault, second.told_s) == ("", 0.25, "", 0.0)
    assert second.late_ms == pytest.approx(0, abs=5)


def test_audio_that_is_gone_and_opus_are_faults_and_no_crash(tmp_path: Path) -> None:
    now = time.time() - 20
    one = keep(tmp_path, now, SAID)
    (tmp_path / one.path).rename((tmp_path / one.path).with_suffix(".opus"))
    assert "Opus is not to the sample" in verdicts(tmp_path, sender(SAID, began_s=now))[0].fault
    (tmp_path / one.path).with_suffix(".opus").unlink()
    told = verdicts(tmp_path, sender(SAID, began_s=now))
    assert "the audio is not there" in told[0].fault
    assert words(told)[0].startswith("mic, connection 1: ")


def test_a_device_without_hello_is_looked_for_by_its_address(tmp_path: Path) -> None:
    now = time.time() - 20
    plan = Esp32Plan("127.0.0.1", 9000)
    keep(tmp_path, now, SAID, source="esp32-127.0.0.7")
    (verdict,) = verdicts(tmp_path, sender(SAID, began_s=now, plan=plan), plan)
    assert verdict.fault == ""


def test_older_recordings_and_an_empty_archive_are_not_taken_for_it(tmp_path: Path) -> None:
    now = time.time()
    keep(tmp_path, now - 4000, SAID)
    (verdict,) = check(PLAN, [sender(SAID, began_s=now)], tmp_path, now - 1)
    assert verdict.recorded == 0


@pytest.mark.parametrize("changes", [{"format": "u8"}, {"channels": 2}])
def test_what_is_not_recorded_as_sent_cannot_be_checked(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="--check"):
        check_form(Esp32Plan("127.0.0.1", 9000, **changes))  # type: ignore[arg-type]
