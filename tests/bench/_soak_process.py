"""A gateway with four cards through real PortAudio as a process of its own: what the soak looks at.

It is the gateway as `main` builds it, on real cards and simulated lines whose buttons are held down. For each
line on standard input it prints its counters as a line of JSON; it ends with its input.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack

from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.channels.channel_runtime import Hardware
from echostream.config.models import Audio, Channel, Config, ControlServer, Ptt
from echostream.config.models import Gateway as Identity
from echostream.gateway import Gateway, Secrets
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.audio_streams import CardSink, CardSource
from echostream.hardware.gpio_mock import MockGpioInputs
from echostream.realtime.process import RealTime
from tests.bench._gateways import NoCosReaders, NoOutputs, wait_until

FIRST_PIN = 20
ONLINE_S = 10.0


class _NotedCards:
    """The real cards, and a note of every stream that was opened."""

    def __init__(self, hardware: AudioHardware) -> None:
        self._hardware = hardware
        self.sources: list[CardSource] = []
        self.sinks: list[CardSink] = []

    def open_source(self, spec: CardSpec) -> AudioSource:
        source = self._hardware.open_source(spec)
        assert isinstance(source, CardSource)
        self.sources.append(source)
        return source

    def open_sink(self, spec: CardSpec) -> AudioSink:
        sink = self._hardware.open_sink(spec)
        assert isinstance(sink, CardSink)
        self.sinks.append(sink)
        return sink


def main() -> int:
    url, *cards = sys.argv[1:]
    channels = tuple(
        Channel(id=card, card=card, duplex="full", tot_s=3600, ptt=Ptt(pin=FIRST_PIN + number))
        for number, card in enumerate(cards)
    )
    config = Config(
        gateway=Identity(id="soak", affiliation_id="soak"),
        control_server=ControlServer(url=url),
        channels=channels,
        audio=Audio(),
    )
    realtime = RealTime()
    with ExitStack() as stack:
        stack.callback(realtime.stop)
        hardware = AudioHardware(cards, on_thread=realtime.enter)
        stack.callback(hardware.close)
        inputs = MockGpioInputs()
        inputs.start()
        stack.callback(inputs.close)
        noted = _NotedCards(hardware)
        plugs = Hardware(noted, inputs, NoOutputs(), NoCosReaders())
        gateway = Gateway(
            config, Secrets(), plugs, on_shutdown=lambda reason: None, on_audio_thread=realtime.enter
        )
        gateway.start()
        stack.callback(gateway.stop)
        realtime.settle(lambda: gateway.busy)
        if not wait_until(lambda: all(runtime.state.online for runtime in gateway.channels), ONLINE_S):
            print("the gateway did not come online", file=sys.stderr)
            return 1
        for number in range(len(cards)):
            inputs.drive(FIRST_PIN + number, False)
        for _line in sys.stdin:
            print(json.dumps(_counters(gateway, noted)), flush=True)
    return 0


def _counters(gateway: Gateway, cards: _NotedCards) -> dict[str, object]:
    runtimes = gateway.channels
    received = [runtime.stream.receive.stats for runtime in runtimes]
    transmitted = [runtime.stream.transmit.stats for runtime in runtimes]
    return {
        "overruns": sum(source.overruns for source in cards.sources),
        "underruns": sum(sink.underruns for sink in cards.sinks),
        "opened": len(cards.sources) + len(cards.sinks),
        "restarts": sum(worker.restarts for runtime in runtimes for worker in runtime.workers),
        "frames_captured": [stats.frames_captured for stats in transmitted],
        "frames_lost": sum(stats.frames_lost for stats in transmitted),
        "packets_sent": [stats.packets_sent for stats in transmitted],
        "packets_received": [stats.packets_received for stats in received],
        "packets_lost": sum(stats.packets_lost + stats.packets_late for stats in received),
        "concealed": sum(stats.concealed for stats in received),
        "delay_ms_p50": [stats.delay_ms_p50 for stats in received],
        "delay_ms_p99": [stats.delay_ms_p99 for stats in received],
        "cpu_s": time.process_time(),
        "at_s": time.monotonic(),
    }


if __name__ == "__main__":
    sys.exit(main())
