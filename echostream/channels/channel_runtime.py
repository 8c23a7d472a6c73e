"""One running channel: its state, its stream, its two workers and its lines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from echostream.archive.source_tap import ChannelTap
from echostream.audio.opus_codec import EncoderSettings
from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.audio.tone import beep
from echostream.channels.audio_stream import AudioStream, PttOutput, ReceiveSettings
from echostream.channels.audio_workers import CaptureWorker, CardWorker, PlaybackWorker
from echostream.channels.channel_state import ChannelState, Phase, Settings
from echostream.channels.device_mix import DeviceMix
from echostream.channels.keying import KeyingSettings
from echostream.channels.no_card import NoSink, NoSource
from echostream.channels.transmit_path import FrameSource, TransmitSettings
from echostream.config.models import NO_CARD, Audio, Channel
from echostream.coordinator.worker import OnThread, ordinary
from echostream.errors import GpioError
from echostream.events import Member, Opener, PlaybackChanged, Post, PttChanged, TransmitDrained

log = logging.getLogger(__name__)

Pull = Literal["up", "down", "none"]

COURTESY_HZ = 880.0
COURTESY_MS = 120
COURTESY_DBFS = -14.0


class Cards(Protocol):
    """The sound cards, real or simulated."""

    def open_source(self, spec: CardSpec) -> AudioSource: ...

    def open_sink(self, spec: CardSpec) -> AudioSink: ...


class Line(Protocol):
    """One watched input."""

    @property
    def active(self) -> bool: ...

    def close(self) -> None: ...


class Inputs(Protocol):
    """The GPIO inputs, real or simulated."""

    def watch(
        self,
        pin: int,
        *,
        active_low: bool,
        pull: Pull,
        on_change: Callable[[bool, float], None],
    ) -> Line: ...


class CosReaders(Protocol):
    """Squelch lines that live on the sound card itself."""

    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line: ...


class Outputs(Protocol):
    """The lines that key radios. LookupError for a channel whose line is not there."""

    def output(self, channel_id: str) -> PttOutput: ...


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a channel is plugged into. `inputs` is None where the board has no GPIO."""

    cards: Cards
    inputs: Inputs | None
    outputs: Outputs
    cos_readers: CosReaders


def transmit_settings(channel: Channel, audio: Audio) -> TransmitSettings:
    """What the transmit path needs of the configuration."""
    return TransmitSettings(
        frame_ms=audio.frame_ms,
        pre_roll_ms=audio.pre_roll_ms if channel.pre_roll_ms is None else channel.pre_roll_ms,
        input_gain_db=channel.input_gain_db,
        high_pass_hz=channel.high_pass_hz,
        de_emphasis=channel.de_emphasis,
        vox_enabled=channel.vox.enabled,
        vox_threshold_dbfs=channel.vox.threshold_dbfs,
        vox_attack_ms=channel.vox.attack_ms,
        vox_hang_ms=channel.vox.hang_ms,
        encoder=EncoderSettings(
            audio.bitrate_bps, audio.complexity, audio.fec, audio.dtx, audio.expected_loss_percent
        ),
    )


def receive_settings(channel: Channel, audio: Audio) -> ReceiveSettings:
    """What the receive path and the keying need of the configuration."""
    keying = KeyingSettings(tot_s=math.inf)  # no line, no transmitter to protect
    if channel.key is not None:
        courtesy = beep(COURTESY_HZ, COURTESY_MS, COURTESY_DBFS) if channel.key.courtesy_tone else None
        keying = KeyingSettings(channel.key.lead_in_ms, channel.key.hang_ms, courtesy, channel.tot_s)
    return ReceiveSettings(
        frame_ms=audio.frame_ms,
        jitter_min_ms=audio.jitter_min_ms,
        jitter_max_ms=audio.jitter_max_ms,
        output_gain_db=channel.output_gain_db,
        pre_emphasis=channel.pre_emphasis,
        full_duplex=channel.duplex == "full",
        keying=keying,
    )


class ChannelRuntime:
    """Built, started, stopped as a whole. `state` changes on the coordinator's thread only."""

    def __init__(
        self,
        channel: Channel,
        audio: Audio,
        hardware: Hardware,
        post: Post,
        on_audio_thread: OnThread = ordinary,
    ) -> None:
        self.config = channel
        self._post = post
        self._hardware = hardware
        self.state = ChannelState(Settings(channel.tot_s, channel.duplex == "full"))
        self.members: tuple[Member, ...] = ()
        self.talkers: dict[str, Member] = {}
        self.frame_ms = audio.frame_ms
        self.inserted: FrameSource | None = None
        """Whose frames go to the network in place of the captured ones."""
        self.paged: FrameSource | None = None
        """The page that is being sent, for the network."""
        self._output_gain_db = channel.output_gain_db
        output = _keyed_line(channel, hardware.outputs)
        self.stream = AudioStream(
            transmit_settings(channel, audio),
            receive_settings(channel, audio),
            output,
            on_vox=self._opener_changed(Opener.VOX),
            on_drained=lambda number: post(TransmitDrained(channel.id, number)),
            on_playing=lambda playing: post(PlaybackChanged(channel.id, playing)),
        )
        self.devices = DeviceMix(
            audio.frame_ms,
            channel.high_pass_hz,
            on_opener=lambda opener, active, at_s: post(PttChanged(channel.id, opener, active, at_s)),
            on_first=self._listen_to_devices,
            shy=channel.duplex == "half" and channel.card != NO_CARD,
            stands_for_card=channel.card == NO_CARD,
            listens_always=channel.ptt is not None or channel.cos is not None or channel.vox.enabled,
        )
        """Network microphones that talk on this channel."""
        self._card_talks = True
        spec = CardSpec(channel.card, channel.side, audio.frame_ms)
        self.capture = CaptureWorker(
            channel.id, f"capture-{channel.id}", self.stream, lambda: _open_source(hardware.cards, spec), post
        )
        self.playback = PlaybackWorker(
            channel.id, f"playback-{channel.id}", self.stream, lambda: _open_sink(hardware.cards, spec), post
        )
        for worker in (self.capture, self.playback):
            worker.on_thread = on_audio_thread
        self._lines: list[Line] = []
        self._record_tap: ChannelTap | None = None
        self._record_received_tap: ChannelTap | None = None

    def _listen_to_devices(self, mix: DeviceMix) -> None:
        self.stream.transmit.devices = mix

    def follow_talkers(self) -> None:
        """The state has changed: whether the card is heard beside microphones. Before its commands."""
        if self.stream.transmit.devices is None:
            return
        if self.state.phase is not Phase.IDLE and not self.state.wants_to_talk:
            return  # what is sent last is of whoever held the valve
        talks = self.state.card_talks or not self.state.wants_to_talk
        if talks != self._card_talks:
            self._card_talks = talks
            self.stream.transmit.card_talks(talks)

    @property
    def deaf(self) -> bool:
        """Half duplex: who transmits does not hear. What is passed through or paged is played anyway."""
        return self.config.duplex == "half" and not (self.state.passes_through or self.state.pages_out)

    @property
    def output_gain_db(self) -> float:
        """Of what the card plays, as it is now."""
        return self._output_gain_db

    @output_gain_db.setter
    def output_gain_db(self, gain_db: float) -> None:
        self.stream.set_output_gain(gain_db)
        self._output_gain_db = gain_db

    @property
    def microphone_muted(self) -> bool:
        """Nothing that is heard here is sent."""
        return self.state.muted

    @property
    def loudspeaker_muted(self) -> bool:
        """Nothing is played here, and the radio is not keyed."""
        return self.stream.silenced

    @property
    def workers(self) -> list[CardWorker]:
        return [self.capture, self.playback]

    def start(self) -> None:
        """Start the workers and watch the lines. A line that cannot be had is said; the rest works."""
        for worker in self.workers:
            worker.start()
        self._watch_button()
        self._watch_cos()

    def request_stop(self) -> None:
        """Ask everything to end; does not wait."""
        for line in self._lines:
            line.close()
        self._lines.clear()
        self._end_recording()
        for worker in self.workers:
            worker.request_stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the workers, then free the codec. False while one still runs."""
        ended = [worker.join(timeout_s) for worker in self.workers]
        if not all(ended):
            return False
        self.stream.transmit.close_codec()
        return True

    def record(self, own: ChannelTap | None, received: ChannelTap | None) -> None:
        """Who records the channel's own radio or card, and what others say on it, from now on; None: nobody.

        What was recorded so far is closed.
        """
        self._end_recording()
        self._record_tap, self._record_received_tap = own, received
        self.stream.transmit.record_tap = own
        self.stream.received_tap = None if received is None else received.received
        self.follow_recording(time.monotonic())

    def follow_recording(self, at_s: float) -> None:
        """The state has changed, for what happened at `at_s`: whether a transmission is under way."""
        if self._record_tap is not None:
            self._record_tap.active(self.state.phase in (Phase.STARTING, Phase.OPEN), at_s)

    def _end_recording(self) -> None:
        for tap in (self._record_tap, self._record_received_tap):
            if tap is not None:
                tap.close()
        self._record_tap = self._record_received_tap = None

    def _opener_changed(self, opener: Opener) -> Callable[[bool, float], None]:
        return lambda active, at_s: self._post(PttChanged(self.config.id, opener, active, at_s))

    def _watch_button(self) -> None:
        ptt = self.config.ptt
        if ptt is not None:
            self._watch_pin(ptt.pin, ptt.active_low, ptt.pull, Opener.BUTTON)

    def _watch_cos(self) -> None:
        cos = self.config.cos
        if cos is None:
            return
        if cos.pin is not None:
            self._watch_pin(cos.pin, cos.active_low, cos.pull, Opener.COS)
            return
        try:
            readers = self._hardware.cos_readers
            changed = self._opener_changed(Opener.COS)
            self._lines.append(
                readers.watch_cos(self.config.card, active_low=cos.active_low, on_change=changed)
            )
        except GpioError as error:
            log.error("channel %s: squelch line of the card: %s", self.config.id, error)

    def _watch_pin(self, pin: int, active_low: bool, pull: Pull, opener: Opener) -> None:
        inputs = self._hardware.inputs
        if inputs is None:
            log.warning("channel %s: no GPIO here, %s on BCM %d is not watched", self.config.id, opener, pin)
            return
        try:
            changed = self._opener_changed(opener)
            self._lines.append(inputs.watch(pin, active_low=active_low, pull=pull, on_change=changed))
        except GpioError as error:
            log.error("channel %s: %s on BCM %d: %s", self.config.id, opener, pin, error)


def _open_source(cards: Cards, spec: CardSpec) -> AudioSource:
    return NoSource(spec.frame_ms) if spec.name == NO_CARD else cards.open_source(spec)


def _open_sink(cards: Cards, spec: CardSpec) -> AudioSink:
    return NoSink(spec.frame_ms) if spec.name == NO_CARD else cards.open_sink(spec)


def _keyed_line(channel: Channel, outputs: Outputs) -> PttOutput | None:
    if channel.key is None:
        return None
    try:
        return outputs.output(channel.id)
    except LookupError:  # said with its remedy when the lines were claimed
        log.error("channel %s: its keyed line is not there: network audio plays without keying", channel.id)
        return None
