"""PortAudio through PyAudio: the only file that imports it. Blocking streams that are never left blocked.

PyAudio was chosen because it is the binding that Debian ships and that gives blocking reads which release the
interpreter. What PortAudio 19 does wrong on ALSA, and what is done about it here:

- Closing a stream while another thread is inside its read or write frees memory under that thread. And a read
  from a USB card that was pulled spins for ever at 100 % CPU, because PortAudio takes poll's POLLERR for an
  overflow and tries again. So nobody here enters read or write before `get_read_available` or
  `get_write_available` say that it returns at once; whoever waits, waits on an event of ours.
- Its list of open streams has no lock: opening and closing are done one at a time.
- Its buffers follow the latency that it measured when it listed the device; for a slot that was the null
  device's 8 ms. The latency in its list is set to what we want before a stream is opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from echostream.errors import AudioError, DeviceLost, LibraryMissing

log = logging.getLogger(__name__)

LATENCY_S: Final = 0.1
"""Depth of a stream's ring beyond one period: what a thread may be late before audio is lost."""
_PERIODS: Final = 16
"""PortAudio divides the ring by this and rounds up to whole frames: large, so that a period is one frame."""
_BUSY_RETRIES: Final = 5
"""At 10 ms each: a busy card must not keep others from being opened for PortAudio's whole second."""
_LOCK_WAIT_S: Final = 5.0
_CLOSE_WAIT_S: Final = 0.3
_INVALID_RATE: Final = -9997
_INVALID_CHANNELS: Final = -9998
_UNAVAILABLE: Final = -9985


class FormatRefused(AudioError):
    """The card does not do this rate or channel count; another may work."""


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """One ALSA device as PortAudio listed it when it was initialised."""

    name: str
    max_inputs: int
    max_outputs: int
    default_hz: int


class _DeviceInfo(ctypes.Structure):
    """PaDeviceInfo of portaudio.h, version 2."""

    _fields_ = (
        ("struct_version", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("host_api", ctypes.c_int),
        ("max_inputs", ctypes.c_int),
        ("max_outputs", ctypes.c_int),
        ("low_input_latency_s", ctypes.c_double),
        ("low_output_latency_s", ctypes.c_double),
        ("high_input_latency_s", ctypes.c_double),
        ("high_output_latency_s", ctypes.c_double),
        ("default_hz", ctypes.c_double),
    )


class RawStream:
    """One direction of a card, int16, interleaved. Every call but close() returns at once.

    rate_hz, channels: as opened. capacity: frames (samples per channel) that its ring holds.
    """

    def __init__(
        self, owner: PortAudio, stream: Any, *, rate_hz: int, channels: int, period: int, capture: bool
    ) -> None:
        self._owner = owner
        self._stream = stream
        self._capture = capture
        self.rate_hz = rate_hz
        self.channels = channels
        # A loudspeaker's empty ring tells its size exactly; a microphone's follows from its latency.
        self.capacity = round(stream.get_input_latency() * rate_hz) + period if capture else self.available()

    def available(self) -> int:
        """Frames that can be read, or written, without waiting. DeviceLost when the card is gone."""
        try:
            count = self._stream.get_read_available() if self._capture else self._stream.get_write_available()
        except OSError as error:
            raise DeviceLost(f"PortAudio: {error}") from error
        if count < 0:  # PyAudio hands PortAudio's error code through as a count
            raise DeviceLost(f"PortAudio: error {count}")
        return int(count)

    def read(self, frames: int) -> bytes:
        """`frames` frames; call only when so many are available."""
        try:
            data: bytes = self._stream.read(frames, exception_on_overflow=False)
        except OSError as error:
            raise DeviceLost(f"PortAudio: {error}") from error
        return data

    def write(self, data: bytes, frames: int) -> None:
        """Hand over `frames` frames; call only when so many fit."""
        try:
            self._stream.write(data, frames, exception_on_underflow=False)
        except OSError as error:
            raise DeviceLost(f"PortAudio: {error}") from error

    def close(self) -> None:
        """Give the device back. No other thread may be inside another method."""
        self._owner.close_stream(self._stream)


class PortAudio:
    """One initialisation of PortAudio. LibraryMissing names the Debian packages."""

    def __init__(self) -> None:
        try:
            import pyaudio  # here, because all else must run where it is not installed
        except (ImportError, OSError) as error:
            raise LibraryMissing(
                "PyAudio or PortAudio is not installed: apt install libportaudio2 "
                f"(and portaudio19-dev gcc python3-dev to build PyAudio) ({error})"
            ) from error
        self._lock = threading.Lock()
        self._format: int = pyaudio.paInt16
        # Never let the JACK client inside PortAudio start a sound server of its own.
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
        try:
            with quiet_stderr():
                self._pa: Any = pyaudio.PyAudio()
        except OSError as error:
            raise AudioError(f"PortAudio could not be initialised: {error}") from error
        self._library = _loaded_library()
        self._open: set[Any] = set()
        """PyAudio's streams that are not closed yet."""
        self._indices: dict[str, int] = {}
        self.devices: tuple[ListedDevice, ...] = tuple(self._listed(pyaudio.paALSA))

    def _listed(self, host_api: int) -> Iterator[ListedDevice]:
        for index in range(self._pa.get_device_count()):
            info = self._pa.get_device_info_by_index(index)
            if self._pa.get_host_api_info_by_index(info["hostApi"])["type"] != host_api:
                continue
            name = str(info["name"])
            if name not in self._indices:
                self._indices[name] = index
                inputs, outputs = int(info["maxInputChannels"]), int(info["maxOutputChannels"])
                yield ListedDevice(name, inputs, outputs, round(info["defaultSampleRate"]))

    def open(self, device: str, *, capture: bool, rate_hz: int, channels: int, period: int) -> RawStream:
        """Open and start one direction, inside exclusive(). `period`: samples per channel of the card's step.

        FormatRefused when the card does not do this rate or channel count, DeviceLost when it is busy or
        will not open at all.
        """
        index = self._indices[device]
        self._set_latency(index)
        direction: dict[str, Any] = (
            {"input": True, "input_device_index": index}
            if capture
            else {"output": True, "output_device_index": index}
        )
        try:
            stream = self._pa.open(rate_hz, channels, self._format, frames_per_buffer=period, **direction)
        except OSError as error:
            raise _refusal(error, rate_hz, channels) from error
        self._open.add(stream)
        try:
            return RawStream(self, stream, rate_hz=rate_hz, channels=channels, period=period, capture=capture)
        except DeviceLost:  # pulled in this very moment
            self._close_bounded(stream)
            raise

    def close_stream(self, stream: Any) -> None:
        """Close within a bound: a driver that hangs costs a thread and a line in the log, not the gateway.

        PortAudio takes the stream off its list first, so after the bound the lock can be given back.
        """
        with self.exclusive("a stream"):
            self._close_bounded(stream)

    def _close_bounded(self, stream: Any) -> None:
        closer = threading.Thread(target=self._close, args=(stream,), name="audio-close", daemon=True)
        closer.start()
        closer.join(_CLOSE_WAIT_S)
        if closer.is_alive():
            log.error(
                "a sound card's driver has not closed its stream after %.0f s; it is left behind",
                _CLOSE_WAIT_S,
            )

    def _close(self, stream: Any) -> None:
        try:
            stream.close()
        except OSError as error:
            log.debug("closing a stream: %s", error)
        self._open.discard(stream)

    def terminate(self) -> None:
        """Give PortAudio back, unless a stream was left behind: its driver still works on that memory."""
        with self.exclusive("PortAudio"):
            if self._open:
                log.error("%d sound card streams are still open, PortAudio is not ended", len(self._open))
                return
            self._pa.terminate()

    @contextlib.contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """One opening or closing at a time. DeviceLost when another one does not come to its end."""
        if not self._lock.acquire(timeout=_LOCK_WAIT_S):
            raise DeviceLost(f"{what}: another sound card's driver keeps PortAudio busy")
        try:
            yield
        finally:
            self._lock.release()

    def _set_latency(self, index: int) -> None:
        if self._library is None:
            return
        self._library.PaAlsa_SetNumPeriods(_PERIODS)
        self._library.PaAlsa_SetRetriesBusy(_BUSY_RETRIES)
        info = self._library.Pa_GetDeviceInfo(index)
        if info:
            info.contents.low_input_latency_s = LATENCY_S
            info.contents.low_output_latency_s = LATENCY_S


def _refusal(error: OSError, rate_hz: int, channels: int) -> AudioError:
    code = error.args[0] if error.args else None
    if code in (_INVALID_RATE, _INVALID_CHANNELS):
        return FormatRefused(f"{rate_hz} Hz with {channels} channels: {error}")
    if code == _UNAVAILABLE:
        return DeviceLost(f"another program or channel uses it ({error})")
    return DeviceLost(f"it does not open ({error})")


def _loaded_library() -> Any:
    """The very libportaudio that PyAudio uses, or None where it is linked into PyAudio."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            match = re.search(r"\S*/libportaudio\.so\S*", maps.read())
        if match is None:
            return None
        library: Any = ctypes.CDLL(match[0])
        library.Pa_GetDeviceInfo.restype = ctypes.POINTER(_DeviceInfo)
        library.Pa_GetDeviceInfo.argtypes = (ctypes.c_int,)
        library.PaAlsa_SetNumPeriods.argtypes = (ctypes.c_int,)
        library.PaAlsa_SetRetriesBusy.argtypes = (ctypes.c_int,)
    except (OSError, AttributeError) as error:
        log.debug("PortAudio keeps its own latency: %s", error)
        return None
    return library


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what C libraries write to stderr meanwhile to the log at debug level."""
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as spool:
            os.dup2(spool.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(saved, 2)
            spool.seek(0)
            for line in spool.read().decode(errors="replace").splitlines():
                log.debug("PortAudio: %s", line)
    finally:
        os.close(saved)
