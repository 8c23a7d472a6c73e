"""One stereo card for two channels: the left side is one's, the right side the other's.

One stream per direction and one thread that moves it, `shared-capture-CARD` and `shared-playback-CARD`,
alive while at least one side is open. The sides hang on it through bounded queues: a side that does not
read loses its own oldest frames (gap marked, counted), a side that does not write is silent. Neither
can hold up the thread, so neither disturbs the other. When the card fails, both sides learn of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Generic, TypeVar

from echostream.audio.format import Frame, Samples, samples_per_frame, silence
from echostream.audio.ports import CardSpec, Side
from echostream.errors import AudioError, DeviceLost, SourceClosed
from echostream.hardware.audio_layout import Captured, CaptureLayout, StereoLayout
from echostream.hardware.audio_streams import CardSink, CardSource, Gone, Raw

log = logging.getLogger(__name__)

CAPTURE_QUEUE_MS: Final = 1000
"""Per side, between the card's thread and its reader; the oldest frame is dropped when it is full."""
PLAYBACK_QUEUE_MS: Final = 40
"""Per side, between its writer and the card's thread; the writer waits while it is full."""
_STALLED_S: Final = 0.5
"""A side that is closed while nothing moved for so long takes the stream down with it."""
_DEAD_S: Final = 2.0
"""A stream that moved nothing for so long is started afresh for a side that opens."""
_JOIN_S: Final = 2.0

S = TypeVar("S", "SideSource", "SideSink")

OpenRaw = Callable[[CardSpec, bool], Raw]
"""Opens a card for capture (True) or playback in a format with both sides."""


class _Side:
    """One side's end of a queue. `release(self)` is called once, when it is closed."""

    def __init__(self, name: str, side: Side, release: Callable[[_Side], None]) -> None:
        self.side = side
        self.last_frame_at_s = time.monotonic()
        self._name = f"{name} ({side})"
        self._release = release
        self._ready = threading.Condition()
        self._closed = False
        self._failure = ""

    def fail(self, why: str) -> None:
        """The card is lost: whoever waits here learns it."""
        with self._ready:
            self._failure = why
            self._ready.notify_all()

    def close(self) -> None:
        """Idempotent, from any thread. The last side to close stops the card's stream."""
        with self._ready:
            if self._closed:
                return
            self._closed = True
            self._ready.notify_all()
        self._release(self)

    def _refuse(self) -> None:
        if self._closed:
            raise SourceClosed(f"card {self._name} was closed")
        if self._failure:
            raise DeviceLost(self._failure)


class SideSource(_Side):
    """AudioSource of one side. overruns: times that a frame was dropped because nobody read this side."""

    def __init__(self, spec: CardSpec, layout: CaptureLayout, release: Callable[[_Side], None]) -> None:
        super().__init__(spec.name, spec.side, release)
        self.overruns = 0
        self._layout = layout
        self._bound = CAPTURE_QUEUE_MS // spec.frame_ms
        self._queue: deque[Frame] = deque()

    def put(self, captured: Captured) -> None:
        """One frame of the card, called by its thread; never waits."""
        frame = self._layout.captured(captured)
        with self._ready:
            if len(self._queue) == self._bound:
                self._queue.popleft()
                self._queue[0] = replace(self._queue[0], gap=True)
                self.overruns += 1
            self._queue.append(frame)
            self._ready.notify_all()

    def read(self) -> Frame:
        with self._ready:
            while not self._queue or self._closed or self._failure:
                self._refuse()
                self._ready.wait()
            frame = self._queue.popleft()
        self.last_frame_at_s = time.monotonic()
        return frame


class SideSink(_Side):
    """AudioSink of one side. underruns: times that the card needed a frame and this side had none."""

    def __init__(self, spec: CardSpec, release: Callable[[_Side], None]) -> None:
        super().__init__(spec.name, spec.side, release)
        self.underruns = 0
        self._bound = max(1, PLAYBACK_QUEUE_MS // spec.frame_ms)
        self._queue: deque[Samples] = deque()
        self._starved = True

    def take(self) -> Samples | None:
        """The next frame, or None for silence; called by the card's thread, never waits."""
        with self._ready:
            if not self._queue:
                if not self._starved:
                    self._starved = True
                    self.underruns += 1
                return None
            self._starved = False
            self._ready.notify_all()
            return self._queue.popleft()

    def wait_for_room(self) -> None:
        with self._ready:
            while True:
                self._refuse()
                if len(self._queue) < self._bound:
                    return
                self._ready.wait()

    def write(self, samples: Samples) -> None:
        self.wait_for_room()  # the card's thread only takes away: what there is room for now stays so
        with self._ready:
            self._queue.append(samples)
        self.last_frame_at_s = time.monotonic()


class _Run(Generic[S]):
    """One life of the card's stream: it ends when the card fails or the last side closes."""

    def __init__(self, stream: CardSource | CardSink, raw: Raw, frame_ms: int) -> None:
        self.stream = stream
        self.raw = raw
        self.frame_ms = frame_ms
        self.sides: tuple[S, ...] = ()
        """Replaced as a whole, never changed, so that the thread needs no lock to walk through it."""
        self.thread: threading.Thread | None = None

    def add(self, side: S) -> None:
        self.sides += (side,)

    def fail(self, why: str) -> None:
        for side in self.sides:
            side.fail(why)

    def alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive() and self.stalled_s() < _DEAD_S

    def stalled_s(self) -> float:
        return time.monotonic() - self.stream.last_frame_at_s


class _SharedStream(Generic[S]):
    """One direction of a card: starts its stream with the first side, stops it with the last."""

    label = ""

    def __init__(
        self, name: str, open_raw: OpenRaw, gone: Callable[[str], Gone], on_thread: Callable[[str], None]
    ) -> None:
        self._on_thread = on_thread
        self._name = name
        self._open_raw = open_raw
        self._gone = gone
        self._lock = threading.Lock()
        self._run: _Run[S] | None = None

    def open(self, spec: CardSpec) -> S:
        """Attach a side, starting the card if it does not run. AudioError for a side that is taken."""
        with self._lock:
            if self._run and not self._run.alive():
                self._stop("was restarted")
            run: _Run[S] = self._run or self._start(spec)
            if run.frame_ms != spec.frame_ms:
                raise AudioError(f"card {self._name}: its two sides need frames of one length")
            if any(side.side == spec.side for side in run.sides):
                raise AudioError(f"card {self._name}: its {spec.side} side is already in use")
            side = self._side(spec, run.raw)
            run.add(side)
            return side

    def close(self) -> None:
        with self._lock:
            self._stop("was closed")

    def _start(self, spec: CardSpec) -> _Run[S]:
        gone = self._gone(self._name)
        raw = self._open_raw(spec, self.label == "capture")
        run: _Run[S] = _Run(self._stream(raw, spec, gone), raw, spec.frame_ms)
        run.thread = threading.Thread(
            target=self._move, args=(run,), name=f"shared-{self.label}-{self._name}", daemon=True
        )
        self._run = run
        run.thread.start()
        return run

    def _release(self, side: _Side) -> None:
        """A side was closed. A card that stands still is given up for both, so that it is opened afresh."""
        with self._lock:
            run = self._run
            if run is None or side not in run.sides:
                return
            run.sides = tuple(other for other in run.sides if other is not side)
            if not run.sides:
                self._stop("was closed")
            elif run.stalled_s() > _STALLED_S:
                self._stop("stopped moving")

    def _stop(self, why: str) -> None:
        run = self._run
        self._run = None
        if run is None:
            return
        run.fail(f"card {self._name} {why}")
        run.stream.close()
        if run.thread is not None:
            run.thread.join(_JOIN_S)
            if run.thread.is_alive():
                log.error("thread %s has not ended within %.0f s", run.thread.name, _JOIN_S)

    def _move(self, run: _Run[S]) -> None:
        """The thread: moves frames until the stream ends."""
        self._on_thread(threading.current_thread().name)
        try:
            self._move_frames(run)
        except SourceClosed:
            log.debug("card %s: %s ends", self._name, self.label)
        except AudioError as error:
            run.fail(str(error))
        except Exception as error:
            # Both channels must learn that their card stands still, whatever the reason.
            log.exception("card %s: its %s thread died", self._name, self.label)
            run.fail(f"card {self._name}: {type(error).__name__}: {error}")

    def _stream(self, raw: Raw, spec: CardSpec, gone: Gone) -> CardSource | CardSink:
        raise NotImplementedError

    def _side(self, spec: CardSpec, raw: Raw) -> S:
        raise NotImplementedError

    def _move_frames(self, run: _Run[S]) -> None:
        raise NotImplementedError


class _SharedCapture(_SharedStream[SideSource]):
    label = "capture"

    def _stream(self, raw: Raw, spec: CardSpec, gone: Gone) -> CardSource:
        return CardSource(raw, spec, gone)

    def _side(self, spec: CardSpec, raw: Raw) -> SideSource:
        layout = CaptureLayout(raw.rate_hz, raw.channels, spec.side, spec.frame_ms)
        return SideSource(spec, layout, self._release)

    def _move_frames(self, run: _Run[SideSource]) -> None:
        stream = run.stream
        assert isinstance(stream, CardSource)
        while True:
            captured = stream.read_raw()
            for side in run.sides:
                side.put(captured)


class _SharedPlayback(_SharedStream[SideSink]):
    label = "playback"

    def _stream(self, raw: Raw, spec: CardSpec, gone: Gone) -> CardSink:
        return CardSink(raw, spec, gone)

    def _side(self, spec: CardSpec, raw: Raw) -> SideSink:
        return SideSink(spec, self._release)

    def _move_frames(self, run: _Run[SideSink]) -> None:
        stream = run.stream
        assert isinstance(stream, CardSink)
        layout = StereoLayout(run.raw.rate_hz, run.raw.channels)
        nothing = silence(samples_per_frame(run.frame_ms))
        while True:
            stream.wait_for_room()
            frames = {side.side: side.take() for side in run.sides}
            left, right = frames.get("left"), frames.get("right")
            stream.write_raw(
                layout.data(nothing if left is None else left, nothing if right is None else right)
            )


class SharedCards:
    """The cards whose sides are used apart."""

    def __init__(
        self,
        open_raw: OpenRaw,
        gone: Callable[[str], Gone],
        on_thread: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`open_raw`: opens a card in a format with both sides. `gone(name)`: a test whether it left.
        on_thread(name): called first thing on each card's thread."""
        self._on_thread = on_thread
        self._open_raw = open_raw
        self._gone = gone
        self._lock = threading.Lock()
        self._captures: dict[str, _SharedCapture] = {}
        self._playbacks: dict[str, _SharedPlayback] = {}

    def open_source(self, spec: CardSpec) -> SideSource:
        """The microphone of one side. DeviceMissing, DeviceLost; AudioError when the side is taken."""
        with self._lock:
            shared = self._captures.setdefault(
                spec.name, _SharedCapture(spec.name, self._open_raw, self._gone, self._on_thread)
            )
        return shared.open(spec)

    def open_sink(self, spec: CardSpec) -> SideSink:
        """The loudspeaker of one side. DeviceMissing, DeviceLost; AudioError when the side is taken."""
        with self._lock:
            shared = self._playbacks.setdefault(
                spec.name, _SharedPlayback(spec.name, self._open_raw, self._gone, self._on_thread)
            )
        return shared.open(spec)

    def close(self) -> None:
        """Stop every stream and thread; the sides get DeviceLost."""
        for capture in self._captures.values():
            capture.close()
        for playback in self._playbacks.values():
            playback.close()
