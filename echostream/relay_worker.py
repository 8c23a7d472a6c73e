"""A process of the gateway that serves and records streams, started by the relay with a pipe as its standard
input: `python -m echostream.relay_worker`. Like main it knows every room; nobody starts it by hand.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from echostream.archive.filing import mark_closed
from echostream.archive.recorder import Recorder
from echostream.audio.device_ports import DeviceSink, StreamInfo
from echostream.config.esp32_models import DeviceDefaults, Relay
from echostream.events import Event, WorkerFailed
from echostream.network.descriptors import allow_descriptors
from echostream.network.esp32_pipe import Failed, Pipe, Record, Said, Told, pipe_of
from echostream.network.esp32_stream_server import StreamServer

log = logging.getLogger(__name__)

JOIN_S: Final = 20.0
MAX_LINES: Final = 1000
"""Lines that wait for the gateway; what it does not take is not worth more."""
MAX_TEXT: Final = 8000
"""Characters of one line with its traceback."""
DESCRIPTORS: Final = 16_384
"""Four thousand devices at most, each with its socket and its recording."""


class WorkerRecorder:
    """The recorder of this process; what it tells goes over the pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._recorder: Recorder | None = None
        self._ending: list[Recorder] = []

    def record_with(self, record: Record) -> None:
        """Every stream of the recorder before was ended: it closes its files, and nobody waits for it here.
        On a slow disk that takes longer than the gateway lets this process be silent."""
        self._ending = [one for one in self._ending if not one.join(0)]
        old, self._recorder = self._recorder, None
        if old is not None:
            old.request_stop()
            self._ending.append(old)
        if record.recording is None or not record.recording.enabled:
            return
        self._recorder = Recorder(
            record.recording,
            record.gateway_id,
            self._post,
            lambda path: self._tell("changed", path),
            self._closed,
            lambda: self._pipe.send(Told("written")),
        )
        self._recorder.start()

    def open(self, info: StreamInfo, settings: DeviceDefaults) -> Sequence[DeviceSink]:
        """Who takes a stream: the recorder, or nobody."""
        if self._recorder is None:
            return ()
        channel_id = "" if info.quarantined else settings.channel or ""
        sink = self._recorder.open_device(info, settings.record, channel_id)
        return () if sink is None else (sink,)

    def lost_s(self) -> dict[str, float]:
        """Of each device that is being written at this moment: audio that found its queue full."""
        sources = [] if self._recorder is None else self._recorder.sources
        return {source.name: source.lost_s for source in sources if source.path}

    def stop(self) -> None:
        """Whole files, all of them told of."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.request_stop()
            self._ending.append(recorder)
        until_s = time.monotonic() + JOIN_S
        for one in self._ending:
            if not one.join(max(0.0, until_s - time.monotonic())):
                log.error("worker %s has not ended after %.1f s", one.name, JOIN_S)

    def _closed(self, path: Path) -> None:
        with contextlib.suppress(OSError):  # a full disk: then only a restart of the gateway forgets it
            mark_closed(path.parents[2], path.stem)
        self._tell("closed", path)

    def _tell(self, word: Literal["changed", "closed"], path: Path) -> None:
        self._pipe.send(Told(word, path))

    def _post(self, event: Event) -> None:
        if isinstance(event, WorkerFailed):
            self._pipe.send(Failed(event.name, event.error[:MAX_TEXT]))


class PipeHandler(logging.Handler):
    """Lines of the log go to the gateway: it knows where logs are kept, and who owns the screen."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(logging.INFO)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        if self._pipe.waiting < MAX_LINES:
            self._pipe.send(Said(record.name, record.levelno, self.format(record)[:MAX_TEXT]))


def main() -> int:
    """Until the gateway says stop, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the gateway ends this process in order, or by ending itself
    pipe = pipe_of(sys.stdin.fileno())
    logging.basicConfig(level=logging.INFO, handlers=[PipeHandler(pipe)])
    allow_descriptors(DESCRIPTORS)
    recorder = WorkerRecorder(pipe)
    try:
        StreamServer(pipe, Relay(), recorder).run()
    except Exception:
        log.exception("the process that serves streams has failed")
        return 1
    finally:
        recorder.stop()
        pipe.drain()
        pipe.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
