"""The options of `echostream server`. Apart from the server itself, so that the command line stays quick."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the options of `echostream server` on a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8765, help="TCP port (default: 8765; 0: any)")
    parser.add_argument(
        "--channels", nargs="+", metavar="CHANNEL", help="the channels there are (default: any)"
    )
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key-file", metavar="FILE", help="offer the AES key in this file (base64 of 32 bytes)")
    key.add_argument(
        "--no-key",
        action="store_true",
        help='offer "N/A": members use the key they share (default: a new one)',
    )
    parser.add_argument(
        "--users-form",
        choices=("flat", "nested"),
        default="flat",
        help="which of the two deployed forms of users_connected to send (default: flat)",
    )
    parser.add_argument(
        "--udp-host", metavar="HOST", help="host to offer for audio (default: the client's way)"
    )
    parser.add_argument("--token-file", metavar="FILE", help="demand the token in this file")
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="PEM with the certificate and its key: serve wss://"
    )
    parser.add_argument(
        "--drain", type=float, default=0.0, metavar="SECONDS", help="announce a shutdown for this long first"
    )
    parser.add_argument("--verbose", action="store_true", help="log every join, leave and transmission")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 65535")
    return port
