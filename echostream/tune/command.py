"""`echostream tune`."""

from __future__ import annotations

import argparse


def add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
