"""While the gateway runs it holds the card: what it hears is shown as it tells it itself, once a second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from echostream.audio.levels import FLOOR_DBFS
from echostream.errors import EchoStreamError
from echostream.selftest.gateway_runs import card_held
from echostream.service.health import ChannelHealth

SECOND_S: Final = 1.0
_PATIENCE_S: Final = 5.0

OnSecond = Callable[[ChannelHealth], None]


class GatewayGone(EchoStreamError):
    """It stopped meanwhile."""


@dataclass(frozen=True, slots=True)
class HeardBeside:
    """Of each second: RMS and peak, dBFS, as the gateway heard them (after input gain)."""

    levels_dbfs: tuple[float, ...]
    peaks_dbfs: tuple[float, ...]


def follow(
    path: Path, channel_id: str, duration_s: float, on_second: OnSecond, stop: threading.Event
) -> HeardBeside:
    """Read the file once a second. GatewayGone where it is not written any more."""
    levels: list[float] = []
    peaks: list[float] = []
    seen_s = time.monotonic()
    for _ in range(max(1, round(duration_s))):
        channel = card_held(path, channel_id)
        if channel is not None:
            seen_s = time.monotonic()
            levels.append(channel.level_dbfs)
            peaks.append(channel.peak_dbfs)
            on_second(channel)
        elif time.monotonic() - seen_s > _PATIENCE_S:
            raise GatewayGone("the gateway stopped meanwhile: start this again")
        if stop.wait(SECOND_S):
            break
    return HeardBeside(tuple(levels), tuple(peaks))


def write_beside(channel_id: str, heard: HeardBeside, as_json: bool, out: TextIO) -> None:
    """What was heard, and how to measure more."""
    stop, start = "sudo systemctl stop echostream", "sudo systemctl start echostream"
    if as_json:
        document = {
            "channel": channel_id,
            "gateway_runs": True,
            "levels_dbfs": heard.levels_dbfs,
            "peaks_dbfs": heard.peaks_dbfs,
        }
        out.write(json.dumps(document, indent=2) + "\n")
        return
    loudest, peak = max(heard.levels_dbfs, default=FLOOR_DBFS), max(heard.peaks_dbfs, default=FLOOR_DBFS)
    quietest = min(heard.levels_dbfs, default=FLOOR_DBFS)
    out.write(
        f"{channel_id}: {len(heard.levels_dbfs)} s as the gateway heard them\n"
        f"  loudest second   {loudest:.0f} dBFS\n"
        f"  quietest second  {quietest:.0f} dBFS\n"
        f"  highest peak     {peak:.0f} dBFS\n\n"
        "The gateway holds the card. To measure speech, noise and hum, and to set levels:\n"
        f"  {stop}\n  sudo echostream tune {channel_id}\n  {start}\n"
    )
