"""`echostream selftest`."""

from __future__ import annotations

import argparse


def add_selftest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
