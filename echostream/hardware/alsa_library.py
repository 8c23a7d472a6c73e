"""The few calls of libasound that PortAudio does not offer: is a PCM there, and what ALSA has to complain of.

libasound is part of what libportaudio2 depends on, so it is present wherever PortAudio is. Functions as
documented in alsa/pcm.h and alsa/error.h.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import logging
import os
import threading
from typing import Any, Final

from echostream.errors import DeviceLost, LibraryMissing

log = logging.getLogger(__name__)

_PLAYBACK: Final = 0
_CAPTURE: Final = 1
_NONBLOCK: Final = 1
_PROBE_WAIT_S: Final = 1.0

# The C type is variadic; only its fixed arguments are declared, the rest have types that the format names.
_ErrorHandler = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
)


class AlsaLibrary:
    """libasound. While it is open ALSA's own messages go to the log at debug level instead of stderr."""

    def __init__(self) -> None:
        """LibraryMissing names the Debian package."""
        try:
            self._asound: Any = ctypes.CDLL("libasound.so.2")
        except OSError as error:
            raise LibraryMissing(f"libasound.so.2 is missing: apt install libasound2 ({error})") from error
        self._lock = threading.Lock()
        self._probes: dict[tuple[str, bool], _Probe] = {}
        self._handler = _ErrorHandler(_log_complaint)
        self._asound.snd_lib_error_set_handler(self._handler)
        atexit.register(self.close)

    def close(self) -> None:
        """Back to stderr: no message may reach Python when the interpreter is going. Idempotent."""
        self._asound.snd_lib_error_set_handler(None)
        atexit.unregister(self.close)

    def forget_configuration(self) -> None:
        """Who asks next reads ALSA's configuration files anew: PortAudio takes what is in memory for current.
        Not while a PCM is open."""
        self._asound.snd_config_update_free_global()

    def open_error(self, pcm: str, *, capture: bool) -> int:
        """Try whether a PCM can be opened now: 0, or the errno (EBUSY: it is there, someone has it)."""
        handle = ctypes.c_void_p()
        result = int(
            self._asound.snd_pcm_open(
                ctypes.byref(handle), pcm.encode(), _CAPTURE if capture else _PLAYBACK, _NONBLOCK
            )
        )
        if result < 0:
            return -result
        self._asound.snd_pcm_close(handle)
        return 0

    def can_open(self, pcm: str, *, capture: bool) -> bool:
        """Whether a PCM is there, be it in use. DeviceLost when whatever is behind it does not answer.

        A sound server that stands still would hold its caller for ever, so a thread of its own asks, and
        while it has no answer nobody asks again.
        """
        with self._lock:
            probe = self._probes.get((pcm, capture))
            if probe is None:
                probe = self._probes[pcm, capture] = _Probe(self, pcm, capture)
        code = probe.result(_PROBE_WAIT_S)
        if code is None:
            raise DeviceLost(f"card {pcm}: the sound server behind it does not answer")
        with self._lock:
            self._probes.pop((pcm, capture), None)
        if code not in (0, errno.EBUSY):
            log.debug("ALSA PCM %s cannot be opened: %s", pcm, os.strerror(code))
        return code in (0, errno.EBUSY)


class _Probe:
    """One try to open a PCM, in thread `alsa-probe`."""

    def __init__(self, alsa: AlsaLibrary, pcm: str, capture: bool) -> None:
        self._answer: int | None = None
        self._thread = threading.Thread(
            target=self._ask, args=(alsa, pcm, capture), name="alsa-probe", daemon=True
        )
        self._thread.start()

    def result(self, wait_s: float) -> int | None:
        """As AlsaLibrary.open_error, or None without an answer within `wait_s`."""
        self._thread.join(wait_s)
        return self._answer

    def _ask(self, alsa: AlsaLibrary, pcm: str, capture: bool) -> None:
        self._answer = alsa.open_error(pcm, capture=capture)


def _log_complaint(file: bytes, line: int, function: bytes, code: int, message: bytes) -> None:
    """`message` is ALSA's format string; its arguments are in variables that Python cannot reach safely."""
    reason = f": {os.strerror(code)}" if code else ""
    log.debug(
        "ALSA %s (%s:%d): %s%s",
        (function or b"").decode(errors="replace"),
        (file or b"").decode(errors="replace"),
        line,
        (message or b"").decode(errors="replace"),
        reason,
    )
