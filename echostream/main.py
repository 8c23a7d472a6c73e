"""The composition root of the gateway process: builds everything in order, stops it in reverse."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echostream.board import Board
from echostream.channels.channel_runtime import Hardware
from echostream.config.changes import Changes, compare
from echostream.config.load import InvalidConfig, LoadedConfig, parse_config, read_file
from echostream.config.models import Config
from echostream.config.secrets import masked
from echostream.console import logs
from echostream.console.link_words import links_summary, links_words
from echostream.console.page_status import page_status
from echostream.console.site_snapshot import SiteWatch
from echostream.console.site_words import devices_words, recorder_words
from echostream.console.snapshot import channel_snapshot, summary
from echostream.errors import ConfigError, EchoStreamError, LibraryMissing
from echostream.events import ConfigurationChanged, Event, LastGoodTaken, ReloadEnded
from echostream.gateway import Gateway
from echostream.gateway_health import Asked, HealthWatch, guard_health, realtime_health, wake_ups
from echostream.gateway_secrets import read_publisher_secrets, read_secrets
from echostream.gateway_vitals import GatewayVitals
from echostream.instance import Instance, InstanceError, runtime_dir, sweep
from echostream.publishers import Publishers
from echostream.realtime.process import RealTime
from echostream.service.last_good import LastGood
from echostream.service.notify import Notifier, from_environment
from echostream.signals import Waker
from echostream.vitals.model import LinkVitals, Vitals

if TYPE_CHECKING:
    from echostream.console.live_view import LiveView

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_MISSING = 3
STATUS_LINE_S = 10.0
LIVE_LINES = 8
HEALTH_JOIN_S = 2.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks of a run."""

    config_path: Path
    simulate: str = "none"
    for_s: float | None = None
    summary_path: Path | None = None
    live: bool | None = None
    log_style: str = "auto"
    verbose: bool = False
    instance: str = "echostream"
    last_good: Path | None = None


def run(options: RunOptions) -> int:
    """The gateway from start to end; returns the exit code."""
    handler = logs.set_up(options.log_style, options.verbose)
    faulthandler.enable()  # where every thread stood: after a crash, and when the watchdog sends SIGABRT
    notifier = from_environment()
    keeper = LastGood(options.last_good)
    try:
        loaded = keeper.begin(options.config_path, read_file, parse_config).loaded
        report(loaded)
        with ExitStack() as stack:
            stack.enter_context(Instance(options.instance, runtime_dir()))
            sweep(runtime_dir())
            return GatewayProcess(options, loaded.config, handler, stack, notifier, keeper).run()
    except InvalidConfig as error:
        for finding in error.findings:
            log.error("%s: %s", options.config_path, finding)
        log.error("%s was refused; `echostream config check %s` shows why", *[options.config_path] * 2)
        notifier.status(f"{options.config_path} was refused: {error.findings[0]}")
        return EXIT_CONFIG
    except ConfigError as error:
        log.error("%s", error)
        notifier.status(str(error))
        return EXIT_CONFIG
    except (LibraryMissing, InstanceError) as error:
        log.error("%s", error)
        notifier.status(str(error))
        return EXIT_MISSING


def report(loaded: LoadedConfig) -> None:
    """Say loudly what of the configuration is not in force."""
    for finding in loaded.dropped:
        log.error("left out: %s", finding)
    for finding in loaded.warnings:
        log.warning("%s", finding)


def _refuse_lost_channels(loaded: LoadedConfig) -> None:
    """At start a bad channel costs only itself. On reload it may be on the air: a slip must not end it."""
    lost = [finding for finding in loaded.dropped if finding.path.startswith("channels[")]
    if lost:
        raise InvalidConfig("reload", lost)


class GatewayProcess:
    """One run: signals, the simulated parts, the hardware, the gateway, and what the person sees."""

    def __init__(
        self,
        options: RunOptions,
        config: Config,
        handler: logs.SteadyHandler,
        stack: ExitStack,
        notifier: Notifier,
        keeper: LastGood,
    ) -> None:
        self._notifier = notifier
        self._keeper = keeper
        self._reloaded: deque[bytes] = deque(maxlen=4)
        """Configurations that came into force, for the thread that judges whether they work."""
        self._options = options
        self._file_config = config
        self._handler = handler
        self._stack = stack
        self._waker = stack.enter_context(
            Waker((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self._on_signal)
        )
        self._stop_reason: str | None = None
        self._reload_asked = False
        self._exit_code = EXIT_OK
        self._recent = logs.RecentLines(LIVE_LINES)
        self._site = SiteWatch()

    def run(self) -> int:
        started_s = time.monotonic()
        realtime = RealTime(self._file_config.gateway.realtime)
        self._stack.callback(realtime.stop)
        hardware, config = self._plug_in(self._file_config, realtime)
        secrets, theirs = read_secrets(config), read_publisher_secrets(config)
        self._publishers: Publishers | None = None
        gateway = Gateway(
            config,
            secrets,
            hardware,
            on_shutdown=self._failed,
            observers=(self._note,),
            on_audio_thread=realtime.enter,
        )
        gateway.manager.orders.ask_reload = self._ask_reload
        vitals = GatewayVitals(gateway)

        def look(links: Sequence[LinkVitals]) -> Vitals:
            seen = vitals.look(links)
            self._health.saw(seen)
            return seen

        publishers = self._publishers = Publishers(config, theirs, gateway.post, look)
        self._health = self._new_health(gateway, publishers, realtime)
        self._start_simulated_people(gateway)
        try:
            publishers.start()
            gateway.start()
            if self._keeper.why:
                gateway.post(LastGoodTaken(self._keeper.why))
            self._health.start()
            realtime.settle(lambda: gateway.busy)
            log.info("EchoStream runs: %d channels", len(gateway.channels))
            self._attend(gateway, started_s)
        finally:
            self._health.end_begins()
            result, links = summary(gateway, started_s), publishers.links()
            gateway.stop()
            publishers.stop()
            self._end_health()
            result["publishers"] = links_summary(links, publishers.links())
            result["event_log"] = publishers.log_stats
        if self._options.summary_path is not None:
            write_summary(self._options.summary_path, result)
        return self._exit_code

    def _note(self, event: Event, now: float) -> None:
        if self._publishers is not None:
            self._publishers.note(event, now)

    # ---- how it is

    def _new_health(self, gateway: Gateway, publishers: Publishers, realtime: RealTime) -> HealthWatch:
        asked = Asked(
            links=publishers.links,
            guard=lambda: guard_health(self._board.lines),
            realtime=lambda: realtime_health(realtime.status),
            wakeups=lambda: wake_ups(gateway.wakeups),
            notes=lambda: [self._keeper.why] if self._keeper.why else [],
            on_change=self._waker.wake,
        )
        health = HealthWatch(gateway, self._notifier, runtime_dir(), self._options.instance, asked)
        health.config_sha256 = self._keeper.config_sha256
        return health

    def _judge_configuration(self, now: float) -> None:
        """Not on the thread `health`: what is kept goes to a disk, and that one may hang."""
        while self._reloaded:
            self._keeper.reloaded(self._reloaded.popleft())
        self._keeper.look(self._health.healthy, now)

    def _end_health(self) -> None:
        self._health.request_stop()
        if not self._health.join(HEALTH_JOIN_S):
            log.error("thread health has not ended after %.1f s", HEALTH_JOIN_S)
        self._health.forget()
        if self._stop_reason is not None and self._exit_code == EXIT_OK:
            self._keeper.ended_in_order()

    # ---- signals only set flags

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload_asked = True
        elif self._stop_reason is None:
            self._stop_reason = signal.Signals(number).name
        else:
            os._exit(128 + number)  # asked twice: the guard drops the lines when this process is gone

    def _ask_reload(self) -> None:
        self._reload_asked = True
        self._waker.wake()

    def _failed(self, reason: str) -> None:
        self._stop_reason = reason
        self._exit_code = EXIT_FAILED
        self._waker.wake()

    # ---- building

    def _plug_in(self, config: Config, realtime: RealTime) -> tuple[Hardware, Config]:
        if self._options.simulate == "none":
            self._stage = None
        else:
            from echostream.simulator.stage import Stage

            self._stage = Stage(config, everything=self._options.simulate == "all")
            self._stack.callback(self._stage.close)
            config = self._stage.adapt(config)
        self._board = Board(config, self._stage, realtime.enter)
        self._stack.callback(self._board.close)
        return self._board.hardware, config

    def _start_simulated_people(self, gateway: Gateway) -> None:
        if self._stage is not None:
            self._stage.start()

    # ---- while it runs

    def _attend(self, gateway: Gateway, started_s: float) -> None:
        options = self._options
        until_s = None if options.for_s is None else started_s + options.for_s
        view = self._open_view()
        period_s = 0.125 if view is not None else STATUS_LINE_S
        try:
            while self._stop_reason is None:
                now = time.monotonic()
                self._judge_configuration(now)
                if until_s is not None and now >= until_s:
                    break
                wait_s = period_s if until_s is None else min(period_s, until_s - now)
                if self._waker.wait(wait_s):
                    if self._reload_asked:
                        self._reload_asked = False
                        self._reload(gateway)
                    continue
                self._show(view, gateway, time.monotonic() - started_s)
        finally:
            if view is not None:
                view.stop()
        if self._stop_reason is not None:
            log.info("stopping: %s", self._stop_reason)

    def _open_view(self) -> LiveView | None:
        wanted = self._options.live
        if wanted is None:
            wanted = sys.stdout.isatty() and self._options.log_style == "auto"
        if not wanted:
            return None
        from echostream.console.live_view import LiveView

        self._recent.setFormatter(logs.LineFormatter(colour=False))
        logging.getLogger().handlers[:] = [self._recent]
        self._stack.callback(lambda: logging.getLogger().handlers.__setitem__(slice(None), [self._handler]))
        view = LiveView()
        view.start()
        return view

    def _show(self, view: LiveView | None, gateway: Gateway, elapsed_s: float) -> None:
        channels = [channel_snapshot(gateway, runtime) for runtime in gateway.channels]
        devices, recorder = self._site.look(gateway)
        links = self._publishers.links() if self._publishers is not None else []
        if view is not None:
            title = f"EchoStream  {gateway.config.gateway.id}  {elapsed_s:.0f} s  (Ctrl-C ends)"
            view.update(title, channels, list(self._recent.lines), devices, recorder, links)
            return
        for channel in channels:
            log.info(
                "channel %s: %s, mic %.0f dBFS, sent %d, received %d, lost %d, late %d, delay %.0f ms%s",
                channel.channel_id,
                channel.phase if channel.online else "offline",
                channel.transmit.level.rms_dbfs,
                channel.transmit.packets_sent,
                channel.receive.packets_received,
                channel.receive.packets_lost,
                channel.receive.packets_late,
                channel.receive.delay_ms_p50,
                "".join(f"; {part}" for part in (page_status(channel.pages),) if part),
            )
        for words in (devices_words(devices), recorder_words(recorder), links_words(links)):
            if words:
                log.info("%s", words)

    def _reload(self, gateway: Gateway) -> None:
        """Read, validate, and let the coordinator apply it; a file that does not hold changes nothing."""
        self._notifier.reloading()
        path = self._options.config_path
        try:
            content = read_file(path)
            loaded = parse_config(content, str(path))
            report(loaded)
            _refuse_lost_channels(loaded)
            config = loaded.config if self._stage is None else self._stage.adapt(loaded.config)
            secrets, theirs = read_secrets(config), read_publisher_secrets(config)
        except EchoStreamError as error:
            log.error("reload refused, the old configuration stays: %s", error)
            gateway.post(ReloadEnded(False, f"refused, the old configuration stays: {error}"))
            self._notifier.ready()
            return
        changes = compare(gateway.config, config)
        log.info("reload: %s", changes)
        what_changed = changed(changes, gateway.config, config)

        def apply() -> None:
            gateway.manager.on_reload = lambda: None  # once, also when two were asked for in one breath
            self._board.reconfigure(config)
            gateway.apply(config, secrets, changes)
            # First: whoever carries the answer away may be one of those that end now.
            gateway.manager.orders.reload_ended(True, str(changes))
            if self._publishers is not None:
                self._publishers.apply(config, theirs)
            gateway.post(what_changed)
            self._file_config = loaded.config
            self._reloaded.append(content)
            self._health.config_sha256 = hashlib.sha256(content).hexdigest()

        def apply_and_say() -> None:
            try:
                apply()
            finally:
                self._notifier.ready()

        gateway.manager.on_reload = apply_and_say
        gateway.request_reload()


def changed(changes: Changes, before: Config, after: Config) -> ConfigurationChanged:
    """For the event log: the sections that differ, as they may be shown."""
    was, now = masked(before), masked(after)
    names = [name for name in was if was[name] != now[name]]
    return ConfigurationChanged(
        str(changes), {name: was[name] for name in names}, {name: now[name] for name in names}
    )


def write_summary(path: Path, result: dict[str, object]) -> None:
    """Whole or not at all: written beside and renamed."""
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    scratch = path.with_name(path.name + ".new")
    try:
        scratch.write_text(text, "utf-8")
        scratch.replace(path)
    except OSError as error:
        log.error("summary could not be written to %s: %s", path, error)
