"""The options of `echostream subscribe` and `bucket`, apart from them: the command line stays quick."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

PORT: Final = 1883
SUBSCRIBE_EXAMPLES = """\
examples:
  echostream subscribe                                   what this gateway (./config.json) publishes
  echostream subscribe "echostream/station-7/channel/+/event/page" --count 1
  echostream subscribe --broker 10.0.0.5 --json "from/device/+/tone_detection" | jq .payload

exit codes: 0 ended, or all that were counted came; 1 the broker is away or refuses; 2 the call is wrong
"""


def add_subscribe(parser: argparse.ArgumentParser) -> None:
    """Put the options of `echostream subscribe` on a parser."""
    parser.add_argument("topic", nargs="*", help="topics, with + and #; default: all of the gateway")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config", type=Path, default=Path("config.json"), help="its broker (default: ./config.json)"
    )
    where.add_argument(
        "--broker",
        type=_address,
        metavar="HOST:PORT",
        help=f"another one, without TLS (port: {PORT})",
    )
    parser.add_argument("--for", dest="for_s", type=_seconds, metavar="SECONDS", help="end by itself")
    parser.add_argument("--count", type=_count, metavar="N", help="end after N messages")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="for machines: an object a line")
    how.add_argument("--short", action="store_true", help="cut what is long")
    parser.add_argument("--verbose", action="store_true")


def add_bucket(parser: argparse.ArgumentParser) -> None:
    """Put the options of `echostream bucket` on a parser."""
    parser.add_argument("bucket", help="its name")
    parser.add_argument("--directory", type=Path, required=True, help="what comes is kept there, as files")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=9100, help="default: 9100")
    parser.add_argument("--key-id-file", required=True, help="file with the access key id that is let in")
    parser.add_argument("--secret-file", required=True, help="file with its secret")
    parser.add_argument("--verbose", action="store_true")


def _address(text: str) -> tuple[str, int]:
    """HOST or HOST:PORT. An IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":") if ":" in text and not text.endswith("]") else (text, "", str(PORT))
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"{text}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 10 * 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number of seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value
