"""Runs the checks side by side, each within its time. One that breaks, or never answers, is a finding."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import EchoStreamError

log = logging.getLogger(__name__)

BROKE: Final = Kind(
    "doctor.broke",
    Level.WARNING,
    "this could not be looked at: {why}",
    "the other findings hold; report this one with the output of `echostream doctor --json`",
)
LATE: Final = Kind(
    "doctor.late",
    Level.WARNING,
    "no answer within {seconds:g} s",
    "a disk, driver or network that hangs does this; run `echostream doctor --only {group}` again, and look "
    "at `dmesg` if it stays",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, and how long it took."""

    check: Check
    findings: tuple[Finding, ...]
    took_s: float


class _Looking:
    """One check in thread `doctor-GROUP-NAME`, a daemon: what hangs in a driver can not be ended."""

    def __init__(self, check: Check, world: World) -> None:
        self.check = check
        self._world = world
        self._findings: tuple[Finding, ...] | None = None
        self._began_s = time.monotonic()
        self._took_s = 0.0
        self._thread = threading.Thread(
            target=self._look, name=f"doctor-{check.group}-{check.name}", daemon=True
        )
        self._thread.start()

    def result(self) -> Result:
        """Waits for it, no longer than it may take."""
        within_s = self.check.within_s
        self._thread.join(max(0.0, self._began_s + within_s - time.monotonic()))
        findings = self._findings
        if findings is None:
            late = LATE.at(self.check.name, seconds=within_s, group=self.check.group)
            return Result(self.check, (late,), within_s)
        return Result(self.check, findings, self._took_s)

    def _look(self) -> None:
        try:
            findings = tuple(self.check.look(self._world))
        except Exception as error:  # a check that breaks must not take the others with it, and is told
            why = str(error) if isinstance(error, EchoStreamError) else f"{type(error).__name__}: {error}"
            log.debug("a check broke", exc_info=True)
            findings = (BROKE.at(self.check.name, why=why),)
        self._took_s = time.monotonic() - self._began_s
        self._findings = findings


def run_checks(checks: Sequence[Check], world: World) -> Iterator[Result]:
    """All at once; what they found in the order given, each as soon as it and those before it ended."""
    together = {check: _Looking(check, world) for check in checks if not check.alone}
    for check in checks:
        if check.alone:
            for one in together.values():
                one.result()
            yield _Looking(check, world).result()
        else:
            yield together[check].result()
