"""Sound cards made of files: a voice that is spoken at the pace of the clock, and an ear that hears.

They keep the contract of AudioSource and AudioSink, so a channel cannot tell them from a card.
"""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echostream.audio.format import RATE_HZ, Frame, Samples, samples_per_frame, silence
from echostream.audio.ports import CardSpec
from echostream.audio.resampler import RationalResampler
from echostream.errors import AudioError, SourceClosed
from echostream.hardware.gate import Gate

Ear = Callable[[str, Samples], None]
"""Called with the card's name and each frame that was played."""

_MAX_WAV_S = 3600


def read_wav(path: Path, rate_hz: int = RATE_HZ) -> Samples:
    """A 16-bit PCM WAV of any rate and channel count as mono at `rate_hz`. AudioError names what is wrong."""
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise AudioError(f"{path}: {file.getsampwidth() * 8}-bit samples, expected 16-bit PCM")
            file_hz, channels = file.getframerate(), file.getnchannels()
            data = file.readframes(min(file.getnframes(), file_hz * _MAX_WAV_S))
    except (OSError, EOFError, wave.Error) as error:
        raise AudioError(f"{path}: cannot be read as a WAV file: {error}") from error
    samples = np.frombuffer(data, "<i2").astype(np.int16)
    if channels > 1:
        whole = len(samples) // channels * channels
        samples = samples[:whole].reshape(-1, channels).mean(axis=1).astype(np.int16)
    if file_hz == rate_hz:
        return samples
    resampler = RationalResampler(file_hz, rate_hz)
    tail = np.zeros(2 * resampler.latency_samples * file_hz // rate_hz + 64, np.int16)
    resampled = resampler.process(np.concatenate((samples, tail)))
    wanted = len(samples) * rate_hz // file_hz
    return resampled[resampler.latency_samples :][:wanted]


class Voice:
    """What a file card hears: silence until `speak`, then the recording once (or for ever with `loop`)."""

    def __init__(self, recording: Samples, loop: bool = False) -> None:
        self._recording = recording
        self._loop = loop
        self._lock = threading.Lock()
        self._at = 0 if loop else len(recording)
        self.spoken = threading.Event()

    @property
    def duration_s(self) -> float:
        return len(self._recording) / RATE_HZ

    def speak(self) -> None:
        """From the beginning."""
        with self._lock:
            self._at = 0
            self.spoken.clear()

    def hush(self) -> None:
        """Stop where it is."""
        with self._lock:
            self._at = len(self._recording)
        self.spoken.set()

    def next(self, count: int) -> Samples:
        """The next `count` samples; silence after the end."""
        with self._lock:
            part = self._recording[self._at : self._at + count]
            self._at += len(part)
            ended = self._at >= len(self._recording)
            if ended and self._loop:
                self._at = 0
        if ended and not self._loop:
            self.spoken.set()
        if len(part) == count:
            return part
        return np.concatenate((part, silence(count - len(part))))


class _Pace:
    """Waits for the next frame period of the monotonic clock: no drift; makes up at most what it lost."""

    def __init__(self, frame_ms: int) -> None:
        self._period_s = frame_ms / 1000
        self._due_s = time.monotonic() + self._period_s
        self._closed = Gate()
        self.on_wake: Callable[[float], None] | None = None

    def wait(self) -> float:
        """Block until the next period has ended; returns its instant. SourceClosed after close()."""
        wait_s = self._due_s - time.monotonic()
        if (wait_s > 0 and self._closed.wait(wait_s)) or self._closed.is_set():
            raise SourceClosed("closed")
        if self.on_wake is not None:
            self.on_wake(time.monotonic() - self._due_s)
        due_s = self._due_s
        self._due_s += self._period_s
        return due_s

    def close(self) -> None:
        self._closed.set()


class _Paced:
    """What both directions share."""

    _pace: _Pace

    @property
    def on_wake(self) -> Callable[[float], None] | None:
        return self._pace.on_wake

    @on_wake.setter
    def on_wake(self, note: Callable[[float], None] | None) -> None:
        self._pace.on_wake = note


class FileSource(_Paced):
    """AudioSource over a Voice."""

    def __init__(self, voice: Voice, frame_ms: int) -> None:
        self._voice = voice
        self._frame_samples = samples_per_frame(frame_ms)
        self._pace = _Pace(frame_ms)
        self._index = -1

    def read(self) -> Frame:
        self._pace.wait()
        self._index += 1
        return Frame(self._voice.next(self._frame_samples), self._index, time.monotonic())

    def close(self) -> None:
        self._pace.close()


class FileSink(_Paced):
    """AudioSink over an Ear."""

    def __init__(self, name: str, ear: Ear | None, frame_ms: int) -> None:
        self._name = name
        self._ear = ear
        self._pace = _Pace(frame_ms)
        self._has_room = False

    def wait_for_room(self) -> None:
        if not self._has_room:
            self._pace.wait()
            self._has_room = True

    def write(self, samples: Samples) -> None:
        self.wait_for_room()
        self._has_room = False
        if self._ear is not None:
            self._ear(self._name, samples)

    def close(self) -> None:
        self._pace.close()


class FileCards:
    """Cards by name, each with a voice of its own."""

    def __init__(self, voices: dict[str, Voice], ear: Ear | None = None) -> None:
        self._voices = voices
        self._ear = ear

    def open_source(self, spec: CardSpec) -> FileSource:
        return FileSource(self._voices[spec.name], spec.frame_ms)

    def open_sink(self, spec: CardSpec) -> FileSink:
        return FileSink(spec.name, self._ear, spec.frame_ms)
