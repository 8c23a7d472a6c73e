"""A gateway that keys radios, for tests that kill it: arguments are the pins; active-low ones end in "-".

Each line is keyed every 20 ms like a playback thread does, in overs of random length. Writes "guard PID" once
the lines are held, and after a line was confirmed keyed "keyed PIN".
"""

from __future__ import annotations

import random
import sys
import threading

from echostream.hardware.ptt_client import PttLines, PttLineSpec

FRAME_S = 0.02


def talk(lines: PttLines, channel: str, seed: int, stop: threading.Event) -> None:
    """Overs of 0.3 to 1 s with pauses of 20 to 100 ms."""
    chance = random.Random(seed)
    output = lines.output(channel)
    while not stop.is_set():
        told = False
        for _ in range(chance.randint(15, 50)):
            output.key()
            if output.keyed and not told:
                told = True
                sys.stdout.write(f"keyed {channel}\n")
                sys.stdout.flush()
            stop.wait(FRAME_S)
        output.unkey()
        stop.wait(FRAME_S * chance.randint(1, 5))


def main() -> None:
    specs = [
        PttLineSpec(pin.rstrip("-"), pin=int(pin.rstrip("-")), active_low=pin.endswith("-"))
        for pin in sys.argv[1:]
    ]
    lines = PttLines(specs)
    lines.start()
    sys.stdout.write(f"guard {lines.guard_pid}\n")
    sys.stdout.flush()
    stop = threading.Event()
    for seed, spec in enumerate(specs):
        threading.Thread(target=talk, args=(lines, spec.channel_id, seed, stop), daemon=True).start()
    sys.stdin.read()
    stop.set()
    lines.close()


if __name__ == "__main__":
    main()
