"""A gateway that records microphones, as a process of its own: what the relay's benches look at.

It is the gateway as `main` builds it, on radio channels whose cards are speech from memory and whose keys are
held down, and a channel without a card. For each line on standard input it prints its counters as a line of
JSON, with the seconds at which each device's audio reached the recorder; at the end of its input it stops,
and all that was recorded is whole when it has ended.

Argument: a JSON object, the fields of `Job`.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from unittest.mock import patch

from echostream.archive.recorder import Recorder
from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import TICK_SAMPLES, Samples
from echostream.channels.channel_runtime import Hardware
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.config.models import NO_CARD, Channel, Config, ControlServer
from echostream.config.models import Gateway as Identity
from echostream.config.recording_models import AudioForm, Recording, RecordPolicy
from echostream.console import logs
from echostream.events import Opener, PttChanged
from echostream.gateway import Gateway, Secrets
from tests.bench._gateways import FRAME_S, NoCosReaders, NoOutputs, PacedCards, wait_until
from tests.bench._speech import speech

ONLINE_S = 10.0
TALKER, TALK_CHANNEL = "talker", "microphones"
CONTINUOUS = RecordPolicy(mode="continuous")
NEVER = RecordPolicy(mode="never")


@dataclass(frozen=True, slots=True)
class Job:
    """url: of the control server; "": nobody is there, and no radio runs. watched: names of the devices whose
    way is timed. most: devices at a time."""

    directory: str
    port: int
    url: str = ""
    radios: int = 0
    form: AudioForm = "wav"
    segment_s: float = 600.0
    workers: int = 1
    most: int = 200
    watched: tuple[str, ...] = ()
    talks: bool = False


class _Timed:
    """A sink that notes when each block came: (end position, monotonic seconds)."""

    def __init__(self, sink: DeviceSink, notes: array.array[float]) -> None:
        self._sink = sink
        self._notes = notes

    def audio(self, block: DeviceAudio) -> None:
        self._notes.extend((block.position + block.samples.size, time.monotonic()))
        self._sink.audio(block)

    def ended(self, cause: GapCause) -> None:
        self._sink.ended(cause)


def main() -> int:
    given = json.loads(sys.argv[1])
    job = Job(**given | {"watched": tuple(given.get("watched", ()))})
    logs.set_up("lines", False, sys.stderr)
    phases_s = {f"radio-{n}": (0.004 * n, 0.004 * n + 0.002) for n in range(job.radios)}
    cards = PacedCards(_speaker(), phases_s, keeps=False)
    hardware = Hardware(cards, None, NoOutputs(), NoCosReaders())
    notes: dict[str, array.array[float]] = {name: array.array("d") for name in job.watched}
    with ExitStack() as stack:
        gateway = Gateway(_config(job), Secrets(), hardware, on_shutdown=lambda reason: None)
        stack.callback(gateway.stop)
        assert gateway.records is not None
        stack.enter_context(_timed(gateway.records.recorder, notes))
        gateway.start()
        if job.url and not wait_until(lambda: all(one.state.online for one in gateway.channels), ONLINE_S):
            print("the gateway did not come online", file=sys.stderr)
            return 1
        for n in range(job.radios):
            gateway.post(PttChanged(f"radio-{n}", Opener.TALK, True, time.monotonic()))
        gc.collect()
        gc.freeze()  # as main does
        for _line in sys.stdin:
            print(json.dumps(_counters(job, gateway, notes)), flush=True)
    return 0


def _timed(
    recorder: Recorder, notes: dict[str, array.array[float]]
) -> contextlib.AbstractContextManager[object]:
    """What each of those devices sends is noted on its way into the recorder."""
    taken = recorder.open_device

    def open_device(info: StreamInfo, policy: RecordPolicy, channel_id: str = "") -> DeviceSink | None:
        sink = taken(info, policy, channel_id)
        return sink if sink is None or info.name not in notes else _Timed(sink, notes[info.name])

    return patch.object(recorder, "open_device", open_device)


def _speaker() -> Callable[[int], Samples]:
    recorded = speech(20.0)
    frames = recorded[: recorded.size // TICK_SAMPLES * TICK_SAMPLES].reshape(-1, TICK_SAMPLES)
    assert FRAME_S * 48_000 == TICK_SAMPLES
    return lambda number: frames[number % len(frames)]


def _config(job: Job) -> Config:
    radios = [f"radio-{n}" for n in range(job.radios)]
    devices: Sequence[Esp32Device] = ()
    channels = [Channel(id=name, card=name, duplex="full", tot_s=3600) for name in radios]
    if job.talks:
        channels.append(Channel(id=TALK_CHANNEL, card=NO_CARD, duplex="full"))
        devices = (Esp32Device(name=TALKER, channel=TALK_CHANNEL, transmit="always", record=CONTINUOUS),)
    return Config(
        gateway=Identity(id="relay", affiliation_id="relay"),
        control_server=ControlServer(url=job.url or "ws://127.0.0.1:9"),
        channels=tuple(channels),
        esp32=Esp32(
            enabled=True,
            bind="127.0.0.1",
            tcp_port=job.port,
            udp_port=None,
            announce=False,
            unknown="accept",
            defaults=DeviceDefaults(record=CONTINUOUS),
            devices=tuple(devices),
        ),
        relay=Relay(workers=job.workers, max_connections=job.most, max_per_address=job.most),
        recording=Recording(
            enabled=True,
            directory=job.directory,
            write=job.form,
            segment_s=job.segment_s,
            channels=dict.fromkeys(radios, CONTINUOUS),
            default=NEVER,
        ),
    )


def _counters(job: Job, gateway: Gateway, notes: dict[str, array.array[float]]) -> dict[str, object]:
    microphones, records = gateway.microphones, gateway.records
    assert microphones is not None
    assert records is not None
    air = [sink for runtime in gateway.channels for sink in runtime.devices.sinks]
    return {
        "listens": microphones.relay.tcp_port == job.port,
        "here": sum(device.connected for device in microphones.relay.devices()),
        "lost_s": sum(source.lost_s for source in records.recorder.sources),
        "frames_lost": sum(runtime.stream.transmit.stats.frames_lost for runtime in gateway.channels),
        "packets_sent": [runtime.stream.transmit.stats.packets_sent for runtime in gateway.channels],
        "sync_slowest_s": records.sync.slowest_s,
        "air_delay_ms": [sink.voice.air.delay_ms(99) for sink in air],
        "notes": {name: list(one) for name, one in notes.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
