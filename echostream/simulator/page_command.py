"""`echostream page`: a page's tones and a voice, as one transmission on a channel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.resampler import RationalResampler
from echostream.config.explain import did_you_mean
from echostream.config.load import LoadedConfig, load_config
from echostream.config.secrets import read_secret
from echostream.errors import AudioError, ConfigError, LibraryMissing
from echostream.gateway import Secrets
from echostream.simulator.member_commands import Access, guarded, secrets_of, server_of, transmit
from echostream.tone_tools import definitions
from echostream.tone_tools.generate import definition_of, parts_of
from echostream.tone_tools.generate_options import timing_of
from echostream.tone_tools.sound_files import STDIN, Sound
from echostream.tones import generator
from echostream.tones.plan import Digits
from echostream.wire.crypto import parse_key

DEFAULT_CONFIG: Final = Path("config.json")
LEAD_S: Final = 0.3
"""Silence first: receivers and repeaters need a moment to open."""
BEFORE_VOICE_S: Final = 0.5
TAIL_S: Final = 0.2
LONGEST_VOICE_S: Final = 600.0


def page(args: argparse.Namespace) -> int:
    """Send it; 0 once the last packet is out."""
    return guarded("page", args, _page)


def _page(args: argparse.Namespace) -> int:
    loaded = _config(args)
    access = _access(args, loaded)
    args.url = access.server.url
    parts, name = _what(args, loaded)
    try:
        tones = generator.render((generator.Part(LEAD_S), *parts), RATE_HZ, args.level)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    pieces = [generator.to_int16(tones)]
    if args.voice is not None:
        try:
            pieces += [_silence(BEFORE_VOICE_S), _voice(args.voice)]
        except LibraryMissing:
            raise
        except AudioError as error:  # the call is wrong, not the machine
            raise ConfigError(str(error)) from None
    return transmit(args, np.concatenate([*pieces, _silence(TAIL_S)]), name, access)


def _config(args: argparse.Namespace) -> LoadedConfig | None:
    """The configuration, where one was named or lies here; ConfigError where the channel is none of its."""
    path = args.config
    if path is None and args.url is not None and args.definitions is not None:
        return None
    if path is None and not DEFAULT_CONFIG.exists() and args.url is not None:
        return None
    loaded = load_config(path or DEFAULT_CONFIG)
    known = [channel.id for channel in loaded.config.channels]
    if args.channel not in known:
        near = did_you_mean(args.channel, known)
        raise ConfigError(
            f"channel {args.channel}: unknown; {near or 'the channels are ' + ', '.join(known)}"
        )
    return loaded


def _access(args: argparse.Namespace, loaded: LoadedConfig | None) -> Access:
    if args.url is not None or loaded is None:
        return Access(server_of(args), secrets_of(args))
    server = loaded.config.control_server
    given = secrets_of(args)
    key, token = given.aes_key, given.token
    if key is None and server.aes_key is not None:
        key = parse_key(read_secret(server.aes_key, "control_server.aes_key"))
    if token is None and server.token is not None:
        token = read_secret(server.token, "control_server.token")
    return Access(server, Secrets(key, token))


def _what(args: argparse.Namespace, loaded: LoadedConfig | None) -> tuple[tuple[generator.Part, ...], str]:
    timing = timing_of(args)
    if args.dtmf is not None:
        return parts_of(Digits("", "dtmf", args.dtmf), timing), f"DTMF {args.dtmf}"
    if args.five_tone is not None:
        system, digits = args.five_tone
        return parts_of(Digits("", system, digits), timing), f"{system} {digits}"
    if args.definitions is not None:
        given, channel = definitions.from_file(args.definitions), None
    elif loaded is not None:
        given = definitions.Definitions("config.json", dict(loaded.config.tones))
        channel = args.channel
    else:
        raise ConfigError(
            f"page {args.tone_id}: say where it is defined: --config FILE or --definitions FILE"
        )
    tone = given.tone(args.tone_id, channel)
    return parts_of(definition_of(tone), timing), f"page {tone.tone_id}"


def _voice(path: Path) -> Samples:
    """A file of any kind as 48 kHz mono."""
    sound = Sound(path)
    blocks = []
    for block in sound.blocks():
        blocks.append(block)
        if sound.read_s > LONGEST_VOICE_S:
            raise AudioError(f"{sound.name}: longer than {LONGEST_VOICE_S:.0f} s; say it in parts")
    voice = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if sound.rate_hz != RATE_HZ:
        resampler = RationalResampler(sound.rate_hz, RATE_HZ)
        tail = np.zeros(2 * resampler.latency_samples * sound.rate_hz // RATE_HZ + 64, np.float32)
        wanted = voice.size * RATE_HZ // sound.rate_hz
        voice = resampler.process(np.concatenate((voice, tail)))[resampler.latency_samples :][:wanted]
    if not voice.size:
        what = "standard input" if path == STDIN else str(path)
        raise AudioError(f"{what}: no voice in it (0 samples)")
    return generator.to_int16(voice.astype(np.float64))


def _silence(length_s: float) -> Samples:
    return np.zeros(round(length_s * RATE_HZ), np.int16)
