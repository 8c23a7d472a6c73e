"""`echostream talk`, `listen` and `answer`: join a channel from the command line."""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import AudioSink, CardSpec
from echostream.config.models import ControlServer, Secret, Tls
from echostream.config.secrets import read_secret
from echostream.console import logs
from echostream.errors import AudioError, EchoStreamError
from echostream.gateway import Secrets
from echostream.signals import Waker
from echostream.simulator.file_cards import FileCards, Voice, read_wav
from echostream.simulator.member import Answerer, Member, MemberIdentity, say, silent_voice
from echostream.wire.crypto import parse_key

ONLINE_S = 10.0
PACKET_S = 0.02
WHOLE = 0.95
"""A transmission is said when so much of it went out: DTX and the last half packet may cost a little."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWER_WAV = Path(__file__).parent / "speech" / "answer.wav"
_PLAY_QUEUE_FRAMES = 25


@dataclass(frozen=True, slots=True)
class Access:
    """A control server, and what it asks for."""

    server: ControlServer
    secrets: Secrets


def talk(args: argparse.Namespace) -> int:
    """Say a file on a channel; 0 once the last packet is out."""
    return guarded("talk", args, _talk)


def listen(args: argparse.Namespace) -> int:
    """Hear a channel until the time is over or Ctrl-C."""
    return guarded("listen", args, _listen)


def answer(args: argparse.Namespace) -> int:
    """Answer every transmission until Ctrl-C."""
    return guarded("answer", args, _answer)


def guarded(name: str, args: argparse.Namespace, command: Callable[[argparse.Namespace], int]) -> int:
    """Run a command of a member; what goes wrong is told in a line, and becomes the exit code."""
    logs.set_up("lines", args.verbose)
    try:
        return command(args)
    except EchoStreamError as error:
        print(f"echostream {name}: {error}", file=sys.stderr)
        return 3 if isinstance(error, (AudioError, ImportError)) else 2
    except ValidationError as error:  # an address or a channel id that no configuration could hold either
        for detail in error.errors():
            print(f"echostream {name}: {detail['input']!r}: {detail['msg']}", file=sys.stderr)
        return 2


def _talk(args: argparse.Namespace) -> int:
    return transmit(args, read_wav(args.file), str(args.file))


def transmit(args: argparse.Namespace, recording: Samples, name: str, access: Access | None = None) -> int:
    """Say 48 kHz samples on the channel of the arguments; 0 once the last packet is out.

    access: the server and what it asks for, where it is not the arguments that say so.
    """
    access = access or Access(server_of(args), secrets_of(args))
    voice = Voice(recording)
    cards = FileCards({args.channel: voice})
    member = Member(access.server, [args.channel], _identity(args), access.secrets, cards)
    with Waker(STOP_SIGNALS, lambda number: member.interrupt()):
        member.start()
        try:
            if not member.wait_for(lambda: member.online(args.channel), ONLINE_S):
                return _not_online(args, member)
            said = say(member, args.channel, voice)
        finally:
            member.stop()
    if member.refused:
        return _refused(args, member)
    sent = member.stats(args.channel).packets_sent
    went_out_s = min(voice.duration_s, sent * PACKET_S)
    print(
        f"{name}: {went_out_s:.1f} of {voice.duration_s:.1f} s said on {args.channel} in {sent} packets",
        file=sys.stderr,
    )
    return 0 if said and went_out_s > WHOLE * voice.duration_s else 1


def _listen(args: argparse.Namespace) -> int:
    with _ear(args) as ear:
        return listen_with(args, ear.hear)


def listen_with(args: argparse.Namespace, hear: Callable[[Samples], None]) -> int:
    """Hand each frame of the channel of the arguments to `hear`, until the time is over or Ctrl-C."""
    with Waker(STOP_SIGNALS, _ignore) as waker:
        cards = FileCards({args.channel: silent_voice()}, lambda _card, samples: hear(samples))
        member = Member(server_of(args), [args.channel], _identity(args), secrets_of(args), cards)
        member.on_refused = waker.wake
        member.start()
        try:
            if not member.wait_for(lambda: member.online(args.channel), ONLINE_S):
                return _not_online(args, member)
            print(f"listening to {args.channel}; Ctrl-C ends", file=sys.stderr)
            if not member.refused:
                waker.wait(args.for_s)
        finally:
            member.stop()
            member.on_refused = member.interrupt
    if member.refused:
        return _refused(args, member)
    heard = member.received(args.channel)
    print(f"{heard.packets_received} packets heard, {heard.packets_lost} lost", file=sys.stderr)
    return 0


def _answer(args: argparse.Namespace) -> int:
    recording = read_wav(args.file or ANSWER_WAV)
    voices = {channel: Voice(recording) for channel in args.channel}
    answerer = Answerer(server_of(args), voices, _identity(args), secrets_of(args))
    with Waker(STOP_SIGNALS, _ignore) as waker:
        answerer.start()
        try:
            print(f"answering on {', '.join(args.channel)}; Ctrl-C ends", file=sys.stderr)
            waker.wait(None)
        finally:
            answerer.stop()
    return 0


def _ignore(number: int) -> None:
    """The waker wakes; there is nothing else to do."""


def _refused(args: argparse.Namespace, member: Member) -> int:
    print(f"{args.url}: the server refused channel {args.channel}: {member.refused}", file=sys.stderr)
    return 1


def _not_online(args: argparse.Namespace, member: Member) -> int:
    reason = member.gateway.signalling.last_failure or "the server made no offer with a key"
    print(f"{args.url}: not on the channel after {ONLINE_S:.0f} s: {reason}", file=sys.stderr)
    return 1


def server_of(args: argparse.Namespace) -> ControlServer:
    """The control server that the options describe."""
    return ControlServer(
        url=args.url,
        token_header=args.token_header,
        token_query=args.token_query,
        tls=Tls(ca_file=args.ca_file),
    )


def secrets_of(args: argparse.Namespace) -> Secrets:
    """The secrets that the options name."""
    key = token = None
    if args.key_file is not None:
        key = parse_key(read_secret(Secret(file=args.key_file), "--key-file"))
    if args.token_file is not None:
        token = read_secret(Secret(file=args.token_file), "--token-file")
    return Secrets(key, token)


def _identity(args: argparse.Namespace) -> MemberIdentity:
    slug = "".join(c if c.isalnum() else "-" for c in args.name.lower()).strip("-")
    return MemberIdentity(f"{slug}-{args.command}", args.name)


class _WavEar:
    """Writes what is heard to a WAV file, silence included."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _WavEar:
        try:
            self._file = wave.open(str(self._path), "wb")
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be written: {error}") from error
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(RATE_HZ)
        return self

    def hear(self, samples: Samples) -> None:
        self._file.writeframes(samples.astype("<i2").tobytes())

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _CardEar:
    """Plays what is heard on a card. Thread `ear`, so that the card's pace never holds the network up."""

    def __init__(self, card: str) -> None:
        self._card = card
        self._frames: queue.Queue[Samples | None] = queue.Queue(_PLAY_QUEUE_FRAMES)
        self._thread = threading.Thread(target=self._run, name="ear")

    def __enter__(self) -> _CardEar:
        from echostream.hardware.audio_hardware import AudioHardware

        self._hardware = AudioHardware([self._card])
        try:
            self._sink: AudioSink = self._hardware.open_sink(CardSpec(self._card))
        except AudioError as error:
            self._hardware.close()
            raise AudioError(f"{error}; --wav FILE keeps what is heard in a file instead") from error
        self._thread.start()
        return self

    def hear(self, samples: Samples) -> None:
        if not self._frames.full():
            self._frames.put_nowait(samples)

    def _run(self) -> None:
        while (samples := self._frames.get()) is not None:
            try:
                self._sink.write(samples)
            except AudioError as error:
                print(f"card {self._card}: {error}", file=sys.stderr)
                return

    def __exit__(self, *_: object) -> None:
        self._sink.close()
        while not self._frames.empty():
            self._frames.get_nowait()
        self._frames.put(None)
        self._thread.join(2.0)
        self._hardware.close()


def _ear(args: argparse.Namespace) -> _WavEar | _CardEar:
    return _WavEar(args.wav) if args.wav is not None else _CardEar(args.card)
