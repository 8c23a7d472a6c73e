"""What a running gateway says of itself: one frozen picture for the live view and the summary."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from echostream.audio.levels import Level
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.channel_state import Phase
from echostream.channels.media_session import DownlinkCounters
from echostream.channels.receive_path import ReceiveStats
from echostream.channels.transmit_path import TransmitStats
from echostream.console.site_snapshot import devices_summary, recorder_summary, relay_summary
from echostream.gateway import Gateway


@dataclass(frozen=True, slots=True)
class PagesSnapshot:
    """What a channel's ear has heard, and what follows now. Times in seconds.

    last_name: of the last page, "" when there was none; last_age_s: since it began. passed_to, passed_s: the
    channel that hears this one now, "" when none does, and for how much longer; heard_from, heard_s: the
    other way round. passthrough_s: in all; passthrough_frames_lost gave way because the target stood still.
    frames_lost: frames that the ear did not get.
    """

    heard: int = 0
    new_tones: int = 0
    last_name: str = ""
    last_age_s: float = 0.0
    passed_to: str = ""
    passed_s: float = 0.0
    heard_from: str = ""
    heard_s: float = 0.0
    passthrough_s: float = 0.0
    passthrough_frames_lost: int = 0
    recording: bool = False
    frames_lost: int = 0


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """One channel at one moment."""

    channel_id: str
    name: str
    phase: Phase
    latched: bool
    online: bool
    playing: bool
    keyed: bool
    capture_present: bool
    playback_present: bool
    openers: tuple[str, ...]
    members: int
    talkers: tuple[str, ...]
    transmit: TransmitStats
    receive: ReceiveStats
    downlink: DownlinkCounters
    output_level: Level
    overs: int
    pages: PagesSnapshot = PagesSnapshot()


def channel_snapshot(gateway: Gateway, runtime: ChannelRuntime) -> ChannelSnapshot:
    """Taken from any thread; every field is read once."""
    state, stream = runtime.state, runtime.stream
    return ChannelSnapshot(
        channel_id=runtime.config.id,
        name=runtime.config.name or runtime.config.id,
        phase=state.phase,
        latched=state.latched,
        online=state.online,
        playing=stream.playing,
        keyed=stream.keying.keyed,
        capture_present=runtime.capture.present,
        playback_present=runtime.playback.present,
        openers=tuple(sorted(state.active)),
        members=len(runtime.members),
        talkers=tuple(member.user_name or key for key, member in list(runtime.talkers.items())),
        transmit=stream.transmit.stats,
        receive=stream.receive.stats,
        downlink=gateway.media.counters(runtime.config.id),
        output_level=stream.output_meter.snapshot(),
        overs=stream.keying.overs,
        pages=_pages_snapshot(gateway, runtime.config.id),
    )


def _pages_snapshot(gateway: Gateway, channel_id: str) -> PagesSnapshot:
    desk, now = gateway.manager.pages, time.monotonic()
    pages = desk.heard.get(channel_id)
    if pages is None:
        return PagesSnapshot()
    passages = desk.passages
    onward, into = passages.of(channel_id), passages.to(channel_id)
    listener = gateway.tones.listener(channel_id)
    running_s = now - onward.started_s if onward is not None else 0.0
    return PagesSnapshot(
        heard=pages.pages,
        new_tones=pages.new_tones,
        last_name=pages.last.name if pages.last is not None else "",
        last_age_s=time.time() - pages.last.started_at_s if pages.last is not None else 0.0,
        passed_to=onward.route.target if onward is not None else "",
        passed_s=onward.remaining_s(now) if onward is not None else 0.0,
        heard_from=into.route.source if into is not None else "",
        heard_s=into.remaining_s(now) if into is not None else 0.0,
        passthrough_s=pages.passthrough_s + running_s,
        passthrough_frames_lost=pages.passthrough_frames_lost,
        recording=desk.recording(channel_id),
        frames_lost=listener.frames_lost if listener is not None else 0,
    )


def summary(gateway: Gateway, started_s: float) -> dict[str, object]:
    """The JSON summary of a run. `started_s`: monotonic seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    channels = [channel_snapshot(gateway, runtime) for runtime in gateway.channels]
    own = [worker for runtime in gateway.channels for worker in runtime.workers]
    workers = {worker.name: {"restarts": worker.restarts} for worker in (*own, *gateway.workers)}
    return {
        "duration_s": round(time.monotonic() - started_s, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "rss_mb": round(_rss_mb(), 1),
        "channels": {channel.channel_id: _channel_summary(channel) for channel in channels},
        "workers": workers,
        "recorder": recorder_summary(gateway),
        "devices": devices_summary(gateway),
        "relay": relay_summary(gateway),
        "events": gateway.coordinator.stats,
        "sessions": gateway.manager.sessions,
        "stalls_freed": gateway.stall_watch.freed,
        "datagrams_malformed": dict(gateway.media.malformed),
        "datagrams_unknown_channel": gateway.media.unknown_channel,
        "datagrams_without_key": gateway.media.without_key,
        "udp": asdict(gateway.udp.counters),
    }


def _channel_summary(channel: ChannelSnapshot) -> dict[str, object]:
    sent, received = channel.transmit, channel.receive
    return {
        "frames_captured": sent.frames_captured,
        "key_ups": sent.key_ups,
        "packets_sent": sent.packets_sent,
        "bytes_sent": sent.bytes_sent,
        "packets_received": received.packets_received,
        "packets_lost": received.packets_lost,
        "packets_late": received.packets_late,
        "fec_recovered": received.fec_recovered,
        "concealed": received.concealed,
        "replayed": channel.downlink.replayed,
        "undecryptable": channel.downlink.undecryptable,
        "frames_played": received.frames_played,
        "level_dbfs": round(sent.level.mean_dbfs, 1),
        "delay_ms": {"p50": round(received.delay_ms_p50, 1), "p99": round(received.delay_ms_p99, 1)},
        "jitter_ms": {"p50": round(received.jitter_ms_p50, 1), "p99": round(received.jitter_ms_p99, 1)},
        "frames_lost": sent.frames_lost,
        "send_failures": sent.send_failures,
        "clipped_frames": sent.level.clipped_frames,
        "limited_frames": sent.limited_frames,
        "overs": channel.overs,
        "drift_ppm": round(received.drift_ppm, 1),
        "packets_dropped": received.dropped,
        "packets_malformed": received.malformed,
        "pages": channel.pages.heard,
        "new_tones": channel.pages.new_tones,
        "passthrough_s": round(channel.pages.passthrough_s, 1),
        "passthrough_frames_lost": channel.pages.passthrough_frames_lost,
        "ear_frames_lost": channel.pages.frames_lost,
    }


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
