"""`echostream upgrade`, `rollback`, `versions`, `backup`, `restore`."""

from __future__ import annotations

import argparse


def add_deploy(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
