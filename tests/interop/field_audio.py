"""What a stranger needs to read and write the audio datagrams: AES-GCM, libopus, and an ear for likeness."""

from __future__ import annotations

import base64
import json
import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import opuslib
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

RATE_HZ: Final = 48_000
Pcm = NDArray[np.int16]
SPEECH_DIR: Final = Path(__file__).parents[2] / "echostream" / "simulator" / "speech"


@dataclass(frozen=True, slots=True)
class Opened:
    """One decrypted datagram. `prefix`, `tick`: the halves of its IV; `at`: Unix seconds of its arrival."""

    at: float
    prefix: bytes
    tick: int
    packet: bytes


def new_key() -> str:
    """Base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(32)).decode()


def open_datagram(raw: bytes, key_base64: str, at: float = 0.0) -> Opened:
    """By the letter: one object of exactly three keys, strict base64, no associated data."""
    body: dict[str, Any] = json.loads(raw)
    assert sorted(body) == ["channel_id", "data", "type"]
    assert body["type"] == "audio"
    sealed = base64.b64decode(body["data"], validate=True)
    packet = AESGCM(base64.b64decode(key_base64)).decrypt(sealed[:12], sealed[12:], None)
    return Opened(at, sealed[:6], int.from_bytes(sealed[6:12], "big"), packet)


def seal(key_base64: str, packet: bytes, iv: bytes | None = None) -> bytes:
    """IV || ciphertext || tag; a random IV unless one is given."""
    iv = iv or os.urandom(12)
    return iv + AESGCM(base64.b64decode(key_base64)).encrypt(iv, packet, None)


def counted_iv(prefix: bytes, tick: int) -> bytes:
    return prefix + tick.to_bytes(6, "big")


def plain_datagram(channel: object, sealed: bytes) -> bytes:
    """As most clients write it."""
    body = {"channel_id": channel, "type": "audio", "data": base64.b64encode(sealed).decode()}
    return json.dumps(body).encode()


def odd_datagram(channel: object, sealed: bytes) -> bytes:
    """As some do: other keys, other order, lines of 76 in the base64, no padding at its end."""
    text = base64.encodebytes(sealed).decode().rstrip("\n=")
    body = {"seq": 7, "data": text, "type": "audio", "codec": {"n": 1}, "channel_id": channel}
    return json.dumps(body).encode()


def read_wav(path: Path) -> Pcm:
    """A WAV of 16 or 48 kHz, 16-bit, mono, as 48 kHz."""
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2
        assert file.getnchannels() == 1
        rate = file.getframerate()
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    if rate == RATE_HZ:
        return pcm
    assert rate * 3 == RATE_HZ
    spectrum = np.fft.rfft(pcm.astype(np.float64))
    return np.clip(3 * np.fft.irfft(spectrum, 3 * len(pcm)), -32768, 32767).astype(np.int16)


def write_wav(path: Path, pcm: Pcm, rate: int = RATE_HZ) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())


def encode(pcm: Pcm, frame_ms: int, bitrate: int = 64_000) -> list[bytes]:
    """Opus packets of whole frames, VOIP, VBR."""
    encoder = opuslib.Encoder(RATE_HZ, 1, "voip")
    encoder.bitrate = bitrate
    count = RATE_HZ * frame_ms // 1000
    return [
        encoder.encode(pcm[start : start + count].astype("<i2").tobytes(), count)
        for start in range(0, len(pcm) - count + 1, count)
    ]


def decode(packets: Sequence[bytes]) -> Pcm:
    """One after another, the largest legal frame allowed for."""
    decoder = opuslib.Decoder(RATE_HZ, 1)
    parts = [np.frombuffer(decoder.decode(packet, 5760), "<i2") for packet in packets]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def packet_ms(packet: bytes) -> float:
    """Length and shape by the table of contents (RFC 6716, 3.1); AssertionError for stereo."""
    toc = packet[0]
    assert not toc & 4, "stereo"
    config = toc >> 3
    if config < 12:
        frame: float = (10, 20, 40, 60)[config % 4]
    elif config < 16:
        frame = (10, 20)[config % 2]
    else:
        frame = (2.5, 5, 10, 20)[config % 4]
    count = {0: 1, 1: 2, 2: 2}.get(toc & 3) or packet[1] & 63
    return frame * count


def likeness(heard: Pcm, said: Pcm) -> tuple[float, int]:
    """(peak of the normalised cross-correlation, samples by which `heard` lies later than `said`)."""
    count = len(heard) + len(said)
    size = 1 << (count - 1).bit_length()
    one, two = heard.astype(np.float64), said.astype(np.float64)
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size)), size)
    lag = int(np.argmax(product))
    peak = float(product[lag])
    if lag > size // 2:
        lag -= size
    first, last = max(0, lag), min(len(one), lag + len(two))
    if last <= first:
        return 0.0, lag
    shared_one, shared_two = one[first:last], two[first - lag : last - lag]
    energy = float(np.sqrt(np.dot(shared_one, shared_one) * np.dot(shared_two, shared_two)))
    return (peak / energy if energy else 0.0), lag


def likeness_by_window(heard: Pcm, said: Pcm, window_s: float = 0.5, reach_s: float = 0.4) -> list[float]:
    """The likeness of each window of `said` that holds sound, wherever near its place `heard` has it.

    A receiver may stretch time; so each window is looked for within `reach_s` of where the whole fits best.
    """
    _, lag = likeness(heard, said)
    window, reach = int(window_s * RATE_HZ), int(reach_s * RATE_HZ)
    loud = float(np.sqrt(np.mean(said.astype(np.float64) ** 2)))
    found = []
    for start in range(0, len(said) - window + 1, window):
        part = said[start : start + window]
        if np.sqrt(np.mean(part.astype(np.float64) ** 2)) < 0.5 * loud:
            continue
        first = max(0, start + lag - reach)
        found.append(likeness(heard[first : start + lag + window + reach], part)[0])
    return found
