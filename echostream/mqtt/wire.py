"""What paho takes for a socket: an interruptible stream, read in one go and never blocking."""

from __future__ import annotations

import ssl
import time
from typing import Final

from echostream.network.stream import READ_BYTES, Stream

MAX_PACKET_BYTES: Final = 256 * 1024
"""Of what a broker may send us: commands are short."""


class Wire:
    """The methods of a socket that paho asks for (paho.mqtt.client.SocketLike). One thread.

    error: why the last call failed; paho itself only says that the connection is gone.
    """

    def __init__(self, stream: Stream) -> None:
        self.error: OSError | None = None
        self.dry = True
        """The last recv() found nothing more."""
        self.last_read_s = time.monotonic()
        self._stream = stream
        self._buffer = b""

    def recv(self, buffer_size: int) -> bytes:
        """Raises BlockingIOError when there is nothing, OSError when there will be nothing more."""
        if buffer_size > MAX_PACKET_BYTES:
            raise self._failed(OSError(f"the broker sends a packet of {buffer_size} bytes"))
        if not self._buffer:
            self._stream.deadline = 0.0  # of the past: what is there is read, what is not is not waited for
            self._stream.budget = READ_BYTES
            try:
                self._buffer = self._stream.recv(READ_BYTES)
            except TimeoutError:
                self.dry = True
                raise BlockingIOError from None
            except OSError as error:
                raise self._failed(error) from error
            self.last_read_s = time.monotonic()
        taken, self._buffer = self._buffer[:buffer_size], self._buffer[buffer_size:]
        return taken

    def send(self, buffer: bytes | bytearray) -> int:
        """All of it, within the stream's send timeout."""
        try:
            return self._stream.send(bytes(buffer))
        except OSError as error:
            raise self._failed(self._told(error)) from error

    def _told(self, error: OSError) -> OSError:
        """Whoever hung up may have said why within TLS, which is still to be read."""
        self._stream.deadline = 0.0
        try:
            self._stream.recv(READ_BYTES)
        except ssl.SSLError as words:
            return words
        except OSError:
            pass
        return error

    def _failed(self, error: OSError) -> OSError:
        self.error = self.error or error
        return error

    def close(self) -> None:
        self._stream.release()

    def fileno(self) -> int:
        return self._stream.fileno()

    def interrupt_fileno(self) -> int:
        """See Stream."""
        return self._stream.interrupt_fileno()

    def setblocking(self, flag: bool) -> None:
        """Nothing: the stream never blocks a read, and a write for a bounded time."""
