"""One channel's transmit path as a process of its own: what the CPU benchmark measures.

Capture worker, transmit path, session and UDP thread are the gateway's; only signalling and the coordinator
are left out, which do nothing while somebody talks. For each line on standard input it prints its counters as
a line of JSON; it ends with its input.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opuslib.api import encoder as libopus

from echostream.audio.opus_codec import EncoderSettings
from echostream.audio.ports import AudioSource, CardSpec
from echostream.channels.audio_stream import AudioStream, ReceiveSettings
from echostream.channels.audio_workers import CaptureWorker
from echostream.channels.media_session import MediaSession
from echostream.channels.transmit_path import TransmitSettings
from echostream.network.udp_manager import UdpManager

PEER_SETTINGS = EncoderSettings(24_000, 5, fec=False, dtx=False, expected_loss_percent=0)
"""What the other side of the comparison is given too."""


class LibopusClock:
    """CPU time inside opus_encode: the calls of the binding are wrapped, for 1 µs a frame."""

    def __init__(self) -> None:
        self.spent_ns = 0
        self._encode: Callable[..., int] = libopus.libopus_encode
        libopus.libopus_encode = self._timed

    def _timed(self, *arguments: Any) -> int:
        began_ns = time.thread_time_ns()
        size = self._encode(*arguments)
        self.spent_ns += time.thread_time_ns() - began_ns
        return size

    def close(self) -> None:
        libopus.libopus_encode = self._encode


def new_stream(encoder: EncoderSettings) -> AudioStream:
    """A channel's two directions with the gateway's own settings, the encoder's apart."""
    return AudioStream(
        TransmitSettings(encoder=encoder),
        ReceiveSettings(),
        None,
        on_vox=lambda active, at_s: None,
        on_drained=lambda number: None,
        on_playing=lambda playing: None,
    )


def speak(stream: AudioStream, session: MediaSession, udp: UdpManager, channel_id: str) -> None:
    """Open the valve for good."""
    stream.transmit.set_uplink(session.uplink(channel_id, int(time.time() * 1000), udp.send))
    stream.transmit.arm(1, time.monotonic())
    stream.transmit.open(1)


@contextlib.contextmanager
def network(port: int) -> Iterator[tuple[MediaSession, UdpManager]]:
    """A session with a key, and a UDP thread whose server is `port` on this machine."""
    session = MediaSession(os.urandom, time.monotonic)
    session.start(os.urandom(32))
    udp = UdpManager(session.on_datagram)
    udp.start()
    try:
        udp.set_server("127.0.0.1", port)
        while not udp.ready:
            time.sleep(0.01)
        yield session, udp
    finally:
        udp.stop()


@contextlib.contextmanager
def opener(card: str | None, file: str | None) -> Iterator[Callable[[], AudioSource]]:
    """How the microphone is opened: a card through PortAudio, or a recording, again and again."""
    if card is not None:
        from echostream.hardware.audio_hardware import AudioHardware

        hardware = AudioHardware([card])
        try:
            yield lambda: hardware.open_source(CardSpec(card))
        finally:
            hardware.close()
        return
    from echostream.simulator.file_cards import FileSource, Voice, read_wav

    voice = Voice(read_wav(Path(str(file))), loop=True)
    yield lambda: FileSource(voice, 20)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--card")
    parser.add_argument("--file")
    args = parser.parse_args()
    with network(args.port) as (session, udp), opener(args.card, args.file) as open_source:
        clock = LibopusClock()
        stream = new_stream(PEER_SETTINGS)
        worker = CaptureWorker("bench", "capture-bench", stream, open_source, lambda event: None)
        worker.start()
        speak(stream, session, udp, "bench")
        try:
            for _line in sys.stdin:
                stats = stream.transmit.stats
                counters = {
                    "frames": stats.frames_captured,
                    "lost": stats.frames_lost,
                    "packets": stats.packets_sent,
                    "libopus_s": clock.spent_ns / 1e9,
                    "cpu_s": time.process_time(),
                }
                print(json.dumps(counters), flush=True)
        finally:
            worker.request_stop()
            worker.join(2.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
