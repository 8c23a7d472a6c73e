"""The threads that move a channel's frames: one captures, one plays. They own the open card, nothing else.

A card that is away is looked for twice a second. A read or write that never returns is freed by the
`StallWatch`, because a card can hang without ever reporting an error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from echostream.audio.ports import AudioSink, AudioSource, TellsLateness
from echostream.channels.audio_stream import AudioStream
from echostream.channels.no_card import NoSource
from echostream.coordinator.worker import Worker
from echostream.errors import AudioError, DeviceMissing, LibraryMissing
from echostream.events import Direction, Post, SourceChanged
from echostream.realtime.wakeups import Wakeups

log = logging.getLogger(__name__)

RETRY_S = 0.5
STALL_S = 1.0


class CardWorker(Worker):
    """Keeps one direction of a card open and frames moving through it."""

    direction: Direction

    def __init__(
        self,
        channel_id: str,
        name: str,
        stream: AudioStream,
        open_device: Callable[[], AudioSource | AudioSink],
        post: Post,
    ) -> None:
        super().__init__(name, post)
        self._channel_id = channel_id
        self._stream = stream
        self._open_device = open_device
        self._device: AudioSource | AudioSink | None = None
        self._device_lock = threading.Lock()
        self._closer: threading.Thread | None = None
        self._present: bool | None = None
        self.frames = 0
        self._slips_before = 0
        self.misses = self.refusals = 0
        """Times that the card was looked for and was not there, or was there and did not open."""
        self.last_frame_at_s = time.monotonic()
        self.wakeups = Wakeups()
        """How late this thread was woken for its card."""

    @property
    def present(self) -> bool:
        return bool(self._present)

    @property
    def slips(self) -> int:
        """Times since the start that the card had to lose audio, or had none to play: nobody came in time."""
        with self._device_lock:
            return self._slips_before + _slips(self._device)

    def free_if_stalled(self, now: float) -> bool:
        """Close a device that has not moved a frame for STALL_S; its thread then opens it again."""
        if not self._present or now - self.last_frame_at_s < STALL_S:
            return False
        stalled_s = now - self.last_frame_at_s
        log.error("%s: no frame for %.1f s, closing the card to free it", self.name, stalled_s)
        self.last_frame_at_s = now
        self._away(f"no frame for {stalled_s:.1f} s")
        self._unblock()
        return True

    def join(self, timeout_s: float) -> bool:
        """As Worker.join; a thread that still closes the device counts as well."""
        deadline_s = time.monotonic() + timeout_s
        if not super().join(timeout_s):
            return False
        if self._closer is not None:
            self._closer.join(max(0.0, deadline_s - time.monotonic()))
            return not self._closer.is_alive()
        return True

    def _unblock(self) -> None:
        """Closing the device frees the thread that waits for it.

        Thread `close-...`: a driver that hangs holds whoever closes it, and that must not be the coordinator
        or the stall watch, for which other channels wait. A daemon, because such a driver may never return.
        """
        with self._device_lock:
            device = self._device
        if device is not None:
            self._closer = threading.Thread(target=device.close, name=f"close-{self.name}", daemon=True)
            self._closer.start()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                device = self._open_device()
            except LibraryMissing:
                raise
            except AudioError as error:
                if isinstance(error, DeviceMissing):
                    self.misses += 1
                else:
                    self.refusals += 1
                self._away(str(error))
                self._idle(RETRY_S)
                continue
            with self._device_lock:
                self._device = device
            try:
                self._back()
                if isinstance(device, TellsLateness):
                    device.on_wake = self.wakeups.note
                self._run_device(device)
            except AudioError as error:
                if not self._stopping.is_set():
                    self._away(str(error))
            except BaseException:
                # A bug of ours: the channel must not believe in a source that is not read any more.
                self._away("its worker failed")
                raise
            finally:
                with self._device_lock:
                    self._slips_before += _slips(device)
                    self._device = None
                device.close()
                self._lost()
            if not self._stopping.is_set():
                self._stopping.wait(RETRY_S / 5)

    def _moved(self) -> None:
        self.frames += 1
        self.last_frame_at_s = time.monotonic()

    def _away(self, detail: str) -> None:
        if self._present is not False:
            self._present = False
            self._post(SourceChanged(self._channel_id, self.direction, False, detail))

    def _back(self) -> None:
        self.last_frame_at_s = time.monotonic()
        if self._present is not True:
            self._present = True
            self._post(SourceChanged(self._channel_id, self.direction, True, ""))

    def _idle(self, duration_s: float) -> None:
        self._stopping.wait(duration_s)

    def _run_device(self, device: AudioSource | AudioSink) -> None:
        raise NotImplementedError

    def _lost(self) -> None:
        raise NotImplementedError


def _slips(device: AudioSource | AudioSink | None) -> int:
    """Of a card that counts them; a simulated one, or none at all, never slips."""
    return int(getattr(device, "overruns", 0)) + int(getattr(device, "underruns", 0))


class CaptureWorker(CardWorker):
    """Thread `capture-CHANNEL`: reads the card, feeds the transmit path; encode and seal happen inline."""

    direction = Direction.CAPTURE
    _clock: NoSource | None = None

    def _run_device(self, device: AudioSource | AudioSink) -> None:
        source: AudioSource = device  # type: ignore[assignment]
        feed = self._stream.transmit.feed
        while not self._stopping.is_set():
            frame = source.read()
            self._moved()
            feed(frame)

    def _lost(self) -> None:
        self._clock = None
        self._stream.transmit.source_lost()

    def _idle(self, duration_s: float) -> None:
        transmit = self._stream.transmit
        if transmit.devices is None or not transmit.devices.sinks:
            # What the coordinator asks for must not pile up in front of a card that stays away.
            super()._idle(duration_s)
            transmit.source_lost()
            return
        # Network microphones go on without the card. One clock for all of its absence: looking for the card
        # takes time, and the clock makes up for it.
        if self._clock is None:
            self._clock = NoSource(transmit.frame_ms)
        until_s = time.monotonic() + duration_s
        while not self._stopping.is_set() and time.monotonic() < until_s:
            transmit.feed_without_card(self._clock.read())


class PlaybackWorker(CardWorker):
    """Thread `playback-CHANNEL`: pulls a frame and writes it, silence included, at the card's pace."""

    direction = Direction.PLAYBACK

    def _run_device(self, device: AudioSource | AudioSink) -> None:
        sink: AudioSink = device  # type: ignore[assignment]
        next_frame = self._stream.next_frame
        while not self._stopping.is_set():
            sink.wait_for_room()  # first: a frame that waits here is as much older when it is heard
            sink.write(next_frame(time.monotonic()))
            self._moved()

    def _lost(self) -> None:
        self._stream.sink_lost()

    def _idle(self, duration_s: float) -> None:
        # What arrives while there is no card must not be played when it comes back.
        super()._idle(duration_s)
        self._stream.receive.flush()


class StallWatch:
    """Thread `stall-watch`: looks at every card worker four times a second."""

    PERIOD_S = 0.25

    def __init__(self, workers: Callable[[], list[CardWorker]]) -> None:
        self._workers = workers
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watch")
        self.freed = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(self.PERIOD_S):
            now = time.monotonic()
            for worker in self._workers():
                if worker.free_if_stalled(now):
                    self.freed += 1
