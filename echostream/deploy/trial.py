"""The trial of a new version: switch to it, watch it, keep it or go back; also after a kill or a power cut.

    python -m echostream.deploy.trial              the one that is under way, to its end (a service does this)
    python -m echostream.deploy.trial --begin ID   begin one of a version that is in place (a package does)

Each step can be taken twice, and trial.json says how far it was. The Python that judges is that of the
version which is known to work (the link `judge`), never that of the one on trial.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from echostream.config.load import load_config
from echostream.deploy import files, index_kept, versions
from echostream.deploy.layout import SOURCE, DeployError, Layout
from echostream.deploy.services import (
    GUARD,
    PATTERNS,
    TRIAL,
    TRIAL_PATH,
    ServiceManager,
    Services,
    look,
)
from echostream.deploy.system_files import place_system_files
from echostream.deploy.trial_file import (
    HOLD_S,
    JUDGE,
    WITHIN_S,
    Ended,
    Outcome,
    Trial,
    ask_to_go_back,
    asked_to_go_back,
    before_of,
    end_trial,
    in_words,
    read_trial,
    worse,
    write_trial,
)
from echostream.errors import EchoStreamError
from echostream.event_log.acts import append_act

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
WAIT_S: Final = 60.0
"""Whoever began the trial is done with its part long before."""
MOST_RESUMED: Final = 5
"""A machine that goes down so often in one trial goes down because of it."""
MOST_RESTARTS: Final = 5
"""A gateway that was started again by itself so often will not come up: why wait for the two minutes."""


def begin(
    layout: Layout, services: Services, new: str, within_s: float = WITHIN_S, hold_s: float = HOLD_S
) -> Trial | None:
    """Begin the trial of a version that is in place; whoever holds `versions.alone` calls it.

    None: nothing was installed before, so there is nothing to go back to, and `new` is current at once.
    """
    if versions.complete(layout, new) is None:
        raise DeployError(f"{layout.versions / new} is no whole version: install it again")
    if read_trial(layout) is not None:
        raise DeployError("a new version is on trial already: `echostream versions` says how it is")
    old = versions.current(layout)
    if old is None or versions.complete(layout, old) is None:
        versions.switch(layout, new)
        return None
    if old == new:
        raise DeployError(f"{new} is what runs already")
    units = tuple(services.running(PATTERNS))
    before = {unit: before_of(look(layout, unit).health) for unit in units}
    stamp, before_that = time.time_ns() // 1000, versions.previous(layout)
    trial = Trial(new, old, before_that, stamp, units=units, before=before, within_s=within_s, hold_s=hold_s)
    _write_first(layout, trial)
    return trial


def begin_going_back(layout: Layout, services: Services, who: str) -> Trial:
    """From the version that runs, or that is on trial, to the one before. Raises DeployError."""
    trial = read_trial(layout)
    if trial is not None:
        ask_to_go_back(layout, who)
        return trial
    now, before = versions.current(layout), versions.previous(layout)
    if now is None or before is None or before == now or versions.complete(layout, before) is None:
        raise DeployError("there is no version before this one on this machine")
    units = tuple(services.running(PATTERNS))
    stamp, words = time.time_ns() // 1000, f"{who} asked for it"
    trial = Trial(now, before, now, stamp, "back", units, why=words, asked=True)
    _write_first(layout, trial)
    return trial


def _write_first(layout: Layout, trial: Trial) -> None:
    files.point(layout.home / JUDGE, f"versions/{trial.old}")
    write_trial(layout, trial)


class Judge:
    """Carries a trial to its end. `stop`: somebody wants this process to end; the trial goes on later."""

    def __init__(self, layout: Layout, services: Services, stop: threading.Event) -> None:
        self._layout = layout
        self._services = services
        self._stop = stop

    def run(self) -> Ended | None:
        """To the end of the trial; None where there is none, or where `stop` came first."""
        trial = read_trial(self._layout)
        if trial is None:
            return None
        trial = replace(trial, resumed=trial.resumed + 1)
        write_trial(self._layout, trial)
        if trial.phase != "back":
            why = self._forward(trial)
            if why is None:
                return None
            if not why:
                return self._confirm(trial)
            asked = bool(asked_to_go_back(self._layout))
            trial = replace(trial, phase="back", why=why, asked=asked)
            write_trial(self._layout, trial)
        return self._back(trial)

    # ---- forward

    def _forward(self, trial: Trial) -> str | None:
        """Switch and watch. "": it is good; None: stopped; else why not."""
        if trial.resumed > MOST_RESUMED:
            return f"interrupted {trial.resumed - 1} times: the machine goes down with it"
        if versions.complete(self._layout, trial.new) is None:
            return f"{trial.new} is not whole any more"
        if trial.phase == "switch":
            log.info("%s is on trial; %s is kept", trial.new, trial.old)
            try:
                index_kept.keep(self._layout, log.warning)
                self._switch(trial.new, previous=trial.old)
                self._keep_units_of_judge(trial.old)
                self._restart(trial)
            except (OSError, DeployError) as error:
                return f"switching to it failed: {error}"
            trial = replace(trial, phase="watch")
            write_trial(self._layout, trial)
        return self._watch(trial)

    def _watch(self, trial: Trial) -> str | None:
        deadline_s = time.monotonic() + trial.within_s
        good_since_s: float | None = None
        while True:
            if who := asked_to_go_back(self._layout):
                return f"{who} asked for it"
            found = self._look(trial)
            now = time.monotonic()
            if not found:
                good_since_s = now if good_since_s is None else good_since_s
                if now - good_since_s >= trial.hold_s or not trial.units:
                    return ""
            else:
                good_since_s = None
                if now >= deadline_s:
                    return f"not as good as before within {trial.within_s:.0f} s: {'; '.join(found)}"
                if gone := self._gave_up(trial):
                    return f"{gone}: {'; '.join(found)}"
            if self._stop.wait(min(LOOK_S, trial.hold_s / 2)):
                return None

    def _look(self, trial: Trial) -> list[str]:
        """What is worse than it was, of all gateways."""
        found = []
        for unit in trial.units:
            words = worse(trial.before[unit], look(self._layout, unit).health)
            found += [f"{unit}: {one}" if len(trial.units) > 1 else one for one in words]
        return found

    def _gave_up(self, trial: Trial) -> str:
        for unit in trial.units:
            count = self._services.restarts(unit)
            if count >= MOST_RESTARTS:
                return f"{unit} has ended {count} times"
        return ""

    def _confirm(self, trial: Trial) -> Ended:
        why = "" if trial.units else "no gateway ran, so nothing was watched"
        log.info("%s is kept%s", trial.new, f" ({why})" if why else "")
        try:
            self._place_files(trial.new)
        except (OSError, DeployError) as error:
            log.error("%s runs, but not all of its units are in place: %s", trial.new, error)
        return self._end(trial, "confirmed", why)

    # ---- back

    def _back(self, trial: Trial) -> Ended:
        log.error("going back from %s to %s: %s", trial.new, trial.old, trial.why)
        if versions.complete(self._layout, trial.old) is None:
            log.error("%s is not whole: there is nothing to go back to", trial.old)
            return self._end(trial, "abandoned", f"{trial.old} is not whole; {trial.why}")
        self._switch(trial.old, previous=trial.previous)
        try:
            if paths := index_kept.changed(self._layout):
                self._services.stop(trial.units)
                index_kept.put_back(paths, log.warning)
            self._restart(trial)
        except DeployError as error:
            log.error("%s runs from its next start on: %s", trial.old, error)
        return self._end(trial, "rolled back" if trial.asked else "went back", trial.why)

    # ---- both

    def _switch(self, version_id: str, previous: str | None) -> None:
        layout = self._layout
        if (
            previous is not None
            and previous != version_id
            and versions.complete(layout, previous) is not None
        ):
            versions.set_previous(layout, previous)
        versions.switch(layout, version_id)
        self._place_files(version_id)

    def _place_files(self, version_id: str) -> None:
        layout = self._layout
        record = layout.install_record() or SOURCE
        for words in place_system_files(layout, layout.tree(version_id), record, self._services):
            log.info("%s (%s)", words, version_id)

    def _keep_units_of_judge(self, old: str) -> None:
        """Those of the version on trial come with the verdict: after a power cut they start the judge."""
        record = self._layout.install_record() or SOURCE
        for name in (TRIAL, TRIAL_PATH):
            unit = self._layout.tree(old).units / name
            if unit.is_file():
                files.write_file(self._layout.below(record.unit_dir) / name, unit.read_bytes())
        self._services.daemon_reload()

    def _restart(self, trial: Trial) -> None:
        if not trial.units:
            return
        self._services.daemon_reload()
        guards = self._services.running([GUARD])
        self._services.reset_failed([*guards, *trial.units])
        self._services.restart_soon([*guards, *trial.units])

    def _end(self, trial: Trial, outcome: Outcome, why: str) -> Ended:
        """One that was left stays until the next trial, for whoever wants to know why."""
        for gone in versions.prune(self._layout, {trial.new} if outcome != "confirmed" else set()):
            log.info("%s was removed", gone)
        ended = Ended(trial.began_us, time.time_ns() // 1000, trial.new, trial.old, outcome, why)
        index_kept.forget(self._layout)
        end_trial(self._layout, ended)
        _put_into_event_log(self._layout, ended)
        return ended


def _put_into_event_log(layout: Layout, ended: Ended) -> None:
    """For whoever reads later what happened here. A configuration that does not hold names no log."""
    try:
        events = load_config(layout.config).config.events.directory
    except EchoStreamError as error:
        log.warning("not in the event log: %s", " ".join(str(error).split())[:200])
        return
    data = {"new": ended.new, "old": ended.old, "outcome": ended.outcome, "why": ended.why}
    append_act(layout.below(events), "upgrade", in_words(ended), subject="version", data=data)


def carry_on(layout: Layout, services: Services, stop: threading.Event) -> Ended | None:
    """The trial that is under way, to its end; None where there is none, or where `stop` came first.

    One whose file does not read is over: what is current stays. Raises DeployError, OSError.
    """
    with versions.alone(layout, WAIT_S, stop):
        try:
            return Judge(layout, services, stop).run()
        except DeployError:
            if _unreadable(layout):
                log.error("%s does not read: the trial is over, what is current stays", layout.trial_file)
                layout.trial_file.unlink(missing_ok=True)
            raise


def _unreadable(layout: Layout) -> bool:
    try:
        read_trial(layout)
    except DeployError:
        return True
    return False


def main(arguments: list[str] | None = None) -> int:
    """0: there is no trial any more, or it began; 1: it could not be carried on, and will be tried again."""
    parser = argparse.ArgumentParser(
        prog="echostream.deploy.trial", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--begin", metavar="ID", help="begin the trial of a version that is in place")
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    layout, services = Layout(options.root), ServiceManager(options.root)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if options.begin is None:
            carry_on(layout, services, stop)
            return 0
        with versions.alone(layout):
            trial = begin(layout, services, options.begin)
        if trial is not None:
            start_judge(layout, services, stop)
    except (DeployError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


def start_judge(layout: Layout, services: Services, stop: threading.Event) -> bool:
    """Let the service judge, which outlives whoever asked; where there is none, judge here and now.

    Returns whether the service does.
    """
    if services.booted:
        try:
            services.reset_failed([TRIAL])
            services.start([TRIAL])
            return True
        except DeployError as error:
            log.warning("%s; this process watches the trial instead: leave it running", error)
    carry_on(layout, services, stop)
    return False


if __name__ == "__main__":
    sys.exit(main())
