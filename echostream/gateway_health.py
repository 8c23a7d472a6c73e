"""The thread that sees whether the gateway still moves: it feeds the watchdog, writes the health file, and
says in one line how things are."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream import __version__
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.channel_state import Phase
from echostream.config.models import NO_CARD
from echostream.coordinator.worker import Worker
from echostream.gateway import Gateway
from echostream.hardware.ptt_client import MockPttLines, PttLines
from echostream.realtime.process import RealtimeStatus
from echostream.realtime.wakeups import EDGES_US, WakeupSnapshot
from echostream.service.blame import blame, forgive, last_blame
from echostream.service.feed import ChannelProgress, Feeder, Progress, Verdict
from echostream.service.health import (
    ChannelHealth,
    GuardHealth,
    Health,
    LinkHealth,
    RealtimeHealth,
    WakeUps,
    boot_id,
    health_path,
    since_boot_s,
    write_health,
)
from echostream.service.notify import Notifier
from echostream.vitals.model import ChannelVitals, LinkVitals, Vitals

log = logging.getLogger(__name__)

READY_WITHIN_S: Final = 8.0
"""Where no channel comes up within this we are ready all the same: a card or a server may come later."""
LOOK_S: Final = 1.0
FIRST_LOOKS_S: Final = 0.1
"""Until it is ready: nobody waits a second longer than needed."""


def nobody() -> None:
    """Waits for it."""


@dataclass(slots=True)
class Asked:
    """Who else is asked how things are; any thread may. notes: what is not as it should be, in words."""

    links: Callable[[], Sequence[LinkVitals]] = tuple
    guard: Callable[[], GuardHealth] = GuardHealth
    realtime: Callable[[], RealtimeHealth] = RealtimeHealth
    wakeups: Callable[[], WakeUps] = WakeUps
    notes: Callable[[], Sequence[str]] = tuple
    on_change: Callable[[], None] = nobody
    """Called when the gateway has become healthy or is not any more; on thread `health`, so it only wakes."""


class HealthWatch(Worker):
    """Thread `health`. directory: where the file goes, and what the last run left."""

    def __init__(
        self, gateway: Gateway, notifier: Notifier, directory: Path, instance: str, asked: Asked
    ) -> None:
        super().__init__("health", gateway.post)
        self._gateway = gateway
        self._notifier = notifier
        self._directory = directory
        self._instance = instance
        self._path = health_path(directory, instance)
        self._asked = asked
        before = last_blame(directory, instance)
        if before is not None:
            log.warning("the watchdog has restarted the gateway: %s", before.why)
        self._feeder = Feeder([] if before is None else [before.whom])
        self._blamed = False
        self._began_s = time.monotonic()
        self._started_us = time.time_ns() // 1000
        self._vitals: dict[str, ChannelVitals] = {}
        self._status = ""
        self._complaint = ""
        self._ending = False
        self.config_sha256 = ""
        self.ready = self.healthy = False
        self._told_ready = False

    def saw(self, vitals: Vitals) -> None:
        """The levels of the last second."""
        self._vitals = {one.channel_id: one for one in vitals.channels}

    def end_begins(self) -> None:
        """The gateway stops: it is fed until that is done, and the manager bounds how long that may take."""
        self._ending = True
        self._notifier.stopping("stopping")

    def forget(self) -> None:
        """After the join, at an end in order: nobody shall take the file for one of a gateway that runs, nor
        what the watchdog did for the reason of a start that somebody wanted."""
        self._path.unlink(missing_ok=True)
        forgive(self._directory, self._instance)

    # ---- the thread

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_S if self.ready else FIRST_LOOKS_S):
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        runtimes = self._gateway.channels
        if self._ending:
            self._notifier.watchdog()
            return
        verdict = self._feeder.look(
            [_progress(one) for one in runtimes], self._gateway.coordinator.turns, now
        )
        self._feed(verdict)
        try:
            self._report(runtimes, verdict, now)
        except Exception as error:
            # What is said of the gateway must not be what restarts it.
            words = f"{type(error).__name__}: {error}"
            if words != self._complaint:
                self._complaint = words
                log.exception("how the gateway is cannot be told: this is a bug; it goes on")

    def _feed(self, verdict: Verdict) -> None:
        if verdict.feed:
            self._blamed = False
            self._notifier.watchdog()
        elif not self._blamed:
            self._blamed = True
            why = "; ".join(verdict.why)
            log.critical("the watchdog is not fed any more, it restarts the gateway: %s", why)
            blame(self._directory, self._instance, verdict.blame, why)

    def _report(self, runtimes: Sequence[ChannelRuntime], verdict: Verdict, now: float) -> None:
        channels = {one.config.id: self._channel(one, now) for one in runtimes}
        links = self._links()
        up = any(one.online and one.capture_frames for one in channels.values())
        self.ready = self.ready or up or now - self._began_s >= READY_WITHIN_S
        healthy = self.ready and verdict.feed and not verdict.stuck
        why = [*verdict.why, *_away(runtimes, channels, links), *self._asked.notes()]
        status = _status_line(self.ready, channels, why)
        self._write(channels, links, healthy, why, status)
        self._tell(status)
        if healthy != self.healthy:
            self.healthy = healthy
            self._asked.on_change()

    def _tell(self, status: str) -> None:
        """The manager; again where it was too busy to take it."""
        nobody = not self._notifier.managed
        if self.ready and not self._told_ready:
            log.info("ready: %s", status)
            self._told_ready = self._notifier.ready(status) or nobody
            self._status = status
        elif status != self._status and (self._notifier.status(status) or nobody):
            self._status = status

    def _write(
        self,
        channels: dict[str, ChannelHealth],
        links: dict[str, LinkHealth],
        healthy: bool,
        why: Sequence[str],
        status: str,
    ) -> None:
        health = Health(
            version=__version__,
            pid=os.getpid(),
            instance=self._instance,
            boot_id=boot_id(),
            started_us=self._started_us,
            at_us=time.time_ns() // 1000,
            at_boot_s=since_boot_s(),
            ready=self.ready,
            healthy=healthy,
            why=tuple(why),
            status=status,
            config_sha256=self.config_sha256,
            channels=channels,
            links=links,
            guard=self._asked.guard(),
            realtime=self._asked.realtime(),
            wakeups=self._asked.wakeups(),
        )
        try:
            write_health(self._path, health)
            self._complaint = ""
        except OSError as error:
            words = str(error)
            if words != self._complaint:
                self._complaint = words
                log.error("%s cannot be written, so nobody can read how we are: %s", self._path, error)

    def _channel(self, runtime: ChannelRuntime, now: float) -> ChannelHealth:
        capture, playback, vitals = runtime.capture, runtime.playback, self._vitals.get(runtime.config.id)
        return ChannelHealth(
            online=runtime.state.online,
            card=runtime.config.card != NO_CARD and capture.present and playback.present,
            capture_frames=capture.frames,
            playback_frames=playback.frames,
            overruns=capture.slips,
            underruns=playback.slips,
            last_frame_age_s=round(max(0.0, now - capture.last_frame_at_s), 3),
            level_dbfs=-120.0 if vitals is None else vitals.level_dbfs,
            peak_dbfs=-120.0 if vitals is None else round(vitals.peak_dbfs, 1),
            phase=str(runtime.state.phase),
        )

    def _links(self) -> dict[str, LinkHealth]:
        signalling = self._gateway.signalling
        up = signalling.connected
        server = LinkHealth(up, "" if up else signalling.last_failure or "not reached yet")
        return {"server": server} | {one.name: LinkHealth(one.up, one.detail) for one in self._asked.links()}


def guard_health(lines: PttLines | MockPttLines | None) -> GuardHealth:
    """None: there is no keyed line."""
    kind = getattr(lines, "guard_kind", None)
    return GuardHealth(getattr(lines, "guard_pid", None), kind, getattr(lines, "restarts", 0))


def realtime_health(status: RealtimeStatus) -> RealtimeHealth:
    """As it is written down."""
    return RealtimeHealth(status.scheduling, status.locked, status.why)


def wake_ups(found: WakeupSnapshot) -> WakeUps:
    """As they are written down."""
    return WakeUps(
        found.count,
        round(found.percentile_us(0.5), 1),
        round(found.percentile_us(0.99), 1),
        round(found.max_us, 1),
        tuple(float(edge) for edge in EDGES_US),
        found.counts,
    )


def _progress(runtime: ChannelRuntime) -> ChannelProgress:
    capture, playback = runtime.capture, runtime.playback
    return ChannelProgress(
        runtime.config.id,
        Progress(capture.frames, capture.misses, capture.refusals),
        Progress(playback.frames, playback.misses, playback.refusals),
    )


def _away(
    runtimes: Sequence[ChannelRuntime], channels: dict[str, ChannelHealth], links: dict[str, LinkHealth]
) -> list[str]:
    """What is not there, and may come: no fault of the gateway's."""
    cards = [
        f"no card {one.config.card} for {one.config.id}"
        for one in runtimes
        if one.config.card != NO_CARD and not channels[one.config.id].card
    ]
    ways = [f"{name} is away: {link.detail}" for name, link in links.items() if not link.up]
    offline = [name for name, one in channels.items() if not one.online]
    if links["server"].up and offline:
        ways.append(f"not taken by the server: {', '.join(offline)}")
    return [*cards, *ways]


def _status_line(ready: bool, channels: dict[str, ChannelHealth], why: Sequence[str]) -> str:
    up = sum(one.online for one in channels.values())
    talking = [name for name, one in channels.items() if one.phase != str(Phase.IDLE)]
    words = [f"{up} of {len(channels)} channels on the air" if ready else "starting"]
    if talking:
        words.append(f"transmitting: {', '.join(talking)}")
    return "; ".join([*words, *why])
