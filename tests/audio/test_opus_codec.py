"""Opus: round trip, redundancy, concealment, and packets that nobody meant well."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
from typing import Any

import numpy as np
import opuslib.api
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.opus_codec import (
    MAX_PACKET_SAMPLES,
    EncoderSettings,
    OpusDecoder,
    OpusEncoder,
    has_fec,
    packet_samples,
)
from echostream.errors import CodecError, StateError

LIBOPUS: Any = opuslib.api.libopus


def voice(seconds: float, seed: int = 1) -> Samples:
    """A buzz with formant-like harmonics and syllables: something that Opus takes for speech."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    pitch_hz = 120 + 20 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    tone = sum((np.sin(k * phase) / k for k in range(1, 20)), np.zeros_like(t))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    return np.asarray(5000 * tone * syllables + rng.normal(0, 30, t.size), np.float64).astype(np.int16)


def packets_of(signal: Samples, encoder: OpusEncoder) -> list[bytes]:
    size = encoder.packet_samples
    return [encoder.encode(signal[k : k + size]) for k in range(0, signal.size - size + 1, size)]


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
def test_round_trip_keeps_length_and_sound(packet_ms: int) -> None:
    signal = voice(1.2)
    encoder = OpusEncoder(EncoderSettings(bitrate_bps=64_000), packet_ms)
    decoder = OpusDecoder()
    out = np.concatenate([decoder.decode(packet) for packet in packets_of(signal, encoder)])
    assert out.dtype == np.int16
    assert out.size == signal.size
    # Differences: the VOIP mode turns the phase of the lowest octave. A few lags: the modes differ in delay.
    wanted = np.diff(signal[9600:-9600].astype(float))
    lags = range(encoder.lookahead_samples - 12, encoder.lookahead_samples + 13)
    heard = (np.diff(out[9600 + lag : lag - 9600].astype(float)) for lag in lags)
    assert max(np.corrcoef(wanted, one)[0, 1] for one in heard) > 0.9


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="bitrate_bps 5: expected 6000 to 510000"):
        EncoderSettings(bitrate_bps=5)
    with pytest.raises(ValueError, match="complexity 11"):
        EncoderSettings(complexity=11)
    with pytest.raises(ValueError, match="expected_loss_percent -1"):
        EncoderSettings(expected_loss_percent=-1)
    with pytest.raises(ValueError, match="packet_ms 25"):
        OpusEncoder(EncoderSettings(), 25)


def test_wrong_frame_is_refused_and_names_both_shapes() -> None:
    encoder = OpusEncoder()
    with pytest.raises(ValueError, match=r"int16 of shape \(960,\), got int16 \(480,\)"):
        encoder.encode(np.zeros(480, np.int16))
    with pytest.raises(ValueError, match="float32"):
        encoder.encode(np.zeros(960, np.float32))


def test_encoder_closes_twice_and_then_refuses() -> None:
    encoder = OpusEncoder()
    encoder.close()
    encoder.close()
    with pytest.raises(StateError):
        encoder.encode(np.zeros(960, np.int16))


def test_dtx_is_really_switched_on() -> None:
    encoder = OpusEncoder(EncoderSettings(dtx=True, complexity=7))
    silent = np.zeros(960, np.int16)
    assert min(len(encoder.encode(silent)) for _ in range(60)) <= 2


def test_fec_is_really_switched_on_and_recovers() -> None:
    signal = voice(1.0)
    with_fec = packets_of(signal, OpusEncoder(EncoderSettings(expected_loss_percent=20)))
    without = packets_of(signal, OpusEncoder(EncoderSettings(fec=False)))
    assert sum(map(has_fec, with_fec)) > 20
    assert not any(map(has_fec, without))

    reference, fec, plc = OpusDecoder(), OpusDecoder(), OpusDecoder()
    error_fec = error_plc = 0.0
    for index, packet in enumerate(with_fec):
        wanted = reference.decode(packet).astype(float)
        if index % 5 == 4 and index + 1 < len(with_fec):
            error_fec += float(np.sum((fec.decode_fec(with_fec[index + 1], 960) - wanted) ** 2))
            error_plc += float(np.sum((plc.conceal(960) - wanted) ** 2))
        else:
            fec.decode(packet)
            plc.decode(packet)
    assert error_fec < 0.7 * error_plc


def test_reset_makes_a_decoder_new() -> None:
    packets = packets_of(voice(0.4), OpusEncoder())
    used, fresh = OpusDecoder(), OpusDecoder()
    for packet in packets:
        used.decode(packet)
    used.reset()
    np.testing.assert_array_equal(used.decode(packets[3]), fresh.decode(packets[3]))


def test_concealment_has_the_asked_length() -> None:
    decoder = OpusDecoder()
    decoder.decode(packets_of(voice(0.1), OpusEncoder())[2])
    assert decoder.conceal(960).size == 960
    assert decoder.conceal(MAX_PACKET_SAMPLES).size == MAX_PACKET_SAMPLES
    for impossible in (0, -120, 100, 5880):
        with pytest.raises(ValueError, match="multiple of 120"):
            decoder.conceal(impossible)


def test_result_is_not_overwritten_by_the_next_call() -> None:
    packets = packets_of(voice(0.2), OpusEncoder())
    decoder = OpusDecoder()
    first = decoder.decode(packets[4])
    kept = first.copy()
    decoder.decode(packets[5])
    np.testing.assert_array_equal(first, kept)


def test_empty_packet_is_an_error_and_not_a_concealment() -> None:
    for call in (OpusDecoder().decode, packet_samples, has_fec):
        with pytest.raises(CodecError, match="empty"):
            call(b"")


def oracle_samples(packet: bytes) -> int:
    """What libopus's own parser says: samples, or a negative error."""
    sizes = (ctypes.c_int16 * 48)()
    frames = LIBOPUS.opus_packet_parse(packet, ctypes.c_int32(len(packet)), None, None, sizes, None)
    if frames <= 0:
        return -1
    return int(frames * LIBOPUS.opus_packet_get_samples_per_frame(packet, ctypes.c_int32(RATE_HZ)))


@settings(max_examples=600, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=80),
        st.builds(
            lambda toc, count, rest: bytes([toc | 3, count]) + rest,
            st.integers(0, 255),
            st.integers(0, 255),
            st.binary(max_size=1400),
        ),
    )
)
def test_any_bytes_agree_with_libopus_parser_and_never_crash(packet: bytes) -> None:
    expected = oracle_samples(packet)
    if expected < 0:
        with pytest.raises(CodecError):
            packet_samples(packet)
    else:
        assert packet_samples(packet) == expected
        has_fec(packet)
    decoder = OpusDecoder()
    with contextlib.suppress(CodecError):
        assert 0 < decoder.decode(packet).size <= MAX_PACKET_SAMPLES
    with contextlib.suppress(CodecError):
        assert 0 < decoder.decode_fec(packet, 960).size <= MAX_PACKET_SAMPLES
    assert decoder.conceal(960).size == 960


def test_a_hundred_milliseconds_of_a_phone() -> None:
    frames = packets_of(voice(0.2), OpusEncoder())[:5]
    assert len({f[0] for f in frames}) == 1
    assert max(map(len, frames)) < 252
    lengths = bytes(len(f) - 1 for f in frames[:-1])
    packet = bytes([frames[0][0] | 3, 0x80 | 5]) + lengths + b"".join(f[1:] for f in frames)
    assert packet_samples(packet) == 4800
    assert OpusDecoder().decode(packet).size == 4800


def test_missing_library_names_the_package() -> None:
    script = (
        "import ctypes.util\n"
        "ctypes.util.find_library = lambda name: None\n"
        "from echostream.errors import LibraryMissing\n"
        "try:\n    import echostream.audio.opus_codec\n"
        "except LibraryMissing as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "libopus0" in done.stdout
