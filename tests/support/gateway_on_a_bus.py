"""The command `echostream` on a bus that is made up (usb_bus): its two folders, then what it takes itself."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from unittest import mock

from echostream.cli import main
from echostream.hardware.card_identity import Kernel


def run() -> int:
    proc, sysfs = map(Path, sys.argv[1:3])
    on_the_bus = functools.partial(Kernel, proc, sysfs)
    with mock.patch("echostream.hardware.audio_hardware.Kernel", on_the_bus):
        return main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(run())
