"""Opus (RFC 6716), mono, 48 kHz out, any rate that Opus takes in, over the libopus that `opuslib` found.

The binding's classes are passed over: their `inband_fec` and `dtx` setters fail, and their decode copies
every sample through Python. Its control requests and its library handle serve; audio goes through buffers
that are reused from call to call. One encoder or decoder belongs to one thread at a time.
"""

from __future__ import annotations

import ctypes
import warnings
import weakref
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from echostream.audio.format import RATE_HZ, Samples
from echostream.errors import CodecError, LibraryMissing, StateError

try:
    with warnings.catch_warnings():
        # The binding compares integers with `is not`; Python warns whenever it compiles the file anew.
        warnings.simplefilter("ignore", SyntaxWarning)
        import opuslib
        import opuslib.api.ctl as _ctl
        import opuslib.api.decoder as _decoder_api
        import opuslib.api.encoder as _encoder_api
except ImportError as error:
    raise LibraryMissing("Python package opuslib is not installed: pip install opuslib") from error
except Exception as error:  # the binding raises a bare Exception when it finds no libopus
    raise LibraryMissing(f"libopus is not installed: apt install libopus0 ({error})") from error

PACKET_MS_CHOICES: Final = (10, 20, 40, 60)
RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What an encoder takes as it is (RFC 6716 section 2)."""
MAX_PACKET_SAMPLES: Final = 5760
"""120 ms, the longest legal packet (RFC 6716 section 2.1.4)."""
MAX_ENCODED_BYTES: Final = 4000
"""Above the largest result: three frames of 1275 bytes for 60 ms at 510 kbit/s."""
MAX_FRAME_BYTES: Final = 1275
_INT16: Final = np.dtype(np.int16)
_APPLICATION_VOIP: Final = 2048
_APPLICATION_AUDIO: Final = 2049
_SILK_SAMPLES: Final = (480, 960, 1920, 2880)
_HYBRID_SAMPLES: Final = (480, 960)
_CELT_SAMPLES: Final = (120, 240, 480, 960)
_FIRST_HYBRID_CONFIG: Final = 12
_FIRST_CELT_CONFIG: Final = 16


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What the encoder is asked for. Raises ValueError for a value that Opus would refuse.

    voice: shaped for speech to be understood; False: true to any sound, as an archive wants it.
    """

    bitrate_bps: int = 24_000
    complexity: int = 5
    fec: bool = True
    dtx: bool = False
    expected_loss_percent: int = 10
    voice: bool = True

    def __post_init__(self) -> None:
        _check_range("bitrate_bps", self.bitrate_bps, 6_000, 510_000)
        _check_range("complexity", self.complexity, 0, 10)
        _check_range("expected_loss_percent", self.expected_loss_percent, 0, 100)


class OpusEncoder:
    """Frames of `packet_ms` in, one packet each out."""

    def __init__(
        self, settings: EncoderSettings | None = None, packet_ms: int = 20, rate_hz: int = RATE_HZ
    ) -> None:
        """Raises ValueError for a packet length or rate that is not offered, CodecError when libopus refuses.

        rate_hz: of the samples; what hears the packets need not know it.
        """
        if packet_ms not in PACKET_MS_CHOICES:
            raise ValueError(f"packet_ms {packet_ms}: expected one of {PACKET_MS_CHOICES}")
        if rate_hz not in RATES_HZ:
            raise ValueError(f"rate_hz {rate_hz}: expected one of {RATES_HZ}")
        self.packet_samples: Final = rate_hz * packet_ms // 1000
        self._pcm = np.zeros(self.packet_samples, np.int16)
        self._pcm_pointer = self._pcm.ctypes.data_as(opuslib.api.c_int16_pointer)
        self._out = (ctypes.c_char * MAX_ENCODED_BYTES)()
        self._out_view = memoryview(self._out)
        settings = settings or EncoderSettings()
        application = _APPLICATION_VOIP if settings.voice else _APPLICATION_AUDIO
        self._state: Any = _create(_encoder_api, rate_hz, 1, application)
        self._free = weakref.finalize(self, _encoder_api.destroy, self._state)
        self._closed = False
        self._apply(settings)

    def _apply(self, settings: EncoderSettings) -> None:
        for name, request, value in (
            ("bitrate_bps", _ctl.set_bitrate, settings.bitrate_bps),
            ("complexity", _ctl.set_complexity, settings.complexity),
            ("fec", _ctl.set_inband_fec, int(settings.fec)),
            ("dtx", _ctl.set_dtx, int(settings.dtx)),
            ("expected_loss_percent", _ctl.set_packet_loss_perc, settings.expected_loss_percent),
        ):
            try:
                _encoder_api.encoder_ctl(self._state, request, value)
            except opuslib.OpusError as error:
                raise CodecError(f"libopus refuses {name} = {value}: {error}") from error

    @property
    def lookahead_samples(self) -> int:
        """Samples by which the codec delays its input, at the encoder's own rate."""
        self._check_open()
        return int(_encoder_api.encoder_ctl(self._state, _ctl.get_lookahead))

    def encode(self, samples: Samples) -> bytes:
        """One packet of shape (packet_samples,) int16; two bytes or fewer mean DTX: nothing need be sent.

        Raises ValueError for another shape or dtype, CodecError when libopus fails, StateError after close().
        """
        self._check_open()
        if samples.dtype != _INT16 or samples.shape != (self.packet_samples,):
            wanted = f"int16 of shape ({self.packet_samples},)"
            raise ValueError(f"encode: expected {wanted}, got {samples.dtype} {samples.shape}")
        self._pcm[...] = samples
        size = _encoder_api.libopus_encode(
            self._state, self._pcm_pointer, self.packet_samples, self._out, MAX_ENCODED_BYTES
        )
        if size < 0:
            raise CodecError(f"opus_encode: {opuslib.OpusError(size)}")
        return self._out_view[:size].tobytes()

    def reset(self) -> None:
        """Forget the signal so far; the settings stay."""
        self._check_open()
        _encoder_api.encoder_ctl(self._state, _ctl.reset_state)

    def close(self) -> None:
        """Free the state. Idempotent."""
        self._closed = True
        self._free()

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("the Opus encoder is closed")


class OpusDecoder:
    """Packets in, samples out; also what was lost, from redundancy (FEC) or extrapolated (PLC)."""

    def __init__(self) -> None:
        self._pcm = np.zeros(MAX_PACKET_SAMPLES, np.int16)
        self._pcm_pointer = self._pcm.ctypes.data_as(opuslib.api.c_int16_pointer)
        self._state: Any = _create(_decoder_api, RATE_HZ, 1)
        weakref.finalize(self, _decoder_api.destroy, self._state)

    def decode(self, packet: bytes) -> Samples:
        """The packet's samples: shape (n,) int16, n up to 5760. Raises CodecError for a bad packet."""
        if not packet:
            raise CodecError("opus_decode: the packet is empty")
        return self._decode(packet, MAX_PACKET_SAMPLES, 0)

    def decode_fec(self, packet: bytes, samples: int) -> Samples:
        """The `samples` before `packet`, from the redundancy in it as far as that reaches, else extrapolated.

        Call it before decode(packet). Raises ValueError for an impossible count, CodecError for a bad packet.
        """
        if not packet:
            raise CodecError("opus_decode: the packet is empty")
        return self._decode(packet, _check_missing(samples), 1)

    def conceal(self, samples: int) -> Samples:
        """`samples` extrapolated from what came before (PLC). Raises ValueError for an impossible count."""
        return self._decode(None, _check_missing(samples), 0)

    def reset(self) -> None:
        """Forget the signal so far."""
        _decoder_api.decoder_ctl(self._state, _ctl.reset_state)

    def _decode(self, packet: bytes | None, samples: int, fec: int) -> Samples:
        size = 0 if packet is None else len(packet)
        count = _decoder_api.libopus_decode(self._state, packet, size, self._pcm_pointer, samples, fec)
        if count < 0:
            raise CodecError(f"opus_decode of {size} bytes: {opuslib.OpusError(count)}")
        return self._pcm[:count].copy()


def packet_samples(packet: bytes) -> int:
    """Samples at 48 kHz in `packet` (RFC 6716 section 3). Raises CodecError for an illegal one."""
    return _parse(packet)[0]


def has_fec(packet: bytes) -> bool:
    """Whether `packet` carries redundancy for its predecessor: the LBRR flag of RFC 6716 section 4.2.4.

    Raises CodecError for an illegal packet.
    """
    _, first_frame, first_size = _parse(packet)
    if packet[0] >> 3 >= _FIRST_CELT_CONFIG or first_size == 0:
        return False
    # One VAD bit per 20 ms SILK frame stands before the LBRR bit, first the middle channel, then the side.
    silk_frames = max(1, _frame_samples(packet[0]) // 960)
    head = packet[first_frame]
    middle = bool(head >> (7 - silk_frames) & 1)
    stereo = bool(packet[0] & 4)
    return middle or (stereo and bool(head >> (6 - 2 * silk_frames) & 1))


def _frame_samples(toc: int) -> int:
    """Samples of one frame from the TOC byte's configuration (RFC 6716 table 2)."""
    config = toc >> 3
    if config < _FIRST_HYBRID_CONFIG:
        return _SILK_SAMPLES[config & 3]
    if config < _FIRST_CELT_CONFIG:
        return _HYBRID_SAMPLES[config & 1]
    return _CELT_SAMPLES[config & 3]


def _parse(packet: bytes) -> tuple[int, int, int]:
    """(samples of all frames, offset of the first frame, its size); CodecError for what the RFC forbids."""
    if not packet:
        raise CodecError("Opus packet: empty, at least the TOC byte is required")
    per_frame = _frame_samples(packet[0])
    code = packet[0] & 3
    if code == 0:
        frames, offset, size = 1, 1, len(packet) - 1
    elif code == 1:
        frames, offset, size = 2, 1, (len(packet) - 1) // 2
        if (len(packet) - 1) % 2:
            raise CodecError(f"Opus packet of {len(packet)} bytes: two equal frames need an even payload")
    elif code == 2:
        frames = 2
        size, offset = _read_size(packet, 1, len(packet))
        _check_frame_size(packet, len(packet) - offset - size)
    else:
        frames, offset, size = _parse_counted(packet, per_frame)
    _check_frame_size(packet, size)
    return frames * per_frame, offset, size


def _parse_counted(packet: bytes, per_frame: int) -> tuple[int, int, int]:
    """Code 3 (RFC 6716 section 3.2.5): (frames, offset of the first frame, its size)."""
    if len(packet) < 2:
        raise CodecError("Opus packet of 1 byte: code 3 needs a frame count")
    frames = packet[1] & 0x3F
    if frames == 0 or frames * per_frame > MAX_PACKET_SAMPLES:
        raise CodecError(f"Opus packet: {frames} frames of {per_frame} samples, allowed are 1 to 120 ms")
    offset, end = 2, len(packet)
    if packet[1] & 0x40:
        offset, padding = _read_padding(packet)
        end -= padding
    if end < offset:
        raise CodecError(f"Opus packet of {len(packet)} bytes: its padding is longer than itself")
    if not packet[1] & 0x80:
        size, rest = divmod(end - offset, frames)
        if rest:
            raise CodecError(f"Opus packet: {end - offset} bytes do not divide into {frames} equal frames")
        return frames, offset, size
    sizes = []
    for _ in range(frames - 1):
        size, offset = _read_size(packet, offset, end)
        sizes.append(size)
    sizes.append(end - offset - sum(sizes))
    for size in sizes:
        _check_frame_size(packet, size)
    return frames, offset, sizes[0]


def _read_padding(packet: bytes) -> tuple[int, int]:
    """(offset behind the padding's length bytes, bytes of padding at the end)."""
    offset, padding = 2, 0
    while True:
        if offset >= len(packet):
            raise CodecError(f"Opus packet of {len(packet)} bytes: its padding length is cut off")
        step = packet[offset]
        offset += 1
        padding += min(step, 254)
        if step != 255:
            return offset, padding


def _read_size(packet: bytes, offset: int, end: int) -> tuple[int, int]:
    """(frame size, offset behind it), one or two bytes (RFC 6716 section 3.2.1)."""
    if offset >= end or (packet[offset] >= 252 and offset + 1 >= end):
        raise CodecError(f"Opus packet of {len(packet)} bytes: a frame length is cut off at byte {offset}")
    first = packet[offset]
    if first < 252:
        return first, offset + 1
    return first + 4 * packet[offset + 1], offset + 2


def _check_frame_size(packet: bytes, size: int) -> None:
    if not 0 <= size <= MAX_FRAME_BYTES:
        raise CodecError(f"Opus packet of {len(packet)} bytes: a frame of {size}, allowed are 0 to 1275")


def _check_missing(samples: int) -> int:
    """libopus conceals in steps of 2.5 ms only."""
    if not 0 < samples <= MAX_PACKET_SAMPLES or samples % 120:
        raise ValueError(f"conceal {samples} samples: expected a multiple of 120 up to {MAX_PACKET_SAMPLES}")
    return samples


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} {value}: expected {low} to {high}")


def _create(api: Any, *arguments: int) -> Any:
    try:
        return api.create_state(*arguments)
    except opuslib.OpusError as error:
        raise CodecError(f"libopus cannot create a coder: {error}") from error
