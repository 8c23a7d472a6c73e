"""A TCP or TLS stream that another thread can interrupt at any point, with one deadline over many reads.

It has the few methods of a socket that websocket-client uses, so the library runs its handshake and its
frames over it. A plain socket would not do:

- its timeout counts per call: a server that sends one byte every four seconds holds a reader for ever;
- closing it does not wake a thread that waits in it, and `stop()` must not take the rest of a timeout;
- one thread reads while another writes, and OpenSSL allows no two calls at once on one connection: here both
  take a lock for the call itself, which never blocks, and wait for the network outside of it.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from typing import Any, Final

READ_BYTES: Final = 16_384
# A network that is gone for a while leaves TCP repeating at doubling intervals, and it would find the network
# back up to half a minute late. Given up after 10 s without an acknowledgement, we knock every 2 s instead.
UNACKNOWLEDGED_MS: Final = 10_000
_WAIT_ERRORS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)


class StreamInterrupted(OSError):
    """interrupt() was called."""


class TooMuch(OSError):
    """The peer sent more than `budget` bytes where less was due."""


class Stream:
    """One connection attempt and what became of it. `deadline`: monotonic seconds, for reads."""

    def __init__(self, send_timeout_s: float) -> None:
        self.deadline = 0.0
        self.budget = 0
        """Bytes that recv() may still hand out; the owner sets it anew for each frame."""
        self._send_timeout_s = send_timeout_s
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self._buffer = b""
        self._closed = False  # the name that websocket-client looks at
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_sender.setblocking(False)
        self._wake_lock = threading.Lock()
        self._woken = False
        self._released = False

    def connect(self, family: socket.AddressFamily, address: tuple[Any, ...], deadline: float) -> None:
        """Open the TCP connection. Raises OSError; TimeoutError after `deadline`."""
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            try:
                sock.connect(address)
            except BlockingIOError:
                self._wait(sock, select.POLLOUT, deadline)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code)) from None
        except BaseException:
            sock.close()
            raise
        self._sock = sock

    def start_tls(self, context: ssl.SSLContext, server_name: str) -> bytes | None:
        """Handshake within `deadline`; returns the peer's certificate (DER). Raises OSError."""
        raw = self._open()
        tls = context.wrap_socket(raw, server_hostname=server_name, do_handshake_on_connect=False)
        self._sock = tls
        while True:
            try:
                tls.do_handshake()
                return tls.getpeercert(binary_form=True)
            except ssl.SSLWantReadError:
                self._wait(tls, select.POLLIN, self.deadline)
            except ssl.SSLWantWriteError:
                self._wait(tls, select.POLLOUT, self.deadline)

    def recv(self, size: int) -> bytes:
        """1 to `size` bytes, or b"" at the end. Raises TimeoutError, TooMuch, StreamInterrupted, OSError."""
        if not self._buffer:
            self._buffer = self._read()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        self.budget -= len(taken)
        if self.budget < 0:
            raise TooMuch("more bytes than a message may have")
        return taken

    def _read(self) -> bytes:
        while True:
            sock = self._open()
            try:
                with self._lock:
                    return sock.recv(READ_BYTES)
            except ssl.SSLWantWriteError:
                self._wait(sock, select.POLLOUT, self.deadline)
            except _WAIT_ERRORS:
                self._wait(sock, select.POLLIN, self.deadline)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def send(self, data: bytes | str) -> int:
        """Send all of it, within the send timeout. Raises TimeoutError, StreamInterrupted, OSError."""
        view = memoryview(data.encode() if isinstance(data, str) else data)
        deadline = time.monotonic() + self._send_timeout_s
        done = 0
        while done < len(view):
            sock = self._open()
            try:
                with self._lock:
                    done += sock.send(view[done:])
            except ssl.SSLWantReadError:
                self._wait(sock, select.POLLIN, deadline)
            except _WAIT_ERRORS:
                self._wait(sock, select.POLLOUT, deadline)
        return len(view)

    def _open(self) -> socket.socket:
        if self._sock is None or self._closed:
            raise OSError("the stream is closed")
        return self._sock

    def _wait(self, sock: socket.socket, events: int, deadline: float) -> None:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError("timed out")
        poller = select.poll()
        poller.register(sock, events)
        poller.register(self._wake_receiver, select.POLLIN)
        ready = poller.poll(remaining_s * 1000)
        if not ready:
            raise TimeoutError("timed out")
        if any(descriptor == self._wake_receiver.fileno() for descriptor, _ in ready):
            raise StreamInterrupted("interrupted")  # the byte stays unread: every later wait ends as well

    def interrupt(self) -> None:
        """End every wait on this stream, now and from now on. Any thread; idempotent."""
        with self._wake_lock:
            if not self._woken and not self._released:
                self._woken = True
                self._wake_sender.send(b"x")

    def close(self) -> None:
        """No more calls: each ends with an OSError. The descriptors live until release()."""
        self._closed = True
        self.interrupt()

    def release(self) -> None:
        """Give the descriptors back, once no other thread is in a call. Idempotent."""
        self._closed = True
        with self._wake_lock:
            self._released = True
            if self._sock is not None:
                self._sock.close()
            self._wake_sender.close()
            self._wake_receiver.close()

    def interrupt_fileno(self) -> int:
        """A descriptor that can be read after interrupt(), for whoever waits for more than this stream."""
        return self._wake_receiver.fileno()

    # What websocket-client asks of a socket beyond recv, send and close.

    def gettimeout(self) -> float:
        """Not 0: that would mean non-blocking to the library."""
        return self._send_timeout_s

    def settimeout(self, timeout: float | None) -> None:
        """Nothing: `deadline` rules."""

    def fileno(self) -> int:
        return -1 if self._sock is None else self._sock.fileno()
