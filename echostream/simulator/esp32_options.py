"""The options of `echostream esp32`. Apart from the devices, so that the command line stays quick."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Final

MDNS: Final = ("mdns", 0)
"""The target that stands for whichever gateway announces itself."""
EXAMPLES = """\
examples:
  echostream esp32 speech.wav --to 127.0.0.1:9000            one device, the file once, no hello
  echostream esp32 speech.wav --to 127.0.0.1:9000 --hello --name porch --token-file porch.token
  echostream esp32 speech.wav --to 127.0.0.1:9000 --devices 100 --hello --ppm=-300:300 --for 600 --json
  echostream esp32 speech.wav --to 127.0.0.1:9000 --devices 20 --burst 3 --power-cut 60 --for 600
  echostream esp32 speech.wav --to mdns --hello              the gateway that announces itself
  echostream esp32 speech.wav --to 127.0.0.1:9001 --udp --chunk 1024 --drop 0.02 --for 60
  echostream esp32 --to 127.0.0.1:9000 --hello --devices 20 --for 60 --check /var/lib/echostream/recordings

What each connection sent is printed at the end: samples, and the SHA-256 of them as they were sent (of
s16le mono that is the SHA-256 of the recording's samples). --json also says when the first sample of each
connection was taken up, and what the device lost, where.

exit codes: 0 all sent (and recorded), 1 a device never got through, could not send its last bytes, or was not
            recorded as it sent (--check), 2 the call is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the options of `echostream esp32` on a parser."""
    parser.add_argument(
        "file", type=Path, nargs="?", help="16-bit PCM WAV of any rate (default: recorded speech)"
    )
    parser.add_argument(
        "--to",
        type=_target,
        required=True,
        metavar="HOST:PORT",
        help="the gateway's port for devices, or mdns: it is looked for",
    )
    parser.add_argument("--devices", type=_whole(1, 4000), default=1, metavar="N", help="how many")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--for", dest="for_s", type=_seconds, metavar="S", help="default: the file once")
    length.add_argument("--loop", action="store_true", help="the file again and again, until Ctrl-C")
    parser.add_argument(
        "--pause", type=_number(0, 600), default=0.0, metavar="S", help="silence after the file"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that happens by chance")
    parser.add_argument("--json", action="store_true", help="what was sent, for machines")
    parser.add_argument(
        "--check", type=Path, metavar="DIR", help="at the end: is all of it in this archive, to the sample?"
    )
    parser.add_argument("--verbose", action="store_true", help="log failed connections")
    _add_stream(parser.add_argument_group("the stream"))
    _add_firmware(parser.add_argument_group("the firmware"))
    _add_fate(parser.add_argument_group("what befalls them (times are means, by chance)"))


def _add_stream(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--name", default="esp32", help="several are NAME-1, NAME-2, ..., or as A,B,C says")
    group.add_argument("--hello", action="store_true", help="send the hello line (TCP)")
    group.add_argument("--token-file", metavar="FILE", help="secret of the hello line")
    group.add_argument("--udp", action="store_true", help="datagrams with the 12-byte header instead of TCP")
    group.add_argument("--rate", type=_whole(1000, 192_000), default=16_000, metavar="HZ")
    group.add_argument("--format", choices=("s16le", "u8", "f32le"), default="s16le")
    group.add_argument("--channels", type=_whole(1, 2), default=1, help="2: the same on both")
    group.add_argument(
        "--from", dest="sources", metavar="ADDRESS", help="local IPv4 address; each device takes the next one"
    )


def _add_firmware(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--chunk", type=_whole(1, 1_000_000), metavar="BYTES", help="of one write (default: 8192; UDP: 1024)"
    )
    group.add_argument(
        "--interval", type=_number(1, 60_000), default=0.0, metavar="MS", help="default: when a chunk is full"
    )
    group.add_argument(
        "--ppm", type=_range, default=(0.0, 0.0), metavar="X", help="clock error; A:B spreads it"
    )
    group.add_argument(
        "--speed", type=_number(1e-6, 1000), default=1.0, help="sends so much too fast, or too slowly"
    )
    group.add_argument(
        "--burst",
        type=_number(0, 60),
        default=0.0,
        metavar="S",
        help="kept audio that is sent after connecting",
    )
    group.add_argument(
        "--ring", type=_number(0, 60), default=3.0, metavar="S", help="audio kept while it cannot send"
    )
    group.add_argument(
        "--retry",
        type=_number(0.01, 600),
        default=5.0,
        metavar="S",
        help="before the next try, doubling to 60 s",
    )
    group.add_argument(
        "--spread", type=_number(0, 3600), default=1.0, metavar="S", help="time over which they first connect"
    )


def _add_fate(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--drop", type=_number(0, 1), default=0.0, metavar="P", help="share of chunks that is lost"
    )
    group.add_argument(
        "--reconnect", type=_number(0, 1e6), default=0.0, metavar="S", help="closes, comes back"
    )
    group.add_argument(
        "--power-cut",
        type=_number(0, 1e6),
        default=0.0,
        metavar="S",
        help="vanishes without closing, boots, comes back",
    )
    group.add_argument("--away", type=_number(0, 3600), default=2.0, metavar="S", help="how long it is away")
    group.add_argument("--stall", type=_number(0, 1e6), default=0.0, metavar="S", help="nothing gets through")
    group.add_argument("--stalled", type=_number(0, 600), default=1.5, metavar="S", help="for so long")


class _Whole:
    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        value = int(text)
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{text}: expected {self._low} to {self._high}")
        return value


class _Number:
    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> float:
        value = float(text)
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{text}: expected {self._low:g} to {self._high:g}")
        return value


def _whole(low: int, high: int) -> _Whole:
    return _Whole(low, high)


def _number(low: float, high: float) -> _Number:
    return _Number(low, high)


def _seconds(text: str) -> float:
    return _Number(0.1, 10 * 366 * 86_400.0)(text)


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    values = float(low), float(high or low)
    if not all(math.isfinite(value) and abs(value) <= 100_000 for value in values):
        raise argparse.ArgumentTypeError(f"{text}: expected parts per million, or two as A:B")
    return values


def _target(text: str) -> tuple[str, int]:
    if text == MDNS[0]:
        return MDNS
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"{text}: expected HOST:PORT, e.g. 127.0.0.1:9000")
    return host.strip("[]"), int(port)
