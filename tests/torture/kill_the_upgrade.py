"""Kill an upgrade at moments of chance, or cut the power in it; see that a version always starts.

    python tests/torture/kill_the_upgrade.py [--rounds 100] [--seed 1] [--json FILE] [--keep DIRECTORY]

Real processes and real versions (the package as it is here, unpacked, switched to, started, judged); what
systemd does is played by the test. In each round a new version comes, one in three of them a broken one that
ends at once or hangs, and SIGKILL falls at some moment between the beginning of `echostream upgrade` and the
end of the trial: on the upgrade, on whoever judges, or on everything at once, as when the power goes. Then
what `current` points to has to start, the trial has to end by itself with a gateway that is ready and
healthy, a broken version has to be left, and the same upgrade asked for again has to succeed and leave
nothing behind. Ends with status 1 if anything of that was not so.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from upgrade_stand import Stand, make_archive  # noqa: E402 - after the path

from echostream.deploy import versions  # noqa: E402
from echostream.deploy.services import GATEWAY, TRIAL  # noqa: E402
from echostream.deploy.trial_file import history, read_trial  # noqa: E402

VICTIMS: Final = ("upgrade", "upgrade", "upgrade", "judge", "judge", "power")
KINDS: Final = ("good", "good", "good", "good", "ends", "hangs")
SETTLED_S: Final = 90.0
STARTS_S: Final = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="leave versions and logs there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then too
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        torture = Torture(options.keep or Path(scratch), random.Random(options.seed))
        try:
            torture.run(options.rounds)
        finally:
            torture.stand.close()
    torture.tell(time.monotonic() - began_s)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in torture.rounds], indent=1) + "\n")
    return 1 if any(one.faults for one in torture.rounds) else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Round:
    """One kill. struck_in: how far the upgrade was; away_s: until a gateway was ready again, after it."""

    number: int
    kind: str
    victim: str
    at_s: float
    struck_in: str = ""
    away_s: float = 0.0
    runs: str = ""
    faults: list[str] = field(default_factory=list)


class Torture:
    """One machine, upgraded again and again."""

    def __init__(self, work: Path, chance: random.Random) -> None:
        self._work, self._chance = work, chance
        self.rounds = list[Round]()
        self.stand = Stand(work / "machine")
        self._current = "0"
        self._length_s = 60.0
        """How long an upgrade takes that nobody kills: the shortest one so far."""

    def run(self, rounds: int) -> None:
        self.stand.install(make_archive(self._work, "0"), "0")
        first = Round(0, "good", "nobody", 0.0)
        self._wait_healthy(first)
        self._finish(first, self._archive("1", "good"), "1")
        if first.faults:
            raise SystemExit(f"not even undisturbed: {first.faults}; see {self._work}")
        say(f"{rounds} kills of an upgrade that takes {self._length_s:.1f} s")
        for number in range(1, rounds + 1):
            kind, victim = self._chance.choice(KINDS), self._chance.choice(VICTIMS)
            one = Round(number, kind, victim, round(self._chance.uniform(0, self._length_s), 3))
            self.rounds.append(one)
            self._round(one, str(number + 1))
            if number % 10 == 0 or one.faults:
                faults = sum(len(one.faults) for one in self.rounds)
                say(f"  {number:3} of {rounds}, {faults} faults {one.faults or ''}")

    def _archive(self, version_id: str, kind: str) -> Path:
        for old in self._work.glob("*.tar.gz"):
            old.unlink()
        return make_archive(self._work, version_id, kind)

    # ---- a round

    def _round(self, one: Round, version_id: str) -> None:
        archive = self._archive(version_id, one.kind)
        process = self.stand.upgrade(archive, self._work / "upgrade.log")
        began_s = time.monotonic()
        self._strike(one, process, began_s)
        struck_s = time.monotonic()
        self._look_at_disk(one, version_id)
        if one.victim != "upgrade":
            _end(process)
        self._settle(one)
        one.away_s = round(time.monotonic() - struck_s, 1)
        now = one.runs = versions.current(self.stand.layout) or ""
        if now not in {self._current, version_id} or (one.kind != "good" and now == version_id):
            one.faults.append(f"{now} runs, which is {one.kind}")
        if one.kind == "good":
            if now != version_id:
                self._finish(one, archive, version_id)
            self._current = version_id
        self._look_whether_clean(one, version_id)

    def _strike(self, one: Round, process: subprocess.Popen[bytes], began_s: float) -> None:
        while time.monotonic() - began_s < one.at_s and process.poll() is None:
            time.sleep(0.005)
        if one.victim == "judge":  # it comes when the trial begins
            while process.poll() is None and not self.stand.kill(TRIAL):
                time.sleep(0.005)
        elif one.victim == "power":
            process.kill()
            self.stand.cut_the_power()
        process.poll()
        one.struck_in = self._how_far()
        if one.victim != "judge":
            process.kill()
            process.wait()

    def _how_far(self) -> str:
        layout = self.stand.layout
        trial = read_trial(layout)
        if trial is not None:
            return trial.phase
        return "unpacking" if (layout.versions / versions.COMING).exists() else "before or after"

    def _look_at_disk(self, one: Round, version_id: str) -> None:
        """What `current` points to right after the blow is whole, and starts."""
        layout = self.stand.layout
        now = versions.current(layout)
        if now is None or versions.complete(layout, now) is None:
            one.faults.append(f"current is {now}, which is not whole")
            return
        command = [str(layout.current / "bin" / "python"), "-m", "echostream", "config", "check"]
        done = subprocess.run(
            [*command, str(layout.config)],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=STARTS_S,
        )
        if done.returncode not in (0, 1):
            one.faults.append(f"{now} does not start: {done.stderr[-300:]}")

    def _settle(self, one: Round) -> None:
        until_s = time.monotonic() + SETTLED_S
        while self.stand.layout.trial_file.exists():
            if time.monotonic() > until_s:
                one.faults.append(
                    f"the trial has not ended: {self.stand.layout.trial_file.read_text()[:300]}"
                )
                return
            time.sleep(0.05)
        self._wait_healthy(one)

    def _wait_healthy(self, one: Round) -> None:
        until_s = time.monotonic() + STARTS_S
        while time.monotonic() < until_s:
            health = self.stand.health()
            if health.get("ready") and health.get("healthy") and self._runs_what_is_current(health["pid"]):
                return
            time.sleep(0.05)
        one.faults.append(f"no gateway is healthy: {self.stand.health()}")

    def _runs_what_is_current(self, pid: int) -> bool:
        """The process that says so is of the version that `current` points to."""
        now = versions.current(self.stand.layout)
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return f"/versions/{now}/bin/../lib".encode() in environment

    def _finish(self, one: Round, archive: Path, version_id: str) -> None:
        """The same upgrade again, and nobody kills it."""
        began_s = time.monotonic()
        process = self.stand.upgrade(archive, self._work / "upgrade.log")
        if process.wait(SETTLED_S) != 0 or versions.current(self.stand.layout) != version_id:
            tail = (self._work / "upgrade.log").read_text()[-500:]
            one.faults.append(f"asked for again it failed: {tail}")
        else:
            self._length_s = min(self._length_s, time.monotonic() - began_s)
        self._wait_healthy(one)
        self._current = version_id

    def _look_whether_clean(self, one: Round, version_id: str) -> None:
        layout = self.stand.layout
        if one.kind == "good":
            wanted = {name for name in (versions.current(layout), versions.previous(layout)) if name}
            names = {path.name for path in layout.versions.iterdir()}
            if names != wanted:
                one.faults.append(f"versions holds {sorted(names)}, {sorted(wanted)} are wanted")
        else:
            left = [ended for ended in history(layout) if ended.new == version_id]
            if left and left[-1].outcome != "went back":
                one.faults.append(f"the broken version ended as {left[-1]}")
        names = {path.name for path in layout.home.iterdir()}
        known = {"current", "previous", "judge", "versions", "install.json", "trials.json", ".lock"}
        # What was being written when the blow fell is written over the next time.
        if strange := {name for name in names - known if not name.endswith(".new")}:
            one.faults.append(f"left behind: {sorted(strange)}")
        if self.stand.units[GATEWAY].process is None:
            one.faults.append("no gateway runs")

    # ---- the verdict

    def tell(self, took_s: float) -> None:
        say("")
        faults = [fault for one in self.rounds for fault in one.faults]
        say(f"  {'kills':34} {len(self.rounds)}, in {took_s:.0f} s")
        for name, counts in (
            ("fell on", Counter(one.victim for one in self.rounds)),
            ("while", Counter(one.struck_in for one in self.rounds)),
            ("the new version", Counter(one.kind for one in self.rounds)),
        ):
            say(f"  {name:34} {', '.join(f'{what} {count}' for what, count in counts.most_common())}")
        away = sorted(one.away_s for one in self.rounds)
        if away:
            say(f"  {'until all was settled, s':34} median {away[len(away) // 2]}, most {away[-1]}")
        say(f"  {'faults':34} {len(faults)}")
        for fault in faults[:20]:
            say(f"    {fault}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whoever follows the trial, once it has ended; a cut of the power has ended it already."""
    try:
        process.wait(SETTLED_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
