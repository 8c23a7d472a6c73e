"""Fuzz the parsers: `python tests/fuzz/run.py --inputs 1000000 --seed 1 --parser all`.

Prints a line per parser. On a finding: the reproducer in base64, exit code 1; run it again with
`--parser NAME --repro BASE64`.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

from fuzz_targets import TARGETS, Target

SLOW_S = 0.5
"""CPU time that one input may cost: far more than any honest one, far less than a stall."""
SHRINK_TRIES = 3000


@dataclass(frozen=True)
class Finding:
    """An input and what it did."""

    data: bytes
    trace: str


@dataclass(frozen=True)
class Outcome:
    """One parser's run. `seconds`: wall time, generating included."""

    name: str
    inputs: int
    rejected: int
    seconds: float
    slowest_ms: float
    finding: Finding | None


def try_one(target: Target, data: bytes) -> tuple[bool, str]:
    """(rejected, what went wrong or "")."""
    try:
        return not target.run(data), ""
    except target.allowed:
        return True, ""
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - whatever else it raises, a Rust panic too, is the finding
        return True, traceback.format_exc()


def fuzz(target: Target, inputs: int, seed: int) -> Outcome:
    """The same seed makes the same inputs. Stops at the first finding."""
    rng = Random(f"{seed}:{target.name}")
    rejected = 0
    slowest_s = 0.0
    started = time.perf_counter()
    for done in range(1, inputs + 1):
        data = target.generate(rng)
        began = time.thread_time()
        refused, trace = try_one(target, data)
        took_s = time.thread_time() - began
        slowest_s = max(slowest_s, took_s)
        rejected += refused
        if not trace and took_s > SLOW_S:
            trace = f"one input took {took_s:.2f} s of CPU time\n"
        if trace:
            finding = Finding(shrink(target, data, trace), trace)
            return Outcome(
                target.name, done, rejected, time.perf_counter() - started, slowest_s * 1e3, finding
            )
    return Outcome(target.name, inputs, rejected, time.perf_counter() - started, slowest_s * 1e3, None)


def shrink(target: Target, data: bytes, trace: str) -> bytes:
    """The shortest input found by leaving pieces out that still ends in the same line."""
    wanted = trace.splitlines()[-1].split(":")[0]
    piece, tries = max(1, len(data) // 2), 0
    while piece and tries < SHRINK_TRIES:
        at, shorter = 0, False
        while at < len(data) and tries < SHRINK_TRIES:
            candidate = data[:at] + data[at + piece :]
            tries += 1
            found = try_one(target, candidate)[1]
            if found and found.splitlines()[-1].split(":")[0] == wanted:
                data, shorter = candidate, True
            else:
                at += piece
        if not shorter:
            piece //= 2
    return data


def fuzz_by_name(name: str, inputs: int, seed: int) -> Outcome:
    """What a worker process runs: a target itself cannot be sent to it."""
    target = next(target for target in TARGETS if target.name == name)
    return fuzz(target, max(1, int(inputs * target.share)), seed)


def report(outcome: Outcome) -> None:
    """A line, and the reproducer if there is one."""
    print(
        f"{outcome.name:<14} {outcome.inputs:>9} inputs  {outcome.inputs / outcome.seconds:>8.0f}/s"
        f"  rejected {outcome.rejected / outcome.inputs:>6.1%}  slowest {outcome.slowest_ms:>6.1f} ms"
        f"  {'FINDING' if outcome.finding else 'ok'}",
        flush=True,
    )
    if outcome.finding:
        print(outcome.finding.trace, end="")
        encoded = base64.b64encode(outcome.finding.data).decode()
        print(f"reproduce: python tests/fuzz/run.py --parser {outcome.name} --repro '{encoded}'", flush=True)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers of what comes from the network.")
    names = [target.name for target in TARGETS]
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs per parser")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parser", choices=[*names, "all"], default="all")
    parser.add_argument("--jobs", type=int, default=1, help="parsers at a time, each in a process")
    parser.add_argument("--repro", metavar="BASE64", help="run this one input")
    chosen = parser.parse_args(argv)
    if chosen.inputs < 1 or chosen.jobs < 1:
        parser.error("--inputs and --jobs: at least 1")
    if chosen.repro is not None and chosen.parser == "all":
        parser.error("--repro needs --parser NAME")
    return chosen


def main(argv: list[str] | None = None) -> int:
    """0: nothing found. 1: a finding, printed with its reproducer."""
    chosen = arguments(argv)
    names = [target.name for target in TARGETS if chosen.parser in (target.name, "all")]
    if chosen.repro is not None:
        target = next(target for target in TARGETS if target.name == chosen.parser)
        rejected, trace = try_one(target, base64.b64decode(chosen.repro))
        print(trace or ("rejected" if rejected else "accepted"))
        return 1 if trace else 0
    found = False
    if chosen.jobs == 1:
        for name in names:
            outcome = fuzz_by_name(name, chosen.inputs, chosen.seed)
            report(outcome)
            found |= outcome.finding is not None
        return int(found)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for future in [pool.submit(fuzz_by_name, name, chosen.inputs, chosen.seed) for name in names]:
            outcome = future.result()
            report(outcome)
            found |= outcome.finding is not None
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
