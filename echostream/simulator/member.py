"""Another member of the channels, made of files: what `talk`, `listen` and `answer` run.

It is the gateway itself with file cards and no lines, so it speaks the protocol exactly as the gateway does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from echostream.audio.format import silence
from echostream.channels.audio_stream import PttOutput
from echostream.channels.channel_runtime import Cards, ChannelRuntime, Hardware, Line
from echostream.channels.channel_state import Phase
from echostream.channels.receive_path import ReceiveStats
from echostream.channels.transmit_path import TransmitStats
from echostream.config.models import Audio, Channel, Config, ControlServer
from echostream.config.models import Gateway as GatewayIdentity
from echostream.errors import GpioError
from echostream.events import Event, Opener, PttChanged, RemoteTransmit, ServerRefused
from echostream.gateway import Gateway, Observer, Secrets
from echostream.simulator.file_cards import FileCards, Voice

log = logging.getLogger(__name__)

ANSWER_AFTER_S = 0.7
INTERRUPT_POLL_S = 0.1


class _NoOutputs:
    """A member of files has no radio to key."""

    def output(self, channel_id: str) -> PttOutput:
        raise LookupError(f"channel {channel_id}: a member made of files has no lines")


class _NoCosReaders:
    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line:
        raise GpioError(f"card {card}: a member made of files has no lines")


@dataclass(frozen=True, slots=True)
class MemberIdentity:
    """How the member shows up on the channels."""

    affiliation_id: str
    user_name: str
    agency_name: str = "EchoStream"


class Member:
    """Joins channels at a server; `press` and `release` are its push-to-talk."""

    def __init__(
        self,
        server: ControlServer,
        channel_ids: Sequence[str],
        identity: MemberIdentity,
        secrets: Secrets,
        cards: Cards,
        observer: Observer | None = None,
    ) -> None:
        self.failed = threading.Event()
        self._changed = threading.Condition()
        self._interrupted = False
        self.refused = ""
        """What the server last said no to; empty when it has not."""
        self.on_refused: Callable[[], None] = self.interrupt
        self._runtimes: dict[str, ChannelRuntime] = {}
        config = Config(
            gateway=GatewayIdentity(
                id=identity.affiliation_id,
                affiliation_id=identity.affiliation_id,
                user_name=identity.user_name,
                agency_name=identity.agency_name,
            ),
            control_server=server,
            channels=tuple(
                # A file ends by itself: the longest time-out there is.
                Channel(id=channel, card=channel, high_pass_hz=0, tot_s=3600)
                for channel in channel_ids
            ),
            audio=Audio(pre_roll_ms=0),
        )
        hardware = Hardware(cards, None, _NoOutputs(), _NoCosReaders())
        observers = (observer, self._notify) if observer is not None else (self._notify,)
        self.gateway = Gateway(config, secrets, hardware, self._on_shutdown, observers)

    def _on_shutdown(self, reason: str) -> None:
        log.error("ends: %s", reason)
        self.failed.set()

    def start(self) -> None:
        self.gateway.start()
        # Kept beyond the stop, so that what was counted can still be asked for.
        self._runtimes = {runtime.config.id: runtime for runtime in self.gateway.channels}

    def stop(self) -> None:
        self.gateway.stop()

    def press(self, channel_id: str) -> None:
        self.gateway.post(PttChanged(channel_id, Opener.TALK, True, time.monotonic()))

    def release(self, channel_id: str) -> None:
        self.gateway.post(PttChanged(channel_id, Opener.TALK, False, time.monotonic()))

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Until `condition` holds after an event; False on time-out or after `interrupt`."""
        with self._changed:
            self._changed.wait_for(lambda: self._interrupted or condition(), timeout_s)
            return not self._interrupted and condition()

    def interrupt(self) -> None:
        """End every `wait_for`, now and later: the member is about to stop."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def _notify(self, event: Event, now: float) -> None:
        if isinstance(event, ServerRefused):
            self.refused = f"{event.message} ({event.code})"
            self.on_refused()
        with self._changed:
            self._changed.notify_all()

    def online(self, channel_id: str) -> bool:
        return self._channel(channel_id).state.online

    def phase(self, channel_id: str) -> Phase:
        return self._channel(channel_id).state.phase

    def stats(self, channel_id: str) -> TransmitStats:
        return self._channel(channel_id).stream.transmit.stats

    def received(self, channel_id: str) -> ReceiveStats:
        return self._channel(channel_id).stream.receive.stats

    def _channel(self, channel_id: str) -> ChannelRuntime:
        return self._runtimes[channel_id]


def say(member: Member, channel_id: str, voice: Voice) -> bool:
    """Press, speak the whole recording, release, and wait until the last packet is out."""
    member.press(channel_id)
    if not member.wait_for(lambda: member.phase(channel_id) is Phase.OPEN, 3.0):
        member.release(channel_id)
        return False
    voice.speak()
    finished = _spoken(member, voice)
    member.release(channel_id)
    member.wait_for(lambda: member.phase(channel_id) is Phase.IDLE, 2.0)
    return finished


def _spoken(member: Member, voice: Voice) -> bool:
    until_s = time.monotonic() + voice.duration_s + 5.0
    while not voice.spoken.wait(INTERRUPT_POLL_S):
        if member.interrupted or time.monotonic() > until_s:
            return False
    return True


class Answerer:
    """Answers every transmission of somebody else with a recording. One thread `answer-CHANNEL` each."""

    def __init__(
        self,
        server: ControlServer,
        recordings: dict[str, Voice],
        identity: MemberIdentity,
        secrets: Secrets,
    ) -> None:
        self._voices = recordings
        self._stop = threading.Event()
        self._asked = {channel: threading.Event() for channel in recordings}
        cards = FileCards(recordings)
        self.member = Member(server, list(recordings), identity, secrets, cards, self._observe)
        self._threads = [
            threading.Thread(target=self._answer, args=(channel,), name=f"answer-{channel}")
            for channel in recordings
        ]

    def _observe(self, event: Event, now: float) -> None:
        if isinstance(event, RemoteTransmit) and not event.started and event.channel_id in self._asked:
            self._asked[event.channel_id].set()

    def start(self) -> None:
        self.member.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.member.interrupt()
        for asked in self._asked.values():
            asked.set()
        for voice in self._voices.values():
            voice.hush()
        for thread in self._threads:
            thread.join(3.0)
        self.member.stop()

    def _answer(self, channel_id: str) -> None:
        asked, voice = self._asked[channel_id], self._voices[channel_id]
        while True:
            asked.wait()
            asked.clear()
            if self._stop.wait(ANSWER_AFTER_S):
                return
            say(self.member, channel_id, voice)


def silent_voice() -> Voice:
    """For a member that only listens."""
    return Voice(silence(0))
