"""Many simulated ESP32 microphones over real sockets, on one thread with one selector."""

from __future__ import annotations

import errno
import heapq
import itertools
import logging
import math
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

from echostream.simulator.esp32_device import Esp32Device
from echostream.simulator.esp32_places import allow_files, resolve, sources, words
from echostream.simulator.esp32_plan import Esp32Plan, Loop

log = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
HELD_S: Final = 10.0
"""A connection that lasted so long begins the waiting times anew."""
DRAIN_S: Final = 5.0
MOST_GHOSTS: Final = 2000
CLOSED: Final = "closed by the other side"
_AT_ONCE: Final = 64
"""Writes of one device before the others have their turn."""
_READ_BYTES: Final = 4096


class _Line:
    """A device and its socket. Phases: waiting for `wake_s`, connecting, up, ending (all sent), over."""

    def __init__(self, device: Esp32Device, source: str | None, wake_s: float) -> None:
        self.device = device
        self.source = source
        self.wake_s = wake_s
        self.phase = "waiting"
        self.socket: socket.socket | None = None
        self.tries = 0
        self.failures = 0
        self.last_failure = ""
        self.stalled_until_s = 0.0
        self.reconnect_s = self.cut_s = self.stall_s = math.inf
        self.unsent = False

    @property
    def fd(self) -> int:
        return -1 if self.socket is None else self.socket.fileno()


class Esp32Fleet:
    """`run` plays until the time is over, or until `stop` is called from any thread or signal handler."""

    def __init__(self, plan: Esp32Plan, loop: Loop, for_s: float | None = None) -> None:
        """`for_s`: None: until stopped. AudioError for an address that is none, or too few open files."""
        self.plan = plan
        self.latest_ms = 0.0
        self.up = 0
        self._family, self._target = resolve(plan)
        local = sources(plan)
        allow_files(plan.devices)
        now = time.monotonic()
        self.began_s = now
        self._ends_s = math.inf if for_s is None else now + for_s
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._ending = False
        self._ghosts: list[socket.socket] = []
        self._counter = itertools.count()
        self._heap: list[tuple[float, int, _Line]] = []
        self._lines = []
        for number in range(plan.devices):
            begin_s = now + plan.spread_s * number / plan.devices
            device = Esp32Device(plan, number, loop, begin_s - plan.burst_s)
            line = _Line(device, local[number], begin_s)
            self._lines.append(line)
            self._at(line.wake_s, line)

    @property
    def devices(self) -> list[Esp32Device]:
        """Each with what it sent."""
        return [line.device for line in self._lines]

    @property
    def failures(self) -> dict[str, str]:
        """Devices that never got through, were turned away, or could not get rid of their last bytes."""
        told: dict[str, str] = {}
        for line in self._lines:
            sent = line.device.sent
            if not sent:
                told[line.device.name] = line.last_failure or "never connected"
            elif line.unsent:
                told[line.device.name] = "the last bytes were not taken"
            elif sent[-1].ended == CLOSED and not any(one.samples for one in sent):
                told[line.device.name] = f"{CLOSED} {len(sent)} times before any sound: its log says why"
        return told

    def stop(self) -> None:
        """End as if the time were over. Safe from any thread, and when it has ended."""
        if self._wake_write >= 0:
            os.write(self._wake_write, b"\0")

    def run(self, on_up: Callable[[int], None] | None = None) -> None:
        """Play. `on_up(n)` whenever the number of connected devices rose to a new height."""
        highest = 0
        give_up_s = math.inf
        try:
            while any(line.phase != "over" for line in self._lines):
                now = time.monotonic()
                if now >= self._ends_s:
                    self._ends_s, give_up_s = math.inf, now + DRAIN_S
                    self._end_all(now)
                if now >= give_up_s:
                    break
                due_s = min(self._ends_s, give_up_s, self._heap[0][0] if self._heap else math.inf)
                self._handle(self._selector.select(max(0.0, min(due_s - now, 1.0))))
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    self._turn(heapq.heappop(self._heap)[2], now)
                if self.up > highest and on_up is not None:
                    highest = self.up
                    on_up(highest)
        finally:
            self._close()

    def _end_all(self, now: float) -> None:
        """What was taken up until now still goes out; then each says goodbye and waits for the answer."""
        self._ending = True
        for line in self._lines:
            line.device.end(now)
            if line.phase == "up":
                self._at(now, line)
            elif line.phase in ("waiting", "connecting"):
                line.phase = "over"

    # ---- turns

    def _at(self, due_s: float, line: _Line) -> None:
        line.wake_s = due_s
        heapq.heappush(self._heap, (due_s, next(self._counter), line))

    def _turn(self, line: _Line, now: float) -> None:
        if line.wake_s > now or line.phase == "over":
            return  # it was put off, and has a later turn
        if line.phase == "ending":
            self._over(line, "ended")  # the other side does not answer the goodbye
        elif line.phase == "waiting":
            self._connect(line, now)
        elif line.phase == "connecting":
            self._failed(line, "no answer", now)
        elif not self._befalls(line, now):
            self._write(line, now)

    def _befalls(self, line: _Line, now: float) -> bool:
        """A power cut, a disconnection or a stall whose time has come."""
        if line.device.over(now):
            return False
        if now >= line.cut_s:
            self._vanish(line, now)
            return True
        if now >= line.reconnect_s:
            self._hang_up(line, "disconnected", now, self.plan.away_s)
            return True
        if now >= line.stall_s:
            line.stalled_until_s = now + self.plan.stalled_s
            line.device.held_up()
            line.stall_s = line.device.event_after(self.plan.stall_s, line.stalled_until_s)
        if now < line.stalled_until_s:
            self._at(min(line.stalled_until_s, line.cut_s, line.reconnect_s), line)
            return True
        return False

    def _write(self, line: _Line, now: float) -> None:
        device = line.device
        for _ in range(_AT_ONCE):
            data = device.next_write(now)
            if not data:
                break
            try:
                device.wrote(self._send(line, data))
            except OSError as error:
                self._failed(line, words(error), now)
                return
            if device.waits_for_network:
                break
        self._watch(line, device.waits_for_network)
        if device.waits_for_network:
            self._at(min(line.cut_s, line.reconnect_s, now + 1.0), line)
        elif device.over(now) and not device.next_write(now):
            self._say_goodbye(line, now)
        else:
            self._at(min(max(device.due_s, now), line.cut_s, line.reconnect_s, line.stall_s), line)

    def _send(self, line: _Line, data: memoryview) -> int:
        assert line.socket is not None
        try:
            return line.socket.send(data)
        except BlockingIOError:
            return 0
        except ConnectionRefusedError:
            if self.plan.udp:
                return len(data)  # nobody listens there now: a datagram does not mind
            raise

    # ---- connections

    def _connect(self, line: _Line, now: float) -> None:
        kind = socket.SOCK_DGRAM if self.plan.udp else socket.SOCK_STREAM
        line.socket = socket.socket(self._family, kind)
        line.socket.setblocking(False)
        line.tries += 1
        try:
            if line.source is not None:
                line.socket.bind((line.source, 0))
            if not self.plan.udp:
                line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = line.socket.connect_ex(self._target)
        except OSError as error:
            self._failed(line, words(error), now)
            return
        if code not in (0, errno.EINPROGRESS):
            self._failed(line, words(OSError(code, os.strerror(code))), now)
            return
        self._selector.register(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
        line.phase = "connecting"
        if self.plan.udp:
            self._up(line, now)
        else:
            self._at(now + CONNECT_S, line)

    def _up(self, line: _Line, now: float) -> None:
        assert line.socket is not None
        host, port = line.socket.getsockname()[:2]
        line.device.opened(now, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        line.phase = "up"
        self.up += 1
        line.stalled_until_s = 0.0
        plan, after = self.plan, line.device.event_after
        line.reconnect_s, line.cut_s = after(plan.reconnect_s, now), after(plan.power_cut_s, now)
        line.stall_s = after(plan.stall_s, now)
        self._write(line, now)

    def _failed(self, line: _Line, why: str, now: float) -> None:
        """Refused, or lost: again after a while, each time after a longer one."""
        line.last_failure = why
        if line.phase == "up" and now - line.device.sent[-1].began_s > HELD_S:
            line.failures = 0
        wait_s = min(self.plan.retry_most_s, self.plan.retry_s * 2**line.failures)
        line.failures += 1
        log.debug("%s: %s; again in %.1f s", line.device.name, why, wait_s)
        self._hang_up(line, why, now, wait_s)

    def _hang_up(self, line: _Line, how: str, now: float, away_s: float) -> None:
        if line.phase in ("up", "ending"):
            self.up -= 1
            line.device.closed(how)
        if line.socket is not None:
            if line.phase != "waiting":
                self._selector.unregister(line.socket)
            line.socket.close()
            line.socket = None
        line.phase = "over" if self._ending else "waiting"
        self._at(now + away_s, line)

    def _vanish(self, line: _Line, now: float) -> None:
        """No power any more: nobody says goodbye, and the other side's connection stays half-open."""
        assert line.socket is not None
        self._selector.unregister(line.socket)
        self._ghosts.append(line.socket)
        if len(self._ghosts) > MOST_GHOSTS:
            self._ghosts.pop(0).close()
        line.socket, line.phase = None, "waiting"
        self.up -= 1
        line.device.closed("power cut")
        back_s = now + self.plan.away_s
        line.device.power_up(back_s)
        self._at(back_s, line)

    # ---- what the selector says

    def _handle(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        now = time.monotonic()
        for key, events in ready:
            if key.data is None:
                os.read(self._wake_read, 16)
                self._ends_s = now
                continue
            line: _Line = key.data
            if line.phase == "connecting" and events & selectors.EVENT_WRITE:
                self._answered(line, now)
            elif events & selectors.EVENT_READ:
                self._read(line, now)
            elif line.phase == "up" and now >= line.stalled_until_s:
                self._write(line, now)
            elif line.phase == "up":
                self._watch(line, False)

    def _answered(self, line: _Line, now: float) -> None:
        assert line.socket is not None
        code = line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(line, words(OSError(code, os.strerror(code))), now)
        else:
            self._up(line, now)

    def _read(self, line: _Line, now: float) -> None:
        assert line.socket is not None
        try:
            data = line.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if not self.plan.udp:  # a datagram that nobody took is not the end
                self._failed(line, words(error), now)
            return
        if line.device.sent:
            line.device.sent[-1].received_bytes += len(data)
        if data or self.plan.udp:
            return
        if line.phase == "ending":
            self._over(line, "ended")  # the other side has closed too: all that was sent has reached it
        else:
            self._failed(line, CLOSED, now)

    def _watch(self, line: _Line, for_room: bool) -> None:
        assert line.socket is not None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if for_room else 0)
        if self._selector.get_key(line.socket).events != events:
            self._selector.modify(line.socket, events, line)

    # ---- the end

    def _say_goodbye(self, line: _Line, now: float) -> None:
        assert line.socket is not None
        if self.plan.udp:
            self._over(line, "ended")
            return
        line.phase = "ending"
        try:
            line.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._over(line, words(error))
        else:
            self._at(now + DRAIN_S, line)

    def _over(self, line: _Line, how: str) -> None:
        assert line.socket is not None
        self._selector.unregister(line.socket)
        line.socket.close()
        line.socket, line.phase = None, "over"
        self.up -= 1
        line.device.closed(how)

    def _close(self) -> None:
        for line in self._lines:
            line.unsent = line.phase == "up"
            line.device.closed("not all was taken" if line.unsent else "ended")
            if line.socket is not None:
                line.socket.close()
            self.latest_ms = max([self.latest_ms, *(sent.latest_ms for sent in line.device.sent)])
        for ghost in self._ghosts:
            ghost.close()
        self._selector.close()
        wake_write, self._wake_write = self._wake_write, -1
        os.close(self._wake_read)
        os.close(wake_write)
