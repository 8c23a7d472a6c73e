"""How a running gateway is: read from its parts, from any thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from echostream import __version__
from echostream.archive.recorder import SourceStatus
from echostream.archive.wall_clock import kernel_clock
from echostream.audio.format import RATE_HZ
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.channel_state import Phase
from echostream.config.models import NO_CARD
from echostream.gateway import Gateway
from echostream.network.esp32_status import DeviceGlance
from echostream.vitals.board import Board, Supply, load, memory_mb, uptime_s
from echostream.vitals.card_clock import CardClock
from echostream.vitals.disk import DiskLook
from echostream.vitals.heard import Heard, Held, Quiet
from echostream.vitals.model import BoardVitals, ChannelVitals, DeviceVitals, LinkVitals, Vitals

BOARD_EVERY_S: Final = 5.0
"""Between two looks at temperature and supply: the firmware of a Pi takes a while to answer."""
FULL_DBFS: Final = -0.01
"""The peak of a block with a sample at the converter's stop."""
BLOCKS: Final = 10


class GatewayVitals:
    """Remembers what it saw last: shares and times are since then."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._channels: dict[str, _ChannelLook] = {}
        self._devices: dict[str, _DeviceLook] = {}
        self._server = Held()
        self._board = _BoardLook()
        self._disk: DiskLook | None = None

    def look(self, links: Sequence[LinkVitals]) -> Vitals:
        """Now. One thread at a time."""
        gateway, now = self._gateway, time.monotonic()
        channels = gateway.channels
        records = gateway.records
        sources = [] if records is None else records.recorder.sources
        statuses = [] if gateway.microphones is None else gateway.microphones.relay.glances()
        lost_s = sum(source.lost_s for source in sources) + sum(device.lost_s for device in statuses)
        return Vitals(
            at_us=time.time_ns() // 1000,
            now_s=now,
            gateway=gateway.config.gateway.id,
            version=__version__,
            channels=self._look_at_channels(channels, sources, now),
            devices=self._look_at_devices(channels, statuses, now),
            board=self._board.look(self._disk_of(gateway), now),
            links=(self._look_at_server(now), *links),
            recorder_lost_s=lost_s if records is None else lost_s + records.pages.lost_s,
            recorder_waiting=0
            if records is None
            else records.filing.waiting + int(records.index.stats["waiting"]),
            worker_restarts=sum(worker.restarts for worker in gateway.workers)
            + sum(worker.restarts for runtime in channels for worker in runtime.workers),
        )

    # ---- inside

    def _look_at_channels(
        self, channels: Sequence[ChannelRuntime], sources: Sequence[SourceStatus], now: float
    ) -> tuple[ChannelVitals, ...]:
        recorded = {one.name for one in sources if one.kind == "channel" and one.path}
        pages = self._gateway.manager.pages
        before, self._channels = self._channels, {}
        found = []
        for runtime in channels:
            channel_id = runtime.config.id
            known = before.get(channel_id)
            # A channel that a reload replaced has meters of its own, that begin at nothing.
            look = known if known is not None and known.runtime is runtime else _ChannelLook(runtime, now)
            self._channels[channel_id] = look
            found.append(look.look(channel_id in recorded or pages.recording(channel_id), now))
        return tuple(found)

    def _look_at_devices(
        self, channels: Sequence[ChannelRuntime], statuses: Sequence[DeviceGlance], now: float
    ) -> tuple[DeviceVitals, ...]:
        talking = {
            sink.info.name for runtime in channels for sink in runtime.devices.sinks if sink.voice.active
        }
        off = {device.name for device in self._gateway.config.esp32.devices if not device.enabled}
        before, self._devices = self._devices, {}
        found = []
        for status in statuses:
            name = status.name
            if name in off and not status.connected:
                continue
            look = self._devices[name] = before.get(name) or _DeviceLook()
            found.append(look.look(status, status.connected and name in talking, now))
        return tuple(found)

    def _look_at_server(self, now: float) -> LinkVitals:
        signalling = self._gateway.signalling
        up, counters = signalling.connected, signalling.counters
        detail = "" if up else signalling.last_failure or "not reached yet"
        for_s = self._server.look(up, now)
        return LinkVitals("server", up, for_s, dropped=counters.unsent, sent=counters.sent, detail=detail)

    def _disk_of(self, gateway: Gateway) -> DiskLook:
        recording = gateway.config.recording
        directory, percent = Path(recording.directory), recording.min_free_percent
        wanted = (directory, percent if recording.enabled else None)
        if self._disk is None or (self._disk.directory, self._disk.least_free_percent) != wanted:
            self._disk = DiskLook(*wanted)
        return self._disk


class _ChannelLook:
    """One channel between two looks."""

    def __init__(self, runtime: ChannelRuntime, now: float) -> None:
        self.runtime = runtime
        self._heard, self._played = Heard(), Heard()
        self._quiet = Quiet()
        self._clock = CardClock(RATE_HZ)
        self._transmission = 0
        self._began_s = self._looked_s = now

    def look(self, recording: bool, now: float) -> ChannelVitals:
        runtime = self.runtime
        config, state, stream = runtime.config, runtime.state, runtime.stream
        has_card, present = config.card != NO_CARD, runtime.capture.present
        heard = self._heard.look(stream.transmit.meter)
        self._played.look(stream.output_meter)
        level = self._heard.level_dbfs
        if has_card and present:
            position = runtime.capture.frames * runtime.frame_ms * RATE_HZ // 1000
            lost = stream.transmit.stats.frames_lost
            self._clock.look(position, runtime.capture.last_frame_at_s, lost)
        return ChannelVitals(
            channel_id=config.id,
            name=config.name or config.id,
            online=state.online,
            phase=str(state.phase),
            transmitting_s=self._transmitting_s(now),
            stuck=state.latched or bool(state.barred),
            talkers=tuple(member.user_name or key for key, member in list(runtime.talkers.items())),
            members=len(runtime.members),
            playing=stream.playing,
            capture_present=present,
            playback_present=runtime.playback.present,
            level_dbfs=round(level, 1),
            peak_dbfs=round(self._heard.peak_dbfs, 1),
            out_dbfs=round(self._played.level_dbfs, 1),
            clipped=self._heard.clipped,
            quiet_s=self._quiet.look(level if has_card and present and heard else None, now),
            drift_ppm=round(self._clock.ppm, 1),
            input_gain_db=config.input_gain_db,
            output_gain_db=runtime.output_gain_db,
            microphone_muted=runtime.microphone_muted,
            loudspeaker_muted=runtime.loudspeaker_muted,
            recording=recording,
            has_card=has_card,
        )

    def _transmitting_s(self, now: float) -> float:
        """It began between two looks, and not before its key went down."""
        state = self.runtime.state
        looked_s, self._looked_s = self._looked_s, now
        if state.transmission != self._transmission:
            self._transmission = state.transmission
            self._began_s = min(now, max(looked_s, state.held_since_s))
        return 0.0 if state.phase is Phase.IDLE else now - self._began_s


class _DeviceLook:
    """One microphone between two looks."""

    def __init__(self) -> None:
        self._quiet = Quiet()
        self._full: deque[bool] = deque(maxlen=BLOCKS)

    def look(self, status: DeviceGlance, talking: bool, now: float) -> DeviceVitals:
        level = status.peak_dbfs if status.connected else None
        if level is None:
            self._full.clear()
        else:
            self._full.append(level >= FULL_DBFS)
        return DeviceVitals(
            status.name,
            status.label,
            status.channel or "",
            status.known,
            status.connected,
            status.quarantined,
            talking,
            level,
            self._quiet.look(level, now),
            sum(self._full) / BLOCKS,
            status.ppm,
            None if status.since_s is None else now - status.since_s,
        )


class _BoardLook:
    """The machine; what takes time is asked for now and then only."""

    def __init__(self) -> None:
        self._board = Board()
        self._next_s: float | None = None
        self._temperature_c: float | None = None
        self._supply = Supply(None, None, None)

    def look(self, disk: DiskLook, now: float) -> BoardVitals:
        if self._next_s is None or now >= self._next_s:
            self._next_s = now + BOARD_EVERY_S
            self._temperature_c, self._supply = self._board.temperature_c(), self._board.supply()
        disk.look(now)
        clock, supply = kernel_clock(), self._supply
        unknown = clock.state == "unknown"
        return BoardVitals(
            temperature_c=self._temperature_c,
            under_voltage=supply.under_voltage,
            was_under_voltage=supply.was_under_voltage,
            throttled=supply.throttled,
            clock_synchronised=None if unknown else clock.state == "synchronised",
            clock_error_ms=None if unknown else clock.error_ms,
            disk_bytes=disk.disk.total,
            disk_free_bytes=disk.disk.free,
            disk_full_s=disk.full_s,
            load=load(),
            memory_mb=memory_mb(),
            cpu=self._board.cpu(now),
            uptime_s=uptime_s(),
        )
