"""The table of parsers under fuzz. To register another: one Target in TARGETS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuzz_archive import generate_meta, generate_torn, run_meta, run_torn
from fuzz_audio import generate_opus, generate_stream, generate_talk, run_framer, run_opus, run_talk
from fuzz_config import generate_config, run_config
from fuzz_definitions import generate_definitions, generate_wav, run_definitions, run_wav
from fuzz_esp32 import (
    generate_arrivals,
    generate_microphone_datagram,
    generate_opening,
    generate_pieces,
    run_arrivals,
    run_microphone_datagram,
    run_opening,
    run_pieces,
)
from fuzz_guard import generate_program, run_program
from fuzz_log import generate_file, generate_line, run_file, run_line
from fuzz_mqtt import generate_command, run_command
from fuzz_mutate import Generator
from fuzz_packets import generate_datagram, generate_key, generate_sealed, run_datagram, run_key, run_opener
from fuzz_signalling import generate_client, generate_server, run_client, run_server
from fuzz_tones import generate_samples, generate_scene, run_ear, run_scene

from echostream.errors import AudioError, CodecError, ConfigError, DecryptError, WireError


@dataclass(frozen=True)
class Target:
    """One parser.

    run: takes any bytes; returns whether they were accepted, or raises one of `allowed`. It checks what must
    hold of what was accepted with `assert`. Anything else that it raises is a finding.
    share: of the inputs asked for, where each one is a whole conversation.
    generate: one input from a seeded random.Random; fuzz_mutate and fuzz_json have the parts.
    """

    name: str
    run: Callable[[bytes], bool]
    generate: Generator
    allowed: tuple[type[Exception], ...]
    share: float = 1.0


TARGETS: tuple[Target, ...] = (
    Target("datagram", run_datagram, generate_datagram, (WireError,)),
    Target("server", run_server, generate_server, (WireError,)),
    Target("client", run_client, generate_client, (WireError,)),
    Target("key", run_key, generate_key, (WireError,)),
    Target("opener", run_opener, generate_sealed, (DecryptError,)),
    Target("replay_guard", run_program, generate_program, ()),
    Target("opus", run_opus, generate_opus, (CodecError,)),
    Target("framer", run_framer, generate_stream, ()),
    Target("microphone_opening", run_opening, generate_opening, (WireError,)),
    Target("microphone_pieces", run_pieces, generate_pieces, ()),
    Target("microphone_datagram", run_microphone_datagram, generate_microphone_datagram, (WireError,)),
    Target("microphone_order", run_arrivals, generate_arrivals, (), share=0.1),
    Target("receive_path", run_talk, generate_talk, (), share=0.01),
    Target("ear", run_ear, generate_samples, (), share=0.01),
    Target("tones", run_scene, generate_scene, (), share=0.005),
    Target("mqtt_command", run_command, generate_command, ()),
    Target("event_line", run_line, generate_line, (ValueError,)),
    Target("event_file", run_file, generate_file, (), share=0.05),
    Target("config", run_config, generate_config, (ConfigError,)),
    Target("definitions", run_definitions, generate_definitions, (ConfigError,)),
    Target("recording", run_meta, generate_meta, (ValueError,)),
    Target("torn_file", run_torn, generate_torn, (), share=0.02),
    Target("wav_stream", run_wav, generate_wav, (AudioError,)),
)
