"""A simulated GPIO chip (character device, version 2) for programs that preload gpio_forward.c.

The simulator owns the lines; the program under test talks to it with the real lgpio or the real ioctls, from
another process. `drive`, `wire` and `level` are the hand and the meter on the header's pins. A line that is
closed, by whatever end the process met, is noticed at once: `persist_outputs` then keeps its last level, as
Raspberry Pi kernels do, without it the line becomes an input, as upstream kernels do.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import selectors
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echostream.hardware import gpio_uapi as uapi

FLAG_EDGE_RISING = 1 << 4
FLAG_EDGE_FALLING = 1 << 5
EVENT = struct.Struct("<QIIII24x")
QUESTION = struct.Struct("<QII")
ANSWER = struct.Struct("<iiQ")
MAX_ARG = 1024


def build_forwarder(directory: Path) -> Path:
    """Compile the preloaded library into `directory`. Raises where gcc is missing."""
    source = Path(__file__).with_name("gpio_forward.c")
    library = directory / "gpio_forward.so"
    if not library.exists():
        gcc = shutil.which("gcc")
        if gcc is None:
            raise FileNotFoundError("gcc is not installed: apt install gcc libc6-dev")
        command = [gcc, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
    return library


@dataclass(frozen=True, slots=True)
class Change:
    """The physical level of a pin changed. `at_s`: monotonic seconds."""

    at_s: float
    pin: int
    level: int


@dataclass(slots=True)
class Request:
    """Lines that one descriptor holds. `sock`: the simulator's end of it."""

    pins: list[int]
    sock: socket.socket
    consumer: bytes
    sequence: int = 0


@dataclass(slots=True)
class Line:
    """One pin: who holds it, how it is set, what it drives, and what the bench drives it with."""

    request: Request | None = None
    flags: int = uapi.FLAG_INPUT
    output: int | None = None
    hand: int | None = None
    level: int = 0
    net: int = -1
    edges: int = 0


@dataclass(slots=True)
class _Served:
    """What the selector watches: the listening socket, a program's connection, or a held request."""

    handle: Callable[[], None]


@dataclass(slots=True)
class _Chip:
    sock: socket.socket


@dataclass(slots=True)
class _Answer:
    result: int = 0
    error: int = 0
    object_id: int = 0
    descriptor: socket.socket | None = None


class GpioSimulator:
    """One chip, served on a unix socket by one thread. Use as a context manager."""

    def __init__(
        self,
        socket_path: str | Path,
        *,
        chip_path: str = "/dev/gpiochip0",
        label: str = "pinctrl-bcm2711",
        lines: int = 54,
        persist_outputs: bool = False,
    ) -> None:
        self.socket_path = str(socket_path)
        self.chip_path = chip_path
        self.label = label
        self.persist_outputs = persist_outputs
        self.history: list[Change] = []
        self.refuse_claims: dict[int, int] = {}
        self._lines = [Line(net=pin) for pin in range(lines)]
        self._objects: dict[int, _Chip | Request] = {}
        self._next_object = 1
        self._changed = threading.Condition(threading.RLock())
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._stopping = False
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.bind(self.socket_path)
        self._server.listen(16)
        self._watch(self._server, self._accept)
        self._watch(self._wake_in, lambda: None)
        self._thread = threading.Thread(target=self._serve, name="gpio-simulator")
        self._thread.start()

    def __enter__(self) -> GpioSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it: for the programs the chip is unplugged. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        self._wake_out.send(b"x")
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for thing in self._objects.values():
            thing.sock.close()
        self._selector.close()
        self._wake_out.close()
        os.unlink(self.socket_path)

    def environment(self, library: Path) -> dict[str, str]:
        """What a program must have in its environment to see this chip."""
        return {"LD_PRELOAD": str(library), "GPIO_SIMULATOR": self.socket_path}

    # ---- the bench

    def drive(self, pin: int, level: int | None, *, lose_edge: bool = False) -> None:
        """Put 0 or 1 on a pin, or let go (None). `lose_edge`: the kernel's event gets lost."""
        with self._changed:
            self._lines[pin].hand = level
            self._settle(self._lines[pin].net, lose_edge)

    def wire(self, first: int, second: int) -> None:
        """Connect two pins with a jumper."""
        with self._changed:
            old, net = self._lines[second].net, self._lines[first].net
            for line in self._lines:
                if line.net == old:
                    line.net = net
            self._settle(net, False)

    def level(self, pin: int) -> int:
        """The voltage on a pin."""
        with self._changed:
            return self._lines[pin].level

    def wait_level(self, pin: int, level: int, timeout_s: float = 5.0) -> float | None:
        """Wait until the pin has that level: the monotonic time at which it was seen, or None."""
        with self._changed:
            if self._changed.wait_for(lambda: self._lines[pin].level == level, timeout_s):
                return time.monotonic()
            return None

    def wait_held(self, pin: int, held: bool = True, timeout_s: float = 5.0) -> bool:
        """Wait until some program holds the line, or none does."""
        with self._changed:
            return self._changed.wait_for(lambda: (self._lines[pin].request is not None) == held, timeout_s)

    def occupy(self, pin: int, consumer: str) -> None:
        """Another program takes the line."""
        with self._changed:
            # It asks for no edges, so its socket is never used: any will do.
            self._lines[pin].request = Request([pin], self._wake_in, consumer.encode())

    def flags(self, pin: int) -> int:
        """How the line is set, also after its release (bias and direction stay in the chip)."""
        with self._changed:
            return self._lines[pin].flags

    def consumer(self, pin: int) -> str:
        """Who holds the line."""
        with self._changed:
            request = self._lines[pin].request
            return request.consumer.rstrip(b"\0").decode() if request else ""

    # ---- the wires

    def _settle(self, net: int, lose_edge: bool) -> None:
        """Work out a net's level; tell those who watch its pins."""
        pins = [pin for pin, line in enumerate(self._lines) if line.net == net]
        level = self._net_level([self._lines[pin] for pin in pins])
        for pin in pins:
            line = self._lines[pin]
            if line.level == level:
                continue
            line.level = level
            self.history.append(Change(time.monotonic(), pin, level))
            if line.request is not None and not lose_edge:
                self._send_edge(pin, line, line.request)
        self._changed.notify_all()

    @staticmethod
    def _net_level(lines: list[Line]) -> int:
        for line in lines:
            if line.hand is not None:
                return line.hand
        for line in lines:
            if line.output is not None:
                return line.output
        return int(any(line.flags & uapi.FLAG_PULL_UP for line in lines))

    @staticmethod
    def _send_edge(pin: int, line: Line, request: Request) -> None:
        rising = bool(line.level) != bool(line.flags & uapi.FLAG_ACTIVE_LOW)
        if line.flags & (FLAG_EDGE_RISING if rising else FLAG_EDGE_FALLING):
            request.sequence += 1
            line.edges += 1
            event = EVENT.pack(time.monotonic_ns(), 1 if rising else 2, pin, request.sequence, line.edges)
            with contextlib.suppress(OSError):  # nobody reads: the kernel's buffer overflows as silently
                request.sock.send(event)

    # ---- the device

    def _serve(self) -> None:
        while not self._stopping:
            for key, _events in self._selector.select():
                with self._changed:
                    served: _Served = key.data
                    served.handle()

    def _watch(self, sock: socket.socket, handle: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, _Served(handle))

    def _forget(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        self._watch(connection, lambda: self._question(connection))

    def _question(self, connection: socket.socket) -> None:
        try:
            message = connection.recv(QUESTION.size + MAX_ARG)
        except OSError:
            message = b""
        if not message:
            self._forget(connection)
            return
        object_id, request, length = QUESTION.unpack_from(message)
        arg = bytearray(message[QUESTION.size : QUESTION.size + length])
        try:
            answer = self._answer(object_id, request, arg)
        except OSError as error:
            answer = _Answer(result=-1, error=error.errno or errno.EIO)
        head = ANSWER.pack(answer.result, answer.error, answer.object_id)
        rights = []
        if answer.descriptor is not None:
            descriptors = array.array("i", [answer.descriptor.fileno()])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        with contextlib.suppress(OSError):  # it was killed between question and answer
            connection.sendmsg([head + bytes(arg)], rights)
        if answer.descriptor is not None:
            answer.descriptor.close()

    def _answer(self, object_id: int, request: int, arg: bytearray) -> _Answer:
        if object_id == 0:
            return self._open(bytes(arg).decode())
        thing = self._objects.get(object_id)
        if thing is None:
            raise OSError(errno.ENODEV, "closed")
        if request == uapi.GET_CHIPINFO:
            struct.pack_into("<32s32sI", arg, 0, b"gpiochip0", self.label.encode(), len(self._lines))
        elif request == uapi.GET_LINEINFO:
            self._line_info(arg)
        elif request == uapi.GET_LINE:
            return self._claim(arg)
        elif isinstance(thing, Request):
            self._use(thing, request, arg)
        else:
            raise OSError(errno.ENOTTY, "not for a chip")
        return _Answer()

    def _open(self, path: str) -> _Answer:
        if path != self.chip_path:
            raise OSError(errno.ENOENT, path)
        ours, theirs = socket.socketpair()
        number = self._new_object(_Chip(ours))

        def closed() -> None:
            self._objects.pop(number, None)
            self._forget(ours)

        self._watch(ours, closed)
        return _Answer(object_id=number, descriptor=theirs)

    def _new_object(self, thing: _Chip | Request) -> int:
        number = self._next_object
        self._next_object += 1
        self._objects[number] = thing
        return number

    def _line(self, pin: int) -> Line:
        if pin >= len(self._lines):
            raise OSError(errno.EINVAL, "no such line")
        return self._lines[pin]

    def _line_info(self, arg: bytearray) -> None:
        (pin,) = struct.unpack_from("<I", arg, 64)
        line = self._line(pin)
        consumer = line.request.consumer if line.request else b""
        flags = line.flags | (uapi.FLAG_USED if line.request else 0)
        struct.pack_into("<32s32sIIQ", arg, 0, f"GPIO{pin}".encode(), consumer, pin, 0, flags)

    def _claim(self, arg: bytearray) -> _Answer:
        (count,) = struct.unpack_from("<I", arg, 560)
        pins = list(struct.unpack_from(f"<{count}I", arg, 0))
        for pin in pins:
            if pin in self.refuse_claims:
                raise OSError(self.refuse_claims[pin], "refused by the bench")
            if self._line(pin).request is not None:
                raise OSError(errno.EBUSY, "held")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        held = Request(pins, ours, bytes(arg[256:288]))
        number = self._new_object(held)
        self._configure(held, arg, 288)
        for pin in pins:
            self._lines[pin].request = held
        self._watch(ours, lambda: self._release(number, held))
        return _Answer(object_id=number, descriptor=theirs)

    def _configure(self, request: Request, arg: bytearray, offset: int) -> None:
        flags, count = struct.unpack_from("<QI", arg, offset)
        values = 0
        for index in range(count):
            kind, _padding, value, _mask = struct.unpack_from("<IIQQ", arg, offset + 32 + 24 * index)
            if kind == uapi.ATTR_OUTPUT_VALUES:
                values = value
        for index, pin in enumerate(request.pins):
            line = self._lines[pin]
            line.flags = flags
            line.output = self._driven(line, values >> index & 1) if flags & uapi.FLAG_OUTPUT else None
            self._settle(line.net, False)

    @staticmethod
    def _driven(line: Line, value: int) -> int:
        return value ^ bool(line.flags & uapi.FLAG_ACTIVE_LOW)

    def _use(self, held: Request, request: int, arg: bytearray) -> None:
        if request == uapi.SET_CONFIG:
            self._configure(held, arg, 0)
            return
        bits, mask = struct.unpack_from("<QQ", arg)
        if request == uapi.GET_VALUES:
            bits = 0
            for index, pin in enumerate(held.pins):
                line = self._lines[pin]
                bits |= (line.level ^ bool(line.flags & uapi.FLAG_ACTIVE_LOW)) << index
            struct.pack_into("<Q", arg, 0, bits & mask)
        elif request == uapi.SET_VALUES:
            for index, pin in enumerate(held.pins):
                line = self._lines[pin]
                if not line.flags & uapi.FLAG_OUTPUT:
                    raise OSError(errno.EPERM, "an input")
                if mask >> index & 1:
                    line.output = self._driven(line, bits >> index & 1)
                    self._settle(line.net, False)
        else:
            raise OSError(errno.ENOTTY, "unknown request")

    def _release(self, number: int, held: Request) -> None:
        """The descriptor was closed, or its process died."""
        self._objects.pop(number, None)
        self._forget(held.sock)
        for pin in held.pins:
            line = self._lines[pin]
            line.request = None
            if not self.persist_outputs:
                line.output = None
                line.flags = line.flags & ~uapi.FLAG_OUTPUT | uapi.FLAG_INPUT
            self._settle(line.net, False)
